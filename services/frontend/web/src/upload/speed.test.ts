import { expect, it } from 'vitest';
import { SpeedMeter } from './speed';

it('knows nothing until half a second has passed', () => {
  const meter = new SpeedMeter();
  meter.record(0, 0);
  meter.record(400, 1000);
  expect(meter.bytesPerSecond()).toBeUndefined();
  meter.record(1000, 2500);
  expect(meter.bytesPerSecond()).toBe(2500);
});

it('forgets what is older than its window', () => {
  const meter = new SpeedMeter();
  for (let second = 0; second <= 10; second += 1) meter.record(second * 1000, second * 10);
  for (let second = 11; second <= 30; second += 1) meter.record(second * 1000, 100 + (second - 10) * 1000);
  expect(meter.bytesPerSecond()).toBe(1000);
});

it('begins again when bytes are lost', () => {
  const meter = new SpeedMeter();
  meter.record(0, 0);
  meter.record(1000, 1000);
  meter.record(2000, 500);
  expect(meter.bytesPerSecond()).toBeUndefined();
});
