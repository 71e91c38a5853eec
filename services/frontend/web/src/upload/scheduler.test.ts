import { describe, expect, it } from 'vitest';
import {
  backoff,
  completion,
  cutParts,
  failed,
  loadedBytes,
  nextStart,
  progressed,
  sent,
  startable,
  started,
  stopped,
  withTargets,
} from './scheduler';

const MIB = 1024 * 1024;

describe('cutParts', () => {
  it('covers the file without gap or overlap', () => {
    const parts = cutParts(12 * MIB + 7, 5 * MIB);
    expect(parts.map(({ number, start, end }) => [number, start, end])).toEqual([
      [1, 0, 5 * MIB],
      [2, 5 * MIB, 10 * MIB],
      [3, 10 * MIB, 12 * MIB + 7],
    ]);
  });

  it('has no empty last part when the size is a multiple', () => {
    expect(cutParts(10 * MIB, 5 * MIB)).toHaveLength(2);
  });

  it('gives an empty file one empty part', () => {
    expect(cutParts(0, 5 * MIB)).toMatchObject([{ number: 1, start: 0, end: 0 }]);
  });
});

describe('the schedule', () => {
  it('starts the first parts up to the limit and fills free places', () => {
    let parts = cutParts(50, 10);
    expect(startable(parts, 0, 3).map((part) => part.number)).toEqual([1, 2, 3]);
    parts = [1, 2, 3].reduce(started, parts);
    expect(startable(parts, 0, 3)).toEqual([]);
    parts = sent(parts, 2, '"e2"');
    expect(startable(parts, 0, 3).map((part) => part.number)).toEqual([4]);
  });

  it('holds a failed part back and lets others pass', () => {
    let parts = started(cutParts(30, 10), 1);
    parts = failed(parts, 1, 1_000, 0);
    expect(parts[0]).toMatchObject({ state: 'Pending', failures: 1, notBefore: 1_250 });
    expect(startable(parts, 1_000, 1).map((part) => part.number)).toEqual([2]);
    expect(nextStart(parts, 1_000)).toBe(1_250);
    expect(startable(parts, 1_250, 1).map((part) => part.number)).toEqual([1]);
    expect(nextStart(parts, 1_250)).toBeUndefined();
  });

  it('counts failures in a row only', () => {
    let parts = failed(failed(cutParts(10, 10), 1, 0, 0), 1, 0, 0);
    expect(parts[0]?.failures).toBe(2);
    parts = sent(parts, 1, '"e"');
    expect(parts[0]?.failures).toBe(0);
  });

  it('forgets what was under way when stopped, but not what was sent', () => {
    const parts = stopped(progressed(started(sent(cutParts(30, 10), 1, '"e"'), 2), 2, 5));
    expect(parts.map((part) => part.state)).toEqual(['Sent', 'Pending', 'Pending']);
    expect(loadedBytes(parts)).toBe(10);
  });
});

describe('backoff', () => {
  it('grows to a limit and stays within its jitter', () => {
    for (let failures = 1; failures < 12; failures += 1) {
      const low = backoff(failures, 0);
      const high = backoff(failures, 0.999);
      expect(high).toBeLessThanOrEqual(20_000);
      expect(low).toBeGreaterThanOrEqual(high / 2);
      expect(backoff(failures + 1, 0)).toBeGreaterThanOrEqual(low);
    }
  });
});

describe('resuming', () => {
  it('takes arrived parts as sent and addresses for the rest', () => {
    const parts = withTargets(
      cutParts(25, 10),
      [
        { partNumber: 2, url: 'u2' },
        { partNumber: 3, url: 'u3' },
      ],
      [{ partNumber: 1, etag: '"e1"' }],
    );
    expect(parts.map(({ state, url, etag }) => ({ state, url, etag }))).toEqual([
      { state: 'Sent', url: undefined, etag: '"e1"' },
      { state: 'Pending', url: 'u2', etag: undefined },
      { state: 'Pending', url: 'u3', etag: undefined },
    ]);
    expect(loadedBytes(parts)).toBe(10);
  });
});

it('counts bytes of sent and running parts, never more than a part has', () => {
  const parts = progressed(started(sent(cutParts(25, 10), 1, '"e"'), 3), 3, 99);
  expect(loadedBytes(parts)).toBe(15);
});

it('completes only when every part has its ETag', () => {
  let parts = sent(cutParts(20, 10), 2, '"e2"');
  expect(completion(parts)).toBeUndefined();
  parts = sent(parts, 1, '"e1"');
  expect(completion(parts)).toEqual([
    { partNumber: 1, etag: '"e1"' },
    { partNumber: 2, etag: '"e2"' },
  ]);
});
