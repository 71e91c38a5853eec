// What people do in the application.

import { until } from './until.mjs';

/** Answers the dialog that asks for the API token. */
export async function giveToken(page, token) {
  const dialog = page.getByRole('dialog', { name: 'API token' });
  await dialog.getByLabel('API token').fill(token);
  await dialog.getByRole('button', { name: 'Use this token' }).click();
}

/** Puts files in the upload page's picker. They are paths, or objects as Playwright's `setInputFiles` takes. */
export async function chooseFiles(page, files) {
  await page.getByLabel('Videos to upload').setInputFiles(files);
}

/** The row of an upload. */
export const uploadRow = (page, fileName) => page.getByRole('article', { name: fileName });

/** Waits until an upload is in a phase, and returns the id of its video where that is known. */
export async function waitForPhase(page, fileName, phase, timeout = 60_000) {
  const row = uploadRow(page, fileName);
  await until(
    `the upload of ${fileName} is ${phase}`,
    async () => {
      const now = await row.getAttribute('data-phase');
      if (now === 'Failed' && phase !== 'Failed') throw new Error(`the upload failed: ${await row.innerText()}`);
      return now === phase;
    },
    timeout,
  );
  const link = row.getByRole('link', { name: 'Open' });
  return (await link.count()) > 0 ? (await link.getAttribute('href')).split('/').at(-1) : undefined;
}

/** Goes to a page by its link in the header, as people do: uploads go on meanwhile. */
export const goTo = (page, name) => page.getByRole('navigation').getByRole('link', { name }).click();

export const card = (page, id) => page.locator(`[data-video="${id}"]`);

/** Waits until the card of a video in the library shows a state, without a reload. */
export async function waitForState(page, id, state, timeout) {
  await page.locator(`[data-video="${id}"][data-state="${state}"]`).waitFor({ timeout });
}

/** Pixels by which a page is wider than its window. */
export const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
