/**
 * The addresses of a director as the kernel shows them (ip -json): attributes, changes by a
 * reload, other interfaces than the instance's and what becomes of them. One director in its own
 * namespace; nothing is asked of the director that the kernel can be asked. Needs root, a build.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { RESTORES_BURST } from '../../src/core/address/budget.ts';
import { explainInstance } from '../../src/core/vrrp/explain.ts';
import { monotonicUs } from '../../src/linux/clock.ts';
import { Director } from '../lab/director.ts';
import { check, LabError, localMachine } from '../lab/host.ts';
import { ensurePackages, NETWORK_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology } from '../lab/topology.ts';
import { AddressWatch } from '../lab/watch.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 40_000;
const VIP = '192.0.2.201';
const VIP6 = '2001:db8:1::201';

let topology: Topology;
let node: LabNode;
let watch: AddressWatch;
let director: Director | null = null;

beforeAll(async () => {
  await ensurePackages(NETWORK_PACKAGES);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  topology = await Topology.create(localMachine, { directors: 1, realServers: 1, clients: 1 });
  [node] = topology.directors as [LabNode];
  watch = new AddressWatch(node);
}, SETUP_TIMEOUT_MS);

afterEach(async () => {
  await director?.stop().catch(() => {});
  await director?.dispose();
  director = null;
});

afterAll(async () => {
  watch?.close();
  await topology?.dispose();
});

type Fields = Readonly<Record<string, unknown>>;

function configOf(addresses: readonly unknown[], web: Fields = {}): Fields {
  const instance = { interface: 'eth0', vrid: 51, priority: 254, interval: '100ms', addresses };
  return { vrrp: { web: { ...instance, ...web } } };
}

async function start(addresses: readonly unknown[], web: Fields = {}): Promise<Director> {
  director = await Director.start(node, { config: configOf(addresses, web) });
  await director.waitForState('web', 'active');
  return director;
}

/** Runs ip(8) in the node; its JSON output where it has one. */
async function ip(...argv: string[]): Promise<readonly Fields[]> {
  const { stdout } = await check(node, ['ip', '-json', ...argv]);
  return stdout.trim() === '' ? [] : (JSON.parse(stdout) as Fields[]);
}

/** What the kernel says of an address; null when no interface has it. */
async function kernelAddress(address: string): Promise<Fields | null> {
  const links = await ip('-details', 'address', 'show');
  for (const link of links) {
    const found = (link.addr_info as Fields[]).find(({ local }) => local === address);
    if (found !== undefined) return { ...found, interface: link.ifname };
  }
  return null;
}

const FOREVER = 4_294_967_295;

describe('attributes', { timeout: TEST_TIMEOUT_MS }, () => {
  it('are on the address as configured, for either family', async () => {
    await start([
      {
        address: `${VIP}/25`,
        broadcast: 'auto',
        scope: 'link',
        label: 'eth0:web',
        prefix_route: false,
        metric: 7,
        preferred_lifetime: '0s',
      },
      { address: '192.0.2.202', peer: '203.0.113.9/30', advertised: false },
      { address: `${VIP6}/64`, home: true, manage_temporary: true, preferred_lifetime: '1h' },
      '2001:db8:1::202/128',
    ]);
    expect(await kernelAddress(VIP)).toMatchObject({
      interface: 'eth0',
      prefixlen: 25,
      broadcast: '192.0.2.255',
      scope: 'link',
      label: 'eth0:web',
      noprefixroute: true,
      metric: 7,
      deprecated: true,
      valid_life_time: FOREVER,
    });
    const preferred = (await kernelAddress(VIP6))?.preferred_life_time as number;
    expect(preferred).toBeLessThanOrEqual(3600);
    expect(preferred).toBeGreaterThan(3500);
    expect(await kernelAddress('192.0.2.202')).toMatchObject({
      address: '203.0.113.9',
      prefixlen: 30,
    });
    expect(await kernelAddress(VIP6)).toMatchObject({ home: true, mngtmpaddr: true, nodad: true });
    expect(await kernelAddress('2001:db8:1::202')).toMatchObject({
      prefixlen: 128,
      deprecated: true,
      preferred_life_time: 0,
    });
    const { advertisedAddresses } = (await director?.instance('web')) ?? {};
    expect(advertisedAddresses).toEqual([VIP]);
  });

  it('change by a reload without the address being gone, and stay through a restart', async () => {
    // Long enough for a keeper to start in.
    const web = { interval: '1s' };
    const a = await start([`${VIP}/24`, `${VIP6}/64`], web);
    const prober = watchGaps();
    const changed = [
      { address: `${VIP}/24`, label: 'eth0:new', broadcast: 'auto' },
      { address: `${VIP6}/64`, preferred_lifetime: '0s' },
    ];
    a.configure(configOf(changed, web));
    await a.reload();
    await a.waitFor('the new label', async () => (await kernelAddress(VIP))?.label === 'eth0:new');
    a.configure(configOf([{ ...changed[0], address: `${VIP}/25` }, changed[1]], web));
    await a.reload();
    await a.waitFor('the prefix', async () => (await kernelAddress(VIP))?.prefixlen === 25);
    expect(prober.stop()).toEqual({ probes: expect.any(Number), gaps: 0 });
    expect(await kernelAddress(VIP6)).toMatchObject({ preferred_life_time: 0 });
    const links = await ip('address', 'show', 'dev', 'eth0');
    const infos = links.flatMap(({ addr_info }) => addr_info as Fields[]);
    expect(infos.filter(({ local }) => local === VIP)).toHaveLength(1);
    expect((await a.instance('web')).counters).toMatchObject({
      addressesRestored: 0,
      transitions: { active: 1, backup: 1 },
    });
    const sinceUs = monotonicUs();
    await a.kill('SIGKILL', 'keeper');
    await a.waitFor('another keeper', async () => {
      const status = await a.tryStatus();
      return status?.instances[0]?.reason === 'adopted';
    });
    expect(watch.removals(VIP, sinceUs)).toEqual([]);
    expect(await kernelAddress(VIP)).toMatchObject({ label: 'eth0:new', prefixlen: 25 });
  });
});

/** Asks the kernel for both VIPs, all the time, until it is stopped. */
function watchGaps(): { stop: () => { probes: number; gaps: number } } {
  let probes = 0;
  let gaps = 0;
  const timer = setInterval(() => {
    probes++;
    if (!watch.holds(VIP) || !watch.holds(VIP6)) gaps++;
  }, 1);
  return {
    stop: () => {
      clearInterval(timer);
      return { probes, gaps };
    },
  };
}

describe('another program', { timeout: TEST_TIMEOUT_MS }, () => {
  it('that removes an IPv6 VIP has it put back, though the kernel does not name it', async () => {
    const a = await start([`${VIP6}/64`]);
    await ip('address', 'del', `${VIP6}/64`, 'dev', 'eth0');
    const line = await a.waitForLine('address-restored');
    expect(line).toMatchObject({ instance: 'web', address: VIP6, byPid: null });
    expect(line.msg).toContain('was removed (the kernel does not tell by whom) and put back');
    expect(await kernelAddress(VIP6)).not.toBeNull();
  });

  it('that adds a VIP with another prefix length does not make ours stay behind', async () => {
    const a = await start([`${VIP}/24`]);
    const prefixes = async () => {
      const [link] = await ip('address', 'show', 'dev', 'eth0');
      const all = (link?.addr_info ?? []) as Fields[];
      return all.filter(({ local }) => local === VIP).map(({ prefixlen }) => prefixlen);
    };
    await ip('address', 'add', `${VIP}/32`, 'dev', 'eth0');
    await ip('address', 'add', `${VIP}/31`, 'dev', 'eth0');
    await ip('address', 'del', `${VIP}/31`, 'dev', 'eth0');
    // The keeper has read its notices in order, so also those of the addresses before.
    const mark = a.mark;
    await ip('link', 'set', 'eth0', 'down');
    await a.waitForTransition('web', 'fault', mark);
    expect(await prefixes()).toEqual([32]);
    expect(a.log.some(({ event }) => event === 'address-restored')).toBe(false);
    await ip('address', 'del', `${VIP}/32`, 'dev', 'eth0');
    await ip('link', 'set', 'eth0', 'up');
    await a.waitForTransition('web', 'active', mark);
    expect(await prefixes()).toEqual([24]);
  });

  it('that removes a VIP again and again is fought once a second, and named', async () => {
    const a = await start([`${VIP}/24`]);
    let removed = 0;
    const fight = async () => {
      const { code } = await node.run(['ip', 'address', 'del', `${VIP}/24`, 'dev', 'eth0']);
      if (code === 0) removed++;
    };
    await a.waitFor('the fight to be noticed', async () => {
      await fight();
      return a.log.some(({ code }) => code === 'VK-CONTESTED');
    });
    const told = a.log.filter(({ code }) => code === 'VK-CONTESTED');
    expect(told).toHaveLength(1);
    expect(told[0]?.msg).toMatch(/\(process \d+\) keeps removing 192\.0\.2\.201 from eth0/);
    expect(removed).toBeGreaterThan(RESTORES_BURST);
    // Nobody removes it any more.
    await a.waitFor('the VIP to be back', async () => (await kernelAddress(VIP)) !== null);
    const { counters, state } = await a.instance('web');
    expect(state).toBe('active');
    expect(counters.addressesRestored).toBe(removed);
    expect(counters.transitions.active).toBe(1);
  });
});

it(
  'a VIP that another program puts on a backup is found, told and left alone',
  async () => {
    const config = { ...configOf([`${VIP}/24`]), keeper: { startup_delay: '1m' } };
    director = await Director.start(node, { config });
    const a = director;
    await a.waitForState('web', 'backup');
    const finding = async () =>
      (await a.metric('vipkeeper_vrrp_finding')).get(
        '{vrrp_instance="web",kind="address-unexpected"}',
      );
    expect(await finding()).toBe(0);
    await ip('address', 'add', `${VIP}/24`, 'dev', 'eth0');
    await a.waitFor('the finding', async () => (await finding()) === 1);
    const explained = await a.run(['explain', 'web']);
    expect([explained.code, explained.stdout]).toEqual([
      1,
      expect.stringContaining(`ip address del ${VIP}/24 dev eth0`),
    ]);
    expect(await kernelAddress(VIP)).not.toBeNull();
    await ip('address', 'del', `${VIP}/24`, 'dev', 'eth0');
    await a.waitFor('its end', async () => (await finding()) === 0);
  },
  TEST_TIMEOUT_MS,
);

it(
  'the source of advertisements is neither another instance’s VIP nor a static address, if there is another',
  async () => {
    const { addr_info: before } = (await ip('address', 'show', 'dev', 'eth0'))[0] as Fields;
    const own = (before as Fields[]).find(({ family }) => family === 'inet') as Fields;
    const { local, prefixlen, label } = own;
    const instance = { interface: 'eth0', priority: 254, interval: '100ms' };
    const other = { ...instance, vrid: 52, addresses: ['198.51.100.52/24'] };
    // The own address becomes secondary to the VIP here, and is not to go with it at the end.
    const promoted = { promote_secondaries: true };
    const web = { ...instance, ...promoted, vrid: 51, addresses: [`${VIP}/24`] };
    const config = {
      vrrp: { web, other },
      static: { addresses: [{ address: '10.66.0.1/24', interface: 'eth0' }] },
    };
    director = await Director.start(node, { config });
    const a = director;
    for (const name of ['web', 'other']) await a.waitForState(name, 'active');
    const sources = async () =>
      (await a.status()).instances.map(({ sourceAddress }) => sourceAddress);
    expect(await sources()).toEqual([local, local]);
    // As a DHCP client does whose lease was lost: the order of the addresses is another one then.
    await ip('address', 'del', `${local}/${prefixlen}`, 'dev', 'eth0');
    await a.waitFor('the static address to be taken', async () =>
      (await sources()).every((source) => source === '10.66.0.1'),
    );
    await ip(
      'address',
      'add',
      `${local}/${prefixlen}`,
      'brd',
      '+',
      'dev',
      'eth0',
      'label',
      `${label}`,
    );
    await a.waitFor('its own address to be taken again', async () =>
      (await sources()).every((source) => source === local),
    );
  },
  TEST_TIMEOUT_MS,
);

it(
  'an owner may have no address but its own, which neither crash, cleanup nor a reload takes away',
  async () => {
    const [link] = await ip('address', 'show', 'dev', 'eth0');
    const all = (link?.addr_info ?? []) as Fields[];
    const { local, prefixlen } = all.find(({ family }) => family === 'inet') as Fields;
    const own = `${local}/${prefixlen}`;
    const a = await start([own], { priority: 255 });
    expect(await a.instance('web')).toMatchObject({ sourceAddress: local, state: 'active' });
    await a.kill('SIGKILL', 'both');
    await a.ended();
    await a.run(['cleanup']);
    expect(await kernelAddress(`${local}`)).not.toBeNull();
    await a.restart();
    await a.waitForState('web', 'active');
    a.configure(configOf([`${VIP}/24`]));
    const mark = a.mark;
    await a.reload();
    await a.waitFor('the VIP', async () => (await kernelAddress(VIP)) !== null);
    expect(await kernelAddress(`${local}`)).not.toBeNull();
    expect(await a.stop()).toBe(0);
    expect(a.lines('transition', { to: 'fault' }, mark)).toEqual([]);
    expect(await kernelAddress(`${local}`)).not.toBeNull();
  },
  TEST_TIMEOUT_MS,
);

describe('a VIP on another interface', { timeout: TEST_TIMEOUT_MS }, () => {
  const makeLink = async (name: string) => {
    await ip('link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}-peer`);
    await ip('link', 'set', `${name}-peer`, 'up');
    await ip('link', 'set', name, 'up');
  };

  it('puts the instance in fault with its interface, and is back with it', async () => {
    await makeLink('vip0');
    const a = await start([`${VIP}/24`, { address: '10.9.9.1/24', interface: 'vip0' }]);
    let mark = a.mark;
    await ip('link', 'set', 'vip0', 'down');
    const down = await a.waitForTransition('web', 'fault', mark);
    expect(down).toMatchObject({ reason: 'interface-down' });
    expect(await kernelAddress(VIP)).toBeNull();
    await ip('link', 'set', 'vip0', 'up');
    await a.waitForTransition('web', 'active', mark);
    mark = a.mark;
    await ip('link', 'delete', 'vip0');
    await a.waitForTransition('web', 'fault', mark);
    // It goes down before it goes.
    await a.waitFor('the reason', async () => {
      const { state, reason } = await a.instance('web');
      return state === 'fault' && reason === 'interface-missing';
    });
    await makeLink('vip0');
    await a.waitForTransition('web', 'active', mark);
    await a.waitFor('the VIP', async () => (await kernelAddress('10.9.9.1')) !== null);
    mark = a.mark;
    await ip('link', 'set', 'vip0', 'name', 'other0');
    await a.waitForTransition('web', 'fault', mark);
    await ip('link', 'set', 'other0', 'name', 'vip0');
    await a.waitForTransition('web', 'active', mark);
    expect(await kernelAddress('10.9.9.1')).toMatchObject({ interface: 'vip0' });
    const transitions = await a.metric('vipkeeper_vrrp_transitions_total');
    expect(transitions.get('{vrrp_instance="web",to="fault"}')).toBe(3);
    await ip('link', 'delete', 'vip0');
  });

  it('that does not track it is put back when its interface returns', async () => {
    await makeLink('vip1');
    const address = { address: '10.9.9.1/24', interface: 'vip1', track: false };
    const a = await start([`${VIP}/24`, address]);
    await ip('link', 'delete', 'vip1');
    await a.waitFor('the VIP to be missed', async () =>
      (await a.instance('web')).addresses.some(({ present }) => !present),
    );
    expect((await a.instance('web')).state).toBe('active');
    await makeLink('vip1');
    await a.waitFor('the VIP', async () => (await kernelAddress('10.9.9.1')) !== null);
    expect((await a.instance('web')).counters.transitions.fault).toBe(0);
    await ip('link', 'delete', 'vip1');
  });
});

describe('a kernel that refuses an address', { timeout: TEST_TIMEOUT_MS }, () => {
  const ipv6 = (disabled: 0 | 1) =>
    check(node, ['sysctl', '-q', '-w', `net.ipv6.conf.eth0.disable_ipv6=${disabled}`]);
  const finding = '{vrrp_instance="web",kind="address-missing"}';

  it('is told of as problem, finding and metric, costs no other VIP, and is tried again', async () => {
    await ipv6(1);
    const a = await start([`${VIP}/24`, `${VIP6}/64`]);
    const told = () => a.log.find(({ code }) => code === 'VK-ADDRESS');
    await a.waitFor('the problem', () => told() !== undefined);
    expect(told()?.msg).toContain(VIP6);
    expect(told()?.cure).toContain('net.ipv6.conf.eth0.disable_ipv6=0');
    const report = await a.instance('web');
    expect(report.state).toBe('active');
    expect(report.addresses.map(({ present }) => present)).toEqual([true, false]);
    const { findings } = explainInstance(report);
    expect(findings).toMatchObject([{ kind: 'address-missing', about: VIP6 }]);
    expect(findings[0]?.text).toContain('IPv6 is disabled on this device');
    const before = await a.metric('vipkeeper_vrrp_finding');
    expect(before.get(finding)).toBe(1);
    await ipv6(0);
    await a.waitFor('the VIP', async () => (await kernelAddress(VIP6)) !== null);
    const after = await a.metric('vipkeeper_vrrp_finding');
    expect(after.get(finding)).toBe(0);
    expect((await a.instance('web')).addresses[1]).toMatchObject({ present: true, error: null });
    expect((await a.instance('web')).counters.transitions.active).toBe(1);
  });
});
