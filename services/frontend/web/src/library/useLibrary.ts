import { useCallback, useEffect, useReducer, useRef } from 'react';
import { api } from '../api/client';
import { messageOf } from '../lib/message';
import { useServices } from '../services';
import { emptyLibrary, type Filter, library, type LibraryState } from './state';

const PAGE = 24;
/** Most that is fetched at once when a list that was paged through is refreshed. */
const MOST = 96;

interface Library {
  state: LibraryState;
  loadMore: () => void;
  reload: () => void;
}

/** The list of one filter: fetched, then kept up to date by the stream. */
export function useLibrary(filter: Filter): Library {
  const { live } = useServices();
  const [state, dispatch] = useReducer(library, filter, emptyLibrary);
  const shown = useRef(0);
  useEffect(() => {
    shown.current = state.videos.length;
  }, [state.videos.length]);

  const fetchFirst = useCallback(
    async (signal?: AbortSignal) => {
      dispatch({ type: 'loading' });
      const limit = Math.min(MOST, Math.max(PAGE, shown.current));
      const query = { state: filter === 'All' ? undefined : filter, limit };
      try {
        dispatch({ type: 'first', filter, page: await api.videos(query, signal) });
      } catch (error) {
        if (!signal?.aborted) dispatch({ type: 'failed', filter, error: messageOf(error) });
      }
    },
    [filter],
  );

  useEffect(() => {
    const controller = new AbortController();
    shown.current = 0;
    dispatch({ type: 'filter', filter });
    void fetchFirst(controller.signal);
    return () => controller.abort();
  }, [filter, fetchFirst]);

  useEffect(
    () =>
      live.listen({
        video: (video) => dispatch({ type: 'video', video }),
        deleted: (id) => dispatch({ type: 'deleted', id }),
        resumed: () => void fetchFirst(),
      }),
    [live, fetchFirst],
  );

  const cursor = state.nextCursor;
  const loadMore = useCallback(() => {
    if (cursor === undefined) return;
    dispatch({ type: 'loadingMore' });
    api
      .videos({ state: filter === 'All' ? undefined : filter, cursor, limit: PAGE })
      .then((page) => dispatch({ type: 'more', filter, page }))
      .catch((error: unknown) => dispatch({ type: 'failed', filter, error: messageOf(error) }));
  }, [filter, cursor]);

  return { state, loadMore, reload: () => void fetchFirst() };
}
