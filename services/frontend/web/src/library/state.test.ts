import { describe, expect, it } from 'vitest';
import type { Video, VideoState } from '../api/types';
import { emptyLibrary, type Filter, library, type LibraryAction, type LibraryState } from './state';

function video(id: string, minute: number, state: VideoState = 'Ready', updated = minute): Video {
  const time = (value: number) => `2026-11-21T10:${String(value).padStart(2, '0')}:00Z`;
  return {
    id,
    title: id,
    fileName: `${id}.mp4`,
    size: 1,
    contentType: 'video/mp4',
    state,
    percent: 0,
    attempt: 1,
    createdAt: time(minute),
    updatedAt: time(updated),
  };
}

const run = (filter: Filter, ...actions: LibraryAction[]): LibraryState =>
  actions.reduce(library, emptyLibrary(filter));
const ids = (state: LibraryState) => state.videos.map(({ id }) => id);
const page = (filter: Filter, items: Video[], nextCursor?: string): LibraryAction => ({
  type: 'first',
  filter,
  page: nextCursor === undefined ? { items } : { items, nextCursor },
});

describe('events', () => {
  it('put a new video first and change a known one in place', () => {
    const state = run(
      'All',
      page('All', [video('b', 2), video('a', 1)]),
      { type: 'video', video: video('c', 3, 'Queued') },
      { type: 'video', video: video('a', 1, 'Failed', 9) },
    );
    expect(ids(state)).toEqual(['c', 'b', 'a']);
    expect(state.videos[2]?.state).toBe('Failed');
  });

  it('move a video out of a filter and into it', () => {
    const start = run('Failed', page('Failed', [video('a', 1, 'Failed')]));
    const out = library(start, { type: 'video', video: video('a', 1, 'Queued', 5) });
    expect(ids(out)).toEqual([]);
    const back = library(out, { type: 'video', video: video('b', 2, 'Failed') });
    expect(ids(back)).toEqual(['b']);
  });

  it('do not bring back an older telling', () => {
    const state = run('All', page('All', [video('a', 1, 'Ready', 9)]), {
      type: 'video',
      video: video('a', 1, 'Transcoding', 5),
    });
    expect(state.videos[0]?.state).toBe('Ready');
  });

  it('are compared by time, not by text', () => {
    const told = { ...video('a', 1), updatedAt: '2026-11-21T10:00:05.25Z', percent: 50 };
    const earlier = { ...video('a', 1), updatedAt: '2026-11-21T10:00:05Z', percent: 40 };
    const state = run('All', page('All', [told]), { type: 'video', video: earlier });
    expect(state.videos[0]?.percent).toBe(50);
  });

  it('leave videos older than the last shown one to their page', () => {
    const state = run('All', page('All', [video('c', 30), video('b', 20)], 'next'), {
      type: 'video',
      video: video('a', 10, 'Ready', 40),
    });
    expect(ids(state)).toEqual(['c', 'b']);
  });
});

describe('pages', () => {
  it('lose to events that came while they were on their way', () => {
    const state = run(
      'All',
      { type: 'video', video: video('a', 1, 'Ready', 9) },
      { type: 'deleted', id: 'gone' },
      page('All', [video('gone', 2), video('a', 1, 'Queued', 3)]),
    );
    expect(ids(state)).toEqual(['a']);
    expect(state.videos[0]?.state).toBe('Ready');
  });

  it('keep a video that was begun after they were made', () => {
    const state = run(
      'All',
      { type: 'loading' },
      { type: 'video', video: video('new', 3, 'Uploading') },
      page('All', [video('a', 1)]),
    );
    expect(ids(state)).toEqual(['new', 'a']);
  });

  it('drop what vanished while the stream was interrupted', () => {
    const state = run('All', page('All', [video('b', 2), video('a', 1)]), { type: 'loading' }, page('All', [video('b', 2)]));
    expect(ids(state)).toEqual(['b']);
  });

  it('are appended without doubles', () => {
    const state = run('All', page('All', [video('c', 3), video('b', 2)], 'next'), {
      type: 'more',
      filter: 'All',
      page: { items: [video('b', 2), video('a', 1)] },
    });
    expect(ids(state)).toEqual(['c', 'b', 'a']);
    expect(state.nextCursor).toBeUndefined();
  });

  it('of another filter are ignored', () => {
    const state = run('Ready', { type: 'filter', filter: 'Failed' }, page('Ready', [video('a', 1)]));
    expect(ids(state)).toEqual([]);
    expect(state.status).toBe('Loading');
  });
});

it('keeps what is shown when a refresh fails', () => {
  const state = run(
    'All',
    page('All', [video('a', 1)]),
    { type: 'loading' },
    { type: 'failed', filter: 'All', error: 'no' },
  );
  expect(ids(state)).toEqual(['a']);
  expect(state).toMatchObject({ status: 'Failed', error: 'no' });
});
