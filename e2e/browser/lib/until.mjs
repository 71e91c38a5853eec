// Waiting for conditions, with a deadline.

const STEP = 50;

/** Waits until `condition` gives something truthy, and returns that. Throws after `timeout` ms. */
export async function until(what, condition, timeout = 20_000) {
  const deadline = performance.now() + timeout;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > deadline) throw new Error(`not within ${timeout / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, STEP));
  }
}
