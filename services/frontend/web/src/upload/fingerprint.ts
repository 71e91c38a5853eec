/** Tells whether a file is the one that an upload was begun with, without reading all of it. */

const SAMPLE = 64 * 1024;

/** FNV-1a of 32 bits: sameness, not security. */
export function fnv1a(bytes: Uint8Array, seed = 0x811c9dc5): number {
  let hash = seed;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/** Name, size and a hash of the file's beginning, middle and end. */
export async function fingerprint(file: File): Promise<string> {
  const middle = Math.floor(file.size / 2);
  const starts = [0, middle, Math.max(0, file.size - SAMPLE)];
  let hash: number | undefined;
  for (const start of starts) {
    const bytes = new Uint8Array(await file.slice(start, start + SAMPLE).arrayBuffer());
    hash = fnv1a(bytes, hash);
  }
  return `${file.name}/${file.size}/${(hash ?? 0).toString(16)}`;
}
