import { useState } from 'react';
import { api } from '../api/client';
import type { Video } from '../api/types';
import { TokenDeclined } from '../auth/authorizer';
import { Button } from '../components/Button';
import { Confirm } from '../components/Dialog';
import { ErrorLine } from '../components/Notice';
import { messageOf } from '../lib/message';
import { navigate, paths } from '../router';
import { useServices } from '../services';
import styles from './VideoActions.module.css';

interface VideoActionsProps {
  video: Video;
  update: (video: Video) => void;
  /** Transcoding again is what to do here. */
  retryFirst?: boolean;
}

/** Transcode again and delete, each after a question. */
export function VideoActions({ video, update, retryFirst = false }: VideoActionsProps) {
  const { authorizer } = useServices();
  const [asking, setAsking] = useState<'Retranscode' | 'Delete'>();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string>();

  const carryOut = async (action: () => Promise<void>) => {
    setAsking(undefined);
    setProblem(undefined);
    setBusy(true);
    try {
      await action();
    } catch (error) {
      if (!(error instanceof TokenDeclined)) setProblem(messageOf(error));
    } finally {
      setBusy(false);
    }
  };
  const retranscode = () =>
    carryOut(async () => update(await authorizer.authorized((token) => api.retranscode(token, video.id))));
  const remove = () =>
    carryOut(async () => {
      await authorizer.authorized((token) => api.deleteVideo(token, video.id));
      navigate(paths.library);
    });

  const settled = ['Ready', 'Failed', 'Cancelled'].includes(video.state);
  return (
    <div className={styles.actions}>
      {settled && (
        <Button
          look={retryFirst ? 'primary' : 'plain'}
          icon="replay"
          disabled={busy}
          onClick={() => setAsking('Retranscode')}
        >
          Transcode again
        </Button>
      )}
      <Button look="danger" icon="trash" disabled={busy} onClick={() => setAsking('Delete')}>
        Delete
      </Button>
      {problem !== undefined && (
        <div className={styles.problem}>
          <ErrorLine message={problem} />
        </div>
      )}
      {asking === 'Retranscode' && (
        <Confirm
          title="Transcode again?"
          action="Transcode again"
          confirm={() => void retranscode()}
          close={() => setAsking(undefined)}
        >
          {video.playback
            ? 'The video stays as it is until the new transcode is done.'
            : 'The uploaded file is put in the queue again.'}
        </Confirm>
      )}
      {asking === 'Delete' && (
        <Confirm
          title={`Delete “${video.title}”?`}
          action="Delete for good"
          danger
          confirm={() => void remove()}
          close={() => setAsking(undefined)}
        >
          The uploaded file and everything made from it are deleted. This can’t be undone.
        </Confirm>
      )}
    </div>
  );
}
