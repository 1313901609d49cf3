/**
 * `npm run sim`: a sweep over seeds, or one seed with every packet. Exit status 0 when every
 * invariant held, 1 when one did not or too few seeds ran to say so, 2 for a wrong command line.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { generate } from '../../src/core/sim/generate.ts';
import type { Scenario } from '../../src/core/sim/scenario.ts';
import { withFaults } from '../../src/core/sim/shrink.ts';
import { describeFault, simulate } from '../../src/core/sim/simulate.ts';
import { minimalTranscript } from './report.ts';
import { type SweepSums, sweep } from './sweep.ts';

const SEEDS = 10_000;
/** Fewer tell too little: when the time is over before, that is a failure. */
const SEEDS_FLOOR = 2_000;
/** Below this share the strongest invariants were hardly looked at. */
const REST_SHARE_MIN = 0.1;
const SEED_MAX = 2 ** 32 - 1;

const HELP = `Usage: npm run sim -- [options]

Runs whole VRRP clusters in a deterministic world, under random faults, and holds them against the
invariants of src/core/sim/judge.ts. One seed is one run, the same on every machine.

  --seeds N          how many seeds to run (default ${SEEDS})
  --first N          the first of them (default 0)
  --seconds N        begin no more seeds after this time (default: no limit); fewer than
                     ${SEEDS_FLOOR} (or than --seeds) are a failure
  --threads N        default: one a core
  --seed N           show one seed: its cluster, its faults, every packet and transition
  --faults A,B       with --seed: only these of its faults, by their places from 0
  --json             with --seed: the scenario and its trace as JSON
  --help             show this

Exit status: 0 every invariant held; 1 one was violated, or too few seeds ran; 2 usage.
`;

const OPTIONS = {
  seeds: { type: 'string' },
  first: { type: 'string' },
  seconds: { type: 'string' },
  threads: { type: 'string' },
  seed: { type: 'string' },
  faults: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

class Usage extends Error {}

type Values = ReturnType<typeof parse>;

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true }).values;
  } catch (error) {
    throw new Usage(error instanceof Error ? error.message : String(error));
  }
}

function whole(values: Values, name: keyof Values & string, otherwise: number): number {
  const text = values[name];
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (text === '' || !Number.isInteger(value) || value < 0 || value > SEED_MAX) {
    throw new Usage(`--${name} takes a whole number from 0 to ${SEED_MAX}, found ${text}`);
  }
  return value;
}

function showSeed(values: Values): boolean {
  const scenario = chooseFaults(generate(whole(values, 'seed', 0)), values.faults);
  const { trace, violations, statistics } = simulate({ scenario, trace: 'packets' });
  if (values.json === true) {
    console.log(JSON.stringify({ scenario, trace, violations, statistics }, null, 2));
    return violations.length === 0;
  }
  console.log(JSON.stringify(scenario.cluster, null, 2));
  for (const [place, fault] of scenario.faults.entries()) {
    console.log(`fault ${place}: ${describeFault(fault)}`);
  }
  for (const line of trace) console.log(line);
  const [violation] = violations;
  console.log(
    violation === undefined
      ? 'Every invariant held.'
      : `Violated: ${violation.invariant}: ${violation.message}`,
  );
  return violation === undefined;
}

function chooseFaults(scenario: Scenario, text: string | undefined): Scenario {
  if (text === undefined) return scenario;
  const places = text === '' ? [] : text.split(',').map(Number);
  const wrong = places.find((place) => scenario.faults[place] === undefined);
  if (wrong === undefined) return withFaults(scenario, places);
  const last = scenario.faults.length - 1;
  throw new Usage(`--faults takes places from 0 to ${last}, separated by commas, found ${text}`);
}

async function runSweep(values: Values): Promise<boolean> {
  const seeds = whole(values, 'seeds', SEEDS);
  const first = whole(values, 'first', 0);
  const seconds = values.seconds === undefined ? null : whole(values, 'seconds', 0);
  const live = process.stderr.isTTY === true;
  const startedAtMs = performance.now();
  const sums = await sweep({
    first,
    seeds,
    threads: Math.max(1, whole(values, 'threads', availableParallelism())),
    budgetMs: seconds === null ? Number.POSITIVE_INFINITY : seconds * 1_000,
    onProgress: (ran) => {
      if (live) process.stderr.write(`\r${ran} of ${seeds} seeds`);
    },
  });
  if (live) process.stderr.write('\r\u001b[K');
  console.log(summary(sums, performance.now() - startedAtMs));
  const [failed] = sums.failed;
  if (failed !== undefined) {
    console.log(minimalTranscript(failed) ?? `Seed ${failed} failed in a thread and not alone`);
    return false;
  }
  const problem = tooLittle(sums, { seeds, seconds });
  if (problem !== null) console.log(problem);
  return problem === null;
}

/** A sweep that ran too little, or in which nothing happens, proves nothing. */
function tooLittle(
  sums: SweepSums,
  asked: { readonly seeds: number; readonly seconds: number | null },
): string | null {
  const floor = Math.min(asked.seeds, SEEDS_FLOOR);
  if (sums.ran < floor) {
    return `Only ${sums.ran} seeds ran in ${asked.seconds} s; expected ${floor} or more.`;
  }
  if (asked.seeds < SEEDS_FLOOR) return null;
  if (sums.takeovers < sums.ran) return `Only ${sums.takeovers} takeovers: too quiet a sweep.`;
  const restShare = sums.restUs / sums.simulatedUs;
  return restShare < REST_SHARE_MIN ? 'The clusters were hardly ever at rest.' : null;
}

function summary(sums: SweepSums, tookMs: number): string {
  const hours = sums.simulatedUs / 3_600_000_000;
  const restPercent = Math.round((100 * sums.restUs) / sums.simulatedUs);
  return (
    `${sums.ran} seeds in ${(tookMs / 1_000).toFixed(1)} s: ${hours.toFixed(1)} simulated hours, ` +
    `${sums.takeovers} takeovers, at rest ${restPercent}% of the time, ${sums.failed.length} failed`
  );
}

async function main(): Promise<number> {
  try {
    const values = parse(process.argv.slice(2));
    if (values.help === true) {
      process.stdout.write(HELP);
      return 0;
    }
    if (values.seed !== undefined) return showSeed(values) ? 0 : 1;
    if (values.faults !== undefined) throw new Usage('--faults needs --seed');
    return (await runSweep(values)) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof Usage)) throw error;
    console.error(`${error.message}\nSee: npm run sim -- --help`);
    return 2;
  }
}

process.exitCode = await main();
