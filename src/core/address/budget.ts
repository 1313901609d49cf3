/**
 * How often something may be put back that another program keeps removing: at once while that is
 * rare, once a second when it is a fight, so that neither side's machine is busy with it. A token
 * bucket: BURST tokens at most, one more every REFILL_US. Pure.
 */

/** Put back at once so many times in a row. */
export const RESTORES_BURST = 10;
/** From then on, one in this time. */
export const RESTORE_REFILL_US = 1_000_000;

export interface Budget {
  readonly tokens: number;
  /** When tokens were last counted. */
  readonly atUs: number;
}

/** Takes one token; `waitUs` above 0: there is none, and the next one comes in that time. */
export function spend(
  before: Budget | undefined,
  nowUs: number,
): { readonly budget: Budget; readonly waitUs: number } {
  const { tokens, atUs } = before ?? { tokens: RESTORES_BURST, atUs: nowUs };
  const passed = Math.floor(Math.max(0, nowUs - atUs) / RESTORE_REFILL_US);
  const filled = Math.min(RESTORES_BURST, tokens + passed);
  // A full bucket does not save time up.
  const countedUs = filled === RESTORES_BURST ? nowUs : atUs + passed * RESTORE_REFILL_US;
  if (filled > 0) return { budget: { tokens: filled - 1, atUs: countedUs }, waitUs: 0 };
  return {
    budget: { tokens: 0, atUs: countedUs },
    waitUs: countedUs + RESTORE_REFILL_US - nowUs,
  };
}
