import { useRef, useState } from 'react';
import { Button } from '../components/Button';
import { Confirm } from '../components/Dialog';
import { Icon } from '../components/Icon';
import { ErrorLine } from '../components/Notice';
import { ProgressBar } from '../components/ProgressBar';
import { formatBytes, formatRemaining } from '../lib/format';
import { messageOf } from '../lib/message';
import { Link, paths } from '../router';
import { useServices } from '../services';
import type { UploadView } from './transfer';
import styles from './UploadRow.module.css';

/** What is going on, in one line. */
function describe(view: UploadView): string {
  const amounts = `${formatBytes(view.loaded)} of ${formatBytes(view.size)}`;
  switch (view.phase) {
    case 'Waiting':
      return 'Waiting for its turn';
    case 'NeedsFile':
      return `Interrupted. Choose ${view.fileName} again to go on with what is missing.`;
    case 'Starting':
      return 'Starting …';
    case 'Sending': {
      const speed = view.bytesPerSecond;
      const parts = [amounts];
      if (speed !== undefined && speed > 0) {
        parts.push(`${formatBytes(speed)}/s`, `${formatRemaining((view.size - view.loaded) / speed)} left`);
      }
      if (view.retrying) parts.push('retrying a part');
      return parts.join(' · ');
    }
    case 'Paused':
      return `Paused at ${amounts}`;
    case 'Finishing':
      return 'Putting the parts together …';
    case 'Done':
      return `${formatBytes(view.size)} uploaded. Transcoding begins by itself.`;
    case 'Failed':
      return `Stopped at ${amounts}`;
  }
}

/** Asks for the file of an interrupted upload. */
function Reattach({ view, refuse }: { view: UploadView; refuse: (message: string) => void }) {
  const { uploads } = useServices();
  const input = useRef<HTMLInputElement>(null);
  const take = async (file: File | undefined) => {
    if (file !== undefined && !(await uploads.reattach(view.id, file))) {
      refuse(`${file.name} is not the file that this upload was begun with.`);
    }
  };
  return (
    <>
      <Button look="primary" onClick={() => input.current?.click()}>
        Choose file
      </Button>
      <input
        ref={input}
        className="visually-hidden"
        type="file"
        aria-label={`File of ${view.fileName}`}
        tabIndex={-1}
        onChange={(event) => {
          void take(event.target.files?.[0]);
          event.target.value = '';
        }}
      />
    </>
  );
}

interface ActionsProps {
  view: UploadView;
  refuse: (message: string) => void;
  giveUp: () => void;
}

function Actions({ view, refuse, giveUp }: ActionsProps) {
  const { uploads } = useServices();
  const { id, phase, fileName } = view;
  return (
    <div className={styles.actions}>
      {phase === 'NeedsFile' && <Reattach view={view} refuse={refuse} />}
      {(phase === 'Sending' || phase === 'Waiting') && <Button onClick={() => uploads.pause(id)}>Pause</Button>}
      {phase === 'Paused' && (
        <Button look="primary" onClick={() => uploads.resume(id)}>
          Resume
        </Button>
      )}
      {phase === 'Failed' && (
        <Button look="primary" onClick={() => uploads.resume(id)}>
          Try again
        </Button>
      )}
      {phase === 'Done' && view.videoId !== undefined && <Link href={paths.video(view.videoId)}>Open</Link>}
      {phase !== 'Finishing' && (
        <Button look="quiet" aria-label={phase === 'Done' ? `Clear ${fileName}` : `Give up ${fileName}`} onClick={giveUp}>
          <Icon name="close" />
        </Button>
      )}
    </div>
  );
}

const TONES = { Done: 'good', Failed: 'bad' } as const;

export function UploadRow({ view }: { view: UploadView }) {
  const { uploads } = useServices();
  const [asking, setAsking] = useState(false);
  const [problem, setProblem] = useState<string>();
  const { id, phase, fileName, size, loaded } = view;
  const remove = () => {
    setAsking(false);
    uploads.remove(id).catch((error: unknown) => setProblem(messageOf(error)));
  };
  const bare = phase === 'Done' || view.videoId === undefined;
  const percent = phase === 'Done' ? 100 : size === 0 ? 0 : (loaded / size) * 100;
  const tone = phase === 'Done' || phase === 'Failed' ? TONES[phase] : 'accent';
  const message = problem ?? view.error;
  return (
    <article className={styles.row} data-phase={phase} aria-label={fileName}>
      <div className={styles.top}>
        <div className={styles.words}>
          <h3 className={styles.name}>{fileName}</h3>
          <p className={styles.detail}>{describe(view)}</p>
        </div>
        <Actions view={view} refuse={setProblem} giveUp={() => (bare ? remove() : setAsking(true))} />
      </div>
      {phase !== 'NeedsFile' && (
        <ProgressBar
          percent={phase === 'Starting' || phase === 'Finishing' ? undefined : percent}
          label={`Upload of ${fileName}`}
          tone={tone}
        />
      )}
      {message !== undefined && <ErrorLine message={message} />}
      {asking && (
        <Confirm title="Give up this upload?" action="Give up" danger confirm={remove} close={() => setAsking(false)}>
          What has been sent of {fileName} is deleted.
        </Confirm>
      )}
    </article>
  );
}
