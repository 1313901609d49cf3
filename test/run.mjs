#!/usr/bin/env node
/**
 * `npm test`: everything, from a clean clone. Installs what is missing (npm and Debian packages),
 * builds, lints, and runs every layer of tests; says in one sentence what it cannot do and how to
 * get it. Arguments select layers: `npm test -- unit netns`.
 *
 * Plain JavaScript, because it runs before anything is built.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build, ensureModules, fail, root, step } from './steps.mjs';

/** Layers in the order of their cost; vitest runs the files of one layer. */
const LAYERS = [
  { name: 'unit', folders: ['test/unit', 'test/property', 'test/rfc'], parallel: true },
  { name: 'sim', folders: ['test/sim'], parallel: true },
  { name: 'netns', folders: ['test/netns'], parallel: false },
  { name: 'servers', folders: ['test/servers'], parallel: false },
  { name: 'interop', folders: ['test/interop'], parallel: false },
  { name: 'kernel', folders: ['test/kernel'], parallel: false },
];

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !LAYERS.some((layer) => layer.name === name));
if (unknown.length > 0) {
  fail(`no layer "${unknown[0]}"; layers are ${LAYERS.map(({ name }) => name).join(', ')}`);
}
const layers = LAYERS.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
const startedAtMs = Date.now();

ensureModules();
build();
step('lint', 'npx', ['--no-install', 'biome', 'ci', '--error-on-warnings', '.']);
step('Debian packages', process.execPath, ['dist/test/lab/install.js', 'tests']);

const reports = join(root, '.cache', 'reports');
rmSync(reports, { recursive: true, force: true });
mkdirSync(reports, { recursive: true });
const totals = { passed: 0, failed: 0, skipped: 0 };
const failures = [];
let failedLayers = 0;
for (const layer of layers) {
  console.log(`\n=== ${layer.name} ===`);
  const report = join(reports, `${layer.name}.json`);
  const args = ['--no-install', 'vitest', 'run', '--reporter=default'];
  args.push('--reporter=./test/reporter.mjs');
  if (!layer.parallel) args.push('--no-file-parallelism');
  const result = spawnSync('npx', [...args, ...layer.folders], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, VIPKEEPER_TEST_REPORT: report },
  });
  if (result.status !== 0) failedLayers++;
  if (!existsSync(report)) {
    failures.push(`${layer.name}: vitest ended with ${result.status} and wrote no report`);
    continue;
  }
  const read = JSON.parse(readFileSync(report, 'utf8'));
  for (const key of ['passed', 'failed', 'skipped']) totals[key] += read[key];
  failures.push(...read.failures);
}

const seconds = Math.round((Date.now() - startedAtMs) / 1000);
console.log(`\nAll layers took ${seconds} s.`);
if (totals.skipped > 0) console.log('A test that is left out is a defect here.');
// Last, because the end of a long output is what is read first, and all that some keep of it.
if (failures.length > 0) console.log(`\nWhat did not pass:\n\n${failures.join('\n\n')}\n`);
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exit(failedLayers === 0 && totals.skipped === 0 && totals.passed > 0 ? 0 : 1);
