/** What the player's keys do. */

export type PlayerCommand =
  | { type: 'togglePlay' }
  | { type: 'seekBy'; seconds: number }
  /** To a share of the duration, 0 to 1. */
  | { type: 'seekTo'; share: number }
  | { type: 'volumeBy'; amount: number }
  | { type: 'speedBy'; steps: number }
  | { type: 'frameBy'; frames: number }
  | { type: 'toggleMute' }
  | { type: 'toggleFullscreen' }
  | { type: 'togglePictureInPicture' }
  | { type: 'toggleCaptions' }
  | { type: 'help' };

export interface Key {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
}

const COMMANDS: Record<string, PlayerCommand> = {
  ' ': { type: 'togglePlay' },
  k: { type: 'togglePlay' },
  j: { type: 'seekBy', seconds: -10 },
  l: { type: 'seekBy', seconds: 10 },
  ArrowLeft: { type: 'seekBy', seconds: -5 },
  ArrowRight: { type: 'seekBy', seconds: 5 },
  ArrowUp: { type: 'volumeBy', amount: 0.05 },
  ArrowDown: { type: 'volumeBy', amount: -0.05 },
  Home: { type: 'seekTo', share: 0 },
  End: { type: 'seekTo', share: 1 },
  m: { type: 'toggleMute' },
  f: { type: 'toggleFullscreen' },
  i: { type: 'togglePictureInPicture' },
  c: { type: 'toggleCaptions' },
  '<': { type: 'speedBy', steps: -1 },
  '>': { type: 'speedBy', steps: 1 },
  ',': { type: 'frameBy', frames: -1 },
  '.': { type: 'frameBy', frames: 1 },
  '?': { type: 'help' },
};

/** The command of a key; `undefined` for keys that are the browser's. */
export function commandFor({ key, ctrlKey, metaKey, altKey }: Key): PlayerCommand | undefined {
  if (ctrlKey || metaKey || altKey) return undefined;
  if (/^[0-9]$/.test(key)) return { type: 'seekTo', share: Number(key) / 10 };
  const name = key.length === 1 ? key.toLowerCase() : key;
  return Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
}

/** For the help: what to press, and what it does. */
export const KEY_HELP: readonly (readonly [keys: string, effect: string])[] = [
  ['Space or K', 'Play or pause'],
  ['J / L', 'Back or forward 10 seconds'],
  ['← / →', 'Back or forward 5 seconds'],
  ['↑ / ↓', 'Volume'],
  ['M', 'Mute'],
  ['F', 'Full screen'],
  ['I', 'Picture in picture'],
  ['C', 'Captions'],
  ['0 – 9', 'To 0 % – 90 % of the video'],
  ['Home / End', 'To the beginning or the end'],
  ['< / >', 'Slower or faster'],
  [', / .', 'One frame back or forward'],
  ['?', 'This help'],
];
