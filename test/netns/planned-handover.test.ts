/**
 * `vipkeeper handover` and `takeback` between real directors: what a client that pings the VIP
 * every 5 ms loses, who is active, and that nothing changes where nobody takes over.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Director } from '../lab/director.ts';
import { LabError, localMachine } from '../lab/host.ts';
import { Keepalived } from '../lab/keepalived.ts';
import { ensurePackages, NETWORK_PACKAGES, PEER_PACKAGES } from '../lab/packages.ts';
import { longestSilenceMs, pingDuring } from '../lab/pings.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';
import { AddressWatch } from '../lab/watch.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 40_000;
const VIPS = [virtualIp(1).ipv4, virtualIp(2).ipv4] as const;
const VIP = VIPS[0];
const INTERVAL_SECONDS = 0.5;
/** Skew time of priority 100: RFC 9568 section 6.1. */
const SKEW_TIME_MS = (INTERVAL_SECONDS * 1000 * (256 - 100)) / 256;

let topology: Topology;
let nodeA: LabNode;
let nodeB: LabNode;
let client: LabNode;
const running: { dispose(): Promise<void> }[] = [];

beforeAll(async () => {
  await ensurePackages([...NETWORK_PACKAGES, ...PEER_PACKAGES]);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  topology = await Topology.create(localMachine, { realServers: 1 });
  [nodeA, nodeB] = topology.directors as [LabNode, LabNode];
  client = topology.clients[0] as LabNode;
}, SETUP_TIMEOUT_MS);

afterEach(async () => {
  for (const director of running.splice(0)) await director.dispose();
});

afterAll(() => topology?.dispose());

const instance = (vrid: number, vip: string) => ({
  interface: 'eth0',
  vrid,
  priority: { a: 150, b: 100 },
  interval: `${INTERVAL_SECONDS}s`,
  addresses: [`${vip}/24`],
});
const config = { vrrp: { web: instance(71, VIPS[0]) } };
const grouped = {
  vrrp: { web: instance(71, VIPS[0]), back: instance(72, VIPS[1]) },
  groups: { edge: { instances: ['web', 'back'] } },
};

async function start(
  node: LabNode,
  name: 'a' | 'b',
  of: Record<string, unknown>,
): Promise<Director> {
  const director = await Director.start(node, { name, config: of });
  running.push(director);
  return director;
}

/** Runs a command of vipkeeper that prints JSON. */
async function json(director: Director, ...args: string[]): Promise<unknown> {
  const { stdout, stderr } = await director.run([...args, '--json']);
  expect(stderr).toBe('');
  return JSON.parse(stdout);
}

/** The longest time without an answer of the VIP meanwhile. */
async function silenceMsDuring(action: () => Promise<void>): Promise<number> {
  const answers = await pingDuring(client, { address: VIP, intervalMs: 5 }, action);
  expect(answers.length).toBeGreaterThan(100);
  return longestSilenceMs(answers);
}

describe('vipkeeper handover', () => {
  it(
    'moves a whole sync group to a vipkeeper of lower priority and back, without a gap',
    async () => {
      const a = await start(nodeA, 'a', grouped);
      await a.waitForState('web', 'active');
      const b = await start(nodeB, 'b', grouped);
      await b.waitFor('both to hear', async () => {
        return (await b.instance('web')).peer !== null && (await b.instance('back')).peer !== null;
      });
      const silenceMs = await silenceMsDuring(async () => {
        // One member is named, and all of them go.
        const done = await json(a, 'handover', 'back');
        expect(done).toMatchObject({
          started: true,
          results: [{ outcome: 'handed-over' }, { outcome: 'handed-over' }],
        });
        for (const name of ['web', 'back']) await b.waitForState(name, 'active');
        // The lower priority is heard for longer than the active-down interval, not preempted.
        const heard = (await a.instance('web')).counters.advertsReceived;
        await a.waitFor('four more adverts', async () => {
          return (await a.instance('web')).counters.advertsReceived > heard + 4;
        });
        const held = { state: 'backup', reason: 'handed-over', heldBack: true };
        for (const name of ['web', 'back']) expect(await a.instance(name)).toMatchObject(held);
        expect((await a.run(['explain', 'web'])).stdout).toContain('vipkeeper takeback web');
        expect(await json(a, 'takeback', 'web')).toMatchObject({ error: null });
        for (const name of ['web', 'back']) await a.waitForState(name, 'active');
      });
      expect(silenceMs).toBeLessThan(SKEW_TIME_MS / 2);
      expect(b.lines('transition', { to: 'active' })[0]?.reason).toBe('peer-resigned');
      expect(a.lines('transition', { to: 'active' }).at(-1)?.reason).toBe('preempted');
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'moves the VIP to keepalived, which is preempted only after takeback',
    async () => {
      const a = await start(nodeA, 'a', config);
      await a.waitForState('web', 'active');
      const k = await Keepalived.start(nodeB, {
        version: 3,
        vrid: 71,
        priority: 100,
        intervalSeconds: INTERVAL_SECONDS,
        addresses: [`${VIP}/24`],
      });
      running.push(k);
      const onB = new AddressWatch(nodeB);
      const silenceMs = await silenceMsDuring(async () => {
        const done = await json(a, 'handover', 'web');
        expect(done).toMatchObject({ results: [{ outcome: 'handed-over' }] });
        expect(onB.holds(VIP)).toBe(true);
        await json(a, 'takeback', 'web');
        await a.waitForState('web', 'active');
      });
      onB.close();
      expect(silenceMs).toBeLessThan(SKEW_TIME_MS / 2);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'changes nothing where nobody takes over, and says so',
    async () => {
      const a = await start(nodeA, 'a', config);
      await a.waitForState('web', 'active');
      const tried = await a.run(['handover', '--all', '--dry-run']);
      expect([tried.code, tried.stdout]).toEqual([
        1,
        expect.stringContaining('Backups are silent in VRRP'),
      ]);
      expect(tried.stderr).toContain('VK-HANDOVER: No successor is known');
      const mark = a.mark;
      const onA = new AddressWatch(nodeA);
      const done = await a.run(['handover']);
      expect([done.code, done.stdout]).toEqual([
        1,
        expect.stringContaining('web: nobody took over in'),
      ]);
      expect(onA.removals(VIP)).toEqual([]);
      onA.close();
      expect(a.lines('transition', {}, mark)).toEqual([]);
      expect(await a.instance('web')).toMatchObject({ state: 'active', heldBack: false });
    },
    TEST_TIMEOUT_MS,
  );
});
