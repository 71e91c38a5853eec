import { type RefObject, useCallback, useEffect, useEffectEvent, useRef, useState, useSyncExternalStore } from 'react';
import type { Playback } from '../api/types';
import { Button } from '../components/Button';
import { Icon } from '../components/Icon';
import { Controls } from './Controls';
import { PlayerEngine } from './engine';
import { execute } from './execute';
import { KeyHelp } from './KeyHelp';
import { commandFor, type PlayerCommand } from './keys';
import styles from './Player.module.css';
import { useStoryboard } from './useStoryboard';

/** Controls hide after this long without a move, in ms. */
const IDLE_AFTER = 2_500;
/** Keys that scroll the page unless the player has the focus. */
const SCROLL_KEYS = ['ArrowUp', 'ArrowDown', 'Home', 'End'];

/** Whether a key is for what has the focus rather than for the player. */
function belongsElsewhere(event: KeyboardEvent, root: HTMLElement): boolean {
  const target = event.target instanceof Element ? event.target : document.body;
  if (target.closest('input, textarea, select, [contenteditable], dialog') !== null) return true;
  if (event.key === ' ' && target.closest('button, a') !== null) return true;
  return SCROLL_KEYS.includes(event.key) && !root.contains(target);
}

/** Whether the person left pointer and keys alone for a while. */
function useIdle(root: RefObject<HTMLElement | null>): boolean {
  const [idle, setIdle] = useState(false);
  useEffect(() => {
    const element = root.current;
    if (element === null) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const wake = () => {
      setIdle(false);
      clearTimeout(timer);
      timer = setTimeout(() => setIdle(true), IDLE_AFTER);
    };
    const listening = new AbortController();
    for (const event of ['pointermove', 'pointerdown', 'keydown', 'focusin']) {
      element.addEventListener(event, wake, { signal: listening.signal });
    }
    wake();
    return () => {
      clearTimeout(timer);
      listening.abort();
    };
  }, [root]);
  return idle;
}

function useFullscreen(): boolean {
  return useSyncExternalStore(
    (changed) => {
      document.addEventListener('fullscreenchange', changed);
      return () => document.removeEventListener('fullscreenchange', changed);
    },
    () => document.fullscreenElement !== null,
  );
}

interface SurfaceProps {
  engine: PlayerEngine;
  root: RefObject<HTMLElement | null>;
  storyboard: string | undefined;
}

/** Everything over the picture. */
function Surface({ engine, root, storyboard }: SurfaceProps) {
  const state = useSyncExternalStore(engine.watch, engine.state);
  const thumbnails = useStoryboard(storyboard);
  const fullscreen = useFullscreen();
  const idle = useIdle(root);
  const [menuOpen, setMenuOpen] = useState(false);
  const [helping, setHelping] = useState(false);
  const [told, setTold] = useState({ text: '', serial: 0 });

  const run = (command: PlayerCommand) => {
    if (root.current === null) return;
    if (command.type === 'help') setHelping(true);
    const text = execute(command, engine, root.current);
    if (text !== undefined) setTold(({ serial }) => ({ text, serial: serial + 1 }));
  };
  const press = useEffectEvent((event: KeyboardEvent) => {
    if (root.current === null || event.defaultPrevented || belongsElsewhere(event, root.current)) return;
    const command = commandFor(event);
    if (command === undefined) return;
    event.preventDefault();
    run(command);
  });
  useEffect(() => {
    const listening = new AbortController();
    window.addEventListener('keydown', (event) => press(event), { signal: listening.signal });
    return () => listening.abort();
  }, []);

  const { media, error } = state;
  const fresh = media.paused && media.time === 0 && !media.ended;
  const hidden = idle && !media.paused && !menuOpen && error === undefined;
  const toggle = () => run({ type: 'togglePlay' });
  return (
    <div className={styles.surface} data-hidden={hidden} data-testid="player" data-error={error !== undefined}>
      <div
        className={styles.click}
        onPointerUp={(event) => {
          // A finger's first tap shows the controls.
          if (event.pointerType === 'mouse' || !hidden) toggle();
        }}
        onDoubleClick={() => run({ type: 'toggleFullscreen' })}
      />
      {fresh && error === undefined && (
        <button type="button" className={styles.start} aria-label="Play" onClick={toggle}>
          <Icon name="play" size={44} />
        </button>
      )}
      {media.waiting && error === undefined && <div className={styles.spinner} role="status" aria-label="Loading" />}
      {told.text !== '' && (
        <div key={told.serial} className={styles.told} role="status">
          {told.text}
        </div>
      )}
      {error !== undefined && (
        <div className={styles.error} role="alert">
          <Icon name="warning" size={32} />
          <p>{error}</p>
          <Button look="primary" onClick={() => engine.retry()}>
            Try again
          </Button>
        </div>
      )}
      <Controls
        engine={engine}
        state={state}
        thumbnails={thumbnails}
        fullscreen={fullscreen}
        run={run}
        menuOpened={setMenuOpen}
      />
      {helping && <KeyHelp close={() => setHelping(false)} />}
    </div>
  );
}

interface PlayerProps {
  title: string;
  playback: Playback;
}

export function Player({ title, playback }: PlayerProps) {
  const root = useRef<HTMLDivElement>(null);
  const [engine, setEngine] = useState<PlayerEngine>();
  const attach = useCallback(
    (video: HTMLVideoElement) => {
      const made = new PlayerEngine(video, playback.hls);
      setEngine(made);
      return () => {
        made.destroy();
        setEngine(undefined);
      };
    },
    [playback.hls],
  );
  return (
    <section ref={root} className={styles.player} tabIndex={-1} aria-label={`Player: ${title}`}>
      <video ref={attach} className={styles.video} poster={playback.poster ?? undefined} playsInline preload="metadata" />
      {engine !== undefined && (
        <Surface engine={engine} root={root} storyboard={playback.storyboard ?? undefined} />
      )}
    </section>
  );
}
