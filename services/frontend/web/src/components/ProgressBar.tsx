import styles from './ProgressBar.module.css';

interface ProgressBarProps {
  /** 0 to 100; left out while it is unknown. */
  percent?: number | undefined;
  label: string;
  tone?: 'accent' | 'busy' | 'good' | 'bad';
}

export function ProgressBar({ percent, label, tone = 'accent' }: ProgressBarProps) {
  const known = percent !== undefined;
  return (
    <div
      className={styles.track}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      {...(known ? { 'aria-valuenow': Math.round(percent) } : {})}
    >
      <div
        className={[styles.fill, styles[tone], known ? '' : styles.unknown].join(' ')}
        style={known ? { transform: `scaleX(${Math.min(100, Math.max(0, percent)) / 100})` } : undefined}
      />
    </div>
  );
}
