/** Uploads that were begun in this browser, kept over reloads until they are complete or given up. */

export interface UploadRecord {
  videoId: string;
  fileName: string;
  size: number;
  fingerprint: string;
  /** When it was begun, in ms. */
  savedAt: number;
}

const KEY = 'uploads';
/** Storage drops what stays incomplete for a week. */
const LIFETIME = 7 * 24 * 3600 * 1000;

function isRecord(value: unknown): value is UploadRecord {
  if (typeof value !== 'object' || value === null) return false;
  const record = value as Partial<Record<keyof UploadRecord, unknown>>;
  return (
    typeof record.videoId === 'string' &&
    typeof record.fileName === 'string' &&
    typeof record.size === 'number' &&
    typeof record.fingerprint === 'string' &&
    typeof record.savedAt === 'number'
  );
}

/** What `text` holds of use; anything else is dropped. */
export function parseRecords(text: string | null, now: number): UploadRecord[] {
  if (text === null) return [];
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value.filter(isRecord).filter((record) => now - record.savedAt < LIFETIME) : [];
  } catch {
    return [];
  }
}

export class UploadRecords {
  readonly #storage: Pick<Storage, 'getItem' | 'setItem'>;
  readonly #now: () => number;

  constructor(storage: Pick<Storage, 'getItem' | 'setItem'>, now: () => number) {
    this.#storage = storage;
    this.#now = now;
  }

  all(): UploadRecord[] {
    return parseRecords(this.#storage.getItem(KEY), this.#now());
  }

  save(record: UploadRecord): void {
    this.#write([...this.all().filter(({ videoId }) => videoId !== record.videoId), record]);
  }

  remove(videoId: string): void {
    this.#write(this.all().filter((record) => record.videoId !== videoId));
  }

  #write(records: UploadRecord[]): void {
    try {
      this.#storage.setItem(KEY, JSON.stringify(records));
    } catch {
      // Storage is full or forbidden: the upload works, only not over a reload.
    }
  }
}
