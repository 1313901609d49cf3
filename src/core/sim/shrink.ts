/**
 * Makes a failing scenario small: leaves out faults, in ever smaller groups, as long as the same
 * invariant is violated (delta debugging). What remains is the story of the failure.
 */
import type { Invariant } from './invariants.ts';
import type { Scenario } from './scenario.ts';
import { simulate } from './simulate.ts';

/** Each attempt is a whole run; enough for a few dozen faults. */
const RUNS_MAX = 300;

/**
 * Places of the faults of `scenario` that are needed to violate `invariant`, in order. All of
 * them when it is not violated to begin with.
 */
export function shrink(scenario: Scenario, invariant: Invariant): readonly number[] {
  let kept: readonly number[] = scenario.faults.map((_, place) => place);
  let runs = 0;
  const fails = (places: readonly number[]): boolean => {
    runs++;
    const { violations } = simulate({ scenario: withFaults(scenario, places), trace: 'none' });
    return violations.some((violation) => violation.invariant === invariant);
  };
  if (!fails(kept)) return kept;
  for (let group = Math.ceil(kept.length / 2); group >= 1; group = Math.floor(group / 2)) {
    for (let start = 0; start < kept.length && runs < RUNS_MAX; ) {
      const fewer = [...kept.slice(0, start), ...kept.slice(start + group)];
      if (fails(fewer)) kept = fewer;
      else start += group;
    }
  }
  return kept;
}

/** The scenario with only these of its faults. */
export function withFaults(scenario: Scenario, places: readonly number[]): Scenario {
  return { ...scenario, faults: scenario.faults.filter((_, place) => places.includes(place)) };
}
