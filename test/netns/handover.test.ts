/**
 * A planned stop: the successor has the VIP before the old active director lets it go, so that no
 * packet finds it nowhere. Measured with the kernel's own notifications, and from a client.
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
const VIP = virtualIp(1).ipv4;

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

const config = {
  vrrp: {
    web: {
      interface: 'eth0',
      vrid: 71,
      priority: { a: 150, b: 100 },
      interval: '1s',
      addresses: [`${VIP}/24`],
    },
  },
};

async function startA(compiled = false): Promise<Director> {
  const a = await Director.start(nodeA, { name: 'a', config, compiled });
  running.push(a);
  await a.waitForState('web', 'active');
  return a;
}

/** The longest time without an answer of the VIP meanwhile. */
async function silenceMsDuring(action: () => Promise<void>): Promise<number> {
  const answers = await pingDuring(client, { address: VIP, intervalMs: 2 }, action);
  expect(answers.length).toBeGreaterThan(100);
  return longestSilenceMs(answers);
}

describe('stopping the active director', () => {
  it(
    'hands over to a vipkeeper without the VIP being nowhere',
    async () => {
      const a = await startA();
      const b = await Director.start(nodeB, { name: 'b', config });
      running.push(b);
      await b.waitFor('the backup to hear', async () => (await b.instance('web')).peer !== null);
      const onA = new AddressWatch(nodeA);
      const onB = new AddressWatch(nodeB);
      // The successor waits for its skew time, which depends on the interval: 0.6 s here.
      const silenceMs = await silenceMsDuring(async () => {
        expect(await a.stop()).toBe(0);
      });
      const added = onB.events.find((event) => event.address === VIP && event.kind === 'added');
      const [removed] = onA.removals(VIP);
      onA.close();
      onB.close();
      expect(added?.atUs).toBeGreaterThan(0);
      expect(removed?.atUs).toBeGreaterThan(added?.atUs as number);
      // Without make before break the client waits for the successor's skew time.
      expect(silenceMs).toBeLessThan(SKEW_TIME_MS / 4);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'hands over when a terminal interrupts both processes at once',
    async () => {
      const a = await startA();
      const b = await Director.start(nodeB, { name: 'b', config });
      running.push(b);
      await b.waitFor('the backup to hear', async () => (await b.instance('web')).peer !== null);
      const onA = new AddressWatch(nodeA);
      const onB = new AddressWatch(nodeB);
      // As Ctrl-C does: the terminal signals every process of the group.
      a.signalGroup('SIGINT');
      await b.waitForState('web', 'active');
      expect(await a.ended()).toBe(0);
      const added = onB.events.find((event) => event.address === VIP && event.kind === 'added');
      const [removed] = onA.removals(VIP);
      onA.close();
      onB.close();
      expect(added?.atUs).toBeGreaterThan(0);
      expect(removed?.atUs).toBeGreaterThan(added?.atUs as number);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'hands over to keepalived without the VIP being nowhere',
    async () => {
      const a = await startA();
      const k = await Keepalived.start(nodeB, {
        version: 3,
        vrid: 71,
        priority: 100,
        intervalSeconds: 1,
        addresses: [`${VIP}/24`],
      });
      running.push(k);
      const onB = new AddressWatch(nodeB);
      const silenceMs = await silenceMsDuring(async () => {
        expect(await a.stop()).toBe(0);
      });
      expect(onB.holds(VIP)).toBe(true);
      onB.close();
      expect(silenceMs).toBeLessThan(SKEW_TIME_MS / 4);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'without a successor it lets the VIP go after the longest skew time',
    async () => {
      const a = await startA();
      const onA = new AddressWatch(nodeA);
      expect(await a.stop()).toBe(0);
      expect(onA.holds(VIP)).toBe(false);
      onA.close();
    },
    TEST_TIMEOUT_MS,
  );
});

describe('restarting in place', () => {
  it(
    'keeps the VIP and the process id, and no peer takes over',
    async () => {
      const a = await startA();
      const b = await Director.start(nodeB, { name: 'b', config });
      running.push(b);
      await b.waitFor('the backup to hear', async () => (await b.instance('web')).peer !== null);
      const before = await a.pids();
      const mark = b.mark;
      const onA = new AddressWatch(nodeA);
      const silenceMs = await silenceMsDuring(async () => {
        const restarted = await a.run(['restart', '--json']);
        expect(restarted.stderr).toBe('');
        expect(JSON.parse(restarted.stdout)).toMatchObject({ active: ['web'], kept: ['web'] });
      });
      const after = await a.pids();
      expect(after.keeper).toBe(before.keeper);
      expect(after.controller).not.toBe(before.controller);
      expect(onA.removals(VIP)).toEqual([]);
      onA.close();
      expect(b.lines('transition', {}, mark)).toEqual([]);
      // The VIP is the kernel's: nothing is lost but what scheduling costs a ping, on a busy
      // machine some hundred milliseconds. Without adoption it would be the peer's skew time.
      expect(silenceMs).toBeLessThan(SKEW_TIME_MS);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'is refused at once while the keeper does not run, and works when it goes on',
    async () => {
      const a = await startA();
      const { keeper, controller } = await a.pids();
      process.kill(keeper, 'SIGSTOP');
      const refused = await a.run(['restart']);
      process.kill(keeper, 'SIGCONT');
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain(`VK-NO-KEEPER: The keeper (process id ${keeper})`);
      await a.waitFor('the keeper', async () => (await a.tryStatus())?.keeper.scheduling !== null);
      // It did not even begin: the controller goes on with what it is asked.
      expect((await a.pids()).controller).toBe(controller);
      await a.reload();
      expect((await a.run(['restart'])).code).toBe(0);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'works after a crash too, when the controller has started the keeper',
    async () => {
      // Without the launcher, whose keeper's arguments are others.
      const a = await startA(true);
      const before = await a.pids();
      process.kill(before.keeper, 'SIGKILL');
      await a.waitFor('the next keeper', async () => {
        const { pid } = (await a.status()).keeper;
        return pid !== null && pid !== before.keeper;
      });
      await a.waitForState('web', 'active');
      const between = await a.pids();
      const restarted = await a.run(['restart', '--json']);
      expect(JSON.parse(restarted.stdout)).toMatchObject({ active: ['web'], kept: ['web'] });
      const after = await a.pids();
      expect(after.keeper).toBe(between.keeper);
      expect(after.controller).not.toBe(between.controller);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'hands an instance over first whose peers would time out meanwhile',
    async () => {
      const fast = { vrrp: { web: { ...config.vrrp.web, interval: '20ms' } } };
      const a = await Director.start(nodeA, { name: 'a', config: fast });
      running.push(a);
      await a.waitForState('web', 'active');
      const b = await Director.start(nodeB, { name: 'b', config: fast });
      running.push(b);
      await b.waitFor('the backup to hear', async () => (await b.instance('web')).peer !== null);
      const mark = b.mark;
      const restarted = await a.run(['restart', '--json']);
      expect(JSON.parse(restarted.stdout)).toMatchObject({ active: ['web'], kept: [] });
      expect(b.lines('transition', { to: 'active' }, mark)[0]?.reason).toBe('peer-resigned');
      await a.waitForState('web', 'active');
    },
    TEST_TIMEOUT_MS,
  );
});

/** Skew time of priority 100 at 1 s: RFC 9568 section 6.1. */
const SKEW_TIME_MS = (1000 * (256 - 100)) / 256;
