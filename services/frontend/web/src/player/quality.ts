/** Names of renditions in the quality menu. */

export interface LevelSize {
  width: number;
  height: number;
  /** Peak bit rate in bit/s. */
  bitrate: number;
}

export interface Quality {
  /** Index of the level in hls.js. */
  level: number;
  label: string;
}

/** By the shorter side, as the field does, so that portrait videos are named like landscape ones. */
function nameOf({ width, height, bitrate }: LevelSize): string {
  const side = Math.min(width, height);
  return side > 0 ? `${side}p` : `${Math.round(bitrate / 1000)} kbit/s`;
}

/** Best first. Renditions of one size are told apart by their bit rate. */
export function qualitiesOf(levels: LevelSize[]): Quality[] {
  const names = levels.map(nameOf);
  return levels
    .map((level, index) => ({ index, level, name: names[index] ?? '' }))
    .sort((a, b) => b.level.bitrate - a.level.bitrate)
    .map(({ index, level, name }) => {
      const unique = names.filter((other) => other === name).length === 1;
      return { level: index, label: unique ? name : `${name} · ${(level.bitrate / 1e6).toFixed(1)} Mbit/s` };
    });
}
