/** The library's list as a reducer: pages from the API and events of the stream, in any order. */

import type { Video, VideoPage, VideoState } from '../api/types';

export type Filter = VideoState | 'All';

export interface LibraryState {
  filter: Filter;
  status: 'Loading' | 'LoadingMore' | 'Loaded' | 'Failed';
  error: string | undefined;
  /** Newest first. */
  videos: Video[];
  nextCursor: string | undefined;
  /** Gone, so that a page that was on its way does not bring them back. */
  deleted: ReadonlySet<string>;
  /** Told by the stream since the first page was asked for: newer than that page. */
  told: ReadonlySet<string>;
}

export type LibraryAction =
  | { type: 'filter'; filter: Filter }
  | { type: 'loading' }
  | { type: 'loadingMore' }
  | { type: 'first'; filter: Filter; page: VideoPage }
  | { type: 'more'; filter: Filter; page: VideoPage }
  | { type: 'failed'; filter: Filter; error: string }
  | { type: 'video'; video: Video }
  | { type: 'deleted'; id: string };

export function emptyLibrary(filter: Filter): LibraryState {
  return {
    filter,
    status: 'Loading',
    error: undefined,
    videos: [],
    nextCursor: undefined,
    deleted: new Set(),
    told: new Set(),
  };
}

/** The later of two tellings of one video. Times are compared as such: as text, `…05Z` is after `…05.1Z`. */
export function latest(known: Video | undefined, incoming: Video): Video {
  return known !== undefined && Date.parse(known.updatedAt) > Date.parse(incoming.updatedAt) ? known : incoming;
}

function byAge(a: Video, b: Video): number {
  const age = Date.parse(b.createdAt) - Date.parse(a.createdAt);
  if (age !== 0) return age;
  return a.id < b.id ? 1 : -1;
}

function matches(filter: Filter, video: Video): boolean {
  return filter === 'All' || video.state === filter;
}

/** `known` and `incoming` without doubles, without what was deleted or no longer matches. */
function merge(state: LibraryState, known: Video[], incoming: Video[]): Video[] {
  const all = new Map(known.map((video) => [video.id, video]));
  for (const video of incoming) all.set(video.id, latest(all.get(video.id), video));
  return [...all.values()]
    .filter((video) => !state.deleted.has(video.id) && matches(state.filter, video))
    .sort(byAge);
}

function withPage(state: LibraryState, page: VideoPage, keep: boolean): LibraryState {
  const named = new Set(page.items.map(({ id }) => id));
  const kept = keep ? state.videos : state.videos.filter(({ id }) => named.has(id) || state.told.has(id));
  return {
    ...state,
    status: 'Loaded',
    error: undefined,
    videos: merge(state, kept, page.items),
    nextCursor: page.nextCursor ?? undefined,
  };
}

export function library(state: LibraryState, action: LibraryAction): LibraryState {
  switch (action.type) {
    case 'filter':
      return { ...emptyLibrary(action.filter), deleted: state.deleted };
    case 'loading':
      return { ...state, status: state.videos.length > 0 ? 'Loaded' : 'Loading', error: undefined, told: new Set() };
    case 'loadingMore':
      return { ...state, status: 'LoadingMore' };
    case 'first':
    case 'more':
      return action.filter === state.filter ? withPage(state, action.page, action.type === 'more') : state;
    case 'failed':
      return action.filter === state.filter ? { ...state, status: 'Failed', error: action.error } : state;
    case 'video': {
      const beyond = state.nextCursor !== undefined && byAge(action.video, state.videos.at(-1) ?? action.video) > 0;
      // Older than what is shown: it comes with its page.
      if (beyond) return state;
      const told = new Set([...state.told, action.video.id]);
      return { ...state, told, videos: merge(state, state.videos, [action.video]) };
    }
    case 'deleted':
      return {
        ...state,
        deleted: new Set([...state.deleted, action.id]),
        videos: state.videos.filter((video) => video.id !== action.id),
      };
  }
}
