import { type PointerEvent, useRef, useState } from 'react';
import { formatClock, spokenTime } from '../lib/format';
import type { MediaState } from './media';
import styles from './SeekBar.module.css';
import { type Thumbnail, thumbnailAt } from './storyboard';

/** Width of a preview, in CSS pixels. */
const PREVIEW = 176;

function Picture({ thumbnail }: { thumbnail: Thumbnail }) {
  const { url, x, y, width, height } = thumbnail;
  const scale = PREVIEW / width;
  return (
    <div className={styles.crop} style={{ width: PREVIEW, height: height * scale }}>
      <div
        className={styles.picture}
        style={{
          width,
          height,
          backgroundImage: `url("${url}")`,
          backgroundPosition: `-${x}px -${y}px`,
          transform: `scale(${scale})`,
        }}
      />
    </div>
  );
}

interface PreviewProps {
  time: number;
  /** Where the pointer is, in CSS pixels from the bar's left end. */
  left: number;
  width: number;
  thumbnail: Thumbnail | undefined;
}

function Preview({ time, left, width, thumbnail }: PreviewProps) {
  const half = (thumbnail === undefined ? 64 : PREVIEW) / 2;
  const centre = Math.min(Math.max(left, half), Math.max(half, width - half));
  return (
    <div className={styles.preview} style={{ left: centre }} aria-hidden="true" data-testid="preview">
      {thumbnail !== undefined && <Picture thumbnail={thumbnail} />}
      <span className={styles.previewTime}>{formatClock(time)}</span>
    </div>
  );
}

interface SeekBarProps {
  media: MediaState;
  thumbnails: Thumbnail[];
  seek: (time: number) => void;
}

export function SeekBar({ media, thumbnails, seek }: SeekBarProps) {
  const bar = useRef<HTMLDivElement>(null);
  const [pointer, setPointer] = useState<{ left: number; width: number }>();
  const [dragging, setDragging] = useState(false);
  const { duration } = media;

  const locate = (event: PointerEvent) => {
    const box = bar.current?.getBoundingClientRect();
    if (box === undefined || box.width === 0) return undefined;
    return { left: Math.min(box.width, Math.max(0, event.clientX - box.left)), width: box.width };
  };
  const timeAt = (place: { left: number; width: number }) => (place.left / place.width) * duration;
  const release = (event: PointerEvent) => {
    const place = locate(event);
    if (dragging && place !== undefined) seek(timeAt(place));
    setDragging(false);
    if (event.pointerType !== 'mouse') setPointer(undefined);
  };

  const hovered = pointer === undefined || duration === 0 ? undefined : timeAt(pointer);
  const time = dragging && hovered !== undefined ? hovered : media.time;
  const percent = (seconds: number) => (duration > 0 ? `${Math.min(100, (seconds / duration) * 100)}%` : '0%');
  return (
    <div
      ref={bar}
      className={styles.bar}
      role="slider"
      tabIndex={0}
      aria-label="Position"
      aria-valuemin={0}
      aria-valuemax={Math.round(duration)}
      aria-valuenow={Math.round(time)}
      aria-valuetext={`${spokenTime(time)} of ${spokenTime(duration)}`}
      data-dragging={dragging}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        setPointer(locate(event));
        setDragging(true);
      }}
      onPointerMove={(event) => setPointer(locate(event))}
      onPointerUp={release}
      onPointerCancel={() => setDragging(false)}
      onPointerLeave={() => {
        if (!dragging) setPointer(undefined);
      }}
    >
      {hovered !== undefined && pointer !== undefined && (
        <Preview time={hovered} left={pointer.left} width={pointer.width} thumbnail={thumbnailAt(thumbnails, hovered)} />
      )}
      <div className={styles.track}>
        {media.buffered.map(({ start, end }) => (
          <div key={start} className={styles.buffered} style={{ left: percent(start), width: percent(end - start) }} />
        ))}
        <div className={styles.played} style={{ width: percent(time) }} />
      </div>
      <div className={styles.thumb} style={{ left: percent(time) }} />
    </div>
  );
}
