import type { Video } from '../api/types';
import { Icon } from '../components/Icon';
import { ProgressBar } from '../components/ProgressBar';
import { StateBadge } from '../components/StateBadge';
import { formatAgo, formatBytes, formatClock } from '../lib/format';
import { Link, paths } from '../router';
import { adviceFor } from '../video/reasons';
import styles from './VideoCard.module.css';

function Picture({ video }: { video: Video }) {
  const poster = video.playback?.poster;
  if (typeof poster === 'string') {
    return <img className={styles.poster} src={poster} alt="" loading="lazy" decoding="async" />;
  }
  const failed = video.state === 'Failed';
  return (
    <span className={styles.placeholder} data-failed={failed} aria-hidden="true">
      {video.state === 'Transcoding' ? (
        <span className={styles.percent}>{Math.round(video.percent)} %</span>
      ) : (
        <Icon name={failed ? 'warning' : 'film'} size={40} />
      )}
    </span>
  );
}

/** The state in words, where the badge alone does not say enough. */
function Detail({ video }: { video: Video }) {
  if (video.state === 'Failed' && video.failure) {
    return (
      <p className={styles.failure}>
        <code>{video.failure.reason}</code>
        {adviceFor(video.failure.reason).title}
      </p>
    );
  }
  return null;
}

export function VideoCard({ video, now }: { video: Video; now: number }) {
  const running = video.state === 'Transcoding' || video.state === 'Queued';
  return (
    <article className={styles.card} data-video={video.id} data-state={video.state}>
      <div className={styles.frame}>
        <Picture video={video} />
        {typeof video.durationSeconds === 'number' && (
          <span className={styles.duration}>{formatClock(video.durationSeconds)}</span>
        )}
        {video.state === 'Ready' && (
          <span className={styles.play}>
            <Icon name="play" size={28} />
          </span>
        )}
        {running && (
          <div className={styles.progress}>
            <ProgressBar
              percent={video.state === 'Transcoding' ? video.percent : undefined}
              label={`Transcoding ${video.title}`}
              tone="busy"
            />
          </div>
        )}
      </div>
      <div className={styles.text}>
        <h2 className={styles.title}>
          <Link href={paths.video(video.id)} className={styles.link}>
            {video.title}
          </Link>
        </h2>
        <p className={styles.meta}>
          <StateBadge video={video} />
          <span>{formatBytes(video.size)}</span>
          <time dateTime={video.createdAt}>{formatAgo(video.createdAt, now)}</time>
        </p>
        <Detail video={video} />
      </div>
    </article>
  );
}
