#!/usr/bin/env node
/**
 * `npm run soak -- [--minutes N] [--seed N] [--busy N] [--only FAULT]`: a pair of directors under one fault after another,
 * for an hour if nothing is said. Installs what is missing, builds, and runs test/soak/main.ts.
 */
import { spawnSync } from 'node:child_process';
import { build, ensureModules, helpIfAsked, root, step } from './steps.mjs';

helpIfAsked(`Usage: npm run soak -- [--minutes N] [--seed N] [--busy N] [--only FAULT]...

Keeps a pair of directors under one fault after another and checks that every failover was right.
Needs root; installs what is missing.

  --minutes N   how long (default 60)
  --seed N      which faults, in which order (default 1)
  --busy N      loops that keep the processors busy (default twice as many as there are)
  --only FAULT  this fault alone, such as 'keeper killed'; may be repeated
`);
ensureModules();
build();
step('Debian packages', process.execPath, ['dist/test/lab/install.js', 'bench']);
const soak = spawnSync(process.execPath, ['dist/test/soak/main.js', ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
});
process.exit(soak.status ?? 1);
