/**
 * Trackers with real files, processes and scripts, also bad ones: the state, its reason and what
 * is counted are right each time, nothing is left behind, and none waits for another.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Trackers } from '../../../../src/controller/trackers/trackers.ts';
import type { TrackerConfig } from '../../../../src/core/config/config.ts';
import { DEFAULTS } from '../../../../src/core/config/defaults.ts';
import type { Problem } from '../../../../src/core/problem.ts';
import type { TrackerReport } from '../../../../src/core/status.ts';
import type { WeighedServer } from '../../../../src/core/vrrp/quorum.ts';
import type { TrackerState } from '../../../../src/core/vrrp/tracking.ts';
import { waitFor } from '../../probes/servers.ts';
import { ScriptDirectory } from '../notify/scripts.ts';

let scripts: ScriptDirectory;
let trackers: Trackers;
let states: Readonly<Record<string, TrackerState>>;
let problems: Problem[];
let changes: string[];
let servers: WeighedServer[];
const children: ChildProcess[] = [];

beforeEach(() => {
  scripts = new ScriptDirectory();
  states = {};
  problems = [];
  changes = [];
  servers = [];
  trackers = new Trackers('dir-a', {
    onStates: (all) => {
      states = all;
    },
    onChange: (name, { up, value }) =>
      void changes.push(`${name} ${value ?? (up ? 'up' : 'down')}`),
    onProblem: (_name, problem) => void problems.push(problem),
    onProcessMode: () => {},
    servers: () => servers,
  });
});
afterEach(() => {
  trackers.close();
  for (const child of children.splice(0)) child.kill('SIGKILL');
  scripts.remove();
});

type Script = Extract<TrackerConfig, { kind: 'script' }>;

function script(name: string, command: string | string[], changed: Partial<Script> = {}): Script {
  return {
    name,
    kind: 'script',
    command: [command].flat(),
    ...DEFAULTS.tracker.script,
    intervalUs: 20_000,
    timeoutUs: 5_000_000,
    user: null,
    group: null,
    scriptSecurity: false,
    ...changed,
  };
}

function file(path: string, changed: object = {}): TrackerConfig {
  // So long an interval that only the kernel's notifications can be seen in time.
  const intervalUs = 3_600_000_000;
  return { name: 'f', kind: 'file', path, intervalUs, init: null, overwrite: false, ...changed };
}

function process_(name: string, changed: object = {}): TrackerConfig {
  return {
    name: 'p',
    kind: 'process',
    process: name,
    arguments: null,
    quorumMax: null,
    ...DEFAULTS.tracker.process,
    intervalUs: 50_000,
    ...changed,
  };
}

function reportOf(name: string): TrackerReport {
  return trackers.report({}).find((report) => report.name === name) as TrackerReport;
}

async function becomes(name: string, what: 'up' | 'down' | number): Promise<void> {
  await waitFor(`${name} to be ${what}`, () => {
    const state = states[name];
    if (state === undefined) return false;
    return typeof what === 'number' ? state.value === what : state.up === (what === 'up');
  });
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

function isGone(pid: number): boolean {
  try {
    return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return true;
  }
}

describe('trackers of a service', () => {
  test('go by what its servers are each time one changes, and say nothing before', () => {
    servers = [
      { weight: 1, health: 'unknown' },
      { weight: 2, health: 'unknown' },
    ];
    trackers.configure([{ name: 'farm', kind: 'service', service: 'web', quorum: 2 }]);
    expect([states.farm, reportOf('farm').up]).toEqual([undefined, null]);
    const become = (...health: WeighedServer['health'][]) => {
      servers = health.map((one, index) => ({ weight: index + 1, health: one }));
      trackers.servicesChanged();
    };
    become('down', 'unknown');
    expect(states.farm).toBeUndefined();
    become('down', 'up');
    expect(states.farm).toMatchObject({ up: true, detail: 'healthy weight 2 of quorum 2' });
    become('up', 'down');
    become('up', 'down');
    expect(states.farm).toMatchObject({ up: false, detail: 'healthy weight 1 of quorum 2' });
    expect(changes).toEqual(['farm up', 'farm down']);
  });
});

describe('script trackers', () => {
  test('are up while the script succeeds, and say its last line when it fails', async () => {
    const path = scripts.script(
      's',
      `test -e ${scripts.file('ok')} || { echo no backend; exit 3; }`,
    );
    trackers.configure([script('s', path)]);
    await becomes('s', 'down');
    expect(states.s?.detail).toBe('ended with exit status 3: no backend');
    writeFileSync(scripts.file('ok'), '');
    await becomes('s', 'up');
    expect(reportOf('s').runs).toMatchObject({ timeout: 0, 'not-run': 0 });
  });

  test.each([
    ['does not exist', () => scripts.file('missing'), 'it does not exist'],
    [
      'is not executable',
      () => scripts.script('s', 'exit 0', { mode: 0o644 }),
      'it is not executable',
    ],
    [
      'has an interpreter that does not exist',
      () => scripts.script('s', 'exit 0', { interpreter: '/no/such/sh' }),
      'the interpreter in its first line does not exist',
    ],
    ['is a directory', () => scripts.path, 'it is not a file'],
  ])('are down when it %s, with the reason', async (_what, make, why) => {
    const path = make();
    trackers.configure([script('bad', path), script('good', '/bin/true')]);
    await becomes('bad', 'down');
    await becomes('good', 'up');
    expect(states.bad?.detail).toBe(`${path} cannot be run: ${why}`);
    expect(reportOf('bad').problem).toBe(`${path} cannot be run: ${why}`);
    expect(reportOf('bad').runs).toMatchObject({ succeeded: 0, failed: 0 });
    const again = (): boolean => (reportOf('bad').runs?.['not-run'] ?? 0) > 5;
    await waitFor('more runs', again);
    // Said once, not at every run.
    expect(problems).toHaveLength(1);
    expect(problems[0]?.code).toBe('VK-SCRIPT');
  });

  test('are down when it is a program for another machine', async () => {
    const path = scripts.script('s', '');
    writeFileSync(path, Buffer.concat([Buffer.from('\x7fELF'), Buffer.alloc(60)]));
    trackers.configure([script('bad', path)]);
    await becomes('bad', 'down');
    expect(states.bad?.detail).toMatch(/^ended with exit status [1-9]|cannot be run/);
  });

  test('go down when the script vanishes, and up when it is back', async () => {
    const path = scripts.script('s', 'exit 0');
    trackers.configure([script('s', path)]);
    await becomes('s', 'up');
    renameSync(path, `${path}.away`);
    await becomes('s', 'down');
    expect(states.s?.detail).toContain('it does not exist');
    renameSync(`${path}.away`, path);
    await becomes('s', 'up');
    expect(reportOf('s').problem).toBeNull();
  });

  test('are down when the time is over, before the script has been got rid of', async () => {
    const pid = scripts.file('pid');
    const path = scripts.script('s', `echo $$ > ${pid}; trap '' TERM; while :; do sleep 1; done`);
    trackers.configure([script('hangs', path, { timeoutUs: 300_000, intervalUs: 50_000 })]);
    await waitFor('its start', () => scripts.lines('pid').length === 1);
    await becomes('hangs', 'down');
    // SIGKILL comes two seconds after SIGTERM, which it ignores.
    expect(isGone(Number(scripts.lines('pid')[0]))).toBe(false);
    expect(states.hangs?.detail).toMatch(/^(did not end within 300ms|was not run)/);
    expect(reportOf('hangs').runs?.succeeded).toBe(0);
    expect(reportOf('hangs').runs?.timeout).toBeGreaterThan(0);
    await waitFor('a skipped run', () => (reportOf('hangs').runs?.skipped ?? 0) > 0);
  });

  test('leave nothing behind of a script that starts others, at its end and at ours', async () => {
    const path = scripts.script('s', `sleep 600 & echo $! >> ${scripts.file('pids')}; exit 0`);
    trackers.configure([script('forks', path)]);
    await waitFor('three runs', () => (reportOf('forks').runs?.succeeded ?? 0) >= 3);
    trackers.close();
    await waitFor('all to be gone', () => scripts.lines('pids').map(Number).every(isGone));
    expect(scripts.lines('pids').length).toBeGreaterThanOrEqual(3);
  });

  test('bear one that prints without end, and others are not late', async () => {
    const path = scripts.script('s', 'exec yes "a line that is repeated for ever"');
    const loud = script('loud', path, { timeoutUs: 300_000, intervalUs: 400_000 });
    trackers.configure([loud, script('good', '/bin/true')]);
    await becomes('loud', 'down');
    const before = openDescriptors();
    await waitFor('more of it', () => (reportOf('loud').runs?.timeout ?? 0) >= 3);
    await becomes('good', 'up');
    expect(reportOf('good').runs?.failed).toBe(0);
    expect(Math.abs(openDescriptors() - before)).toBeLessThan(12);
  });

  test('do not let a hanging one delay the others', async () => {
    const path = scripts.script('s', 'sleep 600');
    trackers.configure([script('hangs', path), script('good', '/bin/true')]);
    await waitFor('ten runs', () => (reportOf('good').runs?.succeeded ?? 0) >= 10);
    expect(states.hangs).toBeUndefined();
  });

  test('count rise and fall, and begin as failed where that is wanted', async () => {
    const path = scripts.script('s', `echo >> ${scripts.file('runs')}`);
    trackers.configure([script('s', path, { initFail: true, rise: 3 })]);
    expect(states.s).toEqual({ up: false, value: null, detail: 'has not succeeded yet' });
    await becomes('s', 'up');
    expect(scripts.lines('runs').length).toBeGreaterThanOrEqual(3);
  });

  test('run as their own user, and are down without it', async () => {
    trackers.configure([script('s', '/bin/true', { user: 'nobody-has-this-name' })]);
    await becomes('s', 'down');
    expect(states.s?.detail).toContain('of trackers.s.user is not in /etc/passwd');
  });

  test('refuse what others may change, with script security', async () => {
    const path = scripts.script('s', 'exit 0');
    chmodSync(path, 0o777);
    trackers.configure([script('s', path, { scriptSecurity: true })]);
    if (process.getuid?.() !== 0) return await becomes('s', 'up');
    await becomes('s', 'down');
    expect(states.s?.detail).toContain('others than root may change');
  });

  test('go on undisturbed over a reload that does not change them', async () => {
    const path = scripts.script('s', `echo $$ >> ${scripts.file('pids')}; exec sleep 600`);
    const same = script('s', path);
    trackers.configure([same]);
    await waitFor('its start', () => scripts.lines('pids').length === 1);
    trackers.configure([same, script('more', '/bin/true')]);
    await becomes('more', 'up');
    expect(isGone(Number(scripts.lines('pids')[0]))).toBe(false);
    trackers.configure([]);
    await waitFor('its end', () => isGone(Number(scripts.lines('pids')[0])));
    expect(states).toEqual({});
  });
});

describe('file trackers', () => {
  test('see a write, a replacement, a removal and a new file at once', async () => {
    const path = scripts.file('number');
    trackers.configure([file(path)]);
    await becomes('f', 0);
    expect(states.f?.detail).toBe(`there is no ${path}`);
    writeFileSync(path, '-20\n');
    await becomes('f', -20);
    writeFileSync(`${path}.new`, '+7');
    renameSync(`${path}.new`, path);
    await becomes('f', 7);
    rmSync(path);
    await becomes('f', 0);
    writeFileSync(path, '3');
    await becomes('f', 3);
  });

  test('do not take a file that is being written for an empty one', async () => {
    const path = scripts.file('number');
    writeFileSync(path, '5');
    trackers.configure([file(path)]);
    await becomes('f', 5);
    for (let round = 0; round < 10; round++) {
      writeFileSync(path, '');
      await new Promise((resolve) => setTimeout(resolve, 10));
      writeFileSync(path, '5');
    }
    writeFileSync(path, '6');
    await becomes('f', 6);
    expect(changes).toEqual(['f 5', 'f 6']);
    writeFileSync(path, '');
    await becomes('f', 0);
  });

  test('find a directory that was removed and made again', async () => {
    const directory = scripts.file('d');
    mkdirSync(directory);
    trackers.configure([file(`${directory}/number`, { intervalUs: 20_000 })]);
    await becomes('f', 0);
    rmSync(directory, { recursive: true });
    mkdirSync(directory);
    writeFileSync(`${directory}/number`, '4');
    await becomes('f', 4);
    renameSync(directory, `${directory}.old`);
    await becomes('f', 0);
    writeFileSync(`${directory}.old/number`, '9');
    mkdirSync(directory);
    writeFileSync(`${directory}/number`, '8');
    await becomes('f', 8);
    expect(changes).not.toContain('f 9');
  });

  test.each([
    [
      'what is no number',
      (path: string) => writeFileSync(path, 'ten'),
      'what it says is no number',
    ],
    ['a number of ten digits', (path: string) => writeFileSync(path, '1'.repeat(10)), 'no number'],
    ['megabytes', (path: string) => writeFileSync(path, '1'.repeat(5_000_000)), 'no number'],
    ['a directory', (path: string) => mkdirSync(path), 'it is not a file'],
  ])('count %s as 0, and say so once', async (_what, make, why) => {
    const path = scripts.file('number');
    writeFileSync(path, '5');
    trackers.configure([file(path, { intervalUs: 20_000 })]);
    await becomes('f', 5);
    rmSync(path);
    make(path);
    await waitFor('the problem', () => problems.length > 0 && states.f?.value === 0);
    expect(problems[0]?.message).toContain(why);
    expect(reportOf('f').problem).toContain(why);
    rmSync(path, { recursive: true });
    writeFileSync(path, '6');
    await becomes('f', 6);
    expect(reportOf('f').problem).toBeNull();
    expect(problems).toHaveLength(1);
  });

  test('write their first number where there is none, or always', async () => {
    const [one, two] = [scripts.file('one'), scripts.file('two')];
    writeFileSync(one, '1');
    writeFileSync(two, '2');
    const three = scripts.file('three');
    trackers.configure([
      file(one, { name: 'one', init: 10 }),
      file(two, { name: 'two', init: 20, overwrite: true }),
      file(three, { name: 'three', init: 30 }),
    ]);
    await becomes('one', 1);
    await becomes('two', 20);
    await becomes('three', 30);
  });

  test('keep the number of before when the controller was started again', async () => {
    const path = scripts.file('number');
    writeFileSync(path, '5');
    trackers.configure([file(path, { init: 0, overwrite: true })], true);
    await becomes('f', 5);
  });
});

describe('process trackers', () => {
  /** A process of a name that nothing else has. */
  function start(name: string, ...args: string[]) {
    const path = scripts.file(name);
    if (!existsSync(path)) {
      writeFileSync(path, readFileSync('/bin/sleep'));
      chmodSync(path, 0o755);
    }
    const child = spawn(path, args, { stdio: 'ignore' });
    children.push(child);
    return child;
  }

  test('count by name, up to the greatest number, and notice begin and end', async () => {
    trackers.configure([process_('vk-counted', { quorum: 1, quorumMax: 1 })]);
    await becomes('p', 'down');
    expect(states.p?.detail).toBe('0 of 1 processes vk-counted, at most 1');
    const first = start('vk-counted', '600');
    await becomes('p', 'up');
    const second = start('vk-counted', '601');
    await becomes('p', 'down');
    expect(states.p?.detail).toBe('2 of 1 processes vk-counted, at most 1');
    second.kill('SIGKILL');
    await becomes('p', 'up');
    first.kill('SIGKILL');
    await becomes('p', 'down');
  });

  test('demand arguments and a whole path', async () => {
    const process = scripts.file('vk-args');
    trackers.configure([process_(process, { arguments: ['60'], argumentsMatch: 'partial' })]);
    await becomes('p', 'down');
    const other = start('vk-args', '700');
    const right = start('vk-args', '602');
    await becomes('p', 'up');
    expect(states.p?.detail).toContain('1 of 1');
    other.kill('SIGKILL');
    right.kill('SIGKILL');
    await becomes('p', 'down');
  });

  test('bear a restart that is shorter than the delay', async () => {
    const config = process_('vk-delayed', { downDelayUs: 3_000_000 });
    const first = start('vk-delayed', '600');
    trackers.configure([config]);
    await becomes('p', 'up');
    first.kill('SIGKILL');
    await waitFor('none', () => states.p?.detail.startsWith('0 of 1') === true);
    expect(states.p?.up).toBe(true);
    const second = start('vk-delayed', '601');
    await waitFor('one', () => states.p?.detail.startsWith('1 of 1') === true);
    expect(changes).toEqual(['p up']);
    second.kill('SIGKILL');
    await becomes('p', 'down');
  });
});
