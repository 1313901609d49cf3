/** Shrinking: keeps what a violation needs and nothing else. */
import { expect, test } from 'vitest';
import type { Scenario, SimFault } from '../../../../src/core/sim/scenario.ts';
import { shrink, withFaults } from '../../../../src/core/sim/shrink.ts';
import { simulate } from '../../../../src/core/sim/simulate.ts';
import { cluster, director, instance, SECOND } from '../../../sim/cluster.ts';

function scenario(faults: readonly SimFault[]): Scenario {
  const directors = ['a', 'b'].map((name, index) =>
    director(name, [instance(name, { priority: 200 - 100 * index })]),
  );
  return { seed: 1, cluster: cluster(directors), faults, durationUs: 60 * SECOND };
}

const harmless: readonly SimFault[] = [10, 11, 12, 13, 14, 15, 16].map((second) => ({
  kind: 'drift',
  atUs: second * SECOND,
  director: second % 2,
  driftPpm: second,
}));
/** No clock is as slow as this: the active is late though no fault excuses it. */
const fatal: SimFault = { kind: 'drift', atUs: 30 * SECOND, director: 0, driftPpm: -800_000 };

test('shrink finds the one fault of many that a violation needs', () => {
  const faults = [...harmless.slice(0, 5), fatal, ...harmless.slice(5)];
  const whole = scenario(faults);
  const [violation] = simulate({ scenario: whole, trace: 'none' }).violations;
  expect(violation).toBeDefined();
  expect(shrink(whole, violation?.invariant ?? 'one-active')).toEqual([5]);
  expect(withFaults(whole, [5]).faults).toEqual([fatal]);
});

test('shrink returns every fault of a scenario that passes', () => {
  const whole = scenario(harmless);
  expect(simulate({ scenario: whole, trace: 'none' }).violations).toEqual([]);
  expect(shrink(whole, 'one-active')).toEqual(harmless.map((_, place) => place));
});
