/**
 * Runs the benchmarks that are named, or all: `node dist/test/bench/main.js [NAME...] [--runs N]
 * [--json]`. Tables for people; with --json the reports as one JSON value on standard output
 * instead, and progress on standard error. A missed target is a result, not an error: the exit
 * code is 1 only when something could not be measured.
 */
import { parseArgs } from 'node:util';
import { LabError } from '../lab/host.ts';
import { BENCHMARKS, isBenchmark } from './benchmarks.ts';
import { describeMachine, print, printReport, type Report, summarize, toStderr } from './report.ts';

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { runs: { type: 'string' }, json: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  const runs = values.runs === undefined ? null : Number(values.runs);
  if (runs !== null && !(Number.isInteger(runs) && runs >= 1)) {
    throw new LabError(`--runs is a whole number from 1 on, not "${values.runs}"`);
  }
  const names = positionals.length > 0 ? positionals : Object.keys(BENCHMARKS);
  const unknown = names.find((name) => !isBenchmark(name));
  if (unknown !== undefined) {
    throw new LabError(`No benchmark "${unknown}": ${Object.keys(BENCHMARKS).join(', ')}`);
  }
  if (values.json) toStderr();
  print(describeMachine());
  const reports: Report[] = [];
  for (const name of names.filter(isBenchmark)) {
    const startedAtMs = performance.now();
    reports.push(await BENCHMARKS[name](runs));
    print(`${name}: done in ${minutes(performance.now() - startedAtMs)}`);
  }
  for (const report of reports) printReport(report);
  if (values.json) process.stdout.write(`${JSON.stringify(jsonOf(reports), null, 2)}\n`);
}

/** '3.2 minutes' */
function minutes(ms: number): string {
  return `${(ms / 60_000).toFixed(1)} minutes`;
}

function jsonOf(reports: readonly Report[]): unknown {
  return {
    machine: describeMachine(),
    reports: reports.map((report) => ({
      ...report,
      rows: report.rows.map((row) => ({ ...row, ...summarize(row.samples) })),
    })),
  };
}

try {
  await main();
} catch (error) {
  const { code = '' } = error as { code?: string };
  if (!(error instanceof LabError) && !code.startsWith('ERR_PARSE_ARGS')) throw error;
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
