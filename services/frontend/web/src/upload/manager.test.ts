import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ApiError } from '../api/client';
import type { NewUpload, SentPart, Upload, UploadStatus, Video } from '../api/types';
import { fingerprint } from './fingerprint';
import { UploadManager } from './manager';
import { UploadRecords } from './records';
import { PartError, type PartRequest } from './transport';

const PART_SIZE = 10;

class Memory {
  readonly items = new Map<string, string>();
  getItem = (key: string) => this.items.get(key) ?? null;
  setItem = (key: string, value: string) => void this.items.set(key, value);
}

/** A backend and a storage in memory, with faults to order. */
class World {
  readonly storage = new Memory();
  readonly stored = new Map<string, Map<number, string>>();
  readonly completed = new Map<string, SentPart[]>();
  readonly aborted: string[] = [];
  /** What the next requests to storage meet; `hang` waits until it is aborted. */
  faults: (number | 'hang')[] = [];
  attempts: string[] = [];
  underWay = 0;
  mostUnderWay = 0;
  /** What addresses of a kind get. */
  readonly expired = new Map<string, number>();
  /** What the next calls of the backend meet after it has done its work. */
  lostAnswers: number[] = [];
  #serial = 0;
  readonly #begun = new Map<string, string>();

  readonly api = {
    createUpload: (_token: string, { videoId: wanted, size }: NewUpload): Promise<Upload> => {
      let videoId = this.#begun.get(wanted);
      if (videoId === undefined) {
        this.#serial += 1;
        videoId = `v${this.#serial}`;
        this.#begun.set(wanted, videoId);
        this.stored.set(videoId, new Map());
      }
      return this.#answer({ videoId, partSize: PART_SIZE, parts: this.#targets(videoId, size, 'first') });
    },
    uploadStatus: (_token: string, videoId: string): Promise<UploadStatus> => {
      const stored = this.stored.get(videoId);
      if (this.completed.has(videoId)) return Promise.reject(new ApiError(409, 'complete'));
      if (stored === undefined) return Promise.reject(new ApiError(404, 'no such upload'));
      const uploadedParts = [...stored].map(([partNumber, etag]) => ({ partNumber, etag }));
      const parts = this.#targets(videoId, 35, 'fresh').filter(({ partNumber }) => !stored.has(partNumber));
      return Promise.resolve({ videoId, partSize: PART_SIZE, parts, uploadedParts });
    },
    completeUpload: (_token: string, videoId: string, parts: SentPart[]): Promise<Video> => {
      this.completed.set(videoId, parts);
      return this.#answer({} as Video);
    },
    abortUpload: (_token: string, videoId: string): Promise<void> => {
      this.aborted.push(videoId);
      return this.#answer(undefined);
    },
  };

  #answer<T>(value: T): Promise<T> {
    const lost = this.lostAnswers.shift();
    return lost === undefined ? Promise.resolve(value) : Promise.reject(new ApiError(lost, `backend said ${lost}`));
  }

  #targets(videoId: string, size: number, kind: string) {
    return Array.from({ length: Math.max(1, Math.ceil(size / PART_SIZE)) }, (_, index) => ({
      partNumber: index + 1,
      url: `${kind}/${videoId}/${index + 1}`,
    }));
  }

  readonly putPart = async ({ url, body, signal }: PartRequest): Promise<string> => {
    this.attempts.push(url);
    this.underWay += 1;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay);
    try {
      await Promise.resolve();
      signal.throwIfAborted();
      const [kind = '', videoId = '', number = ''] = url.split('/');
      const fault = this.expired.get(kind) ?? this.faults.shift();
      if (fault === 'hang') {
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
      }
      if (typeof fault === 'number') throw new PartError(fault, `storage said ${fault}`);
      const etag = `"${await body.text()}"`;
      this.stored.get(videoId)?.set(Number(number), etag);
      return etag;
    } finally {
      this.underWay -= 1;
    }
  };

  manager(): UploadManager {
    return new UploadManager({
      api: this.api,
      authorized: (call) => call('token'),
      putPart: this.putPart,
      records: new UploadRecords(this.storage, () => Date.now()),
      online: () => Promise.resolve(),
      now: () => Date.now(),
      random: () => 0.5,
    });
  }
}

const TEXT = 'aaaaaaaaaabbbbbbbbbbccccccccccddddd';
const clip = (name = 'clip.mp4', text = TEXT) => new File([text], name, { type: 'video/mp4' });
const phases = (manager: UploadManager) => manager.views().map(({ phase }) => phase);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Lets everything that is due happen. */
const settle = (milliseconds = 60_000) => vi.advanceTimersByTimeAsync(milliseconds);

it('sends every part once, in order of their numbers, at most three at a time', async () => {
  const world = new World();
  const manager = world.manager();
  await manager.add([clip()]);
  await settle();
  expect(phases(manager)).toEqual(['Done']);
  expect(world.completed.get('v1')).toEqual([
    { partNumber: 1, etag: '"aaaaaaaaaa"' },
    { partNumber: 2, etag: '"bbbbbbbbbb"' },
    { partNumber: 3, etag: '"cccccccccc"' },
    { partNumber: 4, etag: '"ddddd"' },
  ]);
  expect(world.attempts).toHaveLength(4);
  expect(world.mostUnderWay).toBe(3);
  expect(new UploadRecords(world.storage, () => 0).all()).toEqual([]);
});

it('sends an empty file as one empty part', async () => {
  const world = new World();
  const manager = world.manager();
  await manager.add([clip('empty.mp4', '')]);
  await settle();
  expect(world.completed.get('v1')).toEqual([{ partNumber: 1, etag: '""' }]);
});

it('retries what storage refuses for a while and gives up on what it refuses for good', async () => {
  const world = new World();
  world.faults = [500, 0, 503];
  const manager = world.manager();
  await manager.add([clip()]);
  await settle();
  expect(phases(manager)).toEqual(['Done']);
  expect(world.attempts).toHaveLength(7);

  world.faults = [404];
  await manager.add([clip('gone.mp4')]);
  await settle();
  expect(manager.views()[1]).toMatchObject({ phase: 'Failed', error: 'storage said 404' });
});

it('fails after six failures of one part in a row, and goes on from there when told to', async () => {
  const world = new World();
  const manager = world.manager();
  world.faults = Array<number>(24).fill(500);
  await manager.add([clip()]);
  await settle(300_000);
  expect(manager.views()[0]).toMatchObject({ phase: 'Failed', error: 'storage said 500' });
  world.faults = [];
  manager.resume('new-1');
  await settle();
  expect(phases(manager)).toEqual(['Done']);
  expect([...world.completed.keys()]).toEqual(['v1']);
});

it.each([400, 403])('asks for fresh addresses when the first ones get %i, as they have expired', async (status) => {
  const world = new World();
  world.expired.set('first', status);
  const manager = world.manager();
  await manager.add([clip()]);
  await settle();
  expect(phases(manager)).toEqual(['Done']);
  expect(world.attempts.filter((url) => url.startsWith('fresh/'))).toHaveLength(4);
});

it('gives up when fresh addresses get the same', async () => {
  const world = new World();
  world.expired.set('first', 400).set('fresh', 400);
  const manager = world.manager();
  await manager.add([clip()]);
  await settle(300_000);
  expect(manager.views()[0]).toMatchObject({ phase: 'Failed', error: 'storage said 400' });
});

it('begins an upload once though the answers are lost, also when it is told to try again', async () => {
  const world = new World();
  world.lostAnswers = [504, 504, 504, 504, 504, 504];
  const manager = world.manager();
  await manager.add([clip()]);
  await settle();
  expect(phases(manager)).toEqual(['Failed']);
  manager.resume('new-1');
  await settle();
  expect(phases(manager)).toEqual(['Done']);
  expect([...world.stored.keys()]).toEqual(['v1']);
});

it('waits while storage joins the parts', async () => {
  const world = new World();
  const manager = world.manager();
  world.faults = ['hang'];
  await manager.add([clip()]);
  await settle(100);
  manager.pause('new-1');
  await settle(100);
  world.lostAnswers = Array<number>(10).fill(503);
  manager.resume('new-1');
  await settle(300_000);
  expect(phases(manager)).toEqual(['Done']);
});

it('pauses at once, lets the next file go, and resumes without sending a part twice', async () => {
  const world = new World();
  world.faults = ['hang', 'hang', 'hang'];
  const manager = world.manager();
  await manager.add([clip()]);
  await settle(100);
  expect(phases(manager)).toEqual(['Sending']);
  manager.pause('new-1');
  expect(phases(manager)).toEqual(['Paused']);
  await settle(100);
  world.attempts = [];
  manager.resume('new-1');
  await settle();
  expect(phases(manager)).toEqual(['Done']);
  expect(world.attempts).toHaveLength(4);
});

it('lets two files run and the third wait', async () => {
  const world = new World();
  world.faults = Array<'hang'>(6).fill('hang');
  const manager = world.manager();
  await manager.add([clip('a'), clip('b'), clip('c')]);
  await settle(100);
  expect(phases(manager)).toEqual(['Sending', 'Sending', 'Waiting']);
  manager.pause('new-1');
  await settle(100);
  expect(phases(manager)).toEqual(['Paused', 'Sending', 'Done']);
});

it('goes on after a reload with the same file and with no other', async () => {
  const world = new World();
  world.faults = ['hang', 'hang', 'hang'];
  const first = world.manager();
  await first.add([clip()]);
  await settle(100);
  world.stored.get('v1')?.set(1, '"aaaaaaaaaa"');

  world.faults = [];
  world.attempts = [];
  const second = world.manager();
  expect(phases(second)).toEqual(['NeedsFile']);
  expect(await second.reattach('v1', clip('clip.mp4', TEXT.replace('c', 'x')))).toBe(false);
  await second.add([clip()]);
  await settle();
  expect(phases(second)).toEqual(['Done']);
  expect(world.attempts.sort()).toEqual(['fresh/v1/2', 'fresh/v1/3', 'fresh/v1/4']);
  expect(world.completed.get('v1')).toHaveLength(4);
});

it('begins anew when the backend has given the upload up, and is done when it was complete', async () => {
  const world = new World();
  world.faults = ['hang', 'hang', 'hang'];
  await world.manager().add([clip()]);
  await settle(100);
  world.faults = [];
  world.stored.delete('v1');
  const second = world.manager();
  await second.reattach('v1', clip());
  await settle();
  expect(second.views()).toMatchObject([{ phase: 'Done', videoId: 'v2' }]);

  const records = new UploadRecords(world.storage, () => Date.now());
  records.save({ videoId: 'v2', fileName: 'clip.mp4', size: TEXT.length, fingerprint: await fingerprint(clip()), savedAt: Date.now() });
  world.attempts = [];
  const third = world.manager();
  await third.reattach('v2', clip());
  await settle();
  expect(phases(third)).toEqual(['Done']);
  expect(world.attempts).toEqual([]);
  expect(records.all()).toEqual([]);
});

it('tells storage when an upload is given up', async () => {
  const world = new World();
  world.faults = ['hang', 'hang', 'hang'];
  const manager = world.manager();
  await manager.add([clip()]);
  await settle(100);
  await manager.remove('new-1');
  expect(manager.views()).toEqual([]);
  expect(world.aborted).toEqual(['v1']);
  expect(world.manager().views()).toEqual([]);
});

it('lets the next file go when an upload can not be given up, and keeps that one', async () => {
  const world = new World();
  world.faults = Array<'hang'>(6).fill('hang');
  const manager = world.manager();
  await manager.add([clip('a'), clip('b'), clip('c')]);
  await settle(100);
  world.lostAnswers = [503];
  await expect(manager.remove('new-1')).rejects.toThrow('backend said 503');
  await settle(100);
  expect(phases(manager)).toEqual(['Failed', 'Sending', 'Done']);
  expect(manager.views()[0]).toMatchObject({ error: 'backend said 503' });
  await manager.remove('new-1');
  expect(phases(manager)).toEqual(['Sending', 'Done']);
});
