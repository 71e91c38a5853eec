import type { Video } from '../api/types';
import styles from './StateBadge.module.css';

const TONES: Record<string, string | undefined> = {
  Ready: styles.good,
  Transcoding: styles.busy,
  Uploading: styles.busy,
  Failed: styles.bad,
};

/** State of a video, with its percentage while it is transcoded. */
export function StateBadge({ video }: { video: Pick<Video, 'state' | 'percent'> }) {
  const percent = video.state === 'Transcoding' ? ` ${Math.round(video.percent)} %` : '';
  return (
    <span className={[styles.badge, TONES[video.state] ?? styles.wait].join(' ')} data-state={video.state}>
      {video.state}
      {percent}
    </span>
  );
}
