/** Checks by BFD as the controller runs them: what the keeper tells becomes health at once. */
import { afterEach, expect, test, vi } from 'vitest';
import { BfdSessions } from '../../../src/controller/bfd-sessions.ts';
import type { BfdDiagnostic, BfdStateName } from '../../../src/core/bfd/types.ts';
import type { BfdConfig, Config } from '../../../src/core/config/config.ts';
import { configOf } from '../config/read.ts';
import { waitFor } from '../probes/servers.ts';
import { joinChecks } from './joined-checks.ts';

/** Much longer than a test: what happens is not the interval's doing. */
const SLOW = 'interval: 1h, retry_delay: 1h';

const disposables: { close(): unknown }[] = [];
afterEach(async () => {
  vi.useRealTimers();
  for (const one of disposables.splice(0)) await one.close();
});

function config(check: string, neighbor = '10.0.0.1'): Config {
  return configOf(
    `services: {s: {address: "192.0.2.1:80", check: ${check}, servers: [10.0.0.1]}}\n` +
      `bfd: {a: {neighbor: ${neighbor}}}`,
  );
}

/** Sessions and checks together, as the controller has them. */
async function running(from: Config) {
  const joined = await joinChecks(from);
  disposables.push(joined);
  const { sessions, changes } = joined;
  const tell = (state: BfdStateName, diagnostic: BfdDiagnostic = 'none') =>
    sessions.told([{ name: 'a', state, diagnostic }]);
  const statuses = () => changes.map(({ change }) => change.to);
  return { ...joined, tell, statuses };
}

/** Long enough for what was told to be passed on and looked at. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

test('a change acts at once, and once', async () => {
  const { sessions, pool, results, changes, tell, statuses } = await running(
    config(`{bfd: {}, ${SLOW}}`),
  );
  expect(pool.workers).toBe(0);
  sessions.keeperBegan();
  tell('down');
  await settled();
  expect(results).toEqual([]);
  expect(pool.snapshot()[0]).toMatchObject({ kind: 'bfd', status: 'unknown' });
  tell('init');
  tell('up');
  await waitFor('the server to be up', () => statuses().length === 1);
  tell('down', 'detection-time-expired');
  await waitFor('the server to be down', () => statuses().length === 2);
  expect(changes[1]?.change.reason).toMatchObject({
    kind: 'fall',
    failures: 1,
    failure: { reason: 'session', detail: 'BFD session a is down: the neighbor fell silent' },
  });
  // The way back up is no news before its end.
  tell('init');
  await settled();
  expect(results).toHaveLength(2);
  tell('up');
  await waitFor('the server to be back', () => statuses().length === 3);
  expect(statuses()).toEqual(['up', 'down', 'up']);
  expect(changes[0]?.target).toEqual({ address: '10.0.0.1', port: 0 });
});

test('a loss that is told twice, or with the recovery behind it, leaves one schedule', async () => {
  const { sessions, results, tell, statuses } = await running(
    config('{bfd: {}, interval: 1s, fall: 2}'),
  );
  sessions.keeperBegan();
  tell('up');
  await waitFor('the server to be up', () => statuses().length === 1);
  for (let count = 0; count < 20; count++) {
    tell('down', 'detection-time-expired');
    await settled();
    tell('up');
    await settled();
  }
  // 20 failures, none of them followed by another.
  expect(statuses()).toEqual(['up']);
  const before = results.length;
  await new Promise((resolve) => setTimeout(resolve, 500));
  // None or one of them in 500 ms; with a schedule for each change there would be twenty.
  expect(results.length - before).toBeLessThan(5);
  tell('down', 'path-down');
  await waitFor('the second failure, by the interval', () => statuses().length === 2);
});

test('a keeper that is gone, and back, takes no server out', async () => {
  const { sessions, tell, statuses, pool } = await running(config(`{bfd: {}, interval: 100ms}`));
  sessions.keeperBegan();
  tell('up');
  await waitFor('the server to be up', () => statuses().length === 1);
  sessions.keeperLost();
  await new Promise((resolve) => setTimeout(resolve, 300));
  sessions.keeperBegan();
  tell('down');
  await new Promise((resolve) => setTimeout(resolve, 300));
  tell('up');
  await settled();
  expect(statuses()).toEqual(['up']);
  expect(pool.snapshot()[0]).toMatchObject({ status: 'up', failures: 0 });
});

test('verdicts that only time changes are passed on, too', () => {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate', 'Date'],
  });
  const startMs = Date.now();
  const passed: [atMs: number, up: boolean | undefined][] = [];
  const sessions: BfdSessions = new BfdSessions({
    nowUs: () => (Date.now() - startMs) * 1000,
    onVerdicts: () => passed.push([Date.now() - startMs, sessions.verdict('a')?.ok]),
  });
  disposables.push(sessions);
  sessions.configure(config('bfd').bfd);
  vi.advanceTimersByTime(1_000);
  sessions.keeperBegan();
  vi.advanceTimersByTime(20_000);
  expect(passed).toEqual([[6_000, false]]);
  sessions.told([{ name: 'a', state: 'up', diagnostic: 'none' }]);
  vi.advanceTimersByTime(9_000);
  sessions.keeperLost();
  vi.advanceTimersByTime(60_000);
  expect(passed.slice(1)).toEqual([
    [21_000, true],
    [40_000, false],
  ]);
});

test('a session under the same name with another neighbor begins anew', async () => {
  const { sessions } = await running(config('bfd'));
  sessions.keeperBegan();
  sessions.told([{ name: 'a', state: 'up', diagnostic: 'none' }]);
  expect(sessions.verdict('a')?.ok).toBe(true);
  const [same] = config('{bfd: {session: a}}').bfd as [BfdConfig];
  sessions.configure([{ ...same, multiplier: 9 }]);
  expect(sessions.verdict('a')?.ok).toBe(true);
  sessions.configure([{ ...same, neighbor: '10.0.0.9' }]);
  // An answer that was under way.
  sessions.told([{ name: 'a', state: 'up', diagnostic: 'none' }]);
  expect(sessions.verdict('a')).toBeNull();
  sessions.keeperBegan();
  sessions.told([{ name: 'a', state: 'up', diagnostic: 'none' }]);
  expect(sessions.verdict('a')?.ok).toBe(true);
  sessions.configure([]);
  expect(sessions.verdict('a')?.ok).toBe(false);
});
