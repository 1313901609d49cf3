/**
 * A kernel that takes none of the VIPs of an active director: fault with its words, a healthy peer
 * left in peace, an end as soon as it takes them. Two directors whose VIPs are on an interface
 * of its own, which is made so that the kernel refuses them. Needs root, a build.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { TRIAL_US } from '../../src/core/address/refusal.ts';
import { explainInstance } from '../../src/core/vrrp/explain.ts';
import { monotonicUs } from '../../src/linux/clock.ts';
import { Director } from '../lab/director.ts';
import { check, LabError, localMachine } from '../lab/host.ts';
import { ensurePackages, NETWORK_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology } from '../lab/topology.ts';
import { AddressWatch, AdvertWatch } from '../lab/watch.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 90_000;
/** Until a trial, on a busy machine. */
const TRIAL_TIMEOUT_MS = 30_000;
const VIP = '10.9.9.1';
const VIP6 = '2001:db8:9::1';
const VRID = 61;

let topology: Topology;
let nodes: readonly [LabNode, LabNode];
const running: Director[] = [];

beforeAll(async () => {
  await ensurePackages(NETWORK_PACKAGES);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  topology = await Topology.create(localMachine, { realServers: 1, clients: 1 });
  nodes = topology.directors as unknown as [LabNode, LabNode];
}, SETUP_TIMEOUT_MS);

beforeEach(async () => {
  for (const node of nodes) {
    const pair = ['vip0', 'type', 'veth', 'peer', 'name', 'vip0-end'];
    await check(node, ['ip', 'link', 'add', ...pair]);
    for (const end of ['vip0', 'vip0-end']) await check(node, ['ip', 'link', 'set', end, 'up']);
  }
});

afterEach(async () => {
  for (const director of running.splice(0)) await director.dispose();
  for (const node of nodes) await check(node, ['ip', 'link', 'delete', 'vip0']);
});

afterAll(() => topology?.dispose());

/** The kernel has no IPv6 on an interface with an MTU below 1280 (RFC 8200 section 5). */
const largeEnough = (node: LabNode, yes: boolean) =>
  check(node, ['ip', 'link', 'set', 'vip0', 'mtu', yes ? '1500' : '1200']);

const ipv6 = (node: LabNode, on: boolean) =>
  check(node, ['sysctl', '-q', '-w', `net.ipv6.conf.vip0.disable_ipv6=${on ? 0 : 1}`]);

function configOf(addresses: readonly unknown[]): Readonly<Record<string, unknown>> {
  const web = { interface: 'eth0', vrid: VRID, interval: '100ms', addresses };
  return { vrrp: { web: { ...web, priority: { a: 200, b: 100 } } } };
}

const vips = (...addresses: readonly string[]) =>
  addresses.map((address) => ({ address, interface: 'vip0' }));

async function start(name: 'a' | 'b', addresses: readonly unknown[]): Promise<Director> {
  const node = nodes[name === 'a' ? 0 : 1];
  const director = await Director.start(node, { name, config: configOf(addresses) });
  running.push(director);
  return director;
}

const wait = (director: Director, what: string, condition: () => Promise<boolean>) =>
  director.waitFor(what, condition, TRIAL_TIMEOUT_MS);

describe('of which the kernel refuses every VIP', { timeout: TEST_TIMEOUT_MS }, () => {
  it('a director is in fault with its words, and leaves a healthy peer in peace', async () => {
    const [nodeA] = nodes;
    await largeEnough(nodeA, false);
    const a = await start('a', vips(`${VIP6}/64`));
    const fault = { instance: 'web', to: 'fault', reason: 'addresses-refused' };
    await a.waitForLine('transition', fault);
    expect(a.log.find(({ code }) => code === 'VK-ADDRESS')?.cure).toContain('mtu');
    // Alone, it says that nobody has them.
    const alone = explainInstance(await a.instance('web'));
    expect(alone.findings.map(({ kind }) => kind)).toEqual(['in-fault']);
    expect(alone.findings[0]?.text).toContain(`${VIP6} on vip0: `);
    expect(alone.findings[0]?.text).toContain('nobody has them');

    const b = await start('b', vips(`${VIP6}/64`));
    await b.waitForState('web', 'active');
    await a.waitFor('the peer to be heard', async () => {
      const [finding] = explainInstance(await a.instance('web')).findings;
      return finding?.text.endsWith('one is heard as active') === true;
    });
    const client = topology.clients[0] as LabNode;
    const adverts = new AdvertWatch(client, 'ipv6');
    const watch = new AddressWatch(nodeA);
    const sinceUs = monotonicUs();
    try {
      await a.waitFor(
        'trials',
        async () => monotonicUs() - sinceUs > 2 * TRIAL_US,
        TRIAL_TIMEOUT_MS,
      );
      expect(adverts.from(nodeA.on('front').linkLocal, VRID, sinceUs)).toEqual([]);
      expect(watch.holds(VIP6)).toBe(false);
      expect((await a.instance('web')).counters.transitions.fault).toBe(1);
      expect((await a.metric('vipkeeper_vrrp_finding')).get(IN_FAULT)).toBe(1);
      expect((await b.instance('web')).counters.transitions).toMatchObject({ active: 1, fault: 0 });

      await largeEnough(nodeA, true);
      await wait(
        a,
        'the end of the fault',
        async () => (await a.instance('web')).state === 'active',
      );
      await a.waitFor('the address', () => watch.additions(VIP6).length > 0);
      // One trial, and then for good.
      expect(watch.removals(VIP6)).toHaveLength(1);
      expect(watch.holds(VIP6)).toBe(true);
    } finally {
      adverts.close();
      watch.close();
    }
    await b.waitForState('web', 'backup');
    const report = await a.instance('web');
    expect(report.addresses).toMatchObject([{ address: VIP6, present: true, error: null }]);
    expect(report.counters.transitions.fault).toBe(1);
    expect(a.lines('transition', { reason: 'addresses-taken' })).toHaveLength(1);
    expect((await a.metric('vipkeeper_vrrp_finding')).get(IN_FAULT)).toBe(0);
  });

  it('both are in fault, and say that nobody has them, until one kernel takes them', async () => {
    for (const node of nodes) await ipv6(node, false);
    const a = await start('a', vips(`${VIP6}/64`));
    const b = await start('b', vips(`${VIP6}/64`));
    for (const director of [a, b]) {
      // For a moment after the other one has tried, too, it is heard.
      await director.waitFor('both to be in fault', async () => {
        const [finding] = explainInstance(await director.instance('web')).findings;
        return finding?.text.endsWith('nobody has them') === true;
      });
      const { findings } = explainInstance(await director.instance('web'));
      expect(findings[0]?.text).toContain('IPv6 is disabled on this ');
    }
    await ipv6(nodes[1], true);
    await wait(b, 'b to take them', async () => (await b.instance('web')).state === 'active');
    expect((await b.instance('web')).addresses).toMatchObject([{ present: true }]);
    expect((await a.instance('web')).state).toBe('fault');
  });

  it('a director that starts beside an active one does not take over to find it out', async () => {
    const [nodeA] = nodes;
    const b = await start('b', vips(`${VIP6}/64`));
    await b.waitForState('web', 'active');
    const adverts = new AdvertWatch(topology.clients[0] as LabNode, 'ipv6');
    const watch = new AddressWatch(nodes[1]);
    try {
      for (const refuse of [ipv6, largeEnough]) {
        await refuse(nodeA, false);
        const a = await start('a', vips(`${VIP6}/64`));
        await a.waitForState('web', 'fault');
        await a.waitFor('the problem', () => a.log.some(({ code }) => code === 'VK-ADDRESS'));
        expect((await a.instance('web')).counters.transitions.active).toBe(0);
        expect((await a.instance('web')).reason).toBe('addresses-refused');
        await a.stop();
        await refuse(nodeA, true);
      }
      expect(adverts.from(nodeA.on('front').linkLocal, VRID)).toEqual([]);
      expect(watch.removals(VIP6)).toEqual([]);
      expect((await b.instance('web')).counters.transitions.active).toBe(1);
    } finally {
      adverts.close();
      watch.close();
    }
  });

  it('a backup finds it out when it takes over, and leaves them again', async () => {
    const a = await start('a', vips(`${VIP6}/64`));
    await a.waitForState('web', 'active');
    const b = await start('b', vips(`${VIP6}/64`));
    await b.waitFor('the other to be heard', async () => (await b.instance('web')).peer !== null);
    await ipv6(nodes[1], false);
    await a.stop();
    await b.waitForLine('transition', { to: 'active' });
    await b.waitForLine('transition', { to: 'fault', reason: 'addresses-refused' });
    await ipv6(nodes[1], true);
    await wait(b, 'b to take them', async () => (await b.instance('web')).state === 'active');
    expect((await b.instance('web')).addresses).toMatchObject([{ present: true }]);
  });

  it('a reload that leaves another VIP ends the fault at once', async () => {
    await ipv6(nodes[0], false);
    const a = await start('a', vips(`${VIP6}/64`));
    await a.waitForState('web', 'fault');
    a.configure(configOf(['2001:db8:1::201/64']));
    await a.reload();
    await a.waitForState('web', 'active');
  });
});

describe('of which the kernel refuses some VIPs', { timeout: TEST_TIMEOUT_MS }, () => {
  it('a director stays active with the others, and gets them without a transition', async () => {
    await ipv6(nodes[0], false);
    const a = await start('a', vips(`${VIP}/24`, `${VIP6}/64`));
    await a.waitForState('web', 'active');
    await a.waitFor('the problem', () => a.log.some(({ code }) => code === 'VK-ADDRESS'));
    await ipv6(nodes[0], true);
    await wait(a, 'the VIP', async () =>
      (await a.instance('web')).addresses.every(({ present }) => present),
    );
    expect((await a.instance('web')).counters.transitions).toMatchObject({ active: 1, fault: 0 });
  });

  it('it goes into fault when the last one is removed and cannot be put back', async () => {
    const [nodeA] = nodes;
    const a = await start('a', vips(`${VIP6}/64`));
    const b = await start('b', vips(`${VIP6}/64`));
    await a.waitForState('web', 'active');
    // As any program may: put back, and no transition.
    await check(nodeA, ['ip', 'address', 'del', `${VIP6}/64`, 'dev', 'vip0']);
    await a.waitForLine('address-restored');
    expect((await a.instance('web')).counters.transitions.fault).toBe(0);
    // The kernel takes all addresses away with that.
    await ipv6(nodeA, false);
    await a.waitForLine('transition', { to: 'fault', reason: 'addresses-refused' });
    await b.waitForState('web', 'active');
  });
});

const IN_FAULT = '{vrrp_instance="web",kind="in-fault"}';
