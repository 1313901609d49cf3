/**
 * Routes and rules of a director as the kernel shows them (ip -json): that they come and go with
 * the state, are put back, are adopted, and that nothing of another program is touched. One
 * director in its own namespace; the kernel is the witness. Needs root, a build.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Director } from '../lab/director.ts';
import { check, waitFor } from '../lab/host.ts';
import { makeTopology } from '../lab/namespaces.ts';
import type { LabNode, Topology } from '../lab/topology.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 40_000;
const VIP = '192.0.2.201';
const VIP6 = '2001:db8:1::201';

let topology: Topology;
let node: LabNode;
let director: Director | null = null;

beforeAll(async () => {
  topology = await makeTopology({ directors: 1, realServers: 1, clients: 1 });
  [node] = topology.directors as [LabNode];
}, SETUP_TIMEOUT_MS);

afterEach(async () => {
  await director?.stop().catch(() => {});
  await director?.dispose();
  director = null;
  for (const family of ['-4', '-6']) {
    await node.run(['ip', family, 'route', 'flush', 'table', 'all', 'proto', '118']);
    await node.run(['ip', family, 'rule', 'flush', 'proto', '118']);
  }
});

afterAll(async () => {
  await topology?.dispose();
});

type Fields = Readonly<Record<string, unknown>>;

function configOf(web: Fields, more: Fields = {}): Fields {
  const addresses = [`${VIP}/24`, `${VIP6}/64`];
  const instance = { interface: 'eth0', vrid: 51, priority: 254, interval: '100ms', addresses };
  return { vrrp: { web: { ...instance, ...web } }, ...more };
}

async function start(web: Fields, more: Fields = {}): Promise<Director> {
  director = await Director.start(node, { config: configOf(web, more) });
  await director.waitForState('web', 'active');
  return director;
}

async function ip(...argv: string[]): Promise<readonly Fields[]> {
  const { stdout } = await check(node, ['ip', '-json', '-details', ...argv]);
  return stdout.trim() === '' ? [] : (JSON.parse(stdout) as Fields[]);
}

/** What bears our protocol. */
async function ours(): Promise<{ routes: readonly Fields[]; rules: readonly Fields[] }> {
  const own = ({ protocol }: Fields) => protocol === '118';
  const routes: Fields[] = [];
  const rules: Fields[] = [];
  for (const family of ['-4', '-6']) {
    routes.push(...(await ip(family, 'route', 'show', 'table', 'all')).filter(own));
    rules.push(...(await ip(family, 'rule', 'show')).filter(own));
  }
  return { routes, rules };
}

async function routeTo(dst: string): Promise<Fields | undefined> {
  return (await ours()).routes.find((route) => route.dst === dst);
}

const ROUTES = [
  {
    to: '10.1.0.0/16',
    via: '192.0.2.1',
    source: VIP,
    table: 100,
    metric: 5,
    mtu: 1400,
    lock: ['mtu'],
    rtt: '100ms',
    initcwnd: 20,
    ecn: true,
    congestion: 'reno',
    tos: 16,
  },
  { to: '10.2.0.0/16', interface: 'eth0', scope: 'link' },
  { to: '10.3.0.0/16', type: 'blackhole' },
  { to: '10.4.0.0/16', via: '10.9.9.9', interface: 'eth0', onlink: true },
  { to: '10.5.0.0/16', nexthops: [{ via: '192.0.2.1', weight: 3 }, { via: '192.0.2.2' }] },
  { to: '10.6.0.0/16', via: '2001:db8:1::1', interface: 'eth0', family: 'ipv4' },
  { to: '2001:db8:9::/48', via: '2001:db8:1::1', source: VIP6, preference: 'high' },
  { to: '2001:db8:a::/48', type: 'prohibit', table: 100 },
  {
    to: '2001:db8:b::/48',
    nexthops: [{ via: '2001:db8:1::1' }, { via: '2001:db8:1::2', weight: 2 }],
  },
];

const RULES = [
  { from: `${VIP}/32`, table: 100 },
  {
    priority: 900,
    to: '10.0.0.0/8',
    iif: 'eth0',
    fwmark: '5/0xff',
    ip_protocol: 'tcp',
    dport: '80-90',
    sport: 1024,
    uid_range: '1000-2000',
    table: 100000,
    suppress_prefix_length: 0,
    suppress_interface_group: 3,
    not: true,
    tos: 16,
    realms: '3/4',
  },
  { from: '2001:db8::/32', action: 'unreachable', oif: 'eth0' },
  { iif: 'lo', goto: 32_766 },
];

describe('routes and rules', { timeout: TEST_TIMEOUT_MS }, () => {
  it('are there as configured while the instance is active, and gone with it', async () => {
    const a = await start({ routes: ROUTES, rules: RULES });
    const { routes, rules } = await ours();
    const find = (dst: string) => routes.find((route) => route.dst === dst);
    expect(find('10.1.0.0/16')).toMatchObject({
      gateway: '192.0.2.1',
      prefsrc: VIP,
      table: '100',
      metric: 5,
      metrics: [expect.objectContaining({ mtu: 1400, rtt: 100, initcwnd: 20, congestion: 'reno' })],
    });
    expect(find('10.2.0.0/16')).toMatchObject({ dev: 'eth0', scope: 'link' });
    expect(find('10.3.0.0/16')).toMatchObject({ type: 'blackhole' });
    expect(find('10.4.0.0/16')).toMatchObject({ flags: ['onlink'] });
    expect(find('10.5.0.0/16')?.nexthops).toMatchObject([
      { gateway: '192.0.2.1', weight: 3 },
      { gateway: '192.0.2.2', weight: 1 },
    ]);
    expect(find('10.6.0.0/16')).toMatchObject({ via: { family: 'inet6', host: '2001:db8:1::1' } });
    expect(find('2001:db8:9::/48')).toMatchObject({ pref: 'high', metric: 1024, prefsrc: VIP6 });
    expect(find('2001:db8:a::/48')).toMatchObject({ type: 'prohibit', table: '100' });
    expect(find('2001:db8:b::/48')?.nexthops).toHaveLength(2);
    expect(routes).toHaveLength(ROUTES.length);
    expect(rules).toMatchObject([
      { priority: 900, not: null, dst: '10.0.0.0', dstlen: 8, iif: 'eth0', ipproto: 'tcp' },
      { priority: 16_384, src: VIP, table: '100' },
      { priority: 16_385, iif: 'lo', goto: 32_766 },
      { priority: 16_384, src: '2001:db8::', srclen: 32, oif: 'eth0', action: 'unreachable' },
    ]);
    expect(rules[0]).toMatchObject({
      fwmark: '0x5',
      fwmask: '0xff',
      dport_start: 80,
      dport_end: 90,
      sport: 1024,
      uid_start: 1000,
      uid_end: 2000,
      table: '100000',
      suppress_prefixlen: 0,
    });
    const { routing } = await a.instance('web');
    expect(routing.map(({ present }) => present)).toEqual(Array(routing.length).fill(true));
    await check(node, ['ip', 'link', 'set', 'eth0', 'down']);
    await a.waitForTransition('web', 'fault');
    expect(await ours()).toEqual({ routes: [], rules: [] });
    await check(node, ['ip', 'link', 'set', 'eth0', 'up']);
    await a.waitForTransition('web', 'active', a.mark - 1);
    await a.waitFor('all', async () => (await ours()).routes.length === ROUTES.length);
    await a.stop();
    expect(await ours()).toEqual({ routes: [], rules: [] });
  });

  it('are put back at once when another program removes or replaces them', async () => {
    const a = await start({ routes: [{ to: '10.1.0.0/16', via: '192.0.2.1' }], rules: RULES });
    const remove = async (argv: string[]) => {
      const child = await node.spawn(['ip', ...argv]);
      expect(await child.exited).toBe(0);
      return child.pid;
    };
    let pid = await remove(['route', 'del', '10.1.0.0/16']);
    const line = await a.waitForLine('routing-restored');
    expect(line).toMatchObject({ instance: 'web', object: 'route', byPid: pid });
    expect(line.text).toBe('10.1.0.0/16 via 192.0.2.1');
    expect(await routeTo('10.1.0.0/16')).toBeDefined();
    let mark = a.mark;
    pid = await remove(['rule', 'del', 'priority', '900']);
    expect(await a.waitForLine('routing-restored', { object: 'rule' }, mark)).toMatchObject({
      byPid: pid,
    });
    mark = a.mark;
    pid = await remove(['route', 'replace', '10.1.0.0/16', 'via', '192.0.2.2']);
    expect(await a.waitForLine('routing-restored', { object: 'route' }, mark)).toMatchObject({
      byPid: pid,
    });
    // Ours is in front, and the other program's is left alone.
    const all = await ip('route', 'show', '10.1.0.0/16');
    expect(all.map(({ gateway }) => gateway)).toEqual(['192.0.2.1', '192.0.2.2']);
    await check(node, ['ip', 'route', 'del', '10.1.0.0/16', 'via', '192.0.2.2']);
    const { counters, state } = await a.instance('web');
    expect([state, counters.routingRestored]).toEqual(['active', 3]);
    const metric = await a.metric('vipkeeper_vrrp_routing_restored_total');
    expect(metric.get('{vrrp_instance="web"}')).toBe(3);
  });

  it('change by a reload, and nothing of another program goes', async () => {
    await check(node, ['ip', 'route', 'add', '10.7.0.0/16', 'via', '192.0.2.9']);
    const before = [
      { to: '10.1.0.0/16', via: '192.0.2.1' },
      { to: '10.7.0.0/16', via: '192.0.2.1' },
      { to: '2001:db8:9::/48', via: '2001:db8:1::1' },
    ];
    const a = await start({ routes: before, rules: [{ from: `${VIP}/32`, table: 100 }] });
    const after = [
      { to: '10.1.0.0/16', via: '192.0.2.2', mtu: 1300 },
      { to: '2001:db8:9::/48', via: '2001:db8:1::2' },
    ];
    a.configure(configOf({ routes: after, rules: [{ from: `${VIP}/32`, table: 101 }] }));
    await a.reload();
    await a.waitFor('the change', async () => (await ours()).routes.length === 2);
    expect(await routeTo('10.1.0.0/16')).toMatchObject({ gateway: '192.0.2.2' });
    expect(await routeTo('2001:db8:9::/48')).toMatchObject({ gateway: '2001:db8:1::2' });
    expect((await ours()).rules).toMatchObject([{ table: '101' }]);
    expect(await ip('route', 'show', '10.7.0.0/16')).toMatchObject([{ gateway: '192.0.2.9' }]);
    await check(node, ['ip', 'route', 'del', '10.7.0.0/16']);
  });

  it('are adopted after a crash, and leftovers go', async () => {
    const routes = [{ to: '10.1.0.0/16', via: '192.0.2.1' }];
    const a = await start({ interval: '1s', routes, rules: [{ from: `${VIP}/32`, table: 100 }] });
    // What an earlier configuration may have left.
    await check(node, ['ip', 'route', 'add', 'blackhole', '10.8.0.0/16', 'proto', '118']);
    const monitor = await node.spawn(['ip', 'monitor', 'route', 'rule'], {
      onStdout: (chunk) => {
        seen += chunk.toString('utf8');
      },
    });
    let seen = '';
    await a.kill('SIGKILL', 'keeper');
    await a.waitFor('another keeper', async () => {
      const status = await a.tryStatus();
      return status?.instances[0]?.reason === 'adopted';
    });
    await a.waitFor('the leftover to go', () => seen.includes('10.8.0.0/16'));
    monitor.kill('SIGKILL');
    expect(seen).toContain('Deleted blackhole 10.8.0.0/16');
    expect(seen).not.toContain('10.1.0.0/16');
    expect((await ours()).rules).toHaveLength(1);
    const since = a.mark;
    await a.kill('SIGKILL', 'both');
    await waitFor('both to be gone', async () => (await a.tryStatus()) === null);
    expect(a.mark).toBeGreaterThanOrEqual(since);
    expect((await ours()).routes).toHaveLength(1);
    const cleaned = await a.run(['cleanup']);
    expect(cleaned.stdout).toContain('Removed 10.1.0.0/16 via 192.0.2.1');
    expect(await ours()).toEqual({ routes: [], rules: [] });
  });

  it('that the kernel refuses are a problem with its words, and tried when links change', async () => {
    await check(node, ['ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'up0-peer']);
    await check(node, ['ip', 'link', 'set', 'up0-peer', 'up']);
    const a = await start({ routes: [{ to: '10.1.0.0/16', via: '198.18.0.1' }] });
    const problem = a.log.find(({ code }) => code === 'VK-ROUTE');
    expect(problem?.msg).toContain('10.1.0.0/16 via 198.18.0.1 cannot be added: ENETUNREACH');
    const { routing, state } = await a.instance('web');
    expect([state, routing[0]?.present]).toEqual(['active', false]);
    expect((await a.run(['explain'])).stdout).toContain('10.1.0.0/16 via 198.18.0.1 is missing');
    await check(node, ['ip', 'link', 'set', 'up0', 'up']);
    await check(node, ['ip', 'address', 'add', '198.18.0.2/24', 'dev', 'up0']);
    await a.waitFor('the route', async () => (await routeTo('10.1.0.0/16')) !== undefined);
    // A route that goes with its interface is not lost, and comes back with it.
    await check(node, ['ip', 'link', 'set', 'up0', 'down']);
    await a.waitFor('it to be missed', async () =>
      (await a.instance('web')).routing.some(({ present }) => !present),
    );
    await check(node, ['ip', 'link', 'set', 'up0', 'up']);
    await a.waitFor('the route', async () => (await routeTo('10.1.0.0/16')) !== undefined);
    expect((await a.instance('web')).counters.routingRestored).toBe(0);
    await check(node, ['ip', 'link', 'delete', 'up0']);
  });
});

describe('static', { timeout: TEST_TIMEOUT_MS }, () => {
  it('objects are there in any state, put back, tracked, and gone at the stop', async () => {
    const a = await start(
      { interface: 'eth0' },
      {
        static: {
          addresses: [{ address: '203.0.113.2/24', interface: 'eth1', instances: ['web'] }],
          routes: [{ to: '10.1.0.0/16', via: '203.0.113.1', interface: 'eth1' }],
          rules: [{ from: '203.0.113.2/32', table: 101 }],
        },
      },
    );
    const held = async () => (await ip('address', 'show', 'to', '203.0.113.2')).length > 0;
    await check(node, ['ip', 'link', 'set', 'eth0', 'down']);
    await a.waitForTransition('web', 'fault');
    expect(await held()).toBe(true);
    expect(await ours()).toMatchObject({ routes: [{ dst: '10.1.0.0/16' }], rules: [{}] });
    await check(node, ['ip', 'link', 'set', 'eth0', 'up']);
    await a.waitForState('web', 'active');
    // With the address its route goes, and both come back.
    await check(node, ['ip', 'address', 'del', '203.0.113.2/24', 'dev', 'eth1']);
    expect(await a.waitForLine('address-restored')).toMatchObject({ instance: null });
    await a.waitFor('the route', async () => (await routeTo('10.1.0.0/16')) !== undefined);
    const mark = a.mark;
    await check(node, ['ip', 'link', 'set', 'eth1', 'name', 'gone1']);
    const fault = await a.waitForTransition('web', 'fault', mark);
    expect(fault).toMatchObject({ reason: 'tracker-down' });
    expect((await a.instance('web')).faultyTracker).toBe('static:addresses[0]');
    await check(node, ['ip', 'link', 'set', 'gone1', 'down']);
    await check(node, ['ip', 'link', 'set', 'gone1', 'name', 'eth1']);
    await check(node, ['ip', 'link', 'set', 'eth1', 'up']);
    await a.waitForTransition('web', 'active', mark);
    await a.stop();
    expect(await held()).toBe(false);
    expect(await ours()).toEqual({ routes: [], rules: [] });
  });
});
