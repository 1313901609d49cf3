/** The follower of an instance's state over a kernel that remembers its daemons. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SyncDaemonFollower } from '../../../src/controller/sync.ts';
import type { Problem } from '../../../src/core/problem.ts';
import { err, ok } from '../../../src/core/result.ts';
import type { IpvsClient } from '../../../src/linux/ipvs/client.ts';
import type { SyncDaemon } from '../../../src/linux/ipvs/codec.ts';

const CONFIG = { interface: 'eth1', id: 51, follow: 'web' };
const REFUSED: Problem = { code: 'VK-SYNC', message: 'refused', cure: '' };
const PATH = 'tcp 192.0.2.10:80 -> [2001:db8::1]:80';

let running: SyncDaemon[];
let refuses: boolean;
let told: string[];
let waitsFor: string[];
let follower: SyncDaemonFollower;

const client = {
  daemons: () => ok([...running]),
  startDaemon: (daemon: SyncDaemon) => {
    if (refuses) return err(REFUSED);
    running.push(daemon);
    return ok(null);
  },
  stopDaemon: (role: SyncDaemon['role']) => {
    running = running.filter((one) => one.role !== role);
    return ok(null);
  },
} as unknown as IpvsClient;

beforeEach(() => {
  [running, refuses, told, waitsFor] = [[], false, [], []];
  follower = new SyncDaemonFollower(CONFIG, 60_000, {
    client,
    waitsFor: () => waitsFor,
    onWait: (servers) => told.push(`waits for ${servers.join()}`),
    onRole: (role) => told.push(role),
    onProblem: ({ message }) => told.push(message),
  });
});

afterEach(() => follower.close());

describe('SyncDaemonFollower', () => {
  test('has one daemon of the role that the state asks for', () => {
    follower.follow('backup');
    follower.follow('active');
    expect(running.map(({ role }) => role)).toEqual(['master']);
    expect(told).toEqual(['backup', 'master']);
    follower.close();
    expect(running).toEqual([]);
  });

  test('tells of a refusal once, and tries again', () => {
    refuses = true;
    follower.follow('active');
    follower.follow('active');
    expect(follower.report()).toEqual({ role: null, error: 'refused', waitsFor: 0 });
    refuses = false;
    follower.follow('active');
    expect(told).toEqual(['refused', 'master']);
    expect(follower.report()).toEqual({ role: 'master', error: null, waitsFor: 0 });
  });

  test('waits for servers that leave, says so once, and starts when the last is gone', () => {
    refuses = true;
    waitsFor = [PATH, `${PATH}80`];
    follower.follow('active');
    expect(follower.report()).toEqual({ role: null, error: null, waitsFor: 2 });
    waitsFor = [PATH];
    follower.entriesDeleted();
    expect(follower.report().waitsFor).toBe(1);
    expect(told).toEqual([`waits for ${PATH},${PATH}80`]);
    [waitsFor, refuses] = [[], false];
    follower.entriesDeleted();
    expect(told.slice(1)).toEqual(['master']);
    expect(follower.report()).toEqual({ role: 'master', error: null, waitsFor: 0 });
  });

  test('waits for nothing while its daemon runs', () => {
    follower.follow('active');
    waitsFor = [PATH];
    follower.follow('active');
    expect(follower.report()).toEqual({ role: 'master', error: null, waitsFor: 0 });
  });
});
