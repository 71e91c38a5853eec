import { useCallback, useEffect, useState } from 'react';
import { api, ApiError } from '../api/client';
import type { Video } from '../api/types';
import { latest } from '../library/state';
import { messageOf } from '../lib/message';
import { useServices } from '../services';

export type VideoView =
  | { status: 'Loading' }
  | { status: 'Loaded'; video: Video }
  | { status: 'Gone' }
  | { status: 'Failed'; error: string };

/** One video: fetched, then kept up to date by the stream. */
export function useVideo(id: string): { view: VideoView; update: (video: Video) => void; reload: () => void } {
  const { live } = useServices();
  const [view, setView] = useState<VideoView>({ status: 'Loading' });

  const update = useCallback((video: Video) => {
    setView((view) => ({ status: 'Loaded', video: latest(view.status === 'Loaded' ? view.video : undefined, video) }));
  }, []);

  const load = useCallback(
    async (signal?: AbortSignal) => {
      try {
        update(await api.video(id, signal));
      } catch (error) {
        if (signal?.aborted) return;
        if (error instanceof ApiError && error.status === 404) setView({ status: 'Gone' });
        // What is shown stays while the server can't be reached.
        else setView((view) => (view.status === 'Loaded' ? view : { status: 'Failed', error: messageOf(error) }));
      }
    },
    [id, update],
  );

  useEffect(() => {
    const controller = new AbortController();
    void load(controller.signal);
    return () => controller.abort();
  }, [load]);

  useEffect(
    () =>
      live.listen({
        video: (video) => {
          if (video.id === id) update(video);
        },
        deleted: (deleted) => {
          if (deleted === id) setView({ status: 'Gone' });
        },
        resumed: () => void load(),
      }),
    [live, id, update, load],
  );

  return { view, update, reload: () => void load() };
}
