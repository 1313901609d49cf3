/** Maintenance windows as time passes: what begins and ends, also across reloads and restarts. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Maintenance, type MaintenanceChange } from '../../../src/controller/maintenance.ts';
import { configOf } from '../config/read.ts';

const MINUTE_MS = 60_000;

function services(schedule = '0 3 * * *') {
  return configOf(`services:
  a: {address: "192.0.2.1:80", check: none, servers: [10.0.0.1, 10.0.0.2]}
  b: {address: "192.0.2.1:81", check: none, servers: [10.0.0.1]}
maintenance:
  - {server: 10.0.0.1, schedule: "${schedule}", duration: 1h, drain_before: 5m, time_zone: UTC, action: down}`)
    .services;
}

let changes: MaintenanceChange[];
let maintenance: Maintenance;

beforeEach(() => {
  vi.useFakeTimers({
    now: Date.parse('2026-03-01T02:50:00Z'),
    toFake: ['Date', 'setTimeout', 'clearTimeout'],
  });
  changes = [];
  maintenance = new Maintenance({
    nowMs: Date.now,
    onChanged: (more) => changes.push(...more),
  });
});

afterEach(() => {
  maintenance.close();
  vi.useRealTimers();
});

/** So many minutes, with all looks that are due: a look that takes long rests for a turn. */
async function pass(minutes: number): Promise<void> {
  for (let minute = 0; minute < minutes; minute++) {
    vi.advanceTimersByTime(MINUTE_MS);
    for (let turn = 0; turn < 4; turn++) await new Promise(setImmediate);
  }
}

function told(): readonly string[] {
  return changes
    .splice(0)
    .map(({ service, server, after }) => `${service}/${server} ${after?.phase} ${after?.action}`);
}

test('a window drains, begins and ends in every service, each told once', async () => {
  await maintenance.configure(services());
  expect(told()).toEqual([]);
  expect(maintenance.wish('a', '10.0.0.1:80')).toBeNull();
  await pass(5);
  expect(told()).toEqual(['a/10.0.0.1:80 before drain', 'b/10.0.0.1:81 before drain']);
  await pass(5);
  expect(told()).toEqual(['a/10.0.0.1:80 in down', 'b/10.0.0.1:81 in down']);
  expect(maintenance.wish('a', '10.0.0.1:80')).toMatchObject({ action: 'down' });
  expect(maintenance.wish('a', '10.0.0.2:80')).toBeNull();
  await pass(59);
  expect(told()).toEqual([]);
  await pass(1);
  expect(told()).toEqual([
    'a/10.0.0.1:80 undefined undefined',
    'b/10.0.0.1:81 undefined undefined',
  ]);
});

test('a start in the middle of a window is in the window', async () => {
  vi.setSystemTime('2026-03-01T03:30:00Z');
  await maintenance.configure(services());
  expect(told()).toEqual(['a/10.0.0.1:80 in down', 'b/10.0.0.1:81 in down']);
});

test('a clock that is set is noticed within a minute', async () => {
  await maintenance.configure(services());
  vi.setSystemTime('2026-03-01T03:30:00Z');
  await pass(1);
  expect(told()).toHaveLength(2);
  vi.setSystemTime('2026-03-01T01:00:00Z');
  await pass(1);
  expect(told()).toEqual([
    'a/10.0.0.1:80 undefined undefined',
    'b/10.0.0.1:81 undefined undefined',
  ]);
});

test('a reload ends what is no longer configured, and says when the next window is', async () => {
  vi.setSystemTime('2026-03-01T03:30:00Z');
  await maintenance.configure(services());
  told();
  const next = services('0 12 * * *');
  await maintenance.configure(next);
  expect(told()).toHaveLength(2);
  const [a] = next;
  const [server] = a?.servers ?? [];
  if (a === undefined || server === undefined) throw new Error('no server');
  const startMs = maintenance.nextStartMs(a, server);
  expect(startMs).toBe(Date.parse('2026-03-01T12:00:00Z'));
  await maintenance.configure([]);
  expect(maintenance.wish('a', '10.0.0.1:80')).toBeNull();
});
