/** Plays an HLS stream in a video element: hls.js where there is MSE, the browser itself where not. */

import Hls, { type ErrorData, ErrorTypes, Events } from 'hls.js';
import workerUrl from 'hls.js/dist/hls.worker.js?url';
import { keepPreferences, MEDIA_EVENTS, type MediaState, readMedia, restorePreferences } from './media';
import { qualitiesOf, type Quality } from './quality';
import { type PlaybackFault, remedyFor } from './recovery';

export interface Caption {
  track: number;
  label: string;
}

export interface PlayerState {
  media: MediaState;
  qualities: Quality[];
  /** Level that plays now. */
  playing: Quality | undefined;
  /** Level that was chosen; `undefined` for automatic. */
  chosen: Quality | undefined;
  captions: Caption[];
  /** Caption track that shows; `undefined` for none. */
  caption: Caption | undefined;
  error: string | undefined;
}

const UNPLAYABLE = 'This browser can’t play HLS.';

function faultOf(data: ErrorData): PlaybackFault {
  const kinds: Partial<Record<string, PlaybackFault['kind']>> = {
    [ErrorTypes.NETWORK_ERROR]: 'Network',
    [ErrorTypes.MEDIA_ERROR]: 'Media',
  };
  return {
    kind: kinds[data.type] ?? 'Other',
    details: data.details,
    status: data.response?.code,
    at: performance.now(),
  };
}

export class PlayerEngine {
  readonly video: HTMLVideoElement;
  readonly #url: string;
  readonly #watchers = new Set<() => void>();
  readonly #listening = new AbortController();
  #hls: Hls | undefined;
  #faults: PlaybackFault[] = [];
  #restart: ReturnType<typeof setTimeout> | undefined;
  #error: string | undefined;
  #chosen: number | undefined;
  #state: PlayerState;

  constructor(video: HTMLVideoElement, url: string) {
    this.video = video;
    this.#url = url;
    this.#state = this.#read();
    const { signal } = this.#listening;
    for (const event of MEDIA_EVENTS) video.addEventListener(event, this.#changed, { signal });
    video.addEventListener('volumechange', () => keepPreferences(video, localStorage), { signal });
    video.addEventListener('ratechange', () => keepPreferences(video, localStorage), { signal });
    restorePreferences(video, localStorage);
    this.#open();
  }

  watch = (changed: () => void): (() => void) => {
    this.#watchers.add(changed);
    return () => this.#watchers.delete(changed);
  };

  state = (): PlayerState => this.#state;

  togglePlay(): void {
    if (!this.video.paused) this.video.pause();
    // Refused without a gesture of the person: it stays paused, which shows.
    else this.video.play().catch(() => this.#changed());
  }

  seek(time: number): void {
    const { duration } = this.#state.media;
    if (duration > 0) this.video.currentTime = Math.min(duration, Math.max(0, time));
  }

  /** 0 to 1; ends muting. */
  setVolume(volume: number): void {
    this.video.muted = false;
    this.video.volume = Math.min(1, Math.max(0, Math.round(volume * 100) / 100));
  }

  toggleMute(): void {
    this.video.muted = !this.video.muted;
  }

  setRate(rate: number): void {
    this.video.playbackRate = rate;
  }

  /** Chooses a level; `undefined` leaves the choice to the measured bandwidth. */
  chooseQuality(level: number | undefined): void {
    this.#chosen = level;
    if (this.#hls !== undefined) {
      // At once: a choice that waits for the next segment is never seen in a clip of one segment.
      if (level === undefined) this.#hls.nextLevel = -1;
      else this.#hls.currentLevel = level;
    }
    this.#changed();
  }

  chooseCaption(track: number | undefined): void {
    if (this.#hls !== undefined) {
      this.#hls.subtitleTrack = track ?? -1;
    } else {
      [...this.video.textTracks].forEach((text, index) => (text.mode = index === track ? 'showing' : 'disabled'));
    }
    this.#changed();
  }

  /** Begins again where it stopped, after an error that was given up on. */
  retry(): void {
    const { currentTime } = this.video;
    this.#faults = [];
    this.#error = undefined;
    this.#open(currentTime);
    this.#changed();
  }

  destroy(): void {
    clearTimeout(this.#restart);
    this.#listening.abort();
    this.#hls?.destroy();
  }

  #open(startPosition = -1): void {
    this.#hls?.destroy();
    this.#hls = undefined;
    if (Hls.isSupported()) this.#openHls(startPosition);
    else if (this.video.canPlayType('application/vnd.apple.mpegurl') !== '') this.#openNative();
    else this.#giveUp(UNPLAYABLE);
  }

  #openHls(startPosition: number): void {
    const hls = new Hls({
      workerPath: workerUrl,
      startPosition,
      capLevelToPlayerSize: true,
      backBufferLength: 60,
      abrEwmaDefaultEstimate: 1_500_000,
    });
    this.#hls = hls;
    hls.on(Events.MANIFEST_PARSED, () => {
      if (this.#chosen !== undefined) hls.nextLevel = this.#chosen;
      this.#changed();
    });
    hls.on(Events.LEVEL_SWITCHED, this.#changed);
    hls.on(Events.LEVELS_UPDATED, this.#changed);
    hls.on(Events.SUBTITLE_TRACKS_UPDATED, () => {
      hls.subtitleTrack = -1;
      this.#changed();
    });
    hls.on(Events.SUBTITLE_TRACK_SWITCH, this.#changed);
    hls.on(Events.ERROR, (_, data) => this.#mend(hls, data));
    hls.loadSource(this.#url);
    hls.attachMedia(this.video);
  }

  #openNative(): void {
    const { signal } = this.#listening;
    const failed = () => this.#giveUp(this.video.error?.message || 'The browser can’t play this video.');
    this.video.addEventListener('error', failed, { signal });
    this.video.textTracks.addEventListener('addtrack', this.#changed, { signal });
    this.video.src = this.#url;
  }

  #mend(hls: Hls, data: ErrorData): void {
    if (!data.fatal) return;
    const fault = faultOf(data);
    const remedy = remedyFor(fault, this.#faults);
    this.#faults.push(fault);
    switch (remedy.action) {
      case 'RestartLoad':
        this.#restart = setTimeout(() => {
          // Without its manifest there is nothing to go on loading.
          if (hls.levels.length === 0) hls.loadSource(this.#url);
          else hls.startLoad();
        }, remedy.delay);
        break;
      case 'RecoverMedia':
        hls.recoverMediaError();
        break;
      case 'GiveUp':
        hls.destroy();
        this.#hls = undefined;
        this.#giveUp(remedy.message);
        break;
    }
  }

  #giveUp(error: string): void {
    this.#error = error;
    this.#changed();
  }

  readonly #changed = (): void => {
    this.#state = this.#read();
    this.#watchers.forEach((changed) => changed());
  };

  #read(): PlayerState {
    const hls = this.#hls;
    const qualities = qualitiesOf(hls?.levels ?? []);
    const captions = this.#captions();
    const shown = hls?.subtitleTrack ?? [...this.video.textTracks].findIndex(({ mode }) => mode === 'showing');
    return {
      media: readMedia(this.video),
      qualities,
      playing: qualities.find(({ level }) => level === hls?.currentLevel),
      chosen: qualities.find(({ level }) => level === this.#chosen),
      captions,
      caption: captions.find(({ track }) => track === shown),
      error: this.#error,
    };
  }

  #captions(): Caption[] {
    if (this.#hls !== undefined) {
      return this.#hls.subtitleTracks.map(({ name, lang }, track) => ({ track, label: name || lang || 'Captions' }));
    }
    return [...this.video.textTracks]
      .map(({ kind, label, language }, track) => ({ kind, track, label: label || language || 'Captions' }))
      .filter(({ kind }) => kind === 'captions' || kind === 'subtitles');
  }
}
