/** All uploads of this tab: which run, what a person sees of them. */

import type { UploadRecords } from './records';
import { type Phase, Transfer, type TransferDeps, type UploadView } from './transfer';

export interface ManagerDeps extends TransferDeps {
  records: UploadRecords;
}

/** Files that are sent at the same time; others wait. */
const PARALLEL_FILES = 2;
/** How often progress is shown, in ms. */
const TICK = 400;

const ACTIVE: Phase[] = ['Starting', 'Sending', 'Finishing'];

export class UploadManager {
  readonly #deps: ManagerDeps;
  #transfers: Transfer[];
  #views: UploadView[] = [];
  #watchers = new Set<() => void>();
  #ticker: ReturnType<typeof setInterval> | undefined;
  #count = 0;

  constructor(deps: ManagerDeps) {
    this.#deps = deps;
    this.#transfers = deps.records.all().map((record) => Transfer.ofRecord(record, deps, this.#changed));
    this.#publish();
  }

  watch = (changed: () => void): (() => void) => {
    this.#watchers.add(changed);
    return () => this.#watchers.delete(changed);
  };

  views = (): UploadView[] => this.#views;

  /** Takes files; one that an interrupted upload waits for goes on with that. */
  async add(files: Iterable<File>): Promise<void> {
    for (const file of files) {
      const waiting = await this.#waitingFor(file);
      if (waiting !== undefined) {
        waiting.attach(file);
      } else {
        this.#count += 1;
        this.#transfers = [
          ...this.#transfers,
          Transfer.ofFile(`new-${this.#count}`, file, this.#deps, this.#changed),
        ];
      }
    }
    this.#changed();
  }

  /** Gives an interrupted upload its file. False when it is another one. */
  async reattach(id: string, file: File): Promise<boolean> {
    const transfer = this.#find(id);
    if (transfer === undefined || !(await transfer.waitsFor(file))) return false;
    transfer.attach(file);
    return true;
  }

  pause(id: string): void {
    this.#find(id)?.pause();
  }

  resume(id: string): void {
    this.#find(id)?.enqueue();
  }

  /** Gives an upload up, or takes a finished one off the list. Rejects when storage could not be told. */
  async remove(id: string): Promise<void> {
    await this.#find(id)?.discard();
    this.#transfers = this.#transfers.filter((transfer) => transfer.id !== id);
    this.#changed();
  }

  /** Takes the finished ones off the list. */
  clearDone(): void {
    this.#transfers = this.#transfers.filter(({ phase }) => phase !== 'Done');
    this.#changed();
  }

  get busy(): boolean {
    return this.#transfers.some(({ phase }) => ACTIVE.includes(phase) || phase === 'Waiting');
  }

  #find(id: string): Transfer | undefined {
    return this.#transfers.find((transfer) => transfer.id === id);
  }

  async #waitingFor(file: File): Promise<Transfer | undefined> {
    for (const transfer of this.#transfers) {
      if (await transfer.waitsFor(file)) return transfer;
    }
    return undefined;
  }

  readonly #changed = (): void => {
    this.#admit();
    this.#publish();
    const active = this.#transfers.some(({ phase }) => ACTIVE.includes(phase));
    if (active && this.#ticker === undefined) {
      this.#ticker = setInterval(this.#tick, TICK);
    } else if (!active) {
      clearInterval(this.#ticker);
      this.#ticker = undefined;
    }
  };

  #admit(): void {
    const active = this.#transfers.filter(({ phase }) => ACTIVE.includes(phase)).length;
    const next = active < PARALLEL_FILES ? this.#transfers.find(({ phase }) => phase === 'Waiting') : undefined;
    // Its first change of phase comes back here and admits the one after it.
    if (next !== undefined) void next.run();
  }

  readonly #tick = (): void => {
    this.#transfers.filter(({ phase }) => phase === 'Sending').forEach((transfer) => transfer.measure());
    this.#publish();
  };

  #publish(): void {
    this.#views = this.#transfers.map((transfer) => transfer.view());
    this.#watchers.forEach((changed) => changed());
  }
}
