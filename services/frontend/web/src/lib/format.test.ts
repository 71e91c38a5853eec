import { describe, expect, it } from 'vitest';
import { formatAgo, formatBitrate, formatBytes, formatClock, formatRemaining, spokenTime } from './format';

describe('formatBytes', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 KB'],
    [99_949, '99.9 KB'],
    [99_960, '100 KB'],
    [999_499, '999 KB'],
    [999_500, '1.0 MB'],
    [1_400_000_000, '1.4 GB'],
    [5e15, '5000 TB'],
    [-1, '0 B'],
  ])('%d bytes are %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));
});

describe('formatClock', () => {
  it.each([
    [0, '0:00'],
    [59.9, '0:59'],
    [245, '4:05'],
    [3723, '1:02:03'],
    [Number.NaN, '–:––'],
    [Number.POSITIVE_INFINITY, '–:––'],
  ])('%d s are %s', (seconds, text) => expect(formatClock(seconds)).toBe(text));
});

it('speaks times with the right plural', () => {
  expect(spokenTime(3661)).toBe('1 hour 1 minute 1 second');
  expect(spokenTime(7200)).toBe('2 hours');
  expect(spokenTime(0.4)).toBe('0 seconds');
});

describe('formatRemaining', () => {
  it.each([
    [3, 'a few seconds'],
    [41, '45 s'],
    [61, '2 min'],
    [7_800, '2 h 10 min'],
    [Number.POSITIVE_INFINITY, 'unknown'],
  ])('%d s are %s', (seconds, text) => expect(formatRemaining(seconds)).toBe(text));
});

describe('formatAgo', () => {
  const now = Date.parse('2026-11-21T12:00:00Z');
  it.each([
    ['2026-11-21T11:59:30Z', 'just now'],
    ['2026-11-21T11:55:00Z', '5 min ago'],
    ['2026-11-21T09:00:00Z', '3 h ago'],
    ['2026-11-20T10:00:00Z', '1 day ago'],
    ['2026-11-21T12:00:05Z', 'just now'],
    ['nonsense', ''],
  ])('%s was %s', (instant, text) => expect(formatAgo(instant, now)).toBe(text));
});

it('formats bit rates', () => {
  expect(formatBitrate(2_500_000)).toBe('2.5 Mbit/s');
  expect(formatBitrate(350_400)).toBe('350 kbit/s');
});
