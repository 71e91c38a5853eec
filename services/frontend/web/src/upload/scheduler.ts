/** Which parts of an upload go when: pure bookkeeping without clock, network or randomness. */

import type { PartTarget, SentPart } from '../api/types';

export interface Part {
  number: number;
  /** First byte. */
  start: number;
  /** Byte after the last one. */
  end: number;
  state: 'Pending' | 'Active' | 'Sent';
  /** Presigned address; unknown until the backend gave one. */
  url?: string;
  /** What S3 called the part once it had it. */
  etag?: string;
  /** Bytes of the running request that have left. */
  loaded: number;
  /** Failures in a row. */
  failures: number;
  /** Not to be started before this time, in ms. */
  notBefore: number;
}

/** A part that failed this often in a row fails the upload. */
export const MAX_FAILURES = 6;

const FIRST_DELAY = 500;
const LONGEST_DELAY = 20_000;

/** Wait after the nth failure in a row, in ms: exponential, the upper half of it random (0 ≤ random < 1). */
export function backoff(failures: number, random: number): number {
  const full = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** Math.max(0, failures - 1));
  return full * (0.5 + random / 2);
}

/** Cuts a file. An empty one has one empty part, for a multipart upload can't have none. */
export function cutParts(size: number, partSize: number): Part[] {
  const count = Math.max(1, Math.ceil(size / partSize));
  return Array.from({ length: count }, (_, index) => ({
    number: index + 1,
    start: index * partSize,
    end: Math.min(size, (index + 1) * partSize),
    state: 'Pending' as const,
    loaded: 0,
    failures: 0,
    notBefore: 0,
  }));
}

/** Takes over what the backend says: parts that arrived are sent, the others get their addresses. */
export function withTargets(parts: Part[], targets: PartTarget[], sent: SentPart[]): Part[] {
  const urls = new Map(targets.map((target) => [target.partNumber, target.url]));
  const etags = new Map(sent.map((part) => [part.partNumber, part.etag]));
  return parts.map((part) => {
    const etag = etags.get(part.number);
    if (etag !== undefined) return { ...part, state: 'Sent', etag };
    const url = urls.get(part.number);
    return url === undefined ? part : { ...part, url };
  });
}

/** The parts to start now so that `parallel` are under way. */
export function startable(parts: Part[], now: number, parallel: number): Part[] {
  const active = parts.filter((part) => part.state === 'Active').length;
  return parts
    .filter((part) => part.state === 'Pending' && part.notBefore <= now)
    .slice(0, Math.max(0, parallel - active));
}

/** When a waiting part may start again, in ms; `undefined` when none waits. */
export function nextStart(parts: Part[], now: number): number | undefined {
  const times = parts
    .filter((part) => part.state === 'Pending' && part.notBefore > now)
    .map((part) => part.notBefore);
  return times.length > 0 ? Math.min(...times) : undefined;
}

function change(parts: Part[], number: number, next: Partial<Part>): Part[] {
  return parts.map((part) => (part.number === number ? { ...part, ...next } : part));
}

export function started(parts: Part[], number: number): Part[] {
  return change(parts, number, { state: 'Active', loaded: 0 });
}

export function progressed(parts: Part[], number: number, loaded: number): Part[] {
  return change(parts, number, { loaded });
}

export function sent(parts: Part[], number: number, etag: string): Part[] {
  return change(parts, number, { state: 'Sent', etag, failures: 0 });
}

export function failed(parts: Part[], number: number, now: number, random: number): Part[] {
  const failures = (parts.find((part) => part.number === number)?.failures ?? 0) + 1;
  return change(parts, number, {
    state: 'Pending',
    loaded: 0,
    failures,
    notBefore: now + backoff(failures, random),
  });
}

/** Nothing is under way any more; what was goes again at once when resumed, with its failures forgotten. */
export function stopped(parts: Part[]): Part[] {
  return parts.map((part) =>
    part.state === 'Sent' ? part : { ...part, state: 'Pending', loaded: 0, failures: 0, notBefore: 0 },
  );
}

/** Bytes that have left, of all parts. */
export function loadedBytes(parts: Part[]): number {
  return parts.reduce((sum, part) => {
    const length = part.end - part.start;
    return sum + (part.state === 'Sent' ? length : Math.min(part.loaded, length));
  }, 0);
}

/** The list that completes the upload; `undefined` while a part is missing. */
export function completion(parts: Part[]): SentPart[] | undefined {
  const list: SentPart[] = [];
  for (const { number, state, etag } of parts) {
    if (state !== 'Sent' || etag === undefined) return undefined;
    list.push({ partNumber: number, etag });
  }
  return list;
}
