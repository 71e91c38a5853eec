// What must work on any running platform:
//
//     FRONTEND_URL=http://127.0.0.1:30080 API_TOKEN=... npm run test:platform
//
// Uploads a short clip and a file that is no video, watches both in the library, plays the one and reads
// why the other failed. Deletes what it uploaded.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { openBrowser } from '../lib/browser.mjs';
import { clip } from '../lib/media.mjs';
import * as pages from '../lib/pages.mjs';
import { chooseQuality, qualities, seekTo, watchToEnd } from '../lib/playback.mjs';

const { FRONTEND_URL, API_TOKEN } = process.env;
/** How long a transcode may take, in ms. */
const TRANSCODE = Number(process.env.TRANSCODE_TIMEOUT ?? 180_000);

const serial = Date.now().toString(36);
const GOOD = `clip-${serial}.mp4`;
const BAD = `notes-${serial}.mp4`;
const at = (path) => new URL(path, FRONTEND_URL).href;

let browser;
let page;
let good;
let bad;

before(async () => {
  assert.ok(FRONTEND_URL, 'set FRONTEND_URL');
  assert.ok(API_TOKEN, 'set API_TOKEN');
  browser = await openBrowser();
  page = browser.page;
});

after(async () => {
  const headers = { authorization: `Bearer ${API_TOKEN}` };
  for (const id of [good, bad].filter(Boolean)) await page.request.delete(at(`/api/videos/${id}`), { headers });
  await browser?.close();
});

test('files are uploaded through the picker, after the API token was asked for', async () => {
  await page.goto(at('/upload'));
  await pages.chooseFiles(page, [
    { name: GOOD, mimeType: 'video/mp4', buffer: await readFile(await clip()) },
    { name: BAD, mimeType: 'video/mp4', buffer: Buffer.from('These are notes, not a video.\n') },
  ]);
  await pages.giveToken(page, API_TOKEN);
  good = await pages.waitForPhase(page, GOOD, 'Done');
  bad = await pages.waitForPhase(page, BAD, 'Done');
  assert.ok(good && bad);
});

test('the library shows them, and how they fare, without a reload', async () => {
  await pages.goTo(page, 'Library');
  await page.evaluate(() => (window.notReloaded = true));
  await pages.waitForState(page, bad, 'Failed', TRANSCODE);
  await pages.waitForState(page, good, 'Ready', TRANSCODE);
  assert.equal(await page.evaluate(() => window.notReloaded), true);
  assert.match(await pages.card(page, bad).innerText(), /NOT_MEDIA/);
  assert.equal(await pages.card(page, good).locator('img').count(), 1, 'a poster');
});

test('the video plays to its end without stall or gap, changes quality and seeks', async () => {
  await pages.card(page, good).getByRole('link').click();
  const { durationSeconds } = await (await page.request.get(at(`/api/videos/${good}`))).json();
  const watched = await watchToEnd(page, { expectedDuration: durationSeconds });
  assert.ok(watched.frames > 0);
  const offered = await qualities(page);
  assert.ok(offered.length >= 2, `of a clip of 720p the menu offers ${offered}`);
  for (const label of [offered.at(-1), offered[0]]) {
    await seekTo(page, 0.1);
    await chooseQuality(page, label);
  }
  await seekTo(page, 0.5);
});

test('the storyboard shows while the pointer is on the bar', async () => {
  await page.getByTestId('player').hover({ position: { x: 20, y: 20 } });
  await page.getByRole('slider', { name: 'Position' }).hover({ position: { x: 100, y: 5 } });
  const picture = page.getByTestId('preview').locator('div div');
  await picture.waitFor();
  const url = await picture.evaluate((element) => /url\("(.*)"\)/.exec(getComputedStyle(element).backgroundImage)?.[1]);
  const response = await page.request.get(url);
  assert.equal(response.status(), 200);
  assert.match(response.headers()['content-type'], /^image\//);
});

test('the page of the failed one says why and what to do', async () => {
  await page.goto(at(`/videos/${bad}`));
  await page.getByRole('heading', { name: 'This file is not a video or audio file' }).waitFor();
  assert.match(await page.locator('main').innerText(), /NOT_MEDIA/);
  await page.getByRole('heading', { name: 'What to do' }).waitFor();
  await page.getByRole('button', { name: 'Transcode again' }).waitFor();
});

test('a deleted video leaves the library of everyone', async () => {
  const other = await browser.context.newPage();
  await other.goto(at('/'));
  await pages.card(other, bad).waitFor();
  await page.getByRole('button', { name: 'Delete' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete for good' }).click();
  await pages.card(other, bad).waitFor({ state: 'detached' });
  await other.close();
  bad = undefined;
});

test('every page fits a phone', async () => {
  await page.setViewportSize({ width: 360, height: 740 });
  for (const path of ['/', '/upload', `/videos/${good}`]) {
    await page.goto(at(path));
    await page.getByRole('heading', { level: 1 }).first().waitFor();
    assert.ok((await pages.overflow(page)) <= 0, `${path} scrolls sideways`);
  }
});

test('nothing broke the Content-Security-Policy or threw', () => assert.deepEqual(browser.trouble, []));
