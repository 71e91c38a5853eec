/** Storyboards: WebVTT whose cues name regions of sprite pictures (`sprite.jpg#xywh=160,90,160,90`). */

export interface Thumbnail {
  /** Seconds, inclusive. */
  start: number;
  /** Seconds, exclusive. */
  end: number;
  /** Address of the sprite. */
  url: string;
  x: number;
  y: number;
  width: number;
  height: number;
}

const TIME = /^(?:(\d+):)?([0-5]?\d):([0-5]?\d)[.,](\d{3})$/;
const REGION = /^(.*)#xywh=(?:pixel:)?(\d+),(\d+),(\d+),(\d+)$/;

/** Seconds of a WebVTT timestamp; `undefined` when it is none. */
export function parseTimestamp(text: string): number | undefined {
  const match = TIME.exec(text);
  if (match === null) return undefined;
  const [, hours = '0', minutes = '0', seconds = '0', millis = '0'] = match;
  return Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds) + Number(millis) / 1000;
}

function parseCue(block: string, base: string): Thumbnail | undefined {
  const lines = block.split('\n');
  const timing = lines.findIndex((line) => line.includes('-->'));
  if (timing < 0) return undefined;
  const [from = '', to = ''] = (lines[timing] ?? '').split('-->');
  const start = parseTimestamp(from.trim());
  // Settings may follow the end time.
  const end = parseTimestamp(to.trim().split(/\s/)[0] ?? '');
  const region = REGION.exec((lines[timing + 1] ?? '').trim());
  if (start === undefined || end === undefined || end <= start || region === null) return undefined;
  const [, file = '', x, y, width, height] = region;
  if (Number(width) === 0 || Number(height) === 0) return undefined;
  const url = new URL(file, base);
  // A storyboard is data: it may name pictures next to it, and nothing elsewhere.
  if (url.origin !== new URL(base).origin) return undefined;
  return {
    start,
    end,
    url: url.href,
    x: Number(x),
    y: Number(y),
    width: Number(width),
    height: Number(height),
  };
}

/** The thumbnails of a storyboard at address `base`, by time. What is no thumbnail is left out. */
export function parseStoryboard(text: string, base: string): Thumbnail[] {
  const body = text.replace(/^\uFEFF/, '').replace(/\r\n?/g, '\n');
  if (!body.startsWith('WEBVTT')) return [];
  return body
    .split(/\n{2,}/)
    .map((block) => parseCue(block, base))
    .filter((cue) => cue !== undefined)
    .sort((a, b) => a.start - b.start);
}

/** The thumbnail to show for a time: the last one that has begun, or the first. */
export function thumbnailAt(thumbnails: Thumbnail[], time: number): Thumbnail | undefined {
  let low = 0;
  let high = thumbnails.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((thumbnails[middle]?.start ?? 0) <= time) low = middle;
    else high = middle - 1;
  }
  return thumbnails[low];
}
