/**
 * Delay before a process that died is started again: at once the first time, then doubling up
 * to a bound, and from the beginning after it lived long enough.
 */

const FIRST_DELAY_US = 1_000_000;
const DELAY_MAX_US = 60_000_000;
/** A process that lived this long is taken as healthy: its death starts a new count. */
const HEALTHY_LIFE_US = 60_000_000;

export interface Backoff {
  readonly failures: number;
}

export const NO_FAILURES: Backoff = { failures: 0 };

/** The count after a death, and how long to wait before the next start. */
export function afterDeath(
  backoff: Backoff,
  livedUs: number,
): { readonly backoff: Backoff; readonly delayUs: number } {
  const failures = livedUs >= HEALTHY_LIFE_US ? 0 : backoff.failures;
  const delayUs = failures === 0 ? 0 : Math.min(FIRST_DELAY_US * 2 ** (failures - 1), DELAY_MAX_US);
  return { backoff: { failures: failures + 1 }, delayUs };
}
