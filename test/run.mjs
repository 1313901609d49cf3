#!/usr/bin/env node
/**
 * `npm test`: everything, from a clean clone. Installs what is missing (npm and Debian packages),
 * builds, lints, and runs every layer of tests; says in one sentence what it cannot do and how to
 * get it. Arguments select layers: `npm test -- unit netns`.
 *
 * Plain JavaScript, because it runs before anything is built.
 */
import { existsSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { runBeside, runShown } from './layer.mjs';
import { build, ensureModules, fail, helpIfAsked, root, step } from './steps.mjs';

/** vitest leaves one processor free, which on two is every second one. */
const PROCESSORS = availableParallelism();
/**
 * Layers in the order of their cost; vitest runs the files of one layer. With a closing slash,
 * or `test/servers` would be hostile-servers.test.ts of another folder, too. Those that must keep
 * real time run one file at a time (`atOnce`); `beside` all others goes what the emulator makes of
 * it, which takes one processor for each file. Not beside what `fills` all processors: a
 * guest that gets nothing for minutes does not boot in time.
 */
const LAYERS = [
  {
    name: 'unit',
    folders: ['test/unit/', 'test/property/', 'test/rfc/'],
    realTime: false,
    atOnce: PROCESSORS,
    fills: true,
  },
  { name: 'sim', folders: ['test/sim/'], realTime: false, atOnce: PROCESSORS },
  { name: 'netns', folders: ['test/netns/'], realTime: true, atOnce: 1 },
  { name: 'servers', folders: ['test/servers/'], realTime: true, atOnce: 1 },
  { name: 'interop', folders: ['test/interop/'], realTime: true, atOnce: 1 },
  { name: 'kernel', folders: ['test/kernel/'], realTime: true, atOnce: 2, beside: true },
];
/**
 * Where processes must keep real time, a machine that is busy elsewhere can make a right program
 * fail. So files of such layers that fail run once more; what passes then is told as unsteady,
 * never in silence. More files than these are no accident.
 */
const SECOND_TRY_FILES_MAX = 6;

const names = LAYERS.map(({ name }) => name).join(', ');
helpIfAsked(`Usage: npm test -- [LAYER...]

Installs what is missing, builds, lints, and runs all tests, or those of some layers:
${names}.
One file: npx vitest run --no-file-parallelism test/netns/vmac.test.ts
`);

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !LAYERS.some((layer) => layer.name === name));
if (unknown.length > 0) {
  fail(`No layer "${unknown[0]}"; the layers are ${names}.`);
}
const layers = LAYERS.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
const startedAtMs = Date.now();

ensureModules();
build();
step('lint', 'npx', ['--no-install', 'biome', 'ci', '--error-on-warnings', '.']);
step('Debian packages', process.execPath, ['dist/test/lab/install.js', 'tests']);
if (layers.some(({ name }) => name === 'kernel')) {
  step('kernel for the emulator', process.execPath, ['dist/test/lab/install.js', 'emulator']);
}

rmSync(join(root, '.cache', 'reports'), { recursive: true, force: true });
const results = await runAll();
const unsteady = await tryAgain(results);

/**
 * Layers one after another; what mostly computes, in the emulator, goes beside those that often
 * wait, and takes what they leave of the processors.
 */
async function runAll() {
  const found = [];
  const aside = layers.filter(({ beside }) => beside && layers.length > 1);
  const started = [];
  for (const layer of layers.filter((layer) => !aside.includes(layer))) {
    if (!layer.fills) start();
    found.push({ layer, files: await runShown(layer, layer.folders) });
  }
  start();
  for (const { layer, show } of started) found.push({ layer, files: await show() });
  return found;

  function start() {
    for (const layer of aside.splice(0)) {
      started.push({ layer, ...runBeside(layer, layer.folders) });
    }
  }
}

/** Runs what failed once more, when nothing runs beside it; returns what passes this time. */
async function tryAgain(results) {
  const passedNow = [];
  for (const result of results) {
    const { layer, files } = result;
    const failed = files.filter(({ passes }) => !passes);
    if (!layer.realTime || !mayRunAgain(failed)) continue;
    console.log(`\nOnce more what failed of ${layer.name}:`);
    const again = await runShown(
      { ...layer, atOnce: 1 },
      failed.map(({ path }) => path),
    );
    const passing = new Set(again.filter(({ passes }) => passes).map(({ path }) => path));
    passedNow.push(...failed.filter(({ path }) => passing.has(path)).flatMap(texts));
    result.files = [...files.filter(({ passes }) => passes), ...again];
  }
  return passedNow;
}

/** An error outside of all tests belongs to no file that could be run again. */
function mayRunAgain(failed) {
  if (failed.length === 0 || failed.length > SECOND_TRY_FILES_MAX) return false;
  return failed.every(({ path }) => existsSync(join(root, path)));
}

function texts({ path, failures }) {
  return failures.map((text) => `${path}: ${text}`);
}

const totals = { passed: 0, failed: 0, skipped: 0 };
const failures = [];
let failedLayers = 0;
for (const { files } of results) {
  if (files.length === 0 || files.some(({ passes }) => !passes)) failedLayers++;
  for (const file of files) {
    for (const key of ['passed', 'failed', 'skipped']) totals[key] += file[key];
    failures.push(...texts(file));
  }
}
const seconds = Math.round((Date.now() - startedAtMs) / 1000);
console.log(`\nAll layers took ${seconds} s.`);
if (totals.skipped > 0) console.log('A test that is left out is a defect here.');
if (unsteady.length > 0) {
  console.log(`\nUnsteady, passed only the second time:\n\n${unsteady.join('\n\n')}`);
}
// Last, because the end of a long output is what is read first, and all that some keep of it.
if (failures.length > 0) console.log(`\nWhat did not pass:\n\n${failures.join('\n\n')}\n`);
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exit(failedLayers === 0 && totals.skipped === 0 && totals.passed > 0 ? 0 : 1);
