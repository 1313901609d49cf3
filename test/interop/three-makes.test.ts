/**
 * Three directors of three makes on one LAN, vipkeeper, keepalived and FRR, all with the virtual
 * hardware address, in version 3 over IPv4 and IPv6 and in version 2 at the same time. In each order
 * of their priorities the best one is active and the others are backups, the next one takes over
 * from it and from its successor, and each that comes back takes over again; tshark finds nothing
 * to remark in anything that any of them sends.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { Director } from '../lab/director.ts';
import { Capture } from '../lab/frame-capture.ts';
import { FrrVrrp } from '../lab/frr-vrrp.ts';
import { check, LabError, localMachine, waitFor } from '../lab/host.ts';
import { Keepalived } from '../lab/keepalived.ts';
import {
  BFD_PEER_PACKAGES,
  ensurePackages,
  NETWORK_PACKAGES,
  PEER_PACKAGES,
} from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 120_000;
const WAIT_MS = 20_000;
const PRIORITIES = [150, 120, 90];

const ROUTERS = [
  { vrid: 81, version: 3, family: 'ipv4', intervalMs: 200, vip: `${virtualIp(1).ipv4}/24` },
  { vrid: 82, version: 3, family: 'ipv6', intervalMs: 200, vip: `${virtualIp(2).ipv6}/64` },
  { vrid: 83, version: 2, family: 'ipv4', intervalMs: 1_000, vip: `${virtualIp(3).ipv4}/24` },
] as const;

type Role = 'active' | 'backup';

/** One make of director on its node. */
interface Contender {
  begin(): Promise<void>;
  /** It resigns. */
  leave(): Promise<void>;
  /** Whether all of its virtual routers have this role. */
  is(role: Role): Promise<boolean>;
  dispose(): Promise<void>;
}

beforeAll(async () => {
  await ensurePackages([...NETWORK_PACKAGES, ...PEER_PACKAGES, ...BFD_PEER_PACKAGES]);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
}, SETUP_TIMEOUT_MS);

class Ours implements Contender {
  readonly #node: LabNode;
  readonly #config: Readonly<Record<string, unknown>>;
  director: Director | null = null;

  constructor(node: LabNode, priority: number) {
    this.#node = node;
    const instances = ROUTERS.map(({ vrid, version, intervalMs, vip }) => [
      `v${vrid}`,
      {
        ...{ interface: 'eth0', vrid, version, priority, interval: `${intervalMs}ms` },
        ...{ vmac: true, addresses: [vip] },
      },
    ]);
    this.#config = { vrrp: Object.fromEntries(instances) };
  }

  async begin(): Promise<void> {
    if (this.director !== null) return this.director.restart();
    this.director = await Director.start(this.#node, { config: this.#config });
  }

  async leave(): Promise<void> {
    expect(await this.refused()).toBe(0);
    expect(await this.director?.stop()).toBe(0);
  }

  async is(role: Role): Promise<boolean> {
    const status = await this.director?.tryStatus();
    return status?.instances.every(({ state }) => state === role) === true;
  }

  /** Advertisements of the others that it did not take. */
  async refused(): Promise<number> {
    const instances = (await this.director?.status())?.instances ?? [];
    const counts = instances.flatMap(({ counters }) => Object.values(counters.refused));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  async dispose(): Promise<void> {
    await this.director?.stop();
    await this.director?.dispose();
  }
}

class Keepaliveds implements Contender {
  readonly #node: LabNode;
  readonly #priority: number;
  #peers: Keepalived[] = [];

  constructor(node: LabNode, priority: number) {
    this.#node = node;
    this.#priority = priority;
  }

  async begin(): Promise<void> {
    // keepalived leaves this to its operator; without it the interface answers for the VIP too.
    const settings = ['arp_ignore=1', 'arp_announce=2'].map((s) => `net.ipv4.conf.all.${s}`);
    await check(this.#node, ['sysctl', '-qw', ...settings]);
    for (const { vrid, version, intervalMs, vip } of ROUTERS) {
      const instance = { version, vrid, priority: this.#priority, vmac: `vrrp.${vrid}` };
      const rest = { intervalSeconds: intervalMs / 1000, addresses: [vip] };
      this.#peers.push(await Keepalived.start(this.#node, { ...instance, ...rest }));
    }
  }

  async leave(): Promise<void> {
    for (const peer of this.#peers) {
      expect(peer.log).not.toMatch(/invalid|incorrect|mismatch|bogus|checksum/i);
    }
    await Promise.all(this.#peers.map((peer) => peer.stop()));
    await this.dispose();
  }

  async is(role: Role): Promise<boolean> {
    const wanted = role === 'active' ? 'MASTER' : 'BACKUP';
    return this.#peers.every(({ log }) => {
      const entered = [...log.matchAll(/Entering (\w+) STATE/g)];
      return entered.at(-1)?.[1] === wanted;
    });
  }

  async dispose(): Promise<void> {
    for (const peer of this.#peers.splice(0)) await peer.dispose();
    for (const { vrid } of ROUTERS) await this.#node.run(['ip', 'link', 'del', `vrrp.${vrid}`]);
  }
}

class Frr implements Contender {
  readonly #node: LabNode;
  readonly #priority: number;
  #frr: FrrVrrp | null = null;

  constructor(node: LabNode, priority: number) {
    this.#node = node;
    this.#priority = priority;
  }

  async begin(): Promise<void> {
    if (this.#frr !== null) return this.#frr.restart();
    const routers = ROUTERS.map((router) => ({ ...router, priority: this.#priority }));
    this.#frr = await FrrVrrp.start(this.#node, routers);
  }

  async leave(): Promise<void> {
    await this.#frr?.stop();
  }

  async is(role: Role): Promise<boolean> {
    const wanted = role === 'active' ? 'Master' : 'Backup';
    return (await this.#frr?.states())?.every((state) => state === wanted) === true;
  }

  async dispose(): Promise<void> {
    await this.#frr?.dispose();
    const { stdout } = await check(this.#node, ['ip', '-j', 'link', 'show', 'type', 'macvlan']);
    for (const { ifname } of JSON.parse(stdout) as { ifname: string }[]) {
      await check(this.#node, ['ip', 'link', 'del', ifname]);
    }
  }
}

/** In the order of their priorities. */
type Three = readonly [Contender, Contender, Contender];

const MAKES = { vipkeeper: Ours, keepalived: Keepaliveds, FRR: Frr } as const;
type Make = keyof typeof MAKES;

/** The first of these is active, the others are backups, and the VIPs answer a client by their MACs. */
async function rules(client: LabNode, running: readonly Contender[]): Promise<void> {
  for (const [index, contender] of running.entries()) {
    const role = index === 0 ? 'active' : 'backup';
    const name = `${contender.constructor.name} to be ${role}`;
    await waitFor(name, () => contender.is(role), WAIT_MS, 50);
  }
  for (const { vrid, family, vip } of ROUTERS) {
    const address = vip.slice(0, vip.indexOf('/'));
    await check(client, ['ping', '-n', '-c', '1', '-W', '2', address]);
    const { stdout } = await check(client, ['ip', '-j', 'neigh', 'show', 'to', address]);
    const [entry] = JSON.parse(stdout) as { lladdr?: string }[];
    const kind = family === 'ipv4' ? 1 : 2;
    expect(entry?.lladdr).toBe(`00:00:5e:00:0${kind}:${vrid.toString(16)}`);
  }
}

// Each order has a network of its own: three quarters of a minute one after the other.
describe.concurrent('three makes', { timeout: TEST_TIMEOUT_MS }, () => {
  it.each<readonly [Make, Make, Make]>([
    ['vipkeeper', 'keepalived', 'FRR'],
    ['FRR', 'vipkeeper', 'keepalived'],
    ['keepalived', 'FRR', 'vipkeeper'],
  ])('%s before %s before %s', async (...order) => {
    const options = { directors: 3, realServers: 0 };
    await using topology = await Topology.create(localMachine, options);
    const client = topology.clients[0] as LabNode;
    const capture = await Capture.start(client);
    const contenders = order.map((make, index) => {
      const node = topology.directors[index] as LabNode;
      return new MAKES[make](node, PRIORITIES[index] as number);
    });
    try {
      await compete(client, contenders as unknown as Three);
      const frames = await capture.stop();
      expect([...new Set(frames.map(({ remarks }) => remarks))]).toEqual(['']);
      for (const { vrid } of ROUTERS) {
        const adverts = frames.filter((frame) => frame.vrid === vrid);
        expect(new Set(adverts.map(({ advertFrom }) => advertFrom)).size).toBe(3);
      }
    } finally {
      for (const contender of contenders) await contender.dispose();
    }
  });
});

/** The best one and its successor resign, and come back in the other order. */
async function compete(client: LabNode, contenders: Three): Promise<void> {
  const [first, second, third] = contenders;
  await Promise.all(contenders.map((contender) => contender.begin()));
  await rules(client, [first, second, third]);
  await first.leave();
  await rules(client, [second, third]);
  await second.leave();
  await rules(client, [third]);
  await second.begin();
  await rules(client, [second, third]);
  await first.begin();
  await rules(client, [first, second, third]);
  for (const contender of contenders) {
    if (contender instanceof Ours) expect(await contender.refused()).toBe(0);
  }
}
