/**
 * Whole clusters under random faults, one seed after the other. VIPKEEPER_SIM_SEEDS sets how many
 * (2,000 by default), VIPKEEPER_SIM_FIRST where they begin; VIPKEEPER_SIM_SEED replays one, with
 * every packet, and VIPKEEPER_SIM_FAULTS (places, separated by commas) only some of its faults.
 */
import { describe, expect, test } from 'vitest';
import { generate } from '../../src/core/sim/generate.ts';
import { shrink, withFaults } from '../../src/core/sim/shrink.ts';
import { describeFault, simulate } from '../../src/core/sim/simulate.ts';

const TRACE_LINES = 40;
const COMMAND = 'npx vitest run test/sim/sweep.test.ts';
const TIMEOUT_MS = 24 * 3_600_000;

function number(name: string, otherwise: number): number {
  const text = process.env[name];
  if (text === undefined || text === '') return otherwise;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new Error(`${name} is not a whole number`);
  return value;
}

/** What failed, the faults that are needed for it, its last moments, and how to see it again. */
function report(seed: number): string {
  const scenario = generate(seed);
  const [violation] = simulate({ scenario, trace: 'none' }).violations;
  if (violation === undefined) return `seed ${seed} passes`;
  const places = shrink(scenario, violation.invariant);
  const small = withFaults(scenario, places);
  const { trace } = simulate({ scenario: small, trace: 'packets' });
  return [
    `seed ${seed} violates ${violation.invariant} with these faults:`,
    ...small.faults.map((fault) => `  ${describeFault(fault)}`),
    ...trace.slice(-TRACE_LINES),
    'Replay it with:',
    `  VIPKEEPER_SIM_SEED=${seed} VIPKEEPER_SIM_FAULTS=${places.join(',')} ${COMMAND}`,
  ].join('\n');
}

function replay(seed: number): void {
  const faults = process.env.VIPKEEPER_SIM_FAULTS;
  const whole = generate(seed);
  const scenario = faults === undefined ? whole : withFaults(whole, faults.split(',').map(Number));
  const { trace, violations } = simulate({ scenario, trace: 'packets' });
  console.log(JSON.stringify(scenario.cluster, null, 2));
  for (const fault of scenario.faults) console.log(describeFault(fault));
  for (const line of trace) console.log(line);
  expect(violations).toEqual([]);
}

function sweep(): void {
  const first = number('VIPKEEPER_SIM_FIRST', 0);
  const count = number('VIPKEEPER_SIM_SEEDS', 2_000);
  const startedAtMs = performance.now();
  let simulatedUs = 0;
  let restUs = 0;
  let takeovers = 0;
  for (let seed = first; seed < first + count; seed++) {
    const { violations, statistics } = simulate({ scenario: generate(seed), trace: 'none' });
    if (violations.length > 0) expect.fail(report(seed));
    simulatedUs += statistics.simulatedUs;
    restUs += statistics.restUs;
    takeovers += statistics.takeovers;
  }
  const seconds = (performance.now() - startedAtMs) / 1_000;
  const hours = simulatedUs / 3_600_000_000;
  const restPercent = Math.round((100 * restUs) / simulatedUs);
  console.log(
    `${count} seeds, ${hours.toFixed(1)} simulated hours (${(hours / seconds).toFixed(1)} per ` +
      `second), ${takeovers} takeovers, at rest ${restPercent}% of the time`,
  );
  // A sweep in which nothing happens, or which never comes to rest, would prove nothing.
  expect(takeovers).toBeGreaterThan(count);
  expect(restUs / simulatedUs).toBeGreaterThan(0.1);
}

describe('a simulated cluster', () => {
  const seed = process.env.VIPKEEPER_SIM_SEED;
  if (seed !== undefined) {
    test(`keeps every invariant with seed ${seed}`, () => replay(number('VIPKEEPER_SIM_SEED', 0)));
  } else {
    test('keeps every invariant with every seed', { timeout: TIMEOUT_MS }, sweep);
  }
});
