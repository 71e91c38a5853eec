/** What to do about a fatal error of hls.js: pure, so that every course is tested. */

export interface PlaybackFault {
  kind: 'Network' | 'Media' | 'Other';
  /** Name of the detail as hls.js has it. */
  details: string;
  /** HTTP status, where there was a response. */
  status?: number | undefined;
  /** When it happened, in ms. */
  at: number;
}

export type Remedy =
  | { action: 'RestartLoad'; delay: number }
  | { action: 'RecoverMedia' }
  | { action: 'GiveUp'; message: string };

/** Faults further apart than this have nothing to do with each other, in ms. */
const MEMORY = 60_000;
const NETWORK_TRIES = 6;
const MEDIA_TRIES = 3;

function recent(history: PlaybackFault[], fault: PlaybackFault): number {
  return history.filter(({ kind, at }) => kind === fault.kind && fault.at - at < MEMORY).length;
}

/** The remedy for `fault`, knowing the ones before it. */
export function remedyFor(fault: PlaybackFault, history: PlaybackFault[]): Remedy {
  const before = recent(history, fault);
  if (fault.details === 'manifestIncompatibleCodecsError') {
    return { action: 'GiveUp', message: 'This browser can’t decode any rendition of this video.' };
  }
  if (fault.kind === 'Network') {
    if (fault.status === 404 || fault.status === 410) {
      return { action: 'GiveUp', message: 'The files of this video are gone. Transcode it again.' };
    }
    if (before < NETWORK_TRIES) return { action: 'RestartLoad', delay: Math.min(16_000, 1000 * 2 ** before) };
    return { action: 'GiveUp', message: 'The video can’t be loaded. Check the connection and try again.' };
  }
  if (fault.kind === 'Media' && before < MEDIA_TRIES) return { action: 'RecoverMedia' };
  return { action: 'GiveUp', message: `The browser can’t play this video (${fault.details}).` };
}
