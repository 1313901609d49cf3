#!/usr/bin/env node
/**
 * `npm run demo`: from a clean clone on a bare Debian machine to a failover that no client
 * noticed. Installs what is missing, builds, and runs test/demo/demo.ts, whose exit code says
 * whether all that it showed was true.
 */
import { spawnSync } from 'node:child_process';
import { build, ensureModules, helpIfAsked, root, step } from './steps.mjs';

helpIfAsked(`Usage: npm run demo

Two directors, three web servers and one client on a kernel with IPVS: an election, balancing, a
server that fails, and the loss of the active director during a download. Needs root; installs what
is missing. Exit status 0 only if everything that it showed was true.
`);
ensureModules();
build();
step('Debian packages', process.execPath, ['dist/test/lab/install.js', 'demo']);
const demo = spawnSync(process.execPath, ['dist/test/demo/demo.js'], {
  cwd: root,
  stdio: 'inherit',
});
process.exit(demo.status ?? 1);
