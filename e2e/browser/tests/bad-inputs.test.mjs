// What a person is told of files that can't be transcoded, on a platform with a real transcoder:
//
//     FRONTEND_URL=http://127.0.0.1:30080 API_TOKEN=... npm run test:platform
//
// Uploads each through the picker and reads its page. Deletes what it uploaded.

import assert from 'node:assert/strict';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openBrowser } from '../lib/browser.mjs';
import { badFiles } from '../lib/media.mjs';
import * as pages from '../lib/pages.mjs';

const { FRONTEND_URL, API_TOKEN } = process.env;
/** How long a transcode may take, in ms. */
const TRANSCODE = Number(process.env.TRANSCODE_TIMEOUT ?? 180_000);

const NO_MEDIA = { heading: 'This file is not a video or audio file', reason: 'NOT_MEDIA' };
const EXPECTED = {
  'empty.mp4': NO_MEDIA,
  'playlist.mp4': NO_MEDIA,
  'still.mp4': NO_MEDIA,
  'truncated.mp4': { heading: 'This file is cut off or damaged', reason: 'TRUNCATED' },
  'huge.mov': { heading: 'The picture is larger than allowed', reason: 'RESOLUTION_LIMIT' },
};

const serial = Date.now().toString(36);
const at = (path) => new URL(path, FRONTEND_URL).href;
const uploadName = (name) => `${serial}-${name}`;

let browser;
let page;
let files;
const ids = new Map();

before(async () => {
  assert.ok(FRONTEND_URL, 'set FRONTEND_URL');
  assert.ok(API_TOKEN, 'set API_TOKEN');
  files = await mkdtemp(join(tmpdir(), 'streaming-operator-bad-'));
  browser = await openBrowser();
  page = browser.page;
});

after(async () => {
  const headers = { authorization: `Bearer ${API_TOKEN}` };
  for (const id of ids.values()) await page.request.delete(at(`/api/videos/${id}`), { headers });
  await browser?.close();
  await rm(files, { recursive: true });
});

test('the picker takes them, for only the transcoder can tell', async () => {
  const source = await badFiles();
  const names = Object.keys(EXPECTED);
  for (const name of names) await copyFile(join(source, name), join(files, uploadName(name)));
  await page.goto(at('/upload'));
  await pages.chooseFiles(page, names.map((name) => join(files, uploadName(name))));
  await pages.giveToken(page, API_TOKEN);
  for (const name of names) {
    const id = await pages.waitForPhase(page, uploadName(name), 'Done');
    assert.ok(id, `${name} has a page`);
    ids.set(name, id);
  }
});

for (const [name, { heading, reason }] of Object.entries(EXPECTED)) {
  test(`the page of ${name} says ${reason} and what to do`, async () => {
    await page.goto(at(`/videos/${ids.get(name)}`));
    await page.getByRole('heading', { name: heading }).waitFor({ timeout: TRANSCODE });
    await page.getByRole('heading', { name: 'What to do' }).waitFor();
    assert.equal(await page.locator('[data-reason]').getAttribute('data-reason'), reason);
    assert.match(await page.locator('main').innerText(), new RegExp(`\\b${reason}\\b`));
  });
}

test('nothing broke the Content-Security-Policy or threw', () => assert.deepEqual(browser.trouble, []));
