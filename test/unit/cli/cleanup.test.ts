/** `vipkeeper cleanup`: what it passes on, tells and refuses. */
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type CleanUpResult, cleanup } from '../../../src/cli/cleanup.ts';
import type { Problem } from '../../../src/core/problem.ts';
import { fakeTerminal } from './fake-terminal.ts';

let runtimeDirectory: string;

beforeEach(() => {
  runtimeDirectory = mkdtempSync(join(tmpdir(), 'vipkeeper-cleanup-'));
});

afterEach(() => {
  rmSync(runtimeDirectory, { recursive: true, force: true });
});

const LEFT = [
  { interface: 'eth0', address: '192.0.2.10' },
  { interface: 'eth1', address: '2001:db8::10' },
];
const PROBLEM: Problem = { code: 'VK-ADDRESS', message: 'It stays', cure: 'Remove it by hand' };

/** Runs the command over a removal with this result; `asked` is what the removal was told. */
async function run(result: CleanUpResult, options: { dryRun?: boolean; json?: boolean } = {}) {
  const terminal = fakeTerminal();
  const asked: unknown[] = [];
  const exit = await cleanup(
    { runtimeDirectory, dryRun: false, json: false, ...options },
    terminal,
    async (given) => {
      asked.push(given);
      return result;
    },
  );
  return { exit, asked, ...terminal.written };
}

describe('cleanup', () => {
  test('tells what was removed', async () => {
    expect(await run({ removed: LEFT, routing: [], problems: [] })).toEqual({
      exit: 0,
      asked: [{ runtimeDirectory, dryRun: false }],
      out: 'Removed 192.0.2.10 from eth0\nRemoved 2001:db8::10 from eth1\n',
      err: '',
    });
  });

  test('--dry-run tells what would be', async () => {
    const ran = await run({ removed: LEFT, routing: [], problems: [] }, { dryRun: true });
    expect(ran.asked).toEqual([{ runtimeDirectory, dryRun: true }]);
    expect(ran.out).toMatch(/^Would remove 192\.0\.2\.10 from eth0\n/);
  });

  test('tells of virtual links', async () => {
    const left = { removed: [], links: ['vrrp.51'], routing: [], problems: [] };
    expect((await run(left)).out).toBe('Removed the link vrrp.51\n');
    expect((await run(left, { dryRun: true })).out).toBe('Would remove the link vrrp.51\n');
  });

  test('tells of settings that were put back', async () => {
    const left = {
      ...{ removed: [], routing: [], problems: [] },
      settings: ['net.ipv4.vs.conntrack from 1 to 0'],
    };
    expect((await run(left)).out).toBe('Put back net.ipv4.vs.conntrack from 1 to 0\n');
    const dry = await run(left, { dryRun: true });
    expect(dry.out).toBe('Would put back net.ipv4.vs.conntrack from 1 to 0\n');
  });

  test('says so when nothing is left behind', async () => {
    expect((await run({ removed: [], routing: [], problems: [] })).out).toBe(
      'Nothing is left behind\n',
    );
  });

  test('a problem is told and makes it fail', async () => {
    const ran = await run({ removed: [], routing: [], problems: [PROBLEM] });
    expect([ran.exit, ran.out]).toEqual([1, '']);
    expect(ran.err).toBe('VK-ADDRESS: It stays. Remove it by hand.\n');
  });

  test('--json prints one document, whatever the outcome', async () => {
    const ran = await run({ removed: LEFT, routing: [], problems: [PROBLEM] }, { json: true });
    expect([ran.exit, ran.err]).toEqual([1, '']);
    expect(JSON.parse(ran.out)).toEqual({
      dryRun: false,
      removed: LEFT,
      links: [],
      routing: [],
      settings: [],
      problems: [PROBLEM],
    });
  });

  test('removes nothing while a director answers, and does once it is dead', async () => {
    const path = join(runtimeDirectory, 'control.sock');
    const director = createServer();
    await new Promise<void>((resolve) => director.listen(`${path}.bound`, resolve));
    renameSync(`${path}.bound`, path);
    const refused = await run({ removed: LEFT, routing: [], problems: [] });
    expect([refused.exit, refused.asked]).toEqual([1, []]);
    expect(refused.err).toMatch(/^VK-ALREADY-RUNNING: .*systemctl stop vipkeeper/);
    // Its socket stays behind, as that of a process that was killed.
    await new Promise((resolve) => director.close(resolve));
    expect((await run({ removed: LEFT, routing: [], problems: [] })).exit).toBe(0);
  });
});
