/** The upload of one file: begins or resumes it, sends its parts in parallel, completes it. */

import { type Api, ApiError } from '../api/client';
import type { Upload, UploadStatus } from '../api/types';
import { messageOf } from '../lib/message';
import { uuid7 } from '../lib/uuid';
import { fingerprint } from './fingerprint';
import type { UploadRecord, UploadRecords } from './records';
import * as schedule from './scheduler';
import { SpeedMeter } from './speed';
import { PartError, type PutPart } from './transport';

export type Phase =
  | 'Waiting'
  | 'NeedsFile'
  | 'Starting'
  | 'Sending'
  | 'Paused'
  | 'Finishing'
  | 'Done'
  | 'Failed';

/** What a person sees of an upload. */
export interface UploadView {
  id: string;
  fileName: string;
  size: number;
  phase: Phase;
  loaded: number;
  bytesPerSecond: number | undefined;
  /** A part is being retried. */
  retrying: boolean;
  videoId: string | undefined;
  error: string | undefined;
}

export interface TransferDeps {
  api: Pick<Api, 'createUpload' | 'uploadStatus' | 'completeUpload' | 'abortUpload'>;
  authorized: <T>(call: (token: string) => Promise<T>) => Promise<T>;
  putPart: PutPart;
  records: Pick<UploadRecords, 'save' | 'remove'>;
  /** Resolves while the browser has a network; rejects when the signal is aborted. */
  online: (signal: AbortSignal) => Promise<void>;
  now: () => number;
  random: () => number;
}

/** Parts of one file that are under way at the same time. */
export const PARALLEL_PARTS = 3;

const CALL_ATTEMPTS = 5;
/** Completing is asked for again while S3 joins the parts, for a large file for minutes. */
const COMPLETE_ATTEMPTS = 20;
/** What an address gets that has expired, or whose credentials have (400, where the parts of an answer can't be read). */
const EXPIRED = [400, 403];

function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', abort);
      resolve();
    }, milliseconds);
    signal.addEventListener('abort', abort, { once: true });
  });
}

/** Refusals that the same request would meet again, and answers that can't be used. */
function isFinal({ status }: PartError): boolean {
  return status >= 200 && status < 500 && ![...EXPIRED, 408, 429].includes(status);
}

export class Transfer {
  readonly id: string;
  readonly #deps: TransferDeps;
  readonly #changed: () => void;
  readonly #speed = new SpeedMeter();
  #file: File | undefined;
  #fileName: string;
  #size: number;
  #fingerprint: string | undefined;
  #videoId: string | undefined;
  /** Under which it is begun, however often that is tried. */
  #newId: string | undefined;
  #phase: Phase;
  #error: string | undefined;
  #parts: schedule.Part[] = [];
  #running = new AbortController();
  #refreshing: Promise<void> | undefined;

  private constructor(id: string, from: File | UploadRecord, deps: TransferDeps, changed: () => void) {
    this.id = id;
    this.#deps = deps;
    this.#changed = changed;
    this.#size = from.size;
    if (from instanceof File) {
      this.#file = from;
      this.#fileName = from.name;
      this.#phase = 'Waiting';
    } else {
      this.#fileName = from.fileName;
      this.#fingerprint = from.fingerprint;
      this.#videoId = from.videoId;
      this.#phase = 'NeedsFile';
    }
  }

  static ofFile(id: string, file: File, deps: TransferDeps, changed: () => void): Transfer {
    return new Transfer(id, file, deps, changed);
  }

  /** An upload of an earlier visit: goes on as soon as it gets its file again. */
  static ofRecord(record: UploadRecord, deps: TransferDeps, changed: () => void): Transfer {
    return new Transfer(record.videoId, record, deps, changed);
  }

  get phase(): Phase {
    return this.#phase;
  }

  view(): UploadView {
    return {
      id: this.id,
      fileName: this.#fileName,
      size: this.#size,
      phase: this.#phase,
      loaded: this.#phase === 'Done' ? this.#size : schedule.loadedBytes(this.#parts),
      bytesPerSecond: this.#phase === 'Sending' ? this.#speed.bytesPerSecond() : undefined,
      retrying: this.#parts.some((part) => part.state !== 'Sent' && part.failures > 0),
      videoId: this.#videoId,
      error: this.#error,
    };
  }

  /** Called regularly while sending, so that the speed is known. */
  measure(): void {
    this.#speed.record(this.#deps.now(), schedule.loadedBytes(this.#parts));
  }

  /** Whether this is the file that an upload of an earlier visit waits for. */
  async waitsFor(file: File): Promise<boolean> {
    return (
      this.#phase === 'NeedsFile' && file.size === this.#size && this.#fingerprint === (await fingerprint(file))
    );
  }

  attach(file: File): void {
    this.#file = file;
    this.#become('Waiting');
  }

  pause(): void {
    if (this.#phase !== 'Waiting' && this.#phase !== 'Sending') return;
    this.#stop();
    this.#become('Paused');
  }

  /** Queues a paused or failed upload again. */
  enqueue(): void {
    if (this.#phase === 'Paused' || this.#phase === 'Failed') this.#become('Waiting');
  }

  /** Gives the upload up, here and in storage. */
  async discard(): Promise<void> {
    this.#stop();
    const videoId = this.#videoId;
    if (videoId === undefined || this.#phase === 'Done') return;
    try {
      await this.#deps.authorized((token) => this.#deps.api.abortUpload(token, videoId));
    } catch (error) {
      // It is gone, or complete: there is nothing to give up.
      if (!(error instanceof ApiError && (error.status === 404 || error.status === 409))) {
        // It has stopped, and stays on the list.
        this.#become(this.#file === undefined ? 'NeedsFile' : 'Failed', messageOf(error));
        throw error;
      }
    }
    this.#deps.records.remove(videoId);
  }

  /** Sends what is left. Never rejects: the end shows in the phase. */
  async run(): Promise<void> {
    const file = this.#file;
    if (file === undefined) return;
    const running = new AbortController();
    this.#running = running;
    try {
      this.#become('Starting');
      if (await this.#prepare(file, running.signal)) {
        this.#become('Sending');
        await Promise.all(Array.from({ length: PARALLEL_PARTS }, () => this.#sendParts(file, running.signal)));
        this.#become('Finishing');
        await this.#complete(running.signal);
      }
      this.#become('Done');
    } catch (error) {
      if (running.signal.aborted) return;
      this.#stop();
      this.#become('Failed', messageOf(error));
    }
  }

  /** Finds out what is to be sent; false when the upload turns out to be complete. */
  async #prepare(file: File, signal: AbortSignal): Promise<boolean> {
    const known = await this.#known(signal);
    if (known === 'Complete') return false;
    const upload = known ?? { ...(await this.#create(file, signal)), uploadedParts: [] };
    signal.throwIfAborted();
    const parts = schedule.cutParts(file.size, upload.partSize);
    this.#parts = schedule.withTargets(parts, upload.parts, upload.uploadedParts);
    return true;
  }

  /** What the backend has of this upload; `undefined` when it was not begun, or has been given up there. */
  async #known(signal: AbortSignal): Promise<UploadStatus | 'Complete' | undefined> {
    const { api, records } = this.#deps;
    const videoId = this.#videoId;
    if (videoId === undefined) return undefined;
    try {
      return await this.#call((token) => api.uploadStatus(token, videoId), signal);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status !== 404 && error.status !== 409) throw error;
      records.remove(videoId);
      if (error.status === 409) return 'Complete';
      this.#videoId = undefined;
      return undefined;
    }
  }

  async #create(file: File, signal: AbortSignal): Promise<Upload> {
    const { api, records, now } = this.#deps;
    this.#fingerprint ??= await fingerprint(file);
    const contentType = file.type || 'application/octet-stream';
    this.#newId ??= uuid7(now());
    const body = { videoId: this.#newId, fileName: file.name, size: file.size, contentType };
    const upload = await this.#call((token) => api.createUpload(token, body), signal);
    if (signal.aborted) {
      // Given up while it was being begun.
      await this.#call((token) => api.abortUpload(token, upload.videoId), signal);
      signal.throwIfAborted();
    }
    this.#videoId = upload.videoId;
    this.#newId = undefined;
    records.save({
      videoId: upload.videoId,
      fileName: file.name,
      size: file.size,
      fingerprint: this.#fingerprint,
      savedAt: now(),
    });
    return upload;
  }

  /** One of the parallel senders: takes the next part until none is left for it. */
  async #sendParts(file: File, signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      const now = this.#deps.now();
      const part = schedule.startable(this.#parts, now, PARALLEL_PARTS)[0];
      if (part !== undefined) {
        await this.#send(file, part, signal);
        continue;
      }
      const next = schedule.nextStart(this.#parts, now);
      if (next === undefined) return;
      await sleep(next - now, signal);
    }
  }

  async #send(file: File, { number, start, end, url }: schedule.Part, signal: AbortSignal): Promise<void> {
    const { putPart, now, random, online } = this.#deps;
    this.#parts = schedule.started(this.#parts, number);
    try {
      if (url === undefined) throw new PartError(403, 'The backend gave no address for a part.');
      const etag = await putPart({
        url,
        body: file.slice(start, end),
        progress: (bytes) => (this.#parts = schedule.progressed(this.#parts, number, bytes)),
        signal,
      });
      this.#parts = schedule.sent(this.#parts, number, etag);
    } catch (error) {
      if (!(error instanceof PartError) || signal.aborted || isFinal(error)) throw error;
      this.#parts = schedule.failed(this.#parts, number, now(), random());
      const failures = this.#parts.find((part) => part.number === number)?.failures ?? 0;
      if (failures >= schedule.MAX_FAILURES) throw error;
      this.#changed();
      await online(signal);
      if (EXPIRED.includes(error.status)) await this.#refresh(signal);
    }
  }

  /** Gets fresh addresses; parts that fail together share one request. */
  #refresh(signal: AbortSignal): Promise<void> {
    this.#refreshing ??= this.#fetchTargets(signal).finally(() => (this.#refreshing = undefined));
    return this.#refreshing;
  }

  async #fetchTargets(signal: AbortSignal): Promise<void> {
    const videoId = this.#videoId;
    if (videoId === undefined) return;
    const { parts, uploadedParts } = await this.#call(
      (token) => this.#deps.api.uploadStatus(token, videoId),
      signal,
    );
    this.#parts = schedule.withTargets(this.#parts, parts, uploadedParts);
  }

  async #complete(signal: AbortSignal): Promise<void> {
    const videoId = this.#videoId;
    const parts = schedule.completion(this.#parts);
    if (videoId === undefined || parts === undefined) throw new Error('A part of the upload is missing.');
    await this.#call((token) => this.#deps.api.completeUpload(token, videoId, parts), signal, COMPLETE_ATTEMPTS);
    this.#deps.records.remove(videoId);
  }

  /** Calls the backend, again with backoff while it is only unavailable. */
  async #call<T>(
    call: (token: string) => Promise<T>,
    signal: AbortSignal,
    attempts = CALL_ATTEMPTS,
  ): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#deps.authorized(call);
      } catch (error) {
        if (!(error instanceof ApiError && error.transient) || attempt >= attempts) throw error;
        await sleep(schedule.backoff(attempt, this.#deps.random()), signal);
      }
    }
  }

  #stop(): void {
    this.#running.abort();
    this.#parts = schedule.stopped(this.#parts);
    this.#speed.reset();
  }

  #become(phase: Phase, error?: string): void {
    this.#phase = phase;
    this.#error = error;
    this.#changed();
  }
}
