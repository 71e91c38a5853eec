/** Carries out what the keys ask for. */

import type { PlayerEngine } from './engine';
import type { PlayerCommand } from './keys';
import { stepSpeed } from './media';

/** Safari on phones can show only the video itself in full screen. */
interface PhoneVideo extends HTMLVideoElement {
  webkitEnterFullscreen?: () => void;
}

/** Length of a frame, in seconds, where nothing tells the frame rate. */
const FRAME = 1 / 30;

export async function toggleFullscreen(root: HTMLElement, video: PhoneVideo): Promise<void> {
  if (document.fullscreenElement !== null) await document.exitFullscreen();
  else if (document.fullscreenEnabled) await root.requestFullscreen();
  else video.webkitEnterFullscreen?.();
}

export async function togglePictureInPicture(video: HTMLVideoElement): Promise<void> {
  if (document.pictureInPictureElement === video) await document.exitPictureInPicture();
  else if (document.pictureInPictureEnabled) await video.requestPictureInPicture();
}

/** Refusals of the browser (no gesture, nothing loaded yet) leave things as they are. */
function attempt(action: Promise<void>): void {
  action.catch(() => undefined);
}

/** Carries a command out; returns what to tell the person, where that is not seen anyway. */
export function execute(command: PlayerCommand, engine: PlayerEngine, root: HTMLElement): string | undefined {
  const { video } = engine;
  const { media, captions, caption } = engine.state();
  switch (command.type) {
    case 'togglePlay':
      engine.togglePlay();
      return undefined;
    case 'seekBy':
      engine.seek(video.currentTime + command.seconds);
      return `${command.seconds > 0 ? '+' : '−'}${Math.abs(command.seconds)} s`;
    case 'seekTo':
      engine.seek(media.duration * command.share);
      return undefined;
    case 'frameBy':
      video.pause();
      engine.seek(video.currentTime + command.frames * FRAME);
      return undefined;
    case 'volumeBy':
      engine.setVolume(video.volume + command.amount);
      return `Volume ${Math.round(video.volume * 100)} %`;
    case 'toggleMute':
      engine.toggleMute();
      return video.muted ? 'Muted' : `Volume ${Math.round(video.volume * 100)} %`;
    case 'speedBy':
      engine.setRate(stepSpeed(video.playbackRate, command.steps));
      return `${video.playbackRate}×`;
    case 'toggleCaptions':
      if (captions.length === 0) return 'No captions';
      engine.chooseCaption(caption === undefined ? captions[0]?.track : undefined);
      return caption === undefined ? 'Captions on' : 'Captions off';
    case 'toggleFullscreen':
      attempt(toggleFullscreen(root, video));
      return undefined;
    case 'togglePictureInPicture':
      attempt(togglePictureInPicture(video));
      return undefined;
    case 'help':
      return undefined;
  }
}
