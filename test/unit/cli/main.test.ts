/**
 * The program as a process, compiled: what the shell and the service manager see of it.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KEEPER_NODE_FLAGS } from '../../../src/core/processes.ts';

const ROOT = join(import.meta.dirname, '../../..');
const MAIN = join(ROOT, 'dist/src/main.js');
/** The launcher of an installation and its bundles, as `npm run build` made them. */
const LAUNCHER = join(ROOT, 'dist/start/vipkeeper');
const BUILD_TIMEOUT_MS = 120_000;

let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'vipkeeper-main-'));
  // What is run is what was written: a stale build would prove nothing.
  const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
  spawnSync(process.execPath, [compiler, '-b', 'src'], { cwd: ROOT });
}, BUILD_TIMEOUT_MS);

afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

function run(args: readonly string[], env: Record<string, string> = {}) {
  const options = { encoding: 'utf8', env: { ...process.env, ...env } } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], options);
  return { status, stdout, stderr };
}

describe('vipkeeper', () => {
  test('tells its version', () => {
    expect(run(['--version'])).toEqual({ status: 0, stdout: 'vipkeeper 0.1.0\n', stderr: '' });
  });

  test('a usage error is one line and exit status 2, also before the keeper', () => {
    expect(run(['run', '--confg', 'x'])).toEqual({
      status: 2,
      stdout: '',
      stderr: "VK-USAGE: Unknown option '--confg'. See `vipkeeper run --help`.\n",
    });
    expect(run(['chekc']).status).toBe(2);
  });

  test('run --help shows help and starts nothing', () => {
    const { status, stdout } = run(['run', '--help']);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^Usage: vipkeeper run /);
  });

  test('the launcher answers what no keeper has to as well', () => {
    const launch = (...args: string[]) => spawnSync(LAUNCHER, args, { encoding: 'utf8' });
    expect(launch('run', '--help').stdout).toBe(run(['run', '--help']).stdout);
    const refused = launch('run', '--confg', 'x');
    expect([refused.status, refused.stderr]).toEqual([2, run(['run', '--confg', 'x']).stderr]);
    expect(launch('cleanup', '--help').stdout).toBe(run(['cleanup', '--help']).stdout);
  });

  test('the launcher cleans up before all ordinary processes, where that is allowed', () => {
    const programs = mkdtempSync(join(directory, 'programs-'));
    const program = (name: string, text: string) =>
      writeFileSync(join(programs, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    program('node', 'chrt -p $$ | head -n 1; echo "$@"');
    const clean = () => {
      const env = { ...process.env, PATH: `${programs}:${process.env.PATH}` };
      const { stdout } = spawnSync(LAUNCHER, ['cleanup', '--json'], { encoding: 'utf8', env });
      return stdout;
    };
    expect(clean()).toMatch(
      /: SCHED_RR\|SCHED_RESET_ON_FORK\n.*cleanup-main\.js cleanup --json\n$/,
    );
    program('chrt', 'test "$1" = -p && echo plain');
    expect(clean()).toMatch(/^plain\n.*cleanup-main\.js cleanup --json\n$/);
  });

  test('status without a director exits with 3', () => {
    const { status, stdout, stderr } = run(['status', '--runtime-directory', directory]);
    expect([status, stdout]).toEqual([3, '']);
    expect(stderr).toMatch(/^VK-NOT-RUNNING: .*\n$/);
  });

  test('a defect is one line, and a stack only with VIPKEEPER_DEBUG=1', () => {
    const broken = join(directory, 'broken.cjs');
    // Thrown as soon as the program handles what is thrown.
    writeFileSync(
      broken,
      `process.on('newListener', (name) => {
         if (name !== 'uncaughtException') return;
         setImmediate(() => { throw new Error('first\\nsecond'); });
       });`,
    );
    const env = { NODE_OPTIONS: `--require ${broken}` };
    const told =
      'VK-INTERNAL: first second. ' +
      'Run it again with VIPKEEPER_DEBUG=1 and report what it prints.\n';
    // --watch: it would run on without the error.
    const args = ['status', '--watch', '--runtime-directory', directory];
    const quiet = run(args, env);
    expect([quiet.status, quiet.stderr.replace(/^VK-NOT-RUNNING.*\n/gm, '')]).toEqual([1, told]);
    const debug = run(args, { ...env, VIPKEEPER_DEBUG: '1' });
    expect(debug.stderr).toContain(`${told}Error: first\nsecond\n    at `);
  });

  test('ends quietly when nobody reads on', async () => {
    const shell = spawnSync('bash', [
      '-c',
      `set -o pipefail; '${process.execPath}' '${MAIN}' completion bash | true`,
    ]);
    expect([shell.status, shell.stderr.toString()]).toEqual([0, '']);
  });
});

test('becomeKeeper replaces the process: same id, small heap, arguments and streams', async () => {
  const keeper = join(directory, 'keeper.mjs');
  writeFileSync(
    keeper,
    `import { getHeapStatistics } from 'node:v8';
     console.log(JSON.stringify({
       pid: process.pid, args: process.argv.slice(2), flags: process.execArgv,
       env: process.env.KEPT, heapMiB: getHeapStatistics().heap_size_limit / 2 ** 20,
     }));`,
  );
  const starter = join(directory, 'starter.mjs');
  const run = join(ROOT, 'dist/src/cli/run.js');
  writeFileSync(
    starter,
    `import { becomeKeeper } from ${JSON.stringify(run)};
     await becomeKeeper(${JSON.stringify(keeper)}, ['--config', 'a b.yaml']);`,
  );
  const child = spawn(process.execPath, [starter], { env: { ...process.env, KEPT: 'yes' } });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const status = await new Promise((resolve) => child.once('close', resolve));
  expect(status).toBe(0);
  const { heapMiB, ...told } = JSON.parse(Buffer.concat(chunks).toString()) as {
    heapMiB: number;
  };
  expect(told).toEqual({
    pid: child.pid,
    args: ['--config', 'a b.yaml'],
    flags: KEEPER_NODE_FLAGS,
    env: 'yes',
  });
  expect(heapMiB).toBeLessThan(80);
});
