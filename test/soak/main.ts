/** The command line of the soak: see test/soak.mjs. */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { FAULTS, type FaultName } from './faults.ts';
import { soak } from './soak.ts';

const MINUTES = 60;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    seed: { type: 'string' },
    busy: { type: 'string' },
    only: { type: 'string', multiple: true, default: [] },
  },
});
const minutes = Number(values.minutes ?? MINUTES);
const seed = Number(values.seed ?? 1);
const busy = Number(values.busy ?? 2 * availableParallelism());
const names = Object.keys(FAULTS) as FaultName[];
const only = names.filter((name) => values.only.includes(name));
if (!(minutes > 0) || !Number.isSafeInteger(seed) || !Number.isSafeInteger(busy) || busy < 0) {
  process.stderr.write('--minutes is a number above 0, --seed and --busy are whole numbers\n');
  process.exit(2);
}
if (only.length < values.only.length) {
  process.stderr.write(`--only is one of: ${names.join(', ')}\n`);
  process.exit(2);
}
const report = await soak({
  durationMs: minutes * 60_000,
  seed,
  busy,
  faults: only.length > 0 ? only : names,
  progress: (line) => process.stdout.write(`${new Date().toISOString()} ${line}\n`),
});
const { failures, ...figures } = report;
for (const [name, value] of Object.entries(figures)) process.stdout.write(`${name}: ${value}\n`);
for (const failure of failures) process.stdout.write(`FAILED: ${failure}\n`);
process.exit(failures.length === 0 ? 0 : 1);
