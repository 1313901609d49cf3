/**
 * Tracking and sync groups with whole directors: what a tracker says changes the priority or the
 * right to take part, and members of a group are active together or not at all.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { explainInstances } from '../../src/core/vrrp/explain.ts';
import { Director } from '../lab/director.ts';
import { check, LabError, localMachine } from '../lab/host.ts';
import { ensurePackages, NETWORK_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 40_000;
const VIP = `${virtualIp(1).ipv4}/24`;
const GATEWAY = '198.51.100.1/24';

let topology: Topology;
let nodeA: LabNode;
let nodeB: LabNode;
let files: string;
const running: Director[] = [];

beforeAll(async () => {
  await ensurePackages(NETWORK_PACKAGES);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  topology = await Topology.create(localMachine, { realServers: 1, sync: true });
  [nodeA, nodeB] = topology.directors as [LabNode, LabNode];
  files = mkdtempSync(join(tmpdir(), 'vipkeeper-tracking-'));
}, SETUP_TIMEOUT_MS);

afterEach(async () => {
  for (const director of running.splice(0)) await director.dispose();
  for (const node of [nodeA, nodeB]) {
    for (const lan of ['front', 'back', 'sync'] as const) await node.linkUp(lan);
  }
});

afterAll(async () => {
  await topology?.dispose();
  rmSync(files, { recursive: true, force: true });
});

const front = (more: object = {}) => ({
  interface: 'eth0',
  vrid: 61,
  priority: { a: 150, b: 100 },
  interval: '100ms',
  addresses: [VIP],
  ...more,
});
const back = (more: object = {}) => ({
  ...front(),
  interface: 'eth1',
  vrid: 62,
  addresses: [GATEWAY],
  ...more,
});

async function pair(config: Readonly<Record<string, unknown>>, instance: string) {
  const directors: Director[] = [];
  for (const [name, node] of [['a', nodeA] as const, ['b', nodeB] as const]) {
    const director = await Director.start(node, { name, config });
    running.push(director);
    directors.push(director);
    if (name === 'a') await director.waitForState(instance, 'active');
  }
  const [a, b] = directors as [Director, Director];
  await b.waitFor('the backup to hear', async () => (await b.instance(instance)).peer !== null);
  return { a, b };
}

describe('trackers', () => {
  it(
    'a script with a weight moves the VIP, and gives it back when it succeeds again',
    async () => {
      const flag = join(files, 'healthy');
      writeFileSync(flag, '');
      const track = [{ tracker: 'healthy', weight: -60 }];
      // The file exists for director a alone; b asks for a file that always exists.
      const trackers = {
        healthy: {
          script: { a: ['/usr/bin/test', '-e', flag], b: ['/bin/true'] },
          interval: '100ms',
        },
      };
      const { a, b } = await pair({ vrrp: { web: front({ track }) }, trackers }, 'web');
      rmSync(flag);
      await b.waitForState('web', 'active');
      await a.waitForState('web', 'backup');
      expect((await a.instance('web')).priority).toBe(90);
      expect((await a.instance('web')).priorityParts).toMatchObject([
        { tracker: 'healthy', delta: -60, detail: 'ended with exit status 1' },
      ]);
      writeFileSync(flag, '');
      await a.waitForState('web', 'active');
      await b.waitForState('web', 'backup');
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'a script that has not ended yet lets a better director neither take over nor count its weight',
    async () => {
      const blocker = join(files, 'blocked');
      writeFileSync(blocker, '');
      const wait = ['/bin/sh', '-c', 'while [ -e "$0" ]; do sleep 0.05; done; exit 1', blocker];
      const script = { a: wait, b: ['/bin/true'] };
      const trackers = { nginx: { script, interval: '100ms', timeout: '30s' } };
      const vrrp = {
        web: front({ track: ['nginx'] }),
        plus: back({
          vrid: 63,
          priority: { a: 90, b: 100 },
          track: [{ tracker: 'nginx', weight: 20 }],
        }),
      };
      const b = await Director.start(nodeB, { name: 'b', config: { vrrp, trackers } });
      running.push(b);
      await b.waitForState('web', 'active');
      const a = await Director.start(nodeA, { name: 'a', config: { vrrp, trackers } });
      running.push(a);
      // Who takes part hears; an interval is a thirtieth of what it hears for then.
      await a.waitFor('the other instance to hear b for long', async () => {
        const { peers } = await a.instance('plus');
        return (peers[0]?.accepted?.count ?? 0) > 30;
      });
      expect(await a.instance('plus')).toMatchObject({ state: 'backup', priority: 90 });
      const waiting = await a.instance('web');
      expect(waiting).toMatchObject({ state: 'backup', awaitedTrackers: ['nginx'] });
      const explained = await a.run(['explain', 'web']);
      expect(explained.stdout).toContain('waits for the first result of nginx');
      rmSync(blocker);
      await a.waitForState('web', 'fault');
      const transitions = (name: string) => a.lines('transition', { instance: name });
      expect(transitions('web').map(({ to }) => to)).toEqual(['backup', 'fault']);
      expect(b.lines('transition', { instance: 'web', to: 'backup' })).toHaveLength(1);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'a script that cannot be run is down, and says why',
    async () => {
      const track = ['missing'];
      const trackers = { missing: { script: [join(files, 'no-such-script')], interval: '100ms' } };
      const director = await Director.start(nodeA, {
        name: 'a',
        config: { vrrp: { web: front({ track }) }, trackers },
      });
      running.push(director);
      await director.waitForState('web', 'fault');
      const line = await director.waitForLine('tracker', { tracker: 'missing', up: false });
      expect(String(line.detail)).toContain('cannot be run');
      expect((await director.instance('web')).faultyTracker).toBe('missing');
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'a script that never ends is down, and is ended',
    async () => {
      const trackers = {
        slow: { script: ['/bin/sleep', '86399'], interval: '200ms', timeout: '200ms' },
      };
      const director = await Director.start(nodeA, {
        name: 'a',
        config: { vrrp: { web: front({ track: ['slow'] }) }, trackers },
      });
      running.push(director);
      await director.waitForState('web', 'fault');
      await director.stop();
      running.length = 0;
      const left = await localMachine.run(['pgrep', '-f', '^/bin/sleep 86399$']);
      expect(left.stdout).toBe('');
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'a number in a file counts times its weight',
    async () => {
      const path = join(files, 'bonus');
      writeFileSync(path, '-20\n');
      const trackers = { bonus: { file: path, interval: '100ms' } };
      const track = [{ tracker: 'bonus', weight: 2 }];
      const director = await Director.start(nodeA, {
        name: 'a',
        config: { vrrp: { web: front({ track }) }, trackers },
      });
      running.push(director);
      const priority = async (): Promise<number> => (await director.instance('web')).priority;
      await director.waitFor('the number', async () => (await priority()) === 110);
      writeFileSync(path, '5');
      await director.waitFor('the new number', async () => (await priority()) === 160);
      rmSync(path);
      await director.waitFor('no file', async () => (await priority()) === 150);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'an interface without carrier forbids to take part, after its delay',
    async () => {
      const trackers = { uplink: { interface: 'eth2', down_delay: '300ms' } };
      const { a, b } = await pair({ vrrp: { web: front({ track: ['uplink'] }) }, trackers }, 'web');
      await nodeA.linkDown('sync');
      await a.waitForState('web', 'fault');
      await b.waitForState('web', 'active');
      expect((await a.instance('web')).reason).toBe('tracker-down');
      await nodeA.linkUp('sync');
      await a.waitForState('web', 'active');
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'counts processes by name',
    async () => {
      const trackers = { nothing: { process: 'no-such-program', interval: '100ms' } };
      const director = await Director.start(nodeA, {
        name: 'a',
        config: { vrrp: { web: front({ track: ['nothing'] }) }, trackers },
      });
      running.push(director);
      const line = await director.waitForLine('tracker', { tracker: 'nothing', up: false });
      expect(line.detail).toBe('0 of 1 processes no-such-program');
    },
    TEST_TIMEOUT_MS,
  );
});

describe('a BFD session', () => {
  it(
    'that is tracked moves the VIP when its neighbor is not reached, and gives it back',
    async () => {
      const at = (node: LabNode) => node.on('sync');
      const far = {
        neighbor: { a: at(nodeB).ipv4, b: at(nodeA).ipv4 },
        interface: at(nodeA).name,
        ...{ min_rx: '50ms', min_tx: '50ms', multiplier: 3 },
      };
      const track = [{ tracker: 'path', weight: { a: -60, b: -1 } }];
      const config = {
        ...{ vrrp: { web: front({ track }) }, bfd: { far } },
        trackers: { path: { bfd: 'far' } },
      };
      const { a, b } = await pair(config, 'web');
      const priority = async () => (await a.instance('web')).priority;
      await a.waitFor('the session', async () => (await a.status()).bfd[0]?.state === 'up');
      await a.waitFor('its priority', async () => (await priority()) === 150);
      await a.waitForState('web', 'active');
      await nodeA.isolate('sync');
      await b.waitForState('web', 'active');
      await a.waitForState('web', 'backup');
      expect(await a.instance('web')).toMatchObject({
        priority: 90,
        priorityParts: [{ tracker: 'path', delta: -60, detail: expect.stringContaining('down') }],
      });
      await nodeA.rejoin('sync');
      await a.waitForState('web', 'active');
      await b.waitForState('web', 'backup');
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'without weight forbids to take part, and lets it again',
    async () => {
      const far = { neighbor: nodeB.on('sync').ipv4, interface: nodeA.on('sync').name };
      const config = {
        ...{ vrrp: { web: front({ track: ['path'] }) }, bfd: { far } },
        trackers: { path: { bfd: 'far' } },
      };
      // Nobody answers.
      const a = await Director.start(nodeA, { name: 'a', config });
      running.push(a);
      await a.waitForState('web', 'fault');
      expect((await a.instance('web')).reason).toBe('tracker-down');
      const back = { neighbor: nodeA.on('sync').ipv4, interface: nodeB.on('sync').name };
      const answering = { vrrp: { other: front({ vrid: 66 }) }, bfd: { back } };
      running.push(await Director.start(nodeB, { name: 'b', config: answering }));
      await a.waitForState('web', 'active');
    },
    TEST_TIMEOUT_MS,
  );
});

describe('sync groups', () => {
  const config = {
    vrrp: { front: front(), back: back() },
    groups: { edge: { instances: ['front', 'back'] } },
  };

  it(
    'move together when one link of the active director fails, return together, and are told of',
    async () => {
      const told = join(files, 'told');
      const script = join(files, 'group.sh');
      writeFileSync(script, `#!/bin/sh\necho "$VIPKEEPER_DIRECTOR $@" >> ${told}\n`, {
        mode: 0o755,
      });
      const edge = { ...config.groups.edge, notify: { any: [script] } };
      const { a, b } = await pair({ ...config, groups: { edge } }, 'front');
      await a.waitForState('back', 'active');
      await nodeA.linkDown('back');
      await a.waitForState('front', 'fault');
      expect((await a.instance('front')).reason).toBe('group-member-fault');
      const { groups, instances } = await a.status();
      expect(groups).toEqual([
        {
          name: 'edge',
          state: 'fault',
          members: ['front', 'back'],
          heldBy: [{ instance: 'back', why: 'interface-down' }],
        },
      ]);
      const [explained] = explainInstances(instances, 'front');
      expect(explained?.findings[0]?.text).toContain('back is in fault (interface-down)');
      await b.waitForState('front', 'active');
      await b.waitForState('back', 'active');
      const held = await check(nodeA, ['ip', '-4', 'address', 'show', 'dev', 'eth0']);
      expect(held.stdout).not.toContain(virtualIp(1).ipv4);
      await nodeA.linkUp('back');
      await a.waitForState('front', 'active');
      await a.waitForState('back', 'active');
      await b.waitForState('front', 'backup');
      await b.waitForState('back', 'backup');
      const lines = (name: string): string[] =>
        readFileSync(told, 'utf8')
          .split('\n')
          .filter((line) => line.startsWith(`${name} `));
      await b.waitFor('the last script', () => lines('b').at(-1)?.endsWith('BACKUP 0') === true);
      expect(lines('a').slice(-4)).toEqual(
        ['MASTER', 'FAULT', 'BACKUP', 'MASTER'].map((word) => `a GROUP edge ${word} 0`),
      );
      expect(lines('b').slice(-2)).toEqual(['b GROUP edge MASTER 0', 'b GROUP edge BACKUP 0']);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'stay together when only one of two networks is cut between the directors',
    async () => {
      const { a, b } = await pair(config, 'front');
      await a.waitForState('back', 'active');
      const mark = b.mark;
      await nodeA.isolate('back');
      // b hears a on the front all the while: it must not take over the back alone.
      const heard = async (): Promise<number> =>
        (await b.instance('front')).counters.advertsReceived;
      const before = await heard();
      await b.waitFor('twenty more adverts', async () => (await heard()) >= before + 20);
      expect(b.lines('transition', { to: 'active' }, mark)).toEqual([]);
      await nodeA.rejoin('back');
    },
    TEST_TIMEOUT_MS,
  );
});
