import { expect, it } from 'vitest';
import { adviceFor, KNOWN_REASONS } from './reasons';

it('has words for every cause of the Job contract', () => {
  const contract = [
    'NOT_MEDIA', 'TRUNCATED', 'RESOLUTION_LIMIT', 'SOURCE_NOT_FOUND', 'INVALID_REQUEST', 'STORAGE', 'ENCODER',
    'DISK_FULL', 'INTERRUPTED', 'OUT_OF_MEMORY', 'DEADLINE_EXCEEDED', 'JOB_DELETED', 'CANNOT_START',
    'INVALID_MESSAGE', 'CANCELLED', 'UNKNOWN',
  ];
  expect(KNOWN_REASONS).toEqual(expect.arrayContaining(contract));
});

it('does not advise to retry what the file itself is to blame for', () => {
  expect(adviceFor('NOT_MEDIA').retryHelps).toBe(false);
  expect(adviceFor('STORAGE').retryHelps).toBe(true);
});

it.each(['GPU_LOST', '', 'toString', '__proto__'])('has general words for %j', (reason) => {
  expect(adviceFor(reason).title).toBe('Transcoding failed');
});
