// What only shows when the backend misbehaves, or has to be in a state of its own: with a mock behind the
// frontend's server. `npm test` sets what it needs.

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { launch, openWindow } from '../lib/browser.mjs';
import { startFrontend } from '../lib/frontend.mjs';
import * as pages from '../lib/pages.mjs';
import { PlaybackError, seekTo, watchToEnd } from '../lib/playback.mjs';
import { until } from '../lib/until.mjs';
import { startMock, TOKEN } from '../mock-backend.mjs';

/** More than the mock's parts of 5 MiB have room for, so that there are four. */
const LARGE = 17 * 2 ** 20;

/** Path of a file that begins like an MP4. Files with another `mark` have the same name and size. */
async function large(name, mark = 0) {
  const buffer = Buffer.alloc(LARGE);
  buffer.write('ftyp', 4, 'latin1');
  buffer[LARGE / 2 + 100] = mark;
  const folder = join(files, String(mark));
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, name), buffer);
  return join(folder, name);
}

let files;
let mock;
let frontend;
let browser;
let window;
let page;

const at = (path) => new URL(path, frontend.url).href;
const seeded = (state) => [...mock.platform.videos.values()].find((video) => video.state === state);

before(async () => {
  files = await mkdtemp(join(tmpdir(), 'streaming-operator-uploads-'));
  mock = await startMock({ seeded: true });
  frontend = await startFrontend(mock);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await frontend?.close();
  mock?.close();
  await rm(files, { recursive: true });
});
beforeEach(async () => {
  window = await openWindow(browser, { hasTouch: true });
  page = window.page;
});
afterEach(async () => {
  await window.close();
  assert.deepEqual(window.trouble, []);
});

/** Keeps the token from the first page on, as if it had been given before. */
const withToken = () => page.addInitScript((token) => sessionStorage.setItem('apiToken', token), TOKEN);

describe('the API token', () => {
  test('is asked for again when it is wrong, and then kept', async () => {
    await page.goto(at('/upload'));
    await pages.chooseFiles(page, { name: 'a.mp4', mimeType: 'video/mp4', buffer: Buffer.from('text') });
    await pages.giveToken(page, 'wrong');
    await page.getByRole('dialog').getByText('This token was refused').waitFor();
    await pages.giveToken(page, TOKEN);
    await pages.waitForPhase(page, 'a.mp4', 'Done');
    await page.reload();
    await pages.chooseFiles(page, { name: 'b.mp4', mimeType: 'video/mp4', buffer: Buffer.from('text') });
    await pages.waitForPhase(page, 'b.mp4', 'Done');
    await page.getByRole('button', { name: 'Forget it' }).click();
    await pages.chooseFiles(page, { name: 'd.mp4', mimeType: 'video/mp4', buffer: Buffer.from('text') });
    await page.getByRole('dialog', { name: 'API token' }).waitFor();
  });

  test('can be declined; the upload then waits to be tried again', async () => {
    await page.goto(at('/upload'));
    await pages.chooseFiles(page, { name: 'c.mp4', mimeType: 'video/mp4', buffer: Buffer.from('text') });
    await page.getByRole('dialog').getByRole('button', { name: 'Not now' }).click();
    await pages.waitForPhase(page, 'c.mp4', 'Failed');
    await pages.uploadRow(page, 'c.mp4').getByRole('button', { name: 'Try again' }).click();
    await pages.giveToken(page, TOKEN);
    await pages.waitForPhase(page, 'c.mp4', 'Done');
  });
});

describe('an upload', () => {
  beforeEach(withToken);

  test('survives a storage that fails now and then', async () => {
    mock.faults.push(500, 503, 403);
    await page.goto(at('/upload'));
    await pages.chooseFiles(page, await large('faulty.mp4'));
    const id = await pages.waitForPhase(page, 'faulty.mp4', 'Done');
    assert.equal(mock.platform.videos.get(id).size, LARGE);
  });

  test('goes on after a reload with the same file, and refuses another', async () => {
    await page.goto(at('/upload'));
    let sent = 0;
    // The first part passes, the others hang: the browser is closed in the middle.
    await page.route(`${mock.storageOrigin}/**`, (route) => {
      sent += 1;
      return sent === 1 ? route.continue() : undefined;
    });
    await pages.chooseFiles(page, await large('film.mp4'));
    const upload = await until('the first part arrived', () =>
      [...mock.platform.uploads.values()].find(({ parts }) => parts.size === 1),
    );
    page.on('dialog', (dialog) => dialog.accept());
    await page.reload();
    const row = pages.uploadRow(page, 'film.mp4');
    await row.getByText('Interrupted').waitFor();
    await page.unroute(`${mock.storageOrigin}/**`);

    await row.getByLabel('File of film.mp4').setInputFiles(await large('film.mp4', 1));
    await row.getByRole('alert').getByText('not the file').waitFor();
    await row.getByLabel('File of film.mp4').setInputFiles(await large('film.mp4'));
    assert.equal(await pages.waitForPhase(page, 'film.mp4', 'Done'), upload.id);
    await page.reload();
    assert.equal(await row.count(), 0, 'a finished upload is not offered again');
  });

  test('pauses, resumes, and goes on while other pages are looked at', async () => {
    await page.goto(at('/upload'));
    let held = true;
    const waiting = [];
    await page.route(`${mock.storageOrigin}/**`, (route) => (held ? void waiting.push(route) : route.continue()));
    await pages.chooseFiles(page, await large('paused.mp4'));
    await until('parts are under way', () => waiting.length === 3);
    const row = pages.uploadRow(page, 'paused.mp4');
    await row.getByRole('button', { name: 'Pause', exact: true }).click();
    await row.getByText('Paused at').waitFor();
    held = false;
    await row.getByRole('button', { name: 'Resume' }).click();
    await pages.goTo(page, 'Library');
    await page.getByText('paused', { exact: true }).first().waitFor();
    await pages.goTo(page, 'Upload');
    await pages.waitForPhase(page, 'paused.mp4', 'Done');
  });

  test('can be given up, here and in storage', async () => {
    await page.goto(at('/upload'));
    await page.route(`${mock.storageOrigin}/**`, () => undefined);
    await pages.chooseFiles(page, await large('dropped.mp4'));
    const row = pages.uploadRow(page, 'dropped.mp4');
    await row.getByRole('button', { name: 'Pause', exact: true }).waitFor();
    await row.getByRole('button', { name: 'Give up dropped.mp4' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Give up' }).click();
    await row.waitFor({ state: 'detached' });
    assert.ok(![...mock.platform.videos.values()].some(({ fileName }) => fileName === 'dropped.mp4'));
  });

  test('that the backend refuses says what is wrong', async () => {
    await page.route('**/api/uploads', (route) =>
      route.fulfill({
        status: 422,
        contentType: 'application/problem+json',
        body: JSON.stringify({ title: 'x', detail: 'The upload is not possible.', errors: [{ field: 'size', message: 'is more than 20 GiB' }] }),
      }),
    );
    await page.goto(at('/upload'));
    await pages.chooseFiles(page, await large('huge.mp4'));
    await pages.uploadRow(page, 'huge.mp4').getByRole('alert').getByText('size: is more than 20 GiB').waitFor();
  });

  test('comes by drag and drop as well', async () => {
    await page.goto(at('/upload'));
    const transfer = await page.evaluateHandle(() => {
      const data = new DataTransfer();
      data.items.add(new File(['text'], 'dropped-in.mp4', { type: 'video/mp4' }));
      return data;
    });
    await page.getByText('Drop videos here').dispatchEvent('drop', { dataTransfer: transfer });
    await pages.waitForPhase(page, 'dropped-in.mp4', 'Done');
  });
});

describe('the library', () => {
  test('filters by state, keeps the filter over a reload, and says when nothing is there', async () => {
    await page.goto(at('/'));
    await page.getByRole('button', { name: 'Failed', exact: true }).click();
    await pages.card(page, seeded('Failed').id).waitFor();
    assert.equal(await page.locator('[data-video][data-state="Ready"]').count(), 0);
    await page.reload();
    await pages.card(page, seeded('Failed').id).waitFor();
    assert.equal(await page.locator('[data-video][data-state="Ready"]').count(), 0);
    await page.getByRole('button', { name: 'Cancelled', exact: true }).click();
    await page.getByRole('heading', { name: 'No video is cancelled' }).waitFor();
  });

  test('pages through many videos', async () => {
    for (let i = 0; i < 30; i += 1) mock.platform.create({ fileName: `bulk-${i}.mp4`, size: 1, contentType: 'video/mp4' });
    await page.goto(at('/'));
    const cards = page.locator('[data-video]');
    await cards.first().waitFor();
    assert.equal(await cards.count(), 24);
    await page.getByRole('button', { name: 'Show more' }).click();
    await until('all are shown', async () => (await cards.count()) === mock.platform.videos.size);
    for (const { id, fileName } of mock.platform.videos.values()) {
      if (fileName.startsWith('bulk-')) mock.platform.videos.delete(id);
    }
  });

  test('catches up after the connection was lost', async () => {
    await page.goto(at('/'));
    await page.locator('[data-connection="Live"]').waitFor();
    for (const response of mock.platform.listeners) response.destroy();
    await page.locator('[data-connection="Interrupted"]').waitFor();
    const missed = mock.platform.create({ title: 'Missed it', fileName: 'missed.mp4', size: 1, contentType: 'video/mp4' });
    await pages.card(page, missed.id).waitFor();
    await page.locator('[data-connection="Live"]').waitFor();
  });

  test('says so when the backend is gone, and comes back with it', async () => {
    await page.route('**/api/videos?*', (route) => route.fulfill({ status: 502, body: '' }));
    await page.goto(at('/'));
    await page.getByRole('alert').getByText('not available at the moment').waitFor();
    await page.unroute('**/api/videos?*');
    await page.getByRole('button', { name: 'Try again' }).click();
    await pages.card(page, seeded('Ready').id).waitFor();
  });
});

describe('the page of a video', () => {
  test('has words for causes that it does not know', async () => {
    const video = [...mock.platform.videos.values()].find(({ failure }) => failure?.reason === 'GPU_LOST');
    await page.goto(at(`/videos/${video.id}`));
    await page.getByRole('heading', { name: 'Transcoding failed' }).waitFor();
    assert.match(await page.locator('main').innerText(), /GPU_LOST/);
    assert.match(await page.locator('main').innerText(), /The encoder’s device went away/);
  });

  test('follows a new transcode from the question to the player', async () => {
    await withToken();
    const video = mock.platform.create({ title: 'Again', fileName: 'again.mp4', size: 1, contentType: 'video/mp4' });
    mock.platform.fail(video, 'STORAGE', 'S3 did not answer.');
    await page.goto(at(`/videos/${video.id}`));
    await page.getByRole('button', { name: 'Transcode again' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Transcode again' }).click();
    await page.getByRole('heading', { name: 'Being transcoded' }).waitFor();
    await page.locator('video').waitFor();
  });

  test('plays on when there is a new version, and shows that when it is asked for', async () => {
    const video = mock.platform.create({ title: 'Twice', fileName: 'twice.mp4', size: 1, contentType: 'video/mp4' });
    await mock.platform.ready(video, 'pattern');
    const state = () => page.evaluate(() => {
      const video = document.querySelector('video');
      return { currentTime: video?.currentTime, playable: video?.duration > 0 };
    });
    await page.goto(at(`/videos/${video.id}`));
    await page.locator('[data-connection="Live"]').waitFor();
    await until('it can be played', async () => (await state()).playable);
    await page.evaluate(() => { document.querySelector('video').currentTime = 3; });

    mock.platform.put(mock.platform.videos.get(video.id), { attempt: 2 });
    await mock.platform.ready(video, 'pattern');
    const show = page.getByRole('button', { name: 'Show the new version' });
    await show.waitFor();
    assert.equal((await state()).currentTime, 3);
    await show.click();
    await until('the new version begins', async () => (await state()).currentTime === 0);
    assert.equal(await show.count(), 0);
  });

  test('of a video that is not there says so', async () => {
    await page.goto(at('/videos/00000000-0000-0000-0000-000000000000'));
    await page.getByRole('heading', { name: 'This video does not exist' }).waitFor();
  });

  test('that no route knows leads back', async () => {
    await page.goto(at('/nowhere'));
    await page.getByRole('link', { name: 'Go to the library' }).click();
    await page.getByRole('heading', { name: 'Library' }).waitFor();
  });
});

describe('the player', () => {
  const media = () => page.evaluate(() => {
    const { paused, currentTime, muted, volume, playbackRate } = document.querySelector('video');
    return { paused, currentTime, muted, volume, playbackRate };
  });
  const shows = (what, condition) => until(what, async () => condition(await media()));

  beforeEach(async () => {
    await page.goto(at(`/videos/${seeded('Ready').id}`));
    await page.waitForFunction(() => document.querySelector('video')?.duration > 0);
  });

  test('is played by keys', async () => {
    await page.keyboard.press('k');
    await shows('it plays', ({ paused, currentTime }) => !paused && currentTime > 0.2);
    await page.keyboard.press('Space');
    await shows('it pauses', ({ paused }) => paused);
    await page.keyboard.press('5');
    await shows('it is in the middle', ({ currentTime }) => Math.abs(currentTime - 6) < 0.2);
    await page.keyboard.press('ArrowLeft');
    await shows('it went back 5 s', ({ currentTime }) => Math.abs(currentTime - 1) < 0.2);
    await page.keyboard.press('l');
    await shows('it went on 10 s', ({ currentTime }) => Math.abs(currentTime - 11) < 0.3);
    await page.keyboard.press('m');
    await shows('it is mute', ({ muted }) => muted);
    await page.getByTestId('player').click({ position: { x: 20, y: 20 } });
    await page.keyboard.press('ArrowDown');
    await shows('it is less loud', ({ muted, volume }) => !muted && volume === 0.95);
    await page.keyboard.press('>');
    await shows('it is faster', ({ playbackRate }) => playbackRate === 1.25);
    await page.keyboard.press('f');
    await until('full screen', () => page.evaluate(() => document.fullscreenElement !== null));
    await page.keyboard.press('f');
    await until('no full screen', () => page.evaluate(() => document.fullscreenElement === null));
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keys of the player' }).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  });

  test('shows captions', async () => {
    await page.getByRole('button', { name: 'Captions' }).click();
    await page.getByRole('menuitemradio', { name: 'English' }).click();
    const showing = () => page.evaluate(() =>
      [...document.querySelector('video').textTracks].some(({ mode, cues }) => mode === 'showing' && cues?.length > 0),
    );
    await until('captions show', showing);
    await page.keyboard.press('c');
    await until('captions are off', async () => !(await showing()));
  });

  test('keeps its menus in reach of the keyboard', async () => {
    const button = page.getByRole('button', { name: 'Speed' });
    await button.focus();
    await page.keyboard.press('Enter');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await shows('the next speed', ({ playbackRate }) => playbackRate === 1.25);
    assert.equal(await button.evaluate((element) => element === document.activeElement), true);
  });

  test('works by touch at the width of a phone', async () => {
    await page.setViewportSize({ width: 360, height: 740 });
    await page.getByRole('button', { name: 'Play', exact: true }).tap();
    await shows('it plays', ({ currentTime }) => currentTime > 0.2);
    const player = await page.getByRole('region', { name: /^Player/ }).boundingBox();
    for (const name of ['Pause (k)', 'Quality', 'Speed', 'Full screen (f)']) {
      const box = await page.getByRole('button', { name, exact: true }).boundingBox();
      assert.ok(box.x >= 0 && box.x + box.width <= player.x + player.width, `${name} is outside`);
    }
  });

  test('loads again what the network dropped, and plays on', async () => {
    let dropped = 0;
    await page.route(/seg-0000[12]\.m4s$/, (route) => {
      dropped += 1;
      return dropped <= 3 ? route.abort() : route.continue();
    });
    await page.reload();
    await page.waitForFunction(() => document.querySelector('video')?.duration > 0);
    await page.keyboard.press('k');
    await shows('it plays past the gap', ({ currentTime }) => currentTime > 4.5);
    assert.ok(dropped > 3);
  });

  test('says that files are gone, and offers to try again', async () => {
    await page.route('**/master.m3u8', (route) => route.fulfill({ status: 404, body: '' }));
    await page.reload();
    await page.getByTestId('player').getByRole('alert').getByText('gone').waitFor();
    await page.unroute('**/master.m3u8');
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.waitForFunction(() => document.querySelector('video').duration > 0);
  });
});

/** The second segment of 4 s, whose decode time is therefore 4 s of its timescale, half a second late. */
function shiftedByHalfASecond(segment) {
  const box = segment.indexOf('tfdt');
  assert.equal(segment[box + 4], 1, 'a decode time of 64 bits');
  const time = segment.readBigUInt64BE(box + 8);
  segment.writeBigUInt64BE(time + time / 8n, box + 8);
  return segment;
}

describe('the check of playback turns red', () => {
  const open = async () => {
    await page.goto(at(`/videos/${seeded('Ready').id}`));
    await page.waitForFunction(() => document.querySelector('video')?.duration > 0);
  };

  test('on a stall', async () => {
    await page.route(/seg-00002\.m4s$/, (route) => void setTimeout(() => route.continue(), 9_500));
    await open();
    await assert.rejects(watchToEnd(page), (error) => error instanceof PlaybackError && /stalled/.test(error.message));
  });

  test('on a hole in the buffer', async () => {
    await page.route(/\/\d+p\/seg-00001\.m4s$/, async (route) => {
      const body = await (await route.fetch()).body();
      await route.fulfill({ contentType: 'video/iso.segment', body: shiftedByHalfASecond(body) });
    });
    await open();
    await assert.rejects(watchToEnd(page), (error) => error instanceof PlaybackError && /holes in the buffer/.test(error.message));
  });

  test('on a click that does not seek, though it plays', async () => {
    await open();
    await page.evaluate(() => {
      const swallow = (event) => event.stopImmediatePropagation();
      for (const name of ['pointerdown', 'pointerup']) window.addEventListener(name, swallow, { capture: true });
    });
    await page.keyboard.press('k');
    await page.waitForFunction(() => document.querySelector('video').currentTime > 0.2);
    const ignored = seekTo(page, 0.1, { timeout: 3_000 });
    await assert.rejects(ignored, (error) => error instanceof PlaybackError && /the video sought/.test(error.message));
  });

  test('on a click that leads elsewhere', async () => {
    await open();
    await page.evaluate(() => {
      const video = document.querySelector('video');
      video.addEventListener('seeking', () => (video.currentTime = 9), { once: true });
    });
    await assert.rejects(seekTo(page, 0.2), (error) => error instanceof PlaybackError && /led to/.test(error.message));
  });

  test('on an end before the duration that the API tells', async () => {
    await open();
    const wrong = watchToEnd(page, { expectedDuration: 30 });
    await assert.rejects(wrong, (error) => error instanceof PlaybackError && /the API says 30/.test(error.message));
  });
});
