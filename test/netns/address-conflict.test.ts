/**
 * Another machine has an address of a director: two directors with one source address, a real
 * server that answers for the virtual IP, an IPv6 address without duplicate address detection.
 * The director says which machine it is, and when it is over; a planned handover says nothing.
 * Needs root and a build.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { parseIp } from '../../src/core/ip.ts';
import { ARP_FRAME_BYTES, encodeGratuitousArp } from '../../src/core/wire/arp.ts';
import { BROADCAST_MAC, parseMac } from '../../src/core/wire/ethernet.ts';
import { ifIndex } from '../../src/linux/libc.ts';
import { LinkSender } from '../../src/linux/packet-socket.ts';
import { Director, type LogLine } from '../lab/director.ts';
import { check, LabError, localMachine } from '../lab/host.ts';
import { ensurePackages, NETWORK_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';
import { inside } from '../lab/watch.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 120_000;
/** A look at the instances, the questions after it, and those of ten seconds later. */
const FOUND_TIMEOUT_MS = 40_000;
const VIP = virtualIp(1);

beforeAll(async () => {
  await ensurePackages([...NETWORK_PACKAGES]);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
}, SETUP_TIMEOUT_MS);

function configOf(web: Readonly<Record<string, unknown>> = {}) {
  const common = { interface: 'eth0', vrid: 51, priority: { a: 150, b: 100 }, interval: '100ms' };
  const addresses = [`${VIP.ipv4}/24`];
  return { conflict_check: '10s', vrrp: { web: { ...common, addresses, ...web } } };
}

/** Two directors, a real server and a client, on one LAN of a test's own. */
class Lab {
  readonly nodeA: LabNode;
  readonly nodeB: LabNode;
  readonly real: LabNode;
  readonly client: LabNode;
  readonly #topology: Topology;
  readonly #running: Director[] = [];

  private constructor(topology: Topology) {
    this.#topology = topology;
    [this.nodeA, this.nodeB] = topology.directors as unknown as [LabNode, LabNode];
    [this.real] = topology.realServers as unknown as [LabNode];
    [this.client] = topology.clients as unknown as [LabNode];
  }

  static async create(): Promise<Lab> {
    const options = { realServers: 1, realServersOnFront: true };
    return new Lab(await Topology.create(localMachine, options));
  }

  async start(node: LabNode, web?: Readonly<Record<string, unknown>>): Promise<Director> {
    const name = node === this.nodeA ? 'a' : 'b';
    const director = await Director.start(node, { name, config: configOf(web) });
    this.#running.push(director);
    return director;
  }

  /** The lab's real servers have a virtual IP as they should: this one answers for it, or not. */
  async setArpIgnore(value: 0 | 1): Promise<void> {
    await check(this.real, ['sysctl', '-qw', `net.ipv4.conf.all.arp_ignore=${value}`]);
  }

  /** Waits for that many ARP probes of an address on the LAN; their number when it took too long. */
  async probes(address: string, count: number): Promise<number> {
    const filter = `arp[6:2] = 1 and arp src host 0.0.0.0 and arp dst host ${address}`;
    const argv = ['timeout', '30', 'tcpdump', '-ni', 'eth0', '-c', String(count), filter];
    const { stdout } = await this.client.run(argv, { timeoutMs: 40_000 });
    return stdout.split('\n').filter((line) => line.includes('who-has')).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const director of this.#running.splice(0)) {
      await director.stop();
      await director.dispose();
    }
    await this.#topology.dispose();
  }
}

async function ip(node: LabNode, ...argv: string[]): Promise<void> {
  await check(node, ['ip', ...argv]);
}

/** Puts an address on a device of a node. */
async function give(node: LabNode, device: string, address: string, ...more: string[]) {
  await ip(node, 'address', 'add', address, 'dev', device, ...more);
}

function told(director: Director, about: string, began: boolean, since = 0): Promise<LogLine> {
  const fields = { kind: 'address-conflict', about, began };
  return director.waitForLine('finding', fields, since, FOUND_TIMEOUT_MS);
}

const CONFLICTS = { kind: 'address-conflict' };

// They wait for questions that are asked every ten seconds: nearly three minutes one after the other.
describe.concurrent('an address that another machine has too', { timeout: TEST_TIMEOUT_MS }, () => {
  // First, because it takes longest.
  it('is not what a planned handover looks like', async () => {
    await using lab = await Lab.create();
    const { nodeA, nodeB } = lab;
    const a = await lab.start(nodeA);
    const b = await lab.start(nodeB);
    await a.waitForState('web', 'active');
    await b.waitFor('the other to be heard', async () => (await b.instance('web')).peer !== null);
    // Right behind a question, so that its answer would be of the moment; then in peace.
    for (const [there, questions] of [
      [true, 1],
      [false, 1],
      [true, 2],
      [false, 2],
    ] as const) {
      expect((await a.run([there ? 'handover' : 'takeback', 'web'])).code).toBe(0);
      await (there ? b : a).waitForState('web', 'active');
      expect(await lab.probes(VIP.ipv4, questions)).toBe(questions);
    }
    expect([...a.lines('finding', CONFLICTS), ...b.lines('finding', CONFLICTS)]).toEqual([]);
  });

  it('is told by two directors that share their source address, and hear nothing', async () => {
    await using lab = await Lab.create();
    const { nodeA, nodeB } = lab;
    const [a, b] = [nodeA.on('front'), nodeB.on('front')];
    await ip(nodeB, 'address', 'del', `${b.ipv4}/24`, 'dev', 'eth0');
    await ip(nodeB, 'address', 'add', `${a.ipv4}/24`, 'dev', 'eth0');
    const [first, second] = await Promise.all([lab.start(nodeA), lab.start(nodeB)]);
    for (const [director, other] of [
      [first, b],
      [second, a],
    ] as const) {
      await director.waitForState('web', 'active');
      const { cure, msg } = await told(director, a.ipv4, true);
      expect(msg).toContain(other.mac);
      expect(cure).toContain('its own address on eth0');
      const vip = await told(director, VIP.ipv4, true);
      expect(vip.msg).toContain(other.mac);
      expect(director.lines('finding', { kind: 'duplicate-active' })).toEqual([]);
      const { conflicts } = await director.instance('web');
      expect(conflicts).toMatchObject([
        { address: a.ipv4, interface: 'eth0', of: 'source', holders: [{ mac: other.mac }] },
        { address: VIP.ipv4, interface: 'eth0', of: 'vip', holders: [{ mac: other.mac }] },
      ]);
      const metric = await director.metric('vipkeeper_vrrp_address_conflict');
      expect([...metric]).toEqual([
        [`{vrrp_instance="web",interface="eth0",address="${a.ipv4}"}`, 1],
        [`{vrrp_instance="web",interface="eth0",address="${VIP.ipv4}"}`, 1],
      ]);
      const { stdout } = await director.run(['status']);
      expect(stdout).toContain(`conflict ${a.ipv4} on eth0 is also on ${other.mac}`);
      const explained = await director.run(['explain', 'web']);
      expect(explained.stdout).toContain('docs/runbooks/vrrp.md#address-conflict');
    }
    await ip(nodeB, 'address', 'add', `${b.ipv4}/24`, 'dev', 'eth0');
    await ip(nodeB, 'address', 'del', `${a.ipv4}/24`, 'dev', 'eth0');
    await ip(nodeB, 'address', 'replace', `${b.ipv4}/24`, 'dev', 'eth0');
    await told(first, a.ipv4, false);
    await second.waitForState('web', 'backup');
    await told(first, VIP.ipv4, false);
    await told(second, VIP.ipv4, false);
  });

  it('is told of a real server that answers for a virtual IP, and until it does not', async () => {
    await using lab = await Lab.create();
    const { nodeA, real } = lab;
    await lab.setArpIgnore(0);
    await give(real, 'lo', `${VIP.ipv4}/32`);
    const director = await lab.start(nodeA);
    await check(nodeA, ['ping', '-c', '1', real.on('front').ipv4]);
    const { msg, cure } = await told(director, VIP.ipv4, true);
    expect(msg).toContain(`${real.on('front').mac} (${real.on('front').ipv4}) answers for it`);
    expect(cure).toContain('arp_ignore=1 and arp_announce=2');
    await lab.setArpIgnore(1);
    await told(director, VIP.ipv4, false);
    expect((await director.instance('web')).conflicts).toEqual([]);
  });

  it('is told of a machine that does not answer for a virtual IP and yet sends as it', async () => {
    await using lab = await Lab.create();
    const { nodeA, real } = lab;
    const director = await lab.start(nodeA);
    await director.waitForState('web', 'active');
    const { name, mac } = real.on('front');
    const frame = new Uint8Array(ARP_FRAME_BYTES);
    const [senderMac, vip] = [parseMac(mac), parseIp(VIP.ipv4)] as [Uint8Array, Uint8Array];
    encodeGratuitousArp(frame, { senderMac, vip, targetMac: BROADCAST_MAC });
    const sender = inside(real, () => new LinkSender(ifIndex(name)));
    const repeat = setInterval(() => sender.send(frame, frame.length), 1_000);
    try {
      const { msg } = await told(director, VIP.ipv4, true);
      expect(msg).toContain(`${mac}`);
      expect(msg).toContain('announces it or sends from it');
    } finally {
      clearInterval(repeat);
      sender.close();
    }
  });

  it('is told of an IPv6 address that was given without detection', async () => {
    await using lab = await Lab.create();
    const { nodeA, client } = lab;
    const address = `${VIP.ipv6}/64`;
    await give(client, 'eth0', address, 'nodad');
    const director = await lab.start(nodeA, { addresses: [address] });
    const { msg, cure } = await told(director, VIP.ipv6, true);
    expect(msg).toContain(`${client.on('front').mac}`);
    expect(cure).toContain('put it on lo');
    await ip(client, 'address', 'del', address, 'dev', 'eth0');
    await told(director, VIP.ipv6, false);
  });

  it('is told of a link-local address that the kernel found to be another machine’s', async () => {
    await using lab = await Lab.create();
    const { nodeA, client } = lab;
    const { linkLocal, mac } = client.on('front');
    expect(mac).not.toBe(nodeA.on('front').mac);
    // The lab does without detection.
    const names = ['accept_dad', 'dad_transmits'].map((name) => `net.ipv6.conf.eth0.${name}`);
    const detect = (value: 0 | 1) =>
      check(nodeA, ['sysctl', '-qw', ...names.map((name) => `${name}=${value}`)]);
    await detect(1);
    const own = `${nodeA.on('front').linkLocal}/64`;
    await ip(nodeA, 'address', 'del', own, 'dev', 'eth0');
    await give(nodeA, 'eth0', `${linkLocal}/64`);
    const director = await lab.start(nodeA, { addresses: [`${VIP.ipv6}/64`] });
    const { cure } = await told(director, linkLocal, true);
    expect(cure).toContain('another link-local address');
    expect((await director.instance('web')).state).toBe('fault');
  });

  it('is found on a virtual link too, which is no machine of its own', async () => {
    await using lab = await Lab.create();
    const { nodeA, real } = lab;
    const director = await lab.start(nodeA, { vmac: true });
    await director.waitForState('web', 'active');
    await lab.setArpIgnore(0);
    await give(real, 'lo', `${VIP.ipv4}/32`);
    const { msg } = await told(director, VIP.ipv4, true);
    expect(msg).toContain(real.on('front').mac);
    expect(msg).not.toContain('00:00:5e');
    director.configure({ ...configOf({ vmac: true }), conflict_check: 'off' });
    await director.reload();
    await told(director, VIP.ipv4, false);
  });

  it('is found again on an interface that was made anew', async () => {
    await using lab = await Lab.create();
    const { nodeA, client } = lab;
    const make = async () => {
      const at = ['type', 'veth', 'peer', 'name', 'eth9', 'netns', client.namespace];
      await ip(nodeA, 'link', 'add', 'eth9', ...at);
      for (const node of [nodeA, client]) await ip(node, 'link', 'set', 'eth9', 'up');
      await ip(nodeA, 'address', 'add', '198.18.0.1/24', 'dev', 'eth9');
      await ip(client, 'address', 'add', '198.18.0.9/24', 'dev', 'eth9');
    };
    await make();
    const director = await lab.start(nodeA, { interface: 'eth9', addresses: ['198.18.0.9/24'] });
    await told(director, '198.18.0.9', true);
    await ip(nodeA, 'link', 'del', 'eth9');
    await told(director, '198.18.0.9', false);
    const { mark } = director;
    await make();
    await told(director, '198.18.0.9', true, mark);
  });
});
