/** What a media element is doing now, as a value. */

export interface Range {
  start: number;
  end: number;
}

export interface MediaState {
  paused: boolean;
  ended: boolean;
  /** It wants to play and has nothing to. */
  waiting: boolean;
  time: number;
  /** Seconds; 0 until it is known. */
  duration: number;
  buffered: Range[];
  volume: number;
  muted: boolean;
  rate: number;
}

/** Events after which the state may be another. */
export const MEDIA_EVENTS = [
  'play',
  'playing',
  'pause',
  'ended',
  'waiting',
  'seeking',
  'seeked',
  'canplay',
  'timeupdate',
  'durationchange',
  'progress',
  'volumechange',
  'ratechange',
  'emptied',
] as const;

export function readMedia(media: HTMLMediaElement): MediaState {
  const buffered = Array.from({ length: media.buffered.length }, (_, index) => ({
    start: media.buffered.start(index),
    end: media.buffered.end(index),
  }));
  return {
    paused: media.paused,
    ended: media.ended,
    waiting: !media.paused && !media.ended && media.readyState < HTMLMediaElement.HAVE_FUTURE_DATA,
    time: media.currentTime,
    duration: Number.isFinite(media.duration) ? media.duration : 0,
    buffered,
    volume: media.volume,
    muted: media.muted,
    rate: media.playbackRate,
  };
}

/** Volume and speed of the last visit. */
const KEY = 'player';

export function restorePreferences(media: HTMLMediaElement, storage: Pick<Storage, 'getItem'>): void {
  try {
    const kept = JSON.parse(storage.getItem(KEY) ?? '{}') as Partial<Record<'volume' | 'muted' | 'rate', unknown>>;
    if (typeof kept.volume === 'number') media.volume = Math.min(1, Math.max(0, kept.volume));
    if (typeof kept.muted === 'boolean') media.muted = kept.muted;
    if (typeof kept.rate === 'number' && SPEEDS.includes(kept.rate)) {
      media.defaultPlaybackRate = kept.rate;
      media.playbackRate = kept.rate;
    }
  } catch {
    // Nothing of use was kept.
  }
}

export function keepPreferences(media: HTMLMediaElement, storage: Pick<Storage, 'setItem'>): void {
  const { volume, muted, playbackRate: rate } = media;
  try {
    storage.setItem(KEY, JSON.stringify({ volume, muted, rate }));
  } catch {
    // Storage is full or forbidden: they hold for this visit.
  }
}

export const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2];

/** The speed `steps` away from `rate` on the list. */
export function stepSpeed(rate: number, steps: number): number {
  const nearest = SPEEDS.reduce((best, speed) => (Math.abs(speed - rate) < Math.abs(best - rate) ? speed : best));
  const index = Math.min(SPEEDS.length - 1, Math.max(0, SPEEDS.indexOf(nearest) + steps));
  return SPEEDS[index] ?? 1;
}
