/** Real-time scheduling of this very thread, as the kernel shows it. Needs CAP_SYS_NICE. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { SCHED_OTHER, SCHED_RR } from '../../src/linux/constants.ts';
import { enterRealtime, leaveRealtime, spawnIntoRealtime } from '../../src/linux/scheduling.ts';
import { waitFor } from '../lab/host.ts';

/** Fields 40 and 41 of proc_pid_stat(5): real-time priority and policy. */
function scheduling(stat: string): { priority: number; policy: number } {
  // The command name may hold blanks; it ends with the last parenthesis.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { priority: Number(fields[37]), policy: Number(fields[38]) };
}

function own(): { priority: number; policy: number } {
  return scheduling(readFileSync('/proc/thread-self/stat', 'utf8'));
}

afterEach(() => {
  leaveRealtime();
});

test('enterRealtime makes the thread SCHED_RR, but not what it starts', () => {
  expect(enterRealtime(7)).toEqual({ ok: true, value: undefined });
  expect(own()).toEqual({ priority: 7, policy: SCHED_RR });
  const child = execFileSync('cat', ['/proc/self/stat'], { encoding: 'utf8' });
  expect(scheduling(child)).toEqual({ priority: 0, policy: SCHED_OTHER });
});

test('spawnIntoRealtime makes a process SCHED_RR from its beginning, but not what that starts', () => {
  const shell = ['sh', '-c', 'read -r own < /proc/self/stat; echo "$own"; cat /proc/self/stat'];
  const output = spawnIntoRealtime(7, shell, ([file = '', ...args]) =>
    execFileSync(file, args, { encoding: 'utf8' }),
  );
  const [first = '', second = ''] = output.trim().split('\n');
  expect(scheduling(first)).toEqual({ priority: 7, policy: SCHED_RR });
  expect(scheduling(second)).toEqual({ priority: 0, policy: SCHED_OTHER });
});

test('leaveRealtime makes the thread ordinary again, and may be repeated', () => {
  enterRealtime(7);
  expect(leaveRealtime().ok).toBe(true);
  expect(own()).toEqual({ priority: 0, policy: SCHED_OTHER });
  expect(leaveRealtime().ok).toBe(true);
});

test('enterRealtime refuses priorities that do not exist', () => {
  expect(() => enterRealtime(0)).toThrow('A real-time priority is 1 to 99');
  expect(() => enterRealtime(100)).toThrow('A real-time priority is 1 to 99');
});

test('enterRealtime tells a process without CAP_SYS_NICE what to do', () => {
  const compiled = new URL('../../dist/src/linux/scheduling.js', import.meta.url).href;
  const script = `
    const { enterRealtime } = await import(${JSON.stringify(compiled)});
    console.log(JSON.stringify(enterRealtime(7)));`;
  const drop = ['--inh-caps=-sys_nice', '--bounding-set=-sys_nice'];
  const command = [...drop, process.execPath, '--input-type=module', '-e', script];
  const output = execFileSync('setpriv', command, { encoding: 'utf8', timeout: 30_000 });
  expect(JSON.parse(output)).toMatchObject({
    ok: false,
    error: { code: 'VK-NOT-ROOT', message: expect.stringContaining('EPERM') },
  });
});

test('a controller that may not start a real-time keeper starts an ordinary one next', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'vipkeeper-scheduling-'));
  const said = join(directory, 'said');
  const keeper = join(directory, 'keeper.sh');
  writeFileSync(keeper, `read -r own < /proc/self/stat; echo "$own" >> ${said}; exec sleep 600\n`);
  const compiled = new URL('../../dist/src/controller/guard.js', import.meta.url).href;
  const nothing = '() => {}';
  const controller = join(directory, 'controller.mjs');
  // Its keeper says that it is a real-time process, and dies.
  writeFileSync(
    controller,
    `const { KeeperGuard } = await import(${JSON.stringify(compiled)});
    Object.defineProperty(process, 'execPath', { value: '/bin/sh' });
    const keeper = { nodeFlags: [], script: ${JSON.stringify(keeper)}, args: [], env: {} };
    const handlers = { onKeeperDied: ${nothing}, silencesEndUs: () => [], onGiveUp: ${nothing} };
    const onMessage = () => process.send('heard');
    new KeeperGuard(keeper, { ...handlers, onMessage });`,
  );
  const drop = ['--inh-caps=-sys_nice', '--bounding-set=-sys_nice'];
  const child = spawn('setpriv', [...drop, process.execPath, controller], {
    stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    detached: true,
  });
  let refused = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    refused += chunk.toString();
  });
  try {
    child.once('message', () => child.disconnect());
    child.send({ kind: 'configured', scheduling: 'realtime' });
    await waitFor('a keeper', () => existsSync(said), 30_000);
    expect(scheduling(readFileSync(said, 'utf8'))).toEqual({ priority: 0, policy: SCHED_OTHER });
    expect(refused).toContain('chrt');
  } finally {
    if (child.exitCode === null) process.kill(-(child.pid as number), 'SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  }
}, 40_000);
