/**
 * One layer of tests: runs vitest on its files and reads what test/reporter.mjs says of each.
 * Shown as it goes, or beside another layer: in the background, with its output kept until its
 * end. Plain JavaScript, like run.mjs.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { BACKGROUND, toForeground, weakenSessions } from './priority.mjs';
import { root } from './steps.mjs';

const PROGRESS_MS = 30_000;
const WEAKEN_MS = 1_000;
const VITEST = join(root, 'node_modules', 'vitest', 'vitest.mjs');
/** A line of vitest's about a file that has run. */
const FILE_LINE = /^ *[✓❯×] test\/\S+\.test\.ts/;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  // An end like any other, at which running tests are ended too.
  process.on(signal, () => process.exit(128 + constants.signals[signal]));
}

/** Runs test files with their output shown; resolves with what the reporter says of each. */
export async function runShown(layer, files) {
  console.log(`\n=== ${layer.name} ===`);
  const { child, result } = runTests(layer, files, { command: [], stdio: 'inherit' });
  const end = () => child.kill();
  process.on('exit', end);
  const read = await result;
  process.off('exit', end);
  return read;
}

/**
 * Starts a layer in the background. `show()` gives it the processors like anybody else and
 * resolves, after its end, with what the reporter says; its output is then printed as a whole.
 */
export function runBeside(layer, files) {
  const startedAtMs = Date.now();
  const stdio = ['ignore', 'pipe', 'pipe'];
  const { child, result } = runTests(layer, files, { command: BACKGROUND, stdio });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  }
  const weaken = setInterval(() => weakenSessions(child.pid), WEAKEN_MS);
  const progress = setInterval(() => {
    const lines = stripVTControlCharacters(output).split('\n');
    const done = lines.filter((line) => FILE_LINE.test(line)).length;
    const seconds = Math.round((Date.now() - startedAtMs) / 1000);
    console.log(`(${layer.name}, in the background: ${done} files done in ${seconds} s)`);
  }, PROGRESS_MS);
  const end = () => child.kill();
  process.on('exit', end);
  const stopTimers = () => {
    clearInterval(weaken);
    clearInterval(progress);
  };
  child.once('close', stopTimers);
  child.once('error', stopTimers);
  return {
    async show() {
      clearInterval(weaken);
      toForeground(child.pid);
      const read = await result;
      process.off('exit', end);
      console.log(`\n=== ${layer.name}, which ran beside the others ===`);
      process.stdout.write(output);
      return read;
    },
  };
}

function runTests({ name, atOnce }, files, { command, stdio }) {
  const report = join(root, '.cache', 'reports', `${name}.json`);
  mkdirSync(dirname(report), { recursive: true });
  rmSync(report, { force: true });
  // Itself, and not by npx: what ends this process ends it.
  const args = [process.execPath, VITEST, 'run', '--reporter=default'];
  args.push('--reporter=./test/reporter.mjs');
  if (atOnce !== undefined) args.push(`--maxWorkers=${atOnce}`);
  const [program, ...rest] = [...command, ...args, ...files];
  const env = { ...process.env, VIPKEEPER_TEST_REPORT: report };
  const child = spawn(program, rest, { cwd: root, stdio, env });
  const result = new Promise((resolve) => {
    const ended = (how) => {
      if (existsSync(report)) return resolve(JSON.parse(readFileSync(report, 'utf8')));
      const failures = [`vitest ended with ${how} and wrote no report`];
      resolve([{ path: name, passes: false, passed: 0, failed: 0, skipped: 0, failures }]);
    };
    child.once('close', (code, signal) => ended(signal ?? code));
    child.once('error', (error) => ended(error.message));
  });
  return { child, result };
}
