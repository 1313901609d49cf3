/**
 * Virtual hardware addresses (RFC 9568 section 7.3) on real macvlans: what a client's neighbour
 * tables and its wire show before, during and after failovers, what a backup keeps quiet about,
 * and that links and settings are put back, adopted and removed. A client's tcpdump is the
 * witness of every frame. Needs root and a build.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Director } from '../lab/director.ts';
import { Capture } from '../lab/frame-capture.ts';
import { type Child, check, exitWithin, LabError, localMachine, waitFor } from '../lab/host.ts';
import { ensurePackages, NETWORK_PACKAGES, PEER_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 40_000;

const VIP = virtualIp(1).ipv4;
const VIP6 = virtualIp(1).ipv6;
const VMAC = '00:00:5e:00:01:33';
const VMAC6 = '00:00:5e:00:02:33';
const SETTINGS = ['arp_ignore', 'arp_announce'] as const;

let topology: Topology;
let nodeA: LabNode;
let nodeB: LabNode;
let client: LabNode;
const running: Director[] = [];

type Fields = Readonly<Record<string, unknown>>;

function configOf(web: Fields = {}, six: Fields = {}): Fields {
  const common = {
    interface: 'eth0',
    vrid: 51,
    priority: { a: 150, b: 100 },
    interval: '100ms',
    vmac: true,
  };
  return {
    vrrp: {
      web: { ...common, addresses: [`${VIP}/24`], ...web },
      six: { ...common, addresses: [`${VIP6}/64`], ...six },
    },
  };
}

beforeAll(async () => {
  await ensurePackages([...NETWORK_PACKAGES, ...PEER_PACKAGES]);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  topology = await Topology.create(localMachine, { realServers: 1 });
  [nodeA, nodeB] = topology.directors as [LabNode, LabNode];
  client = topology.clients[0] as LabNode;
}, SETUP_TIMEOUT_MS);

afterEach(async () => {
  for (const director of running.splice(0)) {
    director.signalGroup('SIGKILL');
    await director.ended();
    await director.run(['cleanup']);
    await director.dispose();
  }
});

afterAll(() => topology?.dispose());

async function start(node: LabNode, config: Fields = configOf()): Promise<Director> {
  const director = await Director.start(node, { name: node === nodeA ? 'a' : 'b', config });
  running.push(director);
  return director;
}

/** Both, the first of them active in both families, and heard by the second. */
async function startPair(config?: Fields): Promise<{ a: Director; b: Director }> {
  const a = await start(nodeA, config);
  for (const name of ['web', 'six']) await a.waitForState(name, 'active');
  const b = await start(nodeB, config);
  await b.waitFor('the backup to hear', async () =>
    (await b.status()).instances.every(({ peer }) => peer !== null),
  );
  return { a, b };
}

/** The names of a node's links that vipkeeper made. */
async function linksOf(node: LabNode): Promise<string[]> {
  const { stdout } = await check(node, ['ip', '-j', 'link', 'show']);
  const links = JSON.parse(stdout) as { ifname: string; ifalias?: string }[];
  return links
    .filter(({ ifalias }) => ifalias?.startsWith('vipkeeper: '))
    .map((l) => l.ifname)
    .sort();
}

/** A link as iproute2 sees it, with its addresses; null when it is not there. */
async function linkOf(node: LabNode, name: string) {
  const { code, stdout } = await node.run(['ip', '-j', '-d', 'addr', 'show', 'dev', name]);
  if (code !== 0) return null;
  const [found] = JSON.parse(stdout) as {
    ifindex: number;
    flags: string[];
    address: string;
    group: string;
    linkinfo: { info_kind: string; info_data: { mode: string } };
    addr_info: { local: string }[];
  }[];
  if (found === undefined) return null;
  const { ifindex, flags, address, group, linkinfo, addr_info } = found;
  return {
    index: ifindex,
    up: flags.includes('UP'),
    address,
    group,
    kind: linkinfo.info_kind,
    addresses: addr_info.map(({ local }) => local),
  };
}

async function settingsOf(node: LabNode): Promise<string[]> {
  const keys = SETTINGS.map((key) => `net.ipv4.conf.eth0.${key}`);
  return (await check(node, ['sysctl', '-n', ...keys])).stdout.trim().split('\n');
}

/** The hardware address that the client knows for an address. */
async function neighbour(address: string): Promise<string | undefined> {
  const { stdout } = await check(client, ['ip', '-j', 'neigh', 'show', 'to', address]);
  return (JSON.parse(stdout) as { lladdr?: string }[])[0]?.lladdr;
}

async function pingable(address: string): Promise<void> {
  await check(client, ['ping', '-n', '-c', '2', '-i', '0.05', '-W', '2', address]);
}

/** One ping every 10 ms. */
class Pings {
  readonly #child: Child;
  #output = '';

  private constructor(child: Child) {
    this.#child = child;
  }

  static async start(vip: string): Promise<Pings> {
    const argv = ['ping', '-n', '-q', '-i', '0.005', '-W', '1', vip];
    let pings: Pings | null = null;
    const child = await client.spawn(argv, {
      onStdout: (chunk) => {
        if (pings !== null) pings.#output += chunk.toString('utf8');
      },
    });
    child.end();
    pings = new Pings(child);
    return pings;
  }

  /** Ends it; how many had no answer, of some hundred. */
  async lost(): Promise<number> {
    this.#child.kill('SIGINT');
    await exitWithin(this.#child, 5_000);
    const counts = /(\d+) packets transmitted, (\d+) received/.exec(this.#output);
    const [sent, received] = [Number(counts?.[1]), Number(counts?.[2])];
    expect(received).toBeGreaterThan(50);
    return sent - received;
  }
}

function distinct(values: readonly (string | null)[]): string[] {
  return [...new Set(values.filter((value) => value !== null))].sort();
}

describe('a virtual hardware address', () => {
  it(
    'is what hosts know of the VIP, before, during and after a failover, and nothing else',
    async () => {
      const capture = await Capture.start(client);
      const { a } = await startPair();
      for (const vip of [VIP, VIP6]) await pingable(vip);
      expect([await neighbour(VIP), await neighbour(VIP6)]).toEqual([VMAC, VMAC6]);
      const pings = [await Pings.start(VIP), await Pings.start(VIP6)];
      expect(await a.stop()).toBe(0);
      expect(await linksOf(nodeA)).toEqual([]);
      await a.restart();
      for (const name of ['web', 'six']) await a.waitForState(name, 'active');
      // Two failovers, of which none may cost as much as a silence that is noticed: 300 ms.
      for (const ping of pings) expect(await ping.lost()).toBeLessThan(60);
      expect([await neighbour(VIP), await neighbour(VIP6)]).toEqual([VMAC, VMAC6]);
      const frames = await capture.stop();
      expect(distinct(frames.map(({ remarks }) => remarks || null))).toEqual([]);
      const said = distinct(frames.map(({ says }) => says));
      expect(said.filter((text) => text.startsWith(VIP))).toEqual([`${VIP} is ${VMAC}`]);
      expect(said.filter((text) => text.startsWith(`${VIP6} `))).toEqual([`${VIP6} is ${VMAC6}`]);
      const adverts = frames.filter(({ advertFrom }) => advertFrom !== null);
      expect(distinct(adverts.map((frame) => `${frame.advertFrom} ${frame.source}`))).toEqual(
        [nodeA, nodeB]
          .map((node) => node.on('front'))
          .flatMap(({ ipv4, linkLocal }) => [`${ipv4} ${VMAC}`, `${linkLocal} ${VMAC6}`])
          .sort(),
      );
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'is on a link that bears the VIPs alone, and that a backup keeps down and empty',
    async () => {
      const { b } = await startPair();
      expect(await linkOf(nodeA, 'vrrp.51')).toMatchObject({
        up: true,
        address: VMAC,
        kind: 'macvlan',
        addresses: [VIP],
      });
      expect(await linkOf(nodeA, 'vrrp6.51')).toMatchObject({ up: true, addresses: [VIP6] });
      for (const [name, address] of [
        ['vrrp.51', VMAC],
        ['vrrp6.51', VMAC6],
      ] as const) {
        expect(await linkOf(nodeB, name)).toMatchObject({ up: false, address, addresses: [] });
      }
      const report = (await b.instance('web')).link;
      expect(report).toEqual({ kind: 'macvlan', name: 'vrrp.51', mac: VMAC, up: false });
      const { stdout } = await b.run(['explain', 'web']);
      expect(stdout).toContain(`Virtual link vrrp.51 (macvlan): ${VMAC}, down`);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'tells switches where its IPv6 groups are, asks no router, and leaves VRRP’s group to the interface',
    async () => {
      let seen = '';
      const filter = 'igmp or icmp6 or (ip6 proto 0)';
      const argv = ['tcpdump', '-e', '-n', '-v', '-l', '--immediate-mode', '-i', 'eth0', filter];
      const tcpdump = await nodeA.spawn(argv, {
        onStdout: (chunk) => {
          seen += chunk.toString('utf8');
        },
        onStderr: (chunk) => {
          seen += chunk.toString('utf8');
        },
      });
      const from = (mac: string) =>
        seen.split(/^(?=\d\d:\d\d:\d\d)/m).filter((one) => one.includes(`${mac} > `));
      try {
        await waitFor('tcpdump', () => seen.includes('listening on'));
        await startPair();
        const group = /multicast listener report v2.*ff02::1:ff/s;
        await waitFor('the report', () => from(VMAC6).some((one) => group.test(one)), 10_000);
        const { mac } = nodeA.on('front');
        await waitFor('that of VRRP', () =>
          from(mac).some((one) => one.includes('gaddr 224.0.0.18')),
        );
      } finally {
        tcpdump.kill('SIGTERM');
        await exitWithin(tcpdump, 5_000);
      }
      const said = [...from(VMAC), ...from(VMAC6)];
      const asked = said.filter((one) => /igmp|solicitation|ff02::12 /.test(one));
      expect(asked).toEqual([]);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'says nothing in IPv6 while it bears none, also when a reload brings a VIP of IPv6 and takes it',
    async () => {
      const disabled = async () => {
        const key = 'net.ipv6.conf.vrrp/51.disable_ipv6';
        return (await check(nodeA, ['sysctl', '-n', key])).stdout.trim();
      };
      const lines: string[] = [];
      const argv = ['tcpdump', '-e', '-n', '-l', '--immediate-mode', '-i', 'eth0', 'ip6 or arp'];
      const tcpdump = await nodeA.spawn(argv, {
        onStdout: (chunk) => lines.push(...chunk.toString('utf8').split('\n')),
        onStderr: (chunk) => lines.push(...chunk.toString('utf8').split('\n')),
      });
      const said = (what: RegExp) =>
        lines.filter((line) => line.includes(`${VMAC} > `) && what.test(line));
      try {
        await waitFor('tcpdump', () => lines.some((line) => line.includes('listening on')));
        const a = await start(nodeA, configOf());
        await a.waitForState('web', 'active');
        // Later than the kernel's reports, of which the last comes within two seconds.
        await waitFor('the second burst', () => said(/Request who-has/).length >= 10, 20_000);
        expect(said(/ethertype IPv6/)).toEqual([]);
        expect(await disabled()).toBe('1');

        a.configure(configOf({ addresses: [`${VIP}/24`, `${VIP6}9/64`] }));
        await a.reload();
        await waitFor(
          'the VIP',
          async () => (await linkOf(nodeA, 'vrrp.51'))?.addresses.includes(`${VIP6}9`) === true,
        );
        expect(await disabled()).toBe('0');
        expect((await linkOf(nodeA, 'vrrp.51'))?.addresses).toEqual([VIP, `${VIP6}9`]);
        a.configure(configOf());
        await a.reload();
        await waitFor('IPv6 to be off', async () => (await disabled()) === '1');
        expect((await linkOf(nodeA, 'vrrp.51'))?.addresses).toEqual([VIP]);
        expect((await a.instance('web')).counters).toMatchObject({
          addressesRestored: 0,
          transitions: { active: 1, fault: 0 },
        });
        expect(a.log.filter(({ code }) => code === 'VK-ADDRESS')).toEqual([]);
      } finally {
        tcpdump.kill('SIGTERM');
        await exitWithin(tcpdump, 5_000);
      }
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'with xmit_base bears the VIPs, and advertisements come from the interface',
    async () => {
      const { mac, ipv4 } = nodeA.on('front');
      const vmac = { xmit_base: true, name: 'front51', mac: '02-00-5E-00-00-01', group: 7 };
      const a = await start(nodeA, configOf({ vmac }));
      const capture = await Capture.start(client);
      await a.waitForState('web', 'active');
      await pingable(VIP);
      expect(await neighbour(VIP)).toBe('02:00:5e:00:00:01');
      expect(await linkOf(nodeA, 'front51')).toMatchObject({ addresses: [VIP], group: '7' });
      const frames = (await capture.stop()).filter(({ advertFrom }) => advertFrom === ipv4);
      expect(distinct(frames.map(({ source }) => source))).toEqual([mac]);
    },
    TEST_TIMEOUT_MS,
  );
});

describe('the link', () => {
  it(
    'is put back with its VIPs when somebody removes it or takes it down, counted and told',
    async () => {
      const { a } = await startPair();
      const transitions = (await a.instance('web')).counters.transitions;
      for (const [count, command] of [
        ['ip', 'link', 'del', 'vrrp.51'],
        ['ip', 'link', 'set', 'vrrp.51', 'down'],
        ['ip', 'link', 'set', 'vrrp6.51', 'down'],
      ].entries()) {
        const mark = a.mark;
        await check(nodeA, command);
        await a.waitForLine('link-restored', {}, mark);
        expect((await a.metric('vipkeeper_vrrp_links_restored_total')).size).toBe(2);
        const { counters } = await a.instance('web');
        expect(counters.linksRestored).toBe(Math.min(count + 1, 2));
        expect(await linkOf(nodeA, 'vrrp.51')).toMatchObject({ up: true, addresses: [VIP] });
        expect(await linkOf(nodeA, 'vrrp6.51')).toMatchObject({ up: true, addresses: [VIP6] });
      }
      for (const vip of [VIP, VIP6]) await pingable(vip);
      expect((await a.instance('web')).counters.transitions).toEqual(transitions);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'goes with its interface and is made again with it',
    async () => {
      const { a, b } = await startPair();
      const mark = a.mark;
      const { port, mac, ipv4, ipv6 } = nodeA.on('front');
      await check(nodeA, ['ip', 'link', 'del', 'eth0']);
      await a.waitForTransition('web', 'fault', mark);
      for (const name of ['web', 'six']) await b.waitForState(name, 'active');
      const hub = ['ip', '-n', topology.switchNamespace, 'link'];
      const veth = ['type', 'veth', 'peer', 'name', 'eth0', 'address', mac];
      await check(localMachine, [...hub, 'add', port, ...veth, 'netns', nodeA.namespace]);
      await check(localMachine, [...hub, 'set', port, 'master', 'front', 'up']);
      await check(nodeA, ['ip', 'link', 'set', 'eth0', 'up']);
      await check(nodeA, ['ip', 'addr', 'add', `${ipv6}/64`, 'dev', 'eth0', 'nodad']);
      await check(nodeA, ['ip', 'addr', 'add', `${ipv4}/24`, 'dev', 'eth0']);
      for (const name of ['web', 'six']) await a.waitForTransition(name, 'active', mark);
      expect(await settingsOf(nodeA)).toEqual(['1', '2']);
      for (const vip of [VIP, VIP6]) await pingable(vip);
      expect([await neighbour(VIP), await neighbour(VIP6)]).toEqual([VMAC, VMAC6]);
      expect(a.log.filter(({ code }) => code !== undefined)).toEqual([]);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'is adopted with its VIPs when the keeper dies, and removed with all settings at the stop',
    async () => {
      const before = await settingsOf(nodeA);
      expect(before).toEqual(['0', '0']);
      // An owner is active at once, and the interval leaves a busy machine the time to adopt.
      const slow = { priority: 255, interval: '1s' };
      const a = await start(nodeA, configOf(slow, slow));
      for (const name of ['web', 'six']) await a.waitForState(name, 'active');
      expect(await settingsOf(nodeA)).toEqual(['1', '2']);
      const link = await linkOf(nodeA, 'vrrp.51');
      const mark = a.mark;
      await a.kill('SIGKILL', 'keeper');
      await a.waitForLine('transition', { instance: 'web', reason: 'adopted' }, mark);
      await a.waitForLine('transition', { instance: 'six', reason: 'adopted' }, mark);
      // Of the same index, so it is the same link.
      expect(await linkOf(nodeA, 'vrrp.51')).toEqual(link);
      await pingable(VIP);
      await a.stop();
      expect(await linksOf(nodeA)).toEqual([]);
      expect(await settingsOf(nodeA)).toEqual(before);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'of a dead director is removed by the cleanup, and of an instance that is configured away',
    async () => {
      const { a, b } = await startPair();
      await a.kill('SIGKILL', 'both');
      await a.ended();
      expect(await linksOf(nodeA)).toEqual(['vrrp.51', 'vrrp6.51']);
      const cleaned = await a.run(['cleanup']);
      expect(cleaned.stderr).toBe('');
      expect(cleaned.stdout).toContain('Removed the link vrrp.51\n');
      expect(await linksOf(nodeA)).toEqual([]);
      expect(await settingsOf(nodeA)).toEqual(['0', '0']);
      for (const name of ['web', 'six']) await b.waitForState(name, 'active');
      const { vrrp } = configOf() as { vrrp: { web: Fields; six: Fields } };
      b.configure({ vrrp: { web: vrrp.web } });
      await b.reload();
      await waitFor('six to be gone', async () => (await linksOf(nodeB)).join() === 'vrrp.51');
      b.configure({ vrrp: { web: { ...vrrp.web, vmac: false } } });
      await b.reload();
      await waitFor('web to be gone', async () => (await linksOf(nodeB)).length === 0);
      await waitFor(
        'the settings to be put back',
        async () => (await settingsOf(nodeB)).join() === '0,0',
      );
      await b.waitForState('web', 'active');
      await pingable(VIP);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'that cannot be made is a fault with its reason, until it can be made',
    async () => {
      await check(nodeA, ['ip', 'link', 'add', 'taken', 'type', 'bridge']);
      await check(nodeA, ['ip', 'link', 'set', 'eth0', 'master', 'taken']);
      const a = await start(nodeA, configOf({ vmac: { name: 'taken' } }));
      for (const name of ['web', 'six']) await a.waitForState(name, 'fault');
      expect((await a.instance('six')).reason).toBe('no-virtual-link');
      const problems = a.log.filter(({ code }) => code === 'VK-LINK');
      expect(problems).toHaveLength(2);
      expect(problems.find(({ instance }) => instance === 'web')?.msg).toContain(
        'an interface that vipkeeper did not make has that name',
      );
      expect(problems.find(({ instance }) => instance === 'six')?.cure).toBe(
        'Take eth0 out of its bridge, or remove the links of another kind that are on it',
      );
      await check(nodeA, ['ip', 'link', 'set', 'eth0', 'nomaster']);
      await a.waitForState('six', 'active');
      expect((await a.instance('web')).state).toBe('fault');
      await check(nodeA, ['ip', 'link', 'del', 'taken']);
      await a.waitForState('web', 'active');
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'whose hardware address another program uses there is a fault, until it does no more',
    async () => {
      const other = ['type', 'macvlan', 'mode', 'private'];
      const link = ['ip', 'link'];
      await check(nodeA, [...link, 'add', 'old51', 'link', 'eth0', 'address', VMAC, ...other]);
      await check(nodeA, [...link, 'set', 'old51', 'up']);
      try {
        const a = await start(nodeA, configOf());
        await a.waitForState('web', 'fault');
        expect((await a.instance('web')).reason).toBe('no-virtual-link');
        await a.waitForState('six', 'active');
        expect(a.log.find(({ code }) => code === 'VK-LINK')).toMatchObject({
          instance: 'web',
          msg: expect.stringContaining(`old51, which vipkeeper did not make, has that hardware`),
          cure: expect.stringContaining('ip link delete old51'),
        });
        await check(nodeA, [...link, 'set', 'old51', 'down']);
        await a.waitForState('web', 'active');
        await pingable(VIP);
      } finally {
        await nodeA.run([...link, 'delete', 'old51']);
      }
    },
    TEST_TIMEOUT_MS,
  );
});
