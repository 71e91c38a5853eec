// Debian's Chromium, headless, with a profile of its own that Playwright deletes at the end.

import { chromium } from 'playwright-core';

const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--mute-audio',
];

export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    // In place of the old headless mode, which Playwright asks for and Chromium no longer has.
    args: ['--headless=new', ...ARGS],
    ignoreDefaultArgs: ['--headless'],
  });

/**
 * Opens a window without any memory. `options` are those of Playwright's contexts (viewport, colour scheme …).
 * `trouble` collects what no page may do: violations of the Content-Security-Policy, uncaught errors.
 */
export async function openWindow(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const trouble = [];
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
      console.error(`CSP violation: ${violatedDirective} ${blockedURI}`);
    });
  });
  context.on('console', (message) => {
    if (/CSP violation|Content Security Policy/.test(message.text())) trouble.push(message.text());
  });
  context.on('weberror', (error) => trouble.push(`uncaught: ${error.error().message}`));
  return { context, trouble, page: await context.newPage(), close: () => context.close() };
}

/** A browser with one window; `close` ends both. */
export async function openBrowser(options) {
  const browser = await launch();
  return { ...(await openWindow(browser, options)), close: () => browser.close() };
}
