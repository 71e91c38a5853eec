import { expect, it } from 'vitest';
import { uuid7 } from './uuid';

it('has its time first, version and variant, and is never the same twice', () => {
  const now = Date.parse('2026-11-21T08:00:00.123Z');
  const id = uuid7(now);
  expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(parseInt(id.replaceAll('-', '').slice(0, 12), 16)).toBe(now);
  expect(uuid7(now)).not.toBe(id);
});
