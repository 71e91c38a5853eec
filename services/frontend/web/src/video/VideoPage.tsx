import { lazy, Suspense, useState } from 'react';
import type { Playback, Video } from '../api/types';
import { Button } from '../components/Button';
import { Icon } from '../components/Icon';
import { ErrorLine, Notice } from '../components/Notice';
import { ProgressBar } from '../components/ProgressBar';
import { StateBadge } from '../components/StateBadge';
import { formatAgo, formatBitrate, formatBytes, formatClock } from '../lib/format';
import { useNow } from '../lib/useNow';
import { useTitle } from '../lib/useTitle';
import { Link, paths } from '../router';
import { FailurePanel } from './FailurePanel';
import { useVideo } from './useVideo';
import { VideoActions } from './VideoActions';
import styles from './VideoPage.module.css';

// hls.js is larger than all the rest: it comes with the first video that is played.
const Player = lazy(async () => ({ default: (await import('../player/Player')).Player }));

const WAITING: Record<string, [title: string, text: string]> = {
  Uploading: ['Still being uploaded', 'Transcoding begins by itself as soon as the whole file has arrived.'],
  Queued: ['Waiting for its turn', 'It is in the queue and starts as soon as a transcoding Job is free.'],
  Transcoding: ['Being transcoded', 'It can be watched here as soon as that is done. No need to reload.'],
};

/** What stands in the player's place until there is something to play. */
function Pending({ video }: { video: Video }) {
  const [title, text] = WAITING[video.state] ?? [video.state, ''];
  const transcoding = video.state === 'Transcoding';
  return (
    <section className={styles.pending}>
      {transcoding && <p className={styles.percent}>{Math.round(video.percent)} %</p>}
      <h2>{title}</h2>
      <p className={styles.pendingText}>{text}</p>
      {video.failure && (
        <p className={styles.pendingText}>
          The attempt before failed (<code>{video.failure.reason}</code>): {video.failure.message}
        </p>
      )}
      <div className={styles.bar}>
        <ProgressBar percent={transcoding ? video.percent : undefined} label={title} tone="busy" />
      </div>
    </section>
  );
}

/** What plays: the first output that there was, until the person wants the newer one. */
function usePlayback({ playback: current }: Video): { shown: Playback | undefined; update: (() => void) | undefined } {
  const [shown, setShown] = useState(current ?? undefined);
  if (!current) return { shown, update: undefined };
  if (shown === undefined) setShown(current);
  const newer = shown !== undefined && shown.hls !== current.hls;
  return { shown: shown ?? current, update: newer ? () => setShown(current) : undefined };
}

/** There is a newer transcode than the one that is shown, or it is under way. */
function NewerNote({ video, update }: { video: Video; update: (() => void) | undefined }) {
  if (update !== undefined) {
    return (
      <div className={styles.note} role="status">
        A new version of this video is ready.
        <Button onClick={update}>Show the new version</Button>
      </div>
    );
  }
  if (video.state === 'Ready') return null;
  return (
    <p className={styles.note}>
      <StateBadge video={video} />
      This is the version before; a new transcode is not done yet.
    </p>
  );
}

function Facts({ video }: { video: Video }) {
  const now = useNow();
  const facts: [string, string][] = [
    ['File', video.fileName],
    ['Size', formatBytes(video.size)],
    ['Type', video.contentType],
    ['Uploaded', formatAgo(video.createdAt, now)],
  ];
  if (typeof video.durationSeconds === 'number') facts.splice(1, 0, ['Length', formatClock(video.durationSeconds)]);
  if (video.attempt > 1) facts.push(['Attempts', String(video.attempt)]);
  return (
    <dl className={styles.facts}>
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Renditions({ video }: { video: Video }) {
  const renditions = (video.renditions ?? []).filter(({ width }) => width > 0);
  if (renditions.length === 0) return null;
  return (
    <section className={styles.renditions} aria-label="Renditions">
      <h2>Renditions</h2>
      <ul>
        {renditions.map(({ name, width, height, bandwidth }) => (
          <li key={name}>
            <strong>{name}</strong>
            <span>
              {width} × {height}
            </span>
            <span>{formatBitrate(bandwidth)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Loaded({ video, update }: { video: Video; update: (video: Video) => void }) {
  useTitle(video.title);
  const failed = video.state === 'Failed' || video.state === 'Cancelled';
  const { shown, update: showNewer } = usePlayback(video);
  return (
    <article className={styles.page}>
      {shown && (
        <Suspense fallback={<div className={styles.loading} />}>
          <Player key={shown.hls} title={video.title} playback={shown} />
        </Suspense>
      )}
      <div className={styles.head}>
        <h1 className={styles.title}>{video.title}</h1>
        {!failed && <VideoActions video={video} update={update} />}
      </div>
      {failed && <FailurePanel video={video} update={update} />}
      {!failed && (shown ? <NewerNote video={video} update={showNewer} /> : <Pending video={video} />)}
      <Facts video={video} />
      <Renditions video={video} />
    </article>
  );
}

function Content({ id }: { id: string }) {
  const { view, update, reload } = useVideo(id);
  switch (view.status) {
    case 'Loading':
      return <div className={styles.loading} aria-busy="true" aria-label="Loading" />;
    case 'Gone':
      return (
        <Notice title="This video does not exist" icon="film">
          <p>It may have been deleted.</p>
        </Notice>
      );
    case 'Failed':
      return (
        <ErrorLine message={view.error}>
          <Button onClick={reload}>Try again</Button>
        </ErrorLine>
      );
    case 'Loaded':
      return <Loaded video={view.video} update={update} />;
  }
}

export function VideoPage({ id }: { id: string }) {
  useTitle('Video');
  return (
    <div className={styles.column}>
      <Link href={paths.library} className={styles.back}>
        <Icon name="back" />
        Library
      </Link>
      <Content id={id} />
    </div>
  );
}
