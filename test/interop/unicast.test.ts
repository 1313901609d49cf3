/**
 * Unicast with keepalived (2.2.7, Debian's) as the peer, in every version and family: who has the
 * higher priority wins, takes over from a stopped one and from a dead one, and preempts; neither
 * refuses an advertisement of the other, tshark finds nothing wrong with any, and none is multicast.
 * Then three directors of both makes, of which one after the other dies.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Director } from '../lab/director.ts';
import { type Child, check, LabError, localMachine, waitFor } from '../lab/host.ts';
import { Keepalived } from '../lab/keepalived.ts';
import { ensurePackages, NETWORK_PACKAGES, PEER_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';
import { AddressWatch } from '../lab/watch.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 90_000;
const WAIT_MS = 20_000;

const PEER_PRIORITY = 100;
/** What keepalived logs of advertisements that it does not take. */
const COMPLAINTS = /invalid|incorrect|mismatch|bogus|checksum/i;
/** net.ipv6.conf.default.hop_limit */
const KERNEL_HOP_LIMIT = 64;

let topology: Topology;
let nodes: readonly LabNode[];
let watches: readonly AddressWatch[];
let directory: string;
let capture: string;
let tcpdump: Child;

beforeAll(async () => {
  await ensurePackages([...NETWORK_PACKAGES, ...PEER_PACKAGES]);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  topology = await Topology.create(localMachine, { directors: 3, realServers: 0, clients: 0 });
  nodes = topology.directors;
  watches = nodes.map((node) => new AddressWatch(node));
  directory = mkdtempSync(join(tmpdir(), 'vk-capture-'));
  capture = join(directory, 'wire.pcap');
  const argv = ['tcpdump', '-n', '-U', '-Z', 'root', '-i', 'eth0', '-w', capture];
  let stderr = '';
  tcpdump = await nodeOf(0).spawn([...argv, 'ip proto 112 or ip6 proto 112'], {
    onStderr: (chunk) => {
      stderr += chunk.toString('utf8');
    },
  });
  await waitFor('tcpdump to listen', () => stderr.includes('listening on'));
}, SETUP_TIMEOUT_MS);

afterAll(async () => {
  for (const watch of watches ?? []) watch.close();
  tcpdump?.kill('SIGKILL');
  await topology?.dispose();
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
});

const nodeOf = (index: number): LabNode => nodes[index] as LabNode;

/** Indexes of the nodes that have the address. */
const holders = (vip: string): number[] =>
  [...nodes.keys()].filter((index) => watches[index]?.holds(vip));

/** Waits until this node alone has the address. */
const heldBy = (vip: string, index: number): Promise<void> =>
  waitFor(`${vip} on node ${index} alone`, () => holders(vip).join() === `${index}`, WAIT_MS);

interface Variant {
  readonly version: 2 | 3;
  readonly family: 'ipv4' | 'ipv6';
  readonly vrid: number;
  readonly intervalMs: number;
  readonly password?: string;
}

/** Both sides of a variant: ours on the first node, keepalived on the second. */
class Duel {
  readonly vip: string;
  readonly #variant: Variant;
  readonly #addresses: readonly string[];
  readonly #ours: string;
  readonly #theirs: string;
  readonly #processes: { dispose(): Promise<void> }[] = [];

  constructor(variant: Variant) {
    const { family, vrid } = variant;
    this.#variant = variant;
    this.vip = virtualIp(vrid)[family];
    this.#addresses = [`${this.vip}/${family === 'ipv4' ? 24 : 64}`];
    this.#ours = nodeOf(0).on('front')[family];
    this.#theirs = nodeOf(1).on('front')[family];
  }

  async startOurs(priority: number): Promise<Director> {
    const { family, version, vrid, intervalMs, password } = this.#variant;
    // keepalived leaves the hop limit to the kernel.
    const minTtl = family === 'ipv4' ? 255 : KERNEL_HOP_LIMIT;
    const web = {
      ...{ interface: 'eth0', vrid, version, priority, interval: `${intervalMs}ms` },
      ...(password === undefined ? {} : { password }),
      addresses: this.#addresses,
      peers: [this.#ours, { address: this.#theirs, min_ttl: minTtl }],
    };
    const director = await Director.start(nodeOf(0), { config: { vrrp: { web } } });
    this.#processes.push(director);
    return director;
  }

  async startPeer(): Promise<Keepalived> {
    const { version, vrid, intervalMs, password } = this.#variant;
    const peer = await Keepalived.start(nodeOf(1), {
      ...(password === undefined ? {} : { password }),
      ...{ version, vrid, priority: PEER_PRIORITY, intervalSeconds: intervalMs / 1000 },
      addresses: this.#addresses,
      unicast: { source: this.#theirs, peers: [this.#ours] },
    });
    this.#processes.push(peer);
    return peer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of this.#processes) await process.dispose();
    for (const index of holders(this.vip)) {
      await check(nodeOf(index), ['ip', 'addr', 'flush', 'to', this.vip]);
    }
  }
}

/** Ours has the higher priority. */
async function winAndLose(variant: Variant): Promise<void> {
  await using duel = new Duel(variant);
  const [director, peer] = await Promise.all([duel.startOurs(150), duel.startPeer()]);
  await director.waitForState('web', 'active');
  await heldBy(duel.vip, 0);
  expect(await director.stop()).toBe(0);
  await heldBy(duel.vip, 1);
  const mark = director.mark;
  await director.restart();
  const preempted = await director.waitForTransition('web', 'active', mark);
  expect(preempted).toMatchObject({ reason: 'preempted' });
  await heldBy(duel.vip, 0);
  expect(peer.log).not.toMatch(COMPLAINTS);
  // Long intervals make long tests, and the same clock runs down for a dead active one.
  if (variant.intervalMs >= 1000) return;
  await director.kill('SIGKILL', 'both');
  await director.ended();
  await director.run(['cleanup']);
  await heldBy(duel.vip, 1);
}

/** Ours has the lower priority. */
async function loseAndWin(variant: Variant): Promise<void> {
  await using duel = new Duel(variant);
  const [director, peer] = await Promise.all([duel.startOurs(50), duel.startPeer()]);
  await director.waitFor('keepalived to be heard', async () => {
    return (await director.instance('web')).peer?.priority === PEER_PRIORITY;
  });
  await heldBy(duel.vip, 1);
  let mark = director.mark;
  await peer.stop();
  const resigned = await director.waitForTransition('web', 'active', mark);
  expect(resigned).toMatchObject({ reason: 'peer-resigned' });
  await heldBy(duel.vip, 0);
  mark = director.mark;
  await peer.restart();
  const yielded = await director.waitForTransition('web', 'backup', mark);
  expect(yielded).toMatchObject({ reason: 'higher-priority-peer' });
  await heldBy(duel.vip, 1);
  const { counters } = await director.instance('web');
  expect(Object.entries(counters.refused).filter(([, count]) => count > 0)).toEqual([]);
  expect(peer.log).not.toMatch(COMPLAINTS);
  if (variant.intervalMs >= 1000) return;
  await peer.kill();
  const silent = await director.waitForTransition('web', 'active', mark);
  expect(silent).toMatchObject({ reason: 'peers-silent' });
}

describe.concurrent('preemption and takeover', { timeout: TEST_TIMEOUT_MS }, () => {
  const variants: readonly [string, Omit<Variant, 'vrid'>][] = [
    ['version 2', { version: 2, family: 'ipv4', intervalMs: 1000 }],
    [
      'version 2 with a password',
      { version: 2, family: 'ipv4', intervalMs: 1000, password: 'secret12' },
    ],
    ['version 3 over IPv4', { version: 3, family: 'ipv4', intervalMs: 100 }],
    ['version 3 over IPv6', { version: 3, family: 'ipv6', intervalMs: 100 }],
  ];
  for (const [index, [name, variant]] of variants.entries()) {
    it(`${name}: keepalived of lower priority`, () => winAndLose({ ...variant, vrid: index + 1 }));
    it(`${name}: keepalived of higher priority`, () =>
      loseAndWin({ ...variant, vrid: index + 11 }));
  }
});

describe('what both have sent', { timeout: TEST_TIMEOUT_MS }, () => {
  it('tshark finds nothing wrong with, and none of it is multicast', async () => {
    tcpdump.kill('SIGINT');
    await tcpdump.exited;
    const names = ['ip.dst', 'ipv6.dst', 'vrrp.checksum.status', 'ip.ttl', 'ipv6.hlim'];
    const fields = [...names, '_ws.expert.message'].flatMap((name) => ['-e', name]);
    const argv = ['tshark', '-n', '-r', capture, '-Y', 'vrrp', '-T', 'fields', '-E', 'separator=|'];
    const { stdout } = await check(nodeOf(0), [...argv, ...fields]);
    const kinds = new Set(stdout.trimEnd().split('\n'));
    const [ours, theirs] = [nodeOf(0).on('front'), nodeOf(1).on('front')];
    const expected = [
      ...[`${ours.ipv4}||1|255||`, `|${ours.ipv6}|1||${KERNEL_HOP_LIMIT}|`],
      ...[`${theirs.ipv4}||1|255||`, `|${theirs.ipv6}|1||255|`],
    ];
    expect([...kinds].sort()).toEqual(expected.sort());
  });
});

describe.concurrent('three directors of both makes', { timeout: TEST_TIMEOUT_MS }, () => {
  const reaches = [
    ['multicast', 21],
    ['unicast', 22],
  ] as const;
  it.each(reaches)('by %s take over in the order of their priorities', async (reach, vrid) => {
    const vip = virtualIp(vrid).ipv4;
    const addresses = [`${vip}/24`];
    const all = nodes.map((node) => node.on('front').ipv4);
    const peers = reach === 'unicast' ? { peers: all } : {};
    const web = { interface: 'eth0', vrid, interval: '100ms', addresses, ...peers };
    const start = (index: number, priority: number) =>
      Director.start(nodeOf(index), { config: { vrrp: { web: { ...web, priority } } } });
    await using first = await start(0, 150);
    await first.waitForState('web', 'active');
    const [one, two, three] = all as [string, string, string];
    const second = await Keepalived.start(nodeOf(1), {
      ...{ version: 3, vrid, priority: PEER_PRIORITY, intervalSeconds: 0.1, addresses },
      ...(reach === 'unicast' ? { unicast: { source: two, peers: [one, three] } } : {}),
    });
    try {
      await using third = await start(2, 50);
      const hears = (priority: number) =>
        third.waitFor(`an active one of priority ${priority}`, async () => {
          return (await third.instance('web')).peer?.priority === priority;
        });
      await hears(150);
      expect(holders(vip)).toEqual([0]);
      // Its address stays behind; that of a machine without power would not.
      await first.kill('SIGKILL', 'both');
      await hears(PEER_PRIORITY);
      await waitFor('keepalived to have it', () => watches[1]?.holds(vip) === true);
      expect(watches[2]?.holds(vip)).toBe(false);
      expect(third.lines('transition', { to: 'active' })).toEqual([]);
      await second.kill();
      const line = await third.waitForTransition('web', 'active');
      expect(line).toMatchObject({ reason: 'peers-silent' });
      await waitFor('the virtual IP', () => watches[2]?.holds(vip) === true);
    } finally {
      await second.dispose();
    }
  });
});
