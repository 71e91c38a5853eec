import type { ButtonHTMLAttributes } from 'react';
import { Icon, type IconName } from '../components/Icon';
import { formatClock } from '../lib/format';
import styles from './Controls.module.css';
import type { PlayerEngine, PlayerState } from './engine';
import type { PlayerCommand } from './keys';
import { SPEEDS } from './media';
import { Menu } from './Menu';
import { SeekBar } from './SeekBar';
import type { Thumbnail } from './storyboard';

interface IconButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  icon: IconName;
  label: string;
}

function IconButton({ icon, label, className, ...rest }: IconButtonProps) {
  return (
    <button
      type="button"
      className={[styles.button, className].filter(Boolean).join(' ')}
      aria-label={label}
      title={label}
      {...rest}
    >
      <Icon name={icon} size={24} />
    </button>
  );
}

interface ControlsProps {
  engine: PlayerEngine;
  state: PlayerState;
  thumbnails: Thumbnail[];
  fullscreen: boolean;
  run: (command: PlayerCommand) => void;
  menuOpened: (open: boolean) => void;
}

function Volume({ engine, state, run }: Pick<ControlsProps, 'engine' | 'state' | 'run'>) {
  const { muted, volume } = state.media;
  const silent = muted || volume === 0;
  return (
    <div className={styles.volume}>
      <IconButton
        icon={silent ? 'muted' : 'volume'}
        label={silent ? 'Unmute (m)' : 'Mute (m)'}
        onClick={() => run({ type: 'toggleMute' })}
      />
      <input
        className={styles.volumeBar}
        type="range"
        min={0}
        max={1}
        step={0.05}
        value={muted ? 0 : volume}
        aria-label="Volume"
        onChange={(event) => engine.setVolume(Number(event.target.value))}
      />
    </div>
  );
}

type MenuProps = Pick<ControlsProps, 'engine' | 'state' | 'menuOpened'>;

function CaptionsMenu({ engine, state, menuOpened }: MenuProps) {
  const { captions, caption } = state;
  if (captions.length === 0) return null;
  const off = { label: 'Off', chosen: caption === undefined, choose: () => engine.chooseCaption(undefined) };
  const choices = captions.map(({ track, label }) => ({
    label,
    chosen: track === caption?.track,
    choose: () => engine.chooseCaption(track),
  }));
  return (
    <Menu label="Captions" choices={[off, ...choices]} opened={menuOpened}>
      <span className={styles.captions} data-on={caption !== undefined}>
        <Icon name="captions" size={24} />
      </span>
    </Menu>
  );
}

function SpeedMenu({ engine, state, menuOpened }: MenuProps) {
  const choices = SPEEDS.map((speed) => ({
    label: speed === 1 ? '1× (normal)' : `${speed}×`,
    chosen: speed === state.media.rate,
    choose: () => engine.setRate(speed),
  }));
  return (
    <Menu label="Speed" choices={choices} opened={menuOpened}>
      {state.media.rate}×
    </Menu>
  );
}

function QualityMenu({ engine, state, menuOpened }: MenuProps) {
  const { qualities, chosen, playing } = state;
  if (qualities.length === 0) return null;
  const auto = {
    label: chosen === undefined && playing !== undefined ? `Auto (${playing.label})` : 'Auto',
    chosen: chosen === undefined,
    choose: () => engine.chooseQuality(undefined),
  };
  const choices = qualities.map(({ level, label }) => ({
    label,
    chosen: level === chosen?.level,
    choose: () => engine.chooseQuality(level),
  }));
  return (
    <Menu label="Quality" choices={[auto, ...choices]} opened={menuOpened}>
      <span data-testid="quality">{chosen?.label ?? 'Auto'}</span>
    </Menu>
  );
}

export function Controls({ engine, state, thumbnails, fullscreen, run, menuOpened }: ControlsProps) {
  const { media } = state;
  const [playIcon, playLabel]: [IconName, string] = media.ended
    ? ['replay', 'Play again (k)']
    : media.paused
      ? ['play', 'Play (k)']
      : ['pause', 'Pause (k)'];
  const menus = { engine, state, menuOpened };
  return (
    <div className={styles.controls}>
      <SeekBar media={media} thumbnails={thumbnails} seek={(time) => engine.seek(time)} />
      <div className={styles.row}>
        <IconButton icon={playIcon} label={playLabel} onClick={() => run({ type: 'togglePlay' })} />
        <Volume engine={engine} state={state} run={run} />
        <span className={styles.time}>
          {formatClock(media.time)} <span className={styles.total}>/ {formatClock(media.duration || Number.NaN)}</span>
        </span>
        <span className={styles.space} />
        <CaptionsMenu {...menus} />
        <SpeedMenu {...menus} />
        <QualityMenu {...menus} />
        <IconButton icon="help" label="Keys (?)" className={styles.wide} onClick={() => run({ type: 'help' })} />
        {document.pictureInPictureEnabled && (
          <IconButton
            icon="pictureInPicture"
            label="Picture in picture (i)"
            className={styles.wide}
            onClick={() => run({ type: 'togglePictureInPicture' })}
          />
        )}
        <IconButton
          icon={fullscreen ? 'exitFullscreen' : 'fullscreen'}
          label={fullscreen ? 'Leave full screen (f)' : 'Full screen (f)'}
          onClick={() => run({ type: 'toggleFullscreen' })}
        />
      </div>
    </div>
  );
}
