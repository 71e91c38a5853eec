// Watches a video in the player and says what was seen. Needs a page that shows the player.

/** A pause with less than this buffered, in seconds, is the stream's fault; with more, the decoder was late. */
const STARVED = 0.5;
/** However it comes about, nobody waits longer than this, in seconds. */
const LONGEST_WAIT = 2;
/** Holes in the buffer smaller than this, in seconds, are jumped over without anyone's noticing. */
const GAP = 0.1;
/** A time that is this close to the duration, in seconds, has reached it. */
const CLOSE = 0.15;

export class PlaybackError extends Error {}

/** Waits for a state of the video element; says what the player says where that fails. */
async function waitFor(page, what, condition, argument, timeout) {
  try {
    await page.waitForFunction(condition, argument, { timeout, polling: 100 });
  } catch (error) {
    if (!/Timeout/.test(error.message)) throw error;
    const seen = await page.evaluate(() => {
      const video = document.querySelector('video');
      const alert = document.querySelector('[data-testid="player"] [role="alert"]')?.textContent;
      return video === null
        ? { page: document.body.innerText.slice(0, 300) }
        : { time: video.currentTime, duration: video.duration, readyState: video.readyState, height: video.videoHeight, alert };
    });
    throw new PlaybackError(`not within ${timeout / 1000} s: ${what}; seen: ${JSON.stringify(seen)}`);
  }
}

/** Records, from now on, what a viewer would not like to see. */
async function observe(page) {
  await page.evaluate((gap) => {
    const video = document.querySelector('video');
    const seen = { waits: [], gaps: [], started: undefined, firstFrame: undefined, ended: undefined };
    window.playbackSeen = seen;
    const ahead = () => {
      const { buffered, currentTime } = video;
      for (let i = 0; i < buffered.length; i += 1) {
        if (buffered.start(i) <= currentTime && currentTime <= buffered.end(i)) return buffered.end(i) - currentTime;
      }
      return 0;
    };
    video.addEventListener('playing', () => {
      seen.firstFrame ??= performance.now();
      const last = seen.waits.at(-1);
      if (last !== undefined) last.seconds ??= (performance.now() - last.began) / 1000;
    });
    video.addEventListener('waiting', () => {
      if (seen.firstFrame === undefined || seen.ended !== undefined) return;
      seen.waits.push({ at: video.currentTime, ahead: ahead(), began: performance.now() });
    });
    video.addEventListener('ended', () => (seen.ended = performance.now()));
    seen.timer = setInterval(() => {
      const { buffered } = video;
      for (let i = 1; i < buffered.length; i += 1) {
        const hole = [buffered.end(i - 1), buffered.start(i)].map((time) => Number(time.toFixed(3)));
        const known = seen.gaps.some(([from]) => from === hole[0]);
        if (hole[1] - hole[0] > gap && !known) seen.gaps.push(hole);
      }
    }, 100);
    seen.started = performance.now();
  }, GAP);
}

/**
 * Plays from the beginning to `ended` at normal speed. Throws a `PlaybackError` for a stall, a hole in the
 * buffer, or an end before the duration; returns what was measured (seconds).
 */
export async function watchToEnd(page, { expectedDuration } = {}) {
  await waitFor(page, 'the player knows the duration', () => document.querySelector('video')?.duration > 0, undefined, 30_000);
  const duration = await page.evaluate(() => document.querySelector('video').duration);
  await observe(page);
  await page.getByRole('button', { name: 'Play', exact: true }).click();
  await waitFor(page, 'the video starts', () => window.playbackSeen.firstFrame !== undefined, undefined, 15_000);
  await waitFor(page, 'ended', () => window.playbackSeen.ended !== undefined, undefined, duration * 1500 + 20_000);
  const result = await page.evaluate(() => {
    const { waits, gaps, started, firstFrame, ended, timer } = window.playbackSeen;
    clearInterval(timer);
    const video = document.querySelector('video');
    const { totalVideoFrames, droppedVideoFrames } = video.getVideoPlaybackQuality();
    return {
      duration: video.duration,
      time: video.currentTime,
      startupSeconds: (firstFrame - started) / 1000,
      playedSeconds: (ended - firstFrame) / 1000,
      waits,
      gaps,
      frames: totalVideoFrames,
      droppedFrames: droppedVideoFrames,
    };
  });
  // Before the stall that a hole brings about.
  if (result.gaps.length > 0) throw new PlaybackError(`holes in the buffer: ${JSON.stringify(result.gaps)}`);
  const stalls = result.waits.filter(({ ahead, seconds }) => ahead < STARVED || !(seconds < LONGEST_WAIT));
  if (stalls.length > 0) {
    const where = stalls.map(({ at, ahead }) => `${at.toFixed(2)} s (${ahead.toFixed(2)} s buffered)`);
    throw new PlaybackError(`it stalled at ${where.join(', ')}`);
  }
  if (result.duration - result.time > CLOSE) {
    throw new PlaybackError(`it ended at ${result.time} s of ${result.duration} s`);
  }
  if (expectedDuration !== undefined && Math.abs(expectedDuration - result.duration) > 0.5) {
    throw new PlaybackError(`it is ${result.duration} s long; the API says ${expectedDuration} s`);
  }
  if (result.frames === 0) throw new PlaybackError('it ended without showing a frame');
  return result;
}

/** Moves the pointer, so that the controls show. */
async function showControls(page) {
  await page.getByTestId('player').hover({ position: { x: 20, y: 20 } });
}

/** What the quality menu offers besides `Auto`, best first. */
export async function qualities(page) {
  await showControls(page);
  await page.getByRole('button', { name: 'Quality', exact: true }).click();
  const items = page.getByRole('menu', { name: 'Quality' }).getByRole('menuitemradio');
  const labels = await items.allInnerTexts();
  await page.keyboard.press('Escape');
  return labels.map((label) => label.trim()).filter((label) => !label.startsWith('Auto'));
}

/** Chooses a quality in the menu, plays, and waits until the picture has it. */
export async function chooseQuality(page, label) {
  await showControls(page);
  await page.getByRole('button', { name: 'Quality', exact: true }).click();
  await page.getByRole('menu', { name: 'Quality' }).getByRole('menuitemradio', { name: label, exact: true }).click();
  await page.evaluate(() => void document.querySelector('video').play());
  const side = Number.parseInt(label, 10);
  await waitFor(
    page,
    `the picture has ${label}`,
    (wanted) => {
      const { videoWidth, videoHeight } = document.querySelector('video');
      return Math.min(videoWidth, videoHeight) === wanted;
    },
    side,
    20_000,
  );
}

/**
 * Pauses, seeks with a click on the bar, and waits until the video is there; then plays, and waits until it
 * goes on from there. `timeout` in ms, for each of the two.
 */
export async function seekTo(page, share, { timeout = 20_000 } = {}) {
  await showControls(page);
  const bar = page.getByRole('slider', { name: 'Position' });
  const { width, height } = await bar.boundingBox();
  await page.evaluate(() => {
    const video = document.querySelector('video');
    video.pause();
    window.seekedTo = undefined;
    video.addEventListener('seeked', () => (window.seekedTo = video.currentTime), { once: true });
  });
  await bar.click({ position: { x: width * share, y: height / 2 } });
  const what = `seeking to ${Math.round(share * 100)} %`;
  await waitFor(page, `the video sought, ${what}`, () => window.seekedTo !== undefined, undefined, timeout);
  const { at, duration } = await page.evaluate(() => ({ at: window.seekedTo, duration: document.querySelector('video').duration }));
  // The pointer meets the bar within a pixel.
  if (Math.abs(at - duration * share) > 0.5 + duration / width) {
    throw new PlaybackError(`${what} of ${duration} s led to ${at} s`);
  }
  await page.evaluate(() => void document.querySelector('video').play());
  await waitFor(page, `it plays on after ${what}`, (from) => document.querySelector('video').currentTime > from + 0.4, at, timeout);
}
