#!/usr/bin/env node
/**
 * `npm run sim -- --seeds N`: whole clusters under random faults, one seed after the other, on
 * all cores; `--seed N` shows one with every packet. Builds and runs test/sim/main.ts, which
 * `--help` explains; see docs/simulation.md.
 */
import { spawnSync } from 'node:child_process';
import { build, ensureModules, root } from './steps.mjs';

ensureModules();
build();
const sim = spawnSync(process.execPath, ['dist/test/sim/main.js', ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
});
process.exit(sim.status ?? 1);
