import { expect, it } from 'vitest';
import document from '../../../../../docs/job-contract.md?raw';
import { adviceFor, KNOWN_REASONS } from './reasons';

it('has words for every cause of the Job contract', () => {
  const section = document.split('## Causes of failure')[1]?.split('\n## ')[0] ?? '';
  const contract = [...section.matchAll(/`([A-Z]+(?:_[A-Z]+)*)`/g)].map((match) => match[1]);
  expect(contract.length).toBeGreaterThan(15);
  expect(KNOWN_REASONS).toEqual(expect.arrayContaining(contract));
});

it('does not advise to retry what the file itself is to blame for', () => {
  expect(adviceFor('NOT_MEDIA').retryHelps).toBe(false);
  expect(adviceFor('STORAGE').retryHelps).toBe(true);
});

it.each(['GPU_LOST', '', 'toString', '__proto__'])('has general words for %j', (reason) => {
  expect(adviceFor(reason).title).toBe('Transcoding failed');
});
