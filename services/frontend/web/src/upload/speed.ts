/** Speed of an upload over the last seconds. */

interface Sample {
  time: number;
  bytes: number;
}

const WINDOW = 8_000;

export class SpeedMeter {
  #samples: Sample[] = [];

  /** Takes the bytes that have left by `time` (ms). Fewer than before means a part was begun again. */
  record(time: number, bytes: number): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && bytes < last.bytes) this.#samples = [];
    this.#samples.push({ time, bytes });
    while (this.#samples.length > 2 && (this.#samples[1]?.time ?? time) < time - WINDOW) this.#samples.shift();
  }

  reset(): void {
    this.#samples = [];
  }

  /** Bytes per second; `undefined` until there is enough to tell. */
  bytesPerSecond(): number | undefined {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.time - first.time < 500) return undefined;
    return ((last.bytes - first.bytes) * 1000) / (last.time - first.time);
  }
}
