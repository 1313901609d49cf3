#!/usr/bin/env node
/**
 * `npm run bench -- NAME... [--runs N] [--json]`: measurements side by side with
 * keepalived, ipvsadm and bare Node processes; without a name, all of them. Installs what is
 * missing, builds, and runs test/bench/main.ts; see docs/benchmarks.md.
 */
import { spawnSync } from 'node:child_process';
import { build, ensureModules, helpIfAsked, root, step } from './steps.mjs';

helpIfAsked(`Usage: npm run bench -- [NAME...] [--runs N] [--json]

Measures vipkeeper side by side with keepalived and ipvsadm: all benchmarks, or those named.
docs/benchmarks.md lists them and says what each measures. Needs root; installs what is missing.

  --runs N   how many runs of each
  --json     reports as JSON on standard output, progress on standard error
`);
ensureModules();
build();
step('Debian packages', process.execPath, ['dist/test/lab/install.js', 'bench']);
const bench = spawnSync(process.execPath, ['dist/test/bench/main.js', ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
});
process.exit(bench.status ?? 1);
