// Watches a video in a browser, as a person would, and fails where a person would complain.
//
//     node play.mjs URL [VIDEO] [--screenshot FILE.png] [--json]
//
// URL is the frontend's address; `--url` and `--id` do as well. Opens the frontend, goes to the video (left
// out: the newest one that is ready), plays it to `ended`, and then switches the quality and seeks. Exit
// status 1 and one line on standard error where it stalls, has a hole in its buffer, ends too early, does not
// do as it is told, or breaks the Content-Security-Policy.

import { parseArgs } from 'node:util';
import { openBrowser } from './lib/browser.mjs';
import { chooseQuality, PlaybackError, qualities, seekTo, watchToEnd } from './lib/playback.mjs';

/** From this shorter side on, in pixels, a video has a smaller rendition to switch to. */
const SWITCHABLE = 480;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    url: { type: 'string' },
    id: { type: 'string' },
    screenshot: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

async function findVideo(page, url, id) {
  const path = id === undefined ? '/api/videos?state=Ready&limit=1' : `/api/videos/${encodeURIComponent(id)}`;
  const response = await page.request.get(new URL(path, url).href).catch((error) => {
    throw new PlaybackError(`${url} can't be reached: ${error.message.split('\n')[0]}`);
  });
  if (!response.ok()) throw new PlaybackError(`${path}: ${response.status()} ${await response.text()}`);
  const body = await response.json();
  const video = id === undefined ? body.items[0] : body;
  if (video === undefined) throw new PlaybackError('no video is ready');
  if (!video.playback) throw new PlaybackError(`“${video.title}” can't be played: it is ${video.state}`);
  return video;
}

async function play({ url, id, screenshot }) {
  const browser = await openBrowser();
  const { page, trouble } = browser;
  try {
    const video = await findVideo(page, url, id);
    await page.goto(new URL('/', url).href);
    await page.locator(`[data-video="${video.id}"] a`).or(page.getByRole('button', { name: 'Show more' })).first().waitFor();
    await page.goto(new URL(`/videos/${encodeURIComponent(video.id)}`, url).href);
    const watched = await watchToEnd(page, { expectedDuration: video.durationSeconds ?? undefined });
    const offered = await qualities(page);
    const sides = (video.renditions ?? []).map(({ width, height }) => Math.min(width, height));
    if (offered.length < 2 && Math.max(...sides) >= SWITCHABLE) {
      throw new PlaybackError(`there is no quality to switch to: the menu offers ${offered.join(', ') || 'none'}, the API lists ${sides.join(', ')}`);
    }
    for (const label of offered.length > 1 ? [offered.at(-1), offered[0]] : []) {
      await seekTo(page, 0.1);
      await chooseQuality(page, label);
    }
    await seekTo(page, 0.6);
    if (screenshot !== undefined) await page.screenshot({ path: screenshot });
    if (trouble.length > 0) throw new PlaybackError(trouble.join('; '));
    return { id: video.id, title: video.title, qualities: offered, ...watched };
  } finally {
    await browser.close();
  }
}

try {
  const { url = positionals[0], id = positionals[1], screenshot } = values;
  if (url === undefined) throw new PlaybackError('say where the frontend is: node play.mjs URL [VIDEO]');
  const result = await play({ url, id, screenshot });
  if (values.json) {
    console.log(JSON.stringify(result));
  } else {
    const seconds = (value) => `${value.toFixed(1)} s`;
    console.log(
      `“${result.title}” played to its end: ${seconds(result.duration)}, first frame after ${seconds(result.startupSeconds)}, ` +
        `no stall, no gap, ${result.droppedFrames} of ${result.frames} frames dropped; ` +
        `qualities ${result.qualities.join(', ')} and seeking work`,
    );
  }
} catch (error) {
  console.error(`play: ${error instanceof PlaybackError ? error.message : error.stack}`);
  process.exitCode = 1;
}
