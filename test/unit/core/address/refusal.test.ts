import { describe, expect, it } from 'vitest';
import {
  hastenedPauseUs,
  relapsesAfter,
  TRIAL_US,
  TRIAL_US_MIN,
  trialPauseUs,
} from '../../../../src/core/address/refusal.ts';

describe('the pause between trials of a refused address', () => {
  it('doubles with each trial that was taken back, up to a bound', () => {
    expect([0, 1, 2].map(trialPauseUs)).toEqual([TRIAL_US, 2 * TRIAL_US, 4 * TRIAL_US]);
    const longest = trialPauseUs(10);
    expect(longest).toBe(320_000_000);
    expect(trialPauseUs(1_000_000)).toBe(longest);
  });

  it('is one second when something has changed, unless a trial was taken back', () => {
    expect(hastenedPauseUs(0, 0)).toBe(TRIAL_US_MIN);
    expect(hastenedPauseUs(0, 400_000)).toBe(TRIAL_US_MIN - 400_000);
    expect(hastenedPauseUs(0, 60_000_000)).toBe(0);
    expect(hastenedPauseUs(2, 0)).toBe(trialPauseUs(2));
  });
});

it('counts refusals soon after a trial that succeeded, and forgets them later', () => {
  expect(relapsesAfter(0, Number.POSITIVE_INFINITY)).toBe(0);
  expect(relapsesAfter(0, 2_000_000)).toBe(1);
  expect(relapsesAfter(1, 2_000_000)).toBe(2);
  expect(relapsesAfter(7, 600_000_000)).toBe(0);
});
