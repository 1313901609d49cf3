/** Checks by script and by file, with real processes and files. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EndingCommands, runCheckCommand } from '../../../src/controller/check-command.ts';
import type { FileCheckConfig, ScriptCheckConfig } from '../../../src/core/config/check.ts';
import type { ProbeResult } from '../../../src/core/health/probe-result.ts';
import { ok } from '../../../src/core/result.ts';
import { probeFile } from '../../../src/probes/file.ts';
import { createProbe } from '../../../src/probes/probe.ts';
import { type CommandOutcome, scriptProbe } from '../../../src/probes/script.ts';
import { TrustStore } from '../../../src/probes/trust-store.ts';
import { tcpCheck, waitFor } from './servers.ts';

let directory = '';
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'vipkeeper-commands-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

const { kind: _, ...timing } = tcpCheck;
const host = { address: '127.0.0.1', port: 0 };

function scriptCheck(command: string, changes: Partial<ScriptCheckConfig> = {}): ScriptCheckConfig {
  return {
    kind: 'script',
    ...timing,
    timeoutUs: 10_000_000,
    command: ['/bin/sh', '-c', command],
    dynamicWeight: false,
    user: null,
    group: null,
    scriptSecurity: false,
    ...changes,
  };
}

/** A command that only SIGKILL ends; its process id is in the file. */
function stubborn(pidFile: string): ScriptCheckConfig {
  const command = `trap '' TERM; echo $$ > ${pidFile}; while :; do sleep 0.1; done`;
  return scriptCheck(command, { timeoutUs: 300_000 });
}

async function run(
  check: ScriptCheckConfig | FileCheckConfig,
  signal = new AbortController().signal,
): Promise<string> {
  const probe = createProbe(check, host, new TrustStore(), runCheckCommand);
  return verdict(await probe.run(signal));
}

/** 'ok', 'ok 5' with a weight, 'null', or the reason of the failure and its detail. */
function verdict(result: ProbeResult | null): string {
  if (result === null) return 'null';
  if (!result.ok) return `${result.failure.reason}: ${result.failure.detail}`;
  return result.weight === undefined ? 'ok' : `ok ${result.weight}`;
}

describe('script probe', () => {
  test.each([
    [0, false, 'ok'],
    [1, false, 'status: Exit status 1'],
    [2, false, 'status: Exit status 2'],
    [0, true, 'ok'],
    [1, true, 'status: Exit status 1'],
    [2, true, 'ok 0'],
    [255, true, 'ok 253'],
  ])('exit status %i, dynamic weight %s: %s', async (status, dynamicWeight, seen) => {
    expect(await run(scriptCheck(`exit ${status}`, { dynamicWeight }))).toBe(seen);
  });

  test('its last line says why it has failed', async () => {
    expect(await run(scriptCheck('echo one; echo two >&2; exit 3'))).toMatch(
      /^status: Exit status 3: (one|two)$/,
    );
  });

  test('a program that is missing, and an account that is, cannot be run', async () => {
    const missing = { command: [join(directory, 'missing')] };
    expect(await run(scriptCheck('', missing))).toMatch(/^cannot-run: .* it does not exist/);
    expect(await run(scriptCheck('exit 0', { user: 'no-such-user' }))).toMatch(
      /^cannot-run: The user no-such-user/,
    );
  });

  test('a program that others may change is not run as root', async () => {
    const path = join(directory, 'open.sh');
    writeFileSync(path, '#!/bin/sh\nexit 0\n', { mode: 0o777 });
    execFileSync('chmod', ['777', path]);
    const check = scriptCheck('', { command: [path], scriptSecurity: true });
    expect(await run(check)).toMatch(/^cannot-run: .* others than root may change/);
    expect(await run({ ...check, scriptSecurity: false })).toBe('ok');
  });

  test('one that does not end has failed, and leaves no process behind', async () => {
    const pidFile = join(directory, 'pid');
    const check = scriptCheck(`sleep 1000 & echo $! > ${pidFile}; wait`, { timeoutUs: 200_000 });
    expect(await run(check)).toBe('timeout: The command did not end within 200ms');
    await waitFor('the child to be gone', () => isGone(Number(readFileSync(pidFile, 'utf8'))));
  });

  test('one that ignores SIGTERM has its verdict when its time is over, and is killed later', async () => {
    const pidFile = join(directory, 'stubborn');
    const ending = new EndingCommands();
    const probe = createProbe(stubborn(pidFile), host, new TrustStore(), (check, options) =>
      runCheckCommand(check, options, undefined, ending),
    );
    const { signal } = new AbortController();
    expect(verdict(await probe.run(signal))).toBe('timeout: The command did not end within 300ms');
    const first = Number(readFileSync(pidFile, 'utf8'));
    expect(isGone(first)).toBe(false);
    // The next run, which is due before that, does not wait for it: it takes some milliseconds.
    expect(verdict(await probe.run(signal))).toMatch(/^timeout: The command did not end within /);
    const second = Number(readFileSync(pidFile, 'utf8'));
    expect([second === first, isGone(first), isGone(second)]).toEqual([false, true, false]);
    // Whoever stops waits until nothing is left.
    await ending.stop();
    expect(isGone(second)).toBe(true);
  });

  test('of very many that are being ended, the next one has its verdict when it is gone', async () => {
    const ending = new EndingCommands();
    let killed = 0;
    for (let count = 0; count < 64; count++) {
      let end = () => {};
      const ended = new Promise<void>((resolve) => {
        end = resolve;
      });
      ending.add(ended, () => {
        killed++;
        end();
      });
    }
    const pidFile = join(directory, 'one-more');
    const { signal } = new AbortController();
    const check = stubborn(pidFile);
    const outcome = await runCheckCommand(check, { timeoutMs: 300, signal }, undefined, ending);
    expect(outcome.kind === 'overdue' && outcome.isLeft()).toBe(false);
    expect(isGone(Number(readFileSync(pidFile, 'utf8')))).toBe(true);
    await ending.stop();
    expect(killed).toBe(64);
  });

  test('one that nothing ends is not run again before it has ended', async () => {
    const outcomes: CommandOutcome[] = [];
    let there = true;
    let kills = 0;
    const kill = () => void kills++;
    const detail = 'The command did not end within 1s';
    const stuck: CommandOutcome = { kind: 'overdue', detail, isLeft: () => there, kill };
    const ended: CommandOutcome = { kind: 'ended', exitStatus: 0, lastLine: '' };
    const limits: number[] = [];
    const ask = scriptProbe(scriptCheck(''), async (_check, { timeoutMs }) => {
      limits.push(timeoutMs);
      const outcome = outcomes.length === 0 ? stuck : ended;
      outcomes.push(outcome);
      return outcome;
    });
    const asked = async (timeoutMs: number) =>
      verdict(await ask({ timeoutMs, signal: new AbortController().signal }));
    expect(await asked(100)).toBe(`timeout: ${detail}`);
    expect(await asked(100)).toBe(`timeout: ${detail}, nor by SIGKILL: it is still there`);
    expect(outcomes).toEqual([stuck]);
    // What only needs a moment to end costs no verdict.
    const later = asked(60_000);
    there = false;
    expect(await later).toBe('ok');
    // Of its own time.
    expect([limits[0], limits.length, (limits[1] ?? 0) < 60_000]).toEqual([100, 2, true]);
    expect(kills).toBe(2);
  });

  test('one that ends by a signal has failed', async () => {
    expect(await run(scriptCheck('kill -9 $$'))).toBe('status: The command was ended by SIGKILL');
  });

  test('who gives up gets no verdict, and the command is ended', async () => {
    const abort = new AbortController();
    const pidFile = join(directory, 'abandoned');
    writeFileSync(pidFile, '');
    const running = run(scriptCheck(`echo $$ > ${pidFile}; sleep 1000`), abort.signal);
    await waitFor('the command to run', () => readFileSync(pidFile, 'utf8') !== '');
    abort.abort();
    expect(await running).toBe('null');
    expect(isGone(Number(readFileSync(pidFile, 'utf8')))).toBe(true);
    expect(await run(scriptCheck('exit 0'), abort.signal)).toBe('null');
  });
});

/** True when no such process runs; one that nobody has waited for is no more. */
function isGone(pid: number): boolean {
  try {
    return / [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return true;
  }
}

describe('file probe', () => {
  function fileCheck(content: string): FileCheckConfig {
    const path = join(directory, 'weight');
    writeFileSync(path, content);
    return { kind: 'file', ...timing, path };
  }

  test.each([
    ['up\n', 'ok'],
    ['0', 'ok 0'],
    [' 65535 \n', 'ok 65535'],
    ['down', /^status: .* says down$/],
    ['65536', /^cannot-run: .* says 65536; expected up, down or a weight/],
    ['-1', /^cannot-run: /],
    ['', /^cannot-run: .* says nothing/],
    [`${' '.repeat(64)}5`, /^cannot-run: /],
    [`5${' '.repeat(100)}`, /^cannot-run: /],
  ])('%j', async (content, seen) => {
    expect(await run(fileCheck(content))).toMatch(seen);
  });

  test('a file that is missing, a directory or a FIFO is a failure, at once', async () => {
    const missing = join(directory, 'missing');
    expect(await run({ kind: 'file', ...timing, path: missing })).toBe(
      `cannot-run: ${missing} does not exist`,
    );
    const inside = join(directory, 'inside');
    mkdirSync(inside);
    expect(await run({ kind: 'file', ...timing, path: inside })).toMatch(/not a regular file$/);
    const fifo = join(directory, 'fifo');
    execFileSync('mkfifo', [fifo]);
    expect(await run({ kind: 'file', ...timing, path: fifo })).toMatch(/not a regular file$/);
  });

  test('it is read anew at every run', async () => {
    const check = fileCheck('5');
    const probe = createProbe(check, host, new TrustStore(), runCheckCommand);
    const { signal } = new AbortController();
    expect(verdict(await probe.run(signal))).toBe('ok 5');
    fileCheck('6');
    expect(verdict(await probe.run(signal))).toBe('ok 6');
  });

  test('one that hangs is a timeout, is not read twice, and keeps no other from being read', async () => {
    const hanging: ((text: ReturnType<typeof ok<string>>) => void)[] = [];
    const hang = () =>
      new Promise<ReturnType<typeof ok<string>>>((resolve) => void hanging.push(resolve));
    const check = { ...fileCheck('up'), path: '/a/dead/file/server' };
    const { signal } = new AbortController();
    const asked = () => probeFile(check, { timeoutMs: 50, signal }, hang);
    const overdue = 'timeout: Waited 50 ms for /a/dead/file/server';
    expect(await Promise.all([asked(), asked()].map(async (one) => verdict(await one)))).toEqual([
      overdue,
      overdue,
    ]);
    expect(hanging).toHaveLength(1);
    expect(await run(fileCheck('7'))).toBe('ok 7');
    // When the file server is back.
    hanging[0]?.(ok('up'));
    await waitFor('it to be read again', () => {
      void asked();
      return hanging.length === 2;
    });
    hanging[1]?.(ok('up'));
  });

  test('who gives up waits for no file', async () => {
    const abort = new AbortController();
    const never = () => new Promise<never>(() => {});
    const check = { ...fileCheck('up'), path: '/another' };
    const asked = probeFile(check, { timeoutMs: 60_000, signal: abort.signal }, never);
    abort.abort();
    expect(await asked).toBeNull();
  });
});
