// Real media from ffmpeg's own sources, made once and kept in a folder for temporary files.

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = join(tmpdir(), 'streaming-operator-browser-media-2');

/** Whole AAC frames of 1024 samples: audio that outlasts the video makes players stall before the end. */
const SECONDS = 12;
// One frame less, for the encoder puts one of silence before the first.
const AUDIO_SAMPLES = (Math.floor((SECONDS * 48_000) / 1024) - 1) * 1024;

/** Pictures that look like something, by name. */
const SOURCES = {
  colours: `gradients=s=1280x720:r=25:d=${SECONDS}:c0=0x10243f:c1=0xf2a93b:c2=0xb3453a:c3=0x2d6a6a:nb_colors=4:speed=0.03`,
  fractal: `mandelbrot=s=1280x720:r=25:end_pts=300:maxiter=400:start_scale=2:end_scale=0.02`,
  pattern: `testsrc2=s=1280x720:r=25:d=${SECONDS}`,
};

export const SOURCE_NAMES = Object.keys(SOURCES);

const ffmpeg = (...args) => run('ffmpeg', ['-hide_banner', '-loglevel', 'error', '-nostdin', '-y', ...args]);

/** Makes a folder in one step: what was cut off in the middle is not taken for whole. */
async function once(name, make) {
  const folder = join(ROOT, name);
  if (existsSync(folder)) return folder;
  const draft = `${folder}.${process.pid}`;
  await mkdir(draft, { recursive: true });
  await make(draft);
  await rename(draft, folder).catch(async (error) => {
    if (!existsSync(folder)) throw error;
    await rm(draft, { recursive: true });
  });
  return folder;
}

const sourceOf = (seconds, size) => [
  '-f', 'lavfi', '-i', `testsrc2=s=${size}:r=25:d=${seconds}`,
  '-f', 'lavfi', '-i', `sine=f=440:r=48000:d=${seconds}`,
  '-c:v', 'libx264', '-preset', 'veryfast', '-pix_fmt', 'yuv420p', '-c:a', 'aac', '-shortest',
];

/** A short MP4 to upload, large enough for several renditions. */
export async function clip() {
  const folder = await once('clip-720p', (draft) => ffmpeg(...sourceOf(6, '1280x720'), join(draft, 'clip.mp4')));
  return join(folder, 'clip.mp4');
}

const PLAYLIST = '#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n';

async function makeBadFiles(folder) {
  await writeFile(join(folder, 'empty.mp4'), '');
  await writeFile(join(folder, 'playlist.mp4'), PLAYLIST);
  await ffmpeg('-f', 'lavfi', '-i', 'testsrc2=s=320x180', '-frames:v', '1', '-c:v', 'png', '-f', 'image2', join(folder, 'still.mp4'));
  // Its header, at the front, promises twice as much.
  const truncated = join(folder, 'truncated.mp4');
  await ffmpeg(...sourceOf(6, '320x180'), '-movflags', '+faststart', truncated);
  await truncate(truncated, Math.floor((await stat(truncated)).size / 2));
  // More pixels than any profile admits.
  await ffmpeg(
    '-f', 'lavfi', '-i', 'color=s=8448x4352:r=4:d=1',
    '-c:v', 'mjpeg', '-q:v', '20', '-pix_fmt', 'yuvj420p', join(folder, 'huge.mov'),
  );
}

/** Folder with files that no transcode can succeed on: empty.mp4, playlist.mp4, still.mp4, truncated.mp4, huge.mov. */
export const badFiles = () => once('bad', makeBadFiles);

const CAPTIONS = `WEBVTT

00:00:01.000 --> 00:00:05.000
These are captions

00:00:06.000 --> 00:00:11.000
and these are more of them
`;

async function writeCaptions(folder) {
  const playlist = [
    '#EXTM3U', '#EXT-X-VERSION:7', `#EXT-X-TARGETDURATION:${SECONDS}`, '#EXT-X-PLAYLIST-TYPE:VOD',
    `#EXTINF:${SECONDS}.0,`, 'captions.vtt', '#EXT-X-ENDLIST', '',
  ];
  await writeFile(join(folder, 'captions.vtt'), CAPTIONS);
  await writeFile(join(folder, 'captions.m3u8'), playlist.join('\n'));
}

const RUNGS = [
  { name: '720p', width: 1280, height: 720, bitrate: 1_800_000 },
  { name: '480p', width: 854, height: 480, bitrate: 900_000 },
  { name: '240p', width: 426, height: 240, bitrate: 300_000 },
];

async function writeMaster(folder) {
  const lines = [
    '#EXTM3U', '#EXT-X-VERSION:7', '#EXT-X-INDEPENDENT-SEGMENTS',
    '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="Audio",DEFAULT=YES,AUTOSELECT=YES,URI="audio/playlist.m3u8"',
    '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="subs",NAME="English",LANGUAGE="en",AUTOSELECT=YES,URI="captions.m3u8"',
  ];
  for (const { name, width, height, bitrate } of RUNGS) {
    const inf = `BANDWIDTH=${bitrate + 140_000},RESOLUTION=${width}x${height},CODECS="avc1.64001f,mp4a.40.2"`;
    lines.push(`#EXT-X-STREAM-INF:${inf},AUDIO="audio",SUBTITLES="subs"`, `${name}/playlist.m3u8`);
  }
  await writeFile(join(folder, 'master.m3u8'), `${lines.join('\n')}\n`);
}

/** The pictures of a storyboard, one for each second, five in a row. */
async function writeStoryboard(folder) {
  await ffmpeg('-i', join(folder, 'source.mp4'), '-vf', 'fps=1,scale=160:90,tile=5x3', '-frames:v', '1', join(folder, 'sprite-1.jpg'));
  const time = (seconds) => `00:00:${String(seconds).padStart(2, '0')}.000`;
  const cues = Array.from({ length: SECONDS }, (_, i) => {
    const [x, y] = [(i % 5) * 160, Math.floor(i / 5) * 90];
    return `${time(i)} --> ${time(i + 1)}\nsprite-1.jpg#xywh=${x},${y},160,90\n`;
  });
  await writeFile(join(folder, 'storyboard.vtt'), `WEBVTT\n\n${cues.join('\n')}`);
}

async function makeOutput(folder, source) {
  const original = join(folder, 'source.mp4');
  await ffmpeg(
    '-f', 'lavfi', '-i', SOURCES[source], '-f', 'lavfi', '-i', 'sine=f=330:r=48000',
    '-t', String(SECONDS), '-af', `volume=0.2,atrim=end_sample=${AUDIO_SAMPLES}`,
    '-c:v', 'libx264', '-preset', 'veryfast', '-crf', '20', '-pix_fmt', 'yuv420p', '-g', '50', '-c:a', 'aac', original,
  );
  const video = ['-c:v', 'libx264', '-preset', 'veryfast', '-pix_fmt', 'yuv420p', '-g', '50', '-keyint_min', '50', '-sc_threshold', '0'];
  const hls = ['-f', 'hls', '-hls_time', '4', '-hls_playlist_type', 'vod', '-hls_segment_type', 'fmp4'];
  for (const { name, width, height, bitrate } of RUNGS) {
    await mkdir(join(folder, name));
    await ffmpeg(
      '-i', original, '-an', '-vf', `scale=${width}:${height}`, ...video, '-b:v', String(bitrate), ...hls,
      '-hls_segment_filename', join(folder, name, 'seg-%05d.m4s'), join(folder, name, 'playlist.m3u8'),
    );
  }
  await mkdir(join(folder, 'audio'));
  await ffmpeg(
    '-i', original, '-vn', '-c:a', 'copy', ...hls,
    '-hls_segment_filename', join(folder, 'audio', 'seg-%05d.m4s'), join(folder, 'audio', 'playlist.m3u8'),
  );
  await ffmpeg('-ss', '4', '-i', original, '-frames:v', '1', '-q:v', '3', join(folder, 'poster.jpg'));
  await writeStoryboard(folder);
  await writeCaptions(folder);
  await writeMaster(folder);
  await rm(original);
}

/** Folder of a whole output (HLS ladder, captions, poster, storyboard) of one of `SOURCE_NAMES`. */
export const output = (source) => once(source, (draft) => makeOutput(draft, source));

export const RENDITIONS = RUNGS.map(({ name, width, height, bitrate }) => ({ name, width, height, bandwidth: bitrate }));
export const DURATION = SECONDS;
