import { expect, it } from 'vitest';
import { type PlaybackFault, remedyFor } from './recovery';

const fault = (kind: PlaybackFault['kind'], at: number, more: Partial<PlaybackFault> = {}): PlaybackFault => ({
  kind,
  at,
  details: 'fragLoadError',
  ...more,
});

it('loads again with growing delays, then says why not', () => {
  const history: PlaybackFault[] = [];
  const delays: number[] = [];
  for (;;) {
    const next = fault('Network', history.length);
    const remedy = remedyFor(next, history);
    if (remedy.action !== 'RestartLoad') {
      expect(remedy).toMatchObject({ action: 'GiveUp' });
      break;
    }
    delays.push(remedy.delay);
    history.push(next);
  }
  expect(delays).toEqual([1000, 2000, 4000, 8000, 16_000, 16_000]);
});

it('forgets faults of a minute ago', () => {
  const history = Array.from({ length: 9 }, (_, index) => fault('Network', index));
  expect(remedyFor(fault('Network', 70_000), history)).toEqual({ action: 'RestartLoad', delay: 1000 });
});

it('does not wait for files that are gone', () => {
  expect(remedyFor(fault('Network', 0, { status: 404 }), []).action).toBe('GiveUp');
});

it('recovers the decoder a few times', () => {
  const decode = (at: number) => fault('Media', at, { details: 'bufferAppendError' });
  expect(remedyFor(decode(2), [decode(0), decode(1)]).action).toBe('RecoverMedia');
  expect(remedyFor(decode(3), [decode(0), decode(1), decode(2)])).toMatchObject({
    action: 'GiveUp',
    message: expect.stringContaining('bufferAppendError') as string,
  });
});

it('gives up at once on what can never play', () => {
  expect(remedyFor(fault('Media', 0, { details: 'manifestIncompatibleCodecsError' }), []).action).toBe('GiveUp');
  expect(remedyFor(fault('Other', 0), []).action).toBe('GiveUp');
});
