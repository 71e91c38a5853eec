import type { Video } from '../api/types';
import { Icon } from '../components/Icon';
import { adviceFor } from './reasons';
import styles from './FailurePanel.module.css';
import { VideoActions } from './VideoActions';

interface FailurePanelProps {
  video: Video;
  update: (video: Video) => void;
}

/** Why a video failed, and what to do about it. */
export function FailurePanel({ video, update }: FailurePanelProps) {
  const failure = video.failure ?? {
    reason: video.state === 'Cancelled' ? 'CANCELLED' : 'UNKNOWN',
    message: '',
  };
  const { title, advice, retryHelps } = adviceFor(failure.reason);
  return (
    <section className={styles.panel} data-reason={failure.reason} aria-labelledby="failure">
      <span className={styles.icon}>
        <Icon name="warning" size={28} />
      </span>
      <div className={styles.body}>
        <h2 id="failure" className={styles.title}>
          {title}
        </h2>
        {failure.message !== '' && <p className={styles.message}>{failure.message}</p>}
        <div className={styles.advice}>
          <h3>What to do</h3>
          <p>{advice}</p>
        </div>
        <dl className={styles.facts}>
          <dt>Reason</dt>
          <dd>
            <code>{failure.reason}</code>
          </dd>
          <dt>Attempts</dt>
          <dd>{video.attempt}</dd>
        </dl>
        <VideoActions video={video} update={update} retryFirst={retryHelps} />
      </div>
    </section>
  );
}
