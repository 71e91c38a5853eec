import type { Video } from './types';

export type Connection = 'Connecting' | 'Live' | 'Interrupted';

export interface LiveListener {
  video?: (video: Video) => void;
  deleted?: (id: string) => void;
  /** The stream is back after an interruption: what happened meanwhile has to be fetched. */
  resumed?: () => void;
}

const FIRST_DELAY = 1_000;
const LONGEST_DELAY = 15_000;

/** Wait before connection attempt `failures` + 1, in ms, with up to half of it random. */
export function reconnectDelay(failures: number, random: number): number {
  const full = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** Math.max(0, failures - 1));
  return full * (1 - random / 2);
}

/**
 * The stream of changes. EventSource alone gives up for good when a reconnect meets an error status
 * (a rollout, for example), so this one closes it on every error and opens it again with backoff.
 */
export class LiveEvents {
  #listeners = new Set<LiveListener>();
  #watchers = new Set<() => void>();
  #source: EventSource | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;
  #wasLive = false;
  #connection: Connection = 'Connecting';

  /** Opens the stream; returns what closes it. */
  start(): () => void {
    this.#open();
    const hurry = () => {
      if (this.#source === undefined) this.#open();
    };
    window.addEventListener('online', hurry);
    return () => {
      window.removeEventListener('online', hurry);
      this.#close();
    };
  }

  listen(listener: LiveListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  watch = (changed: () => void): (() => void) => {
    this.#watchers.add(changed);
    return () => this.#watchers.delete(changed);
  };

  connection = (): Connection => this.#connection;

  #open(): void {
    this.#close();
    const source = new EventSource('/api/events');
    this.#source = source;
    source.onopen = () => {
      this.#failures = 0;
      this.#become('Live');
      if (this.#wasLive) this.#listeners.forEach((listener) => listener.resumed?.());
      this.#wasLive = true;
    };
    source.onerror = () => this.#retry();
    source.addEventListener('video', (event: MessageEvent<string>) => {
      const video = JSON.parse(event.data) as Video;
      this.#listeners.forEach((listener) => listener.video?.(video));
    });
    source.addEventListener('deleted', (event: MessageEvent<string>) => {
      const { id } = JSON.parse(event.data) as { id: string };
      this.#listeners.forEach((listener) => listener.deleted?.(id));
    });
  }

  #retry(): void {
    this.#close();
    this.#failures += 1;
    // What was fetched before the first connection may be stale as well.
    this.#wasLive = true;
    this.#become('Interrupted');
    this.#timer = setTimeout(() => this.#open(), reconnectDelay(this.#failures, Math.random()));
  }

  #close(): void {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = undefined;
  }

  #become(connection: Connection): void {
    this.#connection = connection;
    this.#watchers.forEach((changed) => changed());
  }
}
