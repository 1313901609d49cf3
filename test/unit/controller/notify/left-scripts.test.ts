import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runCheckCommand, slowOnly } from '../../../../src/controller/check-command.ts';
import { LeftScripts } from '../../../../src/controller/notify/left-scripts.ts';
import type { ScriptCheckConfig } from '../../../../src/core/config/check.ts';
import { readBootId } from '../../../../src/keeper/record.ts';
import { tcpCheck, waitFor } from '../../probes/servers.ts';
import { ScriptDirectory } from './scripts.ts';

const { kind: _, ...timing } = tcpCheck;
const CHECK: Omit<ScriptCheckConfig, 'command'> = {
  ...{ kind: 'script', ...timing, dynamicWeight: false },
  ...{ user: null, group: null, scriptSecurity: false },
};

let directory: ScriptDirectory;
let children: ChildProcess[];
beforeEach(() => {
  directory = new ScriptDirectory();
  children = [];
});
afterEach(() => {
  for (const { pid } of children) {
    try {
      process.kill(-(pid as number), 'SIGKILL');
    } catch {
      // It has ended.
    }
  }
  directory.remove();
});

/** A script in a session of its own, once it has said that it runs; its process id. */
async function start(name: string, body: string, detached = true): Promise<number> {
  const said = directory.file(`${name}.said`);
  const path = directory.script(name, `${body}\n echo >> ${said}\n sleep 600 & wait`);
  const child = spawn(path, { detached, stdio: 'ignore' });
  children.push(child);
  await waitFor(`${name} to run`, () => directory.lines(`${name}.said`).length === 1);
  return child.pid as number;
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const open = () => new LeftScripts(directory.path);
const signalOf = (index: number) => (children[index] as ChildProcess).signalCode;

describe('LeftScripts', () => {
  test('the next one ends what a dead one had running, with all that is in its session', async () => {
    const meek = await start('meek', '');
    const stubborn = await start('stubborn', "trap '' TERM");
    const dead = open();
    for (const pid of [meek, stubborn]) dead.began(pid);
    expect(await open().endLeft()).toEqual([meek, stubborn]);
    await waitFor('both to be reaped', () => signalOf(0) !== null && signalOf(1) !== null);
    expect([signalOf(0), signalOf(1)]).toEqual(['SIGTERM', 'SIGKILL']);
    for (const pid of [meek, stubborn]) {
      await waitFor('what it started to be gone', () => !exists(-pid));
    }
  });

  test('and leaves alone what has ended, what was cleared, and who has its process id now', async () => {
    const pid = await start('other', '');
    const dead = open();
    dead.began(pid);
    dead.ended(pid);
    expect(await open().endLeft()).toEqual([]);
    dead.began(pid);
    dead.clear();
    expect(await open().endLeft()).toEqual([]);
    dead.began(pid);
    const file = join(directory.path, 'scripts.json');
    const { running } = JSON.parse(readFileSync(file, 'utf8')) as { running: [number, string][] };
    const [[, startedAt]] = running as [[number, string]];
    const bootId = readBootId();
    for (const text of [
      JSON.stringify({ bootId, running: [[pid, `${Number(startedAt) - 1}`]] }),
      JSON.stringify({ bootId: 'another', running }),
      JSON.stringify({ bootId, running: [null, [], [1, startedAt], [-pid, startedAt], 'x'] }),
      JSON.stringify({ bootId, running: {} }),
      '{"bootId',
    ]) {
      writeFileSync(file, text);
      expect(await open().endLeft()).toEqual([]);
    }
    expect(signalOf(0)).toBeNull();
    expect(exists(pid)).toBe(true);
  });

  test('has the command of a check that takes its time, too, and none that is quick', async () => {
    const dead = open();
    const said = directory.file('check.said');
    const run = (body: string, timeoutMs: number, signal: AbortSignal) => {
      const command: [string, ...string[]] = ['/bin/sh', '-c', body];
      const check = { ...CHECK, command };
      return runCheckCommand(check, { timeoutMs, signal }, slowOnly(dead));
    };
    const gaveUp = new AbortController();
    expect(await run('exit 0', 5_000, gaveUp.signal)).toMatchObject({ exitStatus: 0 });
    expect(existsSync(directory.file('scripts.json'))).toBe(false);
    const hangs = run(`echo $$ >> ${said}; sleep 600`, 60_000, gaveUp.signal);
    await waitFor('it to be kept', () => existsSync(directory.file('scripts.json')));
    const pid = Number(directory.lines('check.said')[0]);
    expect(await open().endLeft()).toEqual([pid]);
    expect(await hangs).toMatchObject({ kind: 'killed' });
    expect(await open().endLeft()).toEqual([]);
    gaveUp.abort();
  });

  test('is about session leaders: what a script that has ended left behind stays', async () => {
    const pid = await start('member', '', false);
    const dead = open();
    dead.began(pid);
    expect(await open().endLeft()).toEqual([]);
    expect(exists(pid)).toBe(true);
    process.kill(pid, 'SIGKILL');
  });
});
