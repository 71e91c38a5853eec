import { describe, expect, it } from 'vitest';
import { stepSpeed } from './media';
import { qualitiesOf } from './quality';

it('steps through the speeds and stops at their ends', () => {
  expect(stepSpeed(1, 1)).toBe(1.25);
  expect(stepSpeed(2, 1)).toBe(2);
  expect(stepSpeed(0.5, -1)).toBe(0.5);
  expect(stepSpeed(1.1, -1)).toBe(0.75);
});

describe('qualitiesOf', () => {
  it('names renditions by their shorter side, best first', () => {
    const levels = [
      { width: 360, height: 640, bitrate: 700_000 },
      { width: 720, height: 1280, bitrate: 2_500_000 },
    ];
    expect(qualitiesOf(levels)).toEqual([
      { level: 1, label: '720p' },
      { level: 0, label: '360p' },
    ]);
  });

  it('tells renditions of one size apart', () => {
    const levels = [
      { width: 1280, height: 720, bitrate: 2_500_000 },
      { width: 1280, height: 720, bitrate: 4_000_000 },
      { width: 0, height: 0, bitrate: 128_000 },
    ];
    expect(qualitiesOf(levels).map(({ label }) => label)).toEqual([
      '720p · 4.0 Mbit/s',
      '720p · 2.5 Mbit/s',
      '128 kbit/s',
    ]);
  });
});
