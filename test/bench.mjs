#!/usr/bin/env node
/**
 * `npm run bench -- NAME... [--runs N] [--json]`: measurements side by side with
 * keepalived, ipvsadm and bare Node processes; without a name, all of them. Installs what is
 * missing, builds, and runs test/bench/main.ts; see docs/benchmarks.md. `--help` and `--list` need
 * nothing of that.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, ensureModules, helpIfAsked, root, step } from './steps.mjs';

const list = JSON.parse(readFileSync(join(root, 'test/bench/list.json'), 'utf8'));
const table = list
  .map(({ name, about, minutes }) => `  ${name.padEnd(13)}${about}; about ${minutes} minutes\n`)
  .join('');
const total = list.reduce((sum, { minutes }) => sum + minutes, 0);

helpIfAsked(`Usage: npm run bench -- [NAME...] [--runs N] [--json]
       npm run bench -- --list [--json]

Measures vipkeeper side by side with keepalived and ipvsadm: all benchmarks, or those named.
docs/benchmarks.md says what each measures, and how. Needs root; installs what is missing.

${table}
All of them take about ${Math.round(total / 60)} hours: these are rough times of two processors where the kernel has
no IPVS, so that those marked (IPVS) run in an emulated machine, which is made first.

  --runs N   how many runs of each; 1 shows that it works
  --json     reports as JSON on standard output, progress on standard error
  --list     names them, with a sentence each
`);
if (process.argv.includes('--list')) {
  process.stdout.write(
    process.argv.includes('--json') ? `${JSON.stringify(list, null, 2)}\n` : table,
  );
  process.exit(0);
}
ensureModules();
build();
step('Debian packages', process.execPath, ['dist/test/lab/install.js', 'bench']);
const bench = spawnSync(process.execPath, ['dist/test/bench/main.js', ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
});
process.exit(bench.status ?? 1);
