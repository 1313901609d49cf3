/** DeadlineTimer: never early, once for each arming, disarmed means silent. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { monotonicUs } from '../../../src/linux/clock.ts';
import { DeadlineTimer } from '../../../src/linux/timer.ts';

/** A loaded machine may be slow; no assertion depends on being fast. */
const PATIENCE = { timeout: 10_000, interval: 5 };
const timers: DeadlineTimer[] = [];

function makeTimer(onFire: () => void): DeadlineTimer {
  const timer = new DeadlineTimer(onFire);
  timers.push(timer);
  return timer;
}

afterEach(() => {
  for (const timer of timers.splice(0)) timer.close();
});

/** Resolves when a second timer has fired: what was due before `atUs` has fired then too. */
function reached(atUs: number): Promise<void> {
  return new Promise((resolve) => makeTimer(resolve).arm(atUs));
}

describe('DeadlineTimer', () => {
  test('never fires before its deadline, in 200 armings', async () => {
    const earlyUs: number[] = [];
    let count = 0;
    let deadlineUs = 0;
    const next = () => {
      // Odd offsets, so that deadlines fall anywhere within a millisecond.
      deadlineUs = monotonicUs() + 137 + ((count * 971) % 2_000);
      timer.arm(deadlineUs);
    };
    const timer = makeTimer(() => {
      const lateUs = monotonicUs() - deadlineUs;
      if (lateUs < 0) earlyUs.push(lateUs);
      count++;
      if (count < 200) next();
    });
    next();
    await vi.waitFor(() => expect(count).toBe(200), PATIENCE);
    expect(earlyUs).toEqual([]);
  });

  test('fires at once for a deadline that is past, 0 and negative ones included', async () => {
    for (const atUs of [monotonicUs() - 1, 0, -5]) {
      const fired = vi.fn();
      makeTimer(fired).arm(atUs);
      await vi.waitFor(() => expect(fired).toHaveBeenCalledTimes(1), PATIENCE);
    }
  });

  test('fires once, and not again until it is armed again', async () => {
    const fired = vi.fn();
    const timer = makeTimer(fired);
    const atUs = monotonicUs() + 1_000;
    timer.arm(atUs);
    await vi.waitFor(() => expect(fired).toHaveBeenCalledTimes(1), PATIENCE);
    await reached(monotonicUs() + 5_000);
    expect(fired).toHaveBeenCalledTimes(1);
    timer.arm(atUs);
    await vi.waitFor(() => expect(fired).toHaveBeenCalledTimes(2), PATIENCE);
  });

  test('arming anew replaces the deadline, to later and to earlier', async () => {
    const firedAtUs: number[] = [];
    const timer = makeTimer(() => firedAtUs.push(monotonicUs()));
    const laterUs = monotonicUs() + 30_000;
    timer.arm(monotonicUs() + 2_000);
    timer.arm(laterUs);
    await vi.waitFor(() => expect(firedAtUs).toHaveLength(1), PATIENCE);
    expect(firedAtUs[0]).toBeGreaterThanOrEqual(laterUs);
    timer.arm(monotonicUs() + 3_600_000_000);
    timer.arm(monotonicUs() + 2_000);
    await vi.waitFor(() => expect(firedAtUs).toHaveLength(2), PATIENCE);
  });

  test('does not fire for an expiry that was replaced before the loop heard of it', async () => {
    const fired = vi.fn();
    const timer = makeTimer(fired);
    const soonUs = monotonicUs() + 500;
    timer.arm(soonUs);
    // The expiry happens while the event loop cannot look.
    while (monotonicUs() < soonUs + 500);
    timer.arm(monotonicUs() + 3_600_000_000);
    await reached(monotonicUs() + 5_000);
    expect(fired).not.toHaveBeenCalled();
  });

  test('null disarms, also after the expiry', async () => {
    const fired = vi.fn();
    const timer = makeTimer(fired);
    const soonUs = monotonicUs() + 500;
    timer.arm(soonUs);
    while (monotonicUs() < soonUs + 500);
    timer.arm(null);
    await reached(monotonicUs() + 5_000);
    expect(fired).not.toHaveBeenCalled();
  });

  test('arming for the deadline that is set keeps it', async () => {
    const fired = vi.fn();
    const timer = makeTimer(fired);
    const atUs = monotonicUs() + 2_000;
    timer.arm(atUs);
    timer.arm(atUs);
    await vi.waitFor(() => expect(fired).toHaveBeenCalledTimes(1), PATIENCE);
    await reached(monotonicUs() + 5_000);
    expect(fired).toHaveBeenCalledTimes(1);
  });

  test('close from within onFire, and again, ends it', async () => {
    const fired = vi.fn(() => timer.close());
    const timer = makeTimer(fired);
    timer.arm(1);
    await vi.waitFor(() => expect(fired).toHaveBeenCalledTimes(1), PATIENCE);
    expect(() => timer.close()).not.toThrow();
    expect(() => timer.arm(1)).toThrow('A closed timer is not armed');
  });
});
