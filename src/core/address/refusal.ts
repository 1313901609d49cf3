/**
 * When addresses that the kernel refused are tried again. Each time that it took one in a trial and
 * refused all of them soon afterwards, the pause between trials is twice as long: an instance must
 * not go in and out of fault. Pure.
 */

/** The pause between two trials. */
export const TRIAL_US = 5_000_000;
/** However often the kernel has changed its mind. */
const TRIAL_US_MAX = 320_000_000;
/** A change of links or addresses has them tried earlier, but not more often than this. */
export const TRIAL_US_MIN = 1_000_000;
/** A refusal so soon after a trial that succeeded shows that the trial said nothing. */
const RELAPSE_US = 600_000_000;

/** How often in a row a trial was taken back, for a refusal this long after the last that succeeded. */
export function relapsesAfter(relapses: number, sinceTakenUs: number): number {
  return sinceTakenUs < RELAPSE_US ? relapses + 1 : 0;
}

/** How long to wait for the next trial after one that failed, or after the refusal. */
export function trialPauseUs(relapses: number): number {
  return Math.min(TRIAL_US * 2 ** Math.min(relapses, 10), TRIAL_US_MAX);
}

/** What is left of that pause when links or addresses have changed `sinceTrialUs` after it began. */
export function hastenedPauseUs(relapses: number, sinceTrialUs: number): number {
  const leastUs = relapses === 0 ? TRIAL_US_MIN : trialPauseUs(relapses);
  return Math.max(0, leastUs - sinceTrialUs);
}
