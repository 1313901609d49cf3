/** The command line of the soak: `node dist/test/soak/main.js [--minutes N] [--seed N]`. */
import { parseArgs } from 'node:util';
import { soak } from './soak.ts';

const MINUTES = 60;

const { values } = parseArgs({
  options: { minutes: { type: 'string' }, seed: { type: 'string' } },
});
const minutes = Number(values.minutes ?? MINUTES);
const seed = Number(values.seed ?? 1);
if (!(minutes > 0) || !Number.isSafeInteger(seed)) {
  process.stderr.write('--minutes is a number above 0, --seed a whole number\n');
  process.exit(2);
}
const report = await soak({
  durationMs: minutes * 60_000,
  seed,
  progress: (line) => process.stdout.write(`${new Date().toISOString()} ${line}\n`),
});
const { failures, ...figures } = report;
for (const [name, value] of Object.entries(figures)) process.stdout.write(`${name}: ${value}\n`);
for (const failure of failures) process.stdout.write(`FAILED: ${failure}\n`);
process.exit(failures.length === 0 ? 0 : 1);
