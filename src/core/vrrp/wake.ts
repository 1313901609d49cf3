/**
 * When the shell wakes up for the sake of an instance's deadline, and when it has the step taken,
 * which need not be the deadline itself. It is awake a little before a backup has to take over, so
 * that what it takes to wake up is over by then. The advertisements of an active director are put off to a
 * grid of a 200th of their interval, so that many instances have theirs in the same wake-up;
 * the grid divides the interval, so each stays as late as it is and their distance is exact.
 */
import { nextDeadlineUs, type VrrpState } from './instance.ts';

/**
 * How long before a takeover the shell is awake. A timer, the event loop and code that has not run for long take some 250 us together on a machine
 * that is not busy, and up to 600 us on a virtual one whose processors sleep between packets.
 */
export const TAKEOVER_LEAD_US = 1_000;

/**
 * Parts of an interval that share their advertisements' wake-up. The first one after a takeover
 * comes late by up to such a part, which is less than the least skew time, 1/128 (priority 254).
 */
const GRID_PER_INTERVAL = 200;

/** The moment for a step of this state; null for never. */
export function stepAtUs(state: VrrpState, advertIntervalUs: number): number | null {
  const deadlineUs = nextDeadlineUs(state);
  if (deadlineUs === null || state.kind !== 'active') return deadlineUs;
  const gridUs = Math.max(1, Math.floor(advertIntervalUs / GRID_PER_INTERVAL));
  return Math.ceil(deadlineUs / gridUs) * gridUs;
}
