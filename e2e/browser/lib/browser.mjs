// Debian's Chromium, headless, with a profile of its own that is deleted at the end.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const ARGS = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--mute-audio',
];

/**
 * Opens a browser. `options` are those of Playwright's contexts (viewport, colour scheme …).
 * `trouble` collects what no page may do: violations of the Content-Security-Policy, uncaught errors.
 */
export async function openBrowser(options = {}) {
  const profile = await mkdtemp(join(tmpdir(), 'streaming-operator-chromium-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: ARGS,
    viewport: { width: 1280, height: 800 },
    ...options,
  });
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
  const close = async () => {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  };
  return { context, trouble, page: context.pages()[0] ?? (await context.newPage()), close };
}
