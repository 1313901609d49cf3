/**
 * Interoperation with keepalived (2.2.7, Debian's) on one LAN: in every version and family each
 * side takes over from the other, after a stop as after a sudden death, each yields to a higher
 * priority, and after every step exactly one of them has the virtual IP. Takeovers are timed on
 * the wire, by a third party's kernel, against the intervals of the protocol.
 *
 * keepalived 2.2.7 sends and accepts the checksum with pseudo-header only in version 3 over IPv4;
 * later ones can be told to leave it out (v3_checksum_as_v2), which this one does not know.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { activeDownIntervalUs, skewTimeUs } from '../../src/core/vrrp/timing.ts';
import { monotonicUs } from '../../src/linux/clock.ts';
import { Director } from '../lab/director.ts';
import { check, LabError, localMachine, waitFor } from '../lab/host.ts';
import { Keepalived, type KeepalivedInstance } from '../lab/keepalived.ts';
import { ensurePackages, NETWORK_PACKAGES, PEER_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';
import { AddressWatch, AdvertWatch } from '../lab/watch.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 60_000;

const OUR_PRIORITY_HIGH = 150;
const OUR_PRIORITY_LOW = 50;
const PEER_PRIORITY = 100;
/** Share of the computed time by which a takeover may be late; stamps differ by microseconds. */
const LATE_SHARE = 0.2;
const STAMP_TOLERANCE_US = 500;

interface Variant {
  readonly version: 2 | 3;
  readonly vrid: number;
  readonly family: 'ipv4' | 'ipv6';
  readonly intervalUs: number;
  readonly password?: string;
}

const FAST = { version: 3, intervalUs: 100_000 } as const;
const SLOW = { version: 2, intervalUs: 1_000_000, family: 'ipv4' } as const;

let topology: Topology;
let nodeA: LabNode;
let nodeB: LabNode;
let client: LabNode;
let addressesA: AddressWatch;
let addressesB: AddressWatch;

beforeAll(async () => {
  await ensurePackages([...NETWORK_PACKAGES, ...PEER_PACKAGES]);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  topology = await Topology.create(localMachine, { realServers: 1 });
  [nodeA, nodeB] = topology.directors as [LabNode, LabNode];
  client = topology.clients[0] as LabNode;
  addressesA = new AddressWatch(nodeA);
  addressesB = new AddressWatch(nodeB);
}, SETUP_TIMEOUT_MS);

afterAll(async () => {
  addressesA?.close();
  addressesB?.close();
  await topology?.dispose();
});

/**
 * One variant on both sides: ours on the first director, keepalived on the second. Every duel has
 * a virtual router and an address of its own, so that some can go on at the same time.
 */
class Duel {
  readonly variant: Variant;
  readonly vip: string;
  readonly #prefixed: string;
  readonly #watch: AdvertWatch;
  readonly #ourIp: string;
  readonly #peerIp: string;
  readonly #processes: { dispose(): Promise<void> }[] = [];

  constructor(variant: Variant) {
    this.variant = variant;
    const { family } = variant;
    this.vip = virtualIp(variant.vrid)[family];
    this.#prefixed = `${this.vip}/${family === 'ipv4' ? 24 : 64}`;
    this.#watch = new AdvertWatch(client, family);
    const [ours, theirs] = [nodeA.on('front'), nodeB.on('front')];
    this.#ourIp = family === 'ipv4' ? ours.ipv4 : ours.linkLocal;
    this.#peerIp = family === 'ipv4' ? theirs.ipv4 : theirs.linkLocal;
  }

  async startOurs(priority: number, more: Readonly<Record<string, unknown>> = {}) {
    const director = await Director.start(nodeA, { config: this.#config(priority, more) });
    this.#processes.push(director);
    return director;
  }

  configureOurs(ours: Director, priority: number, more: Readonly<Record<string, unknown>>): void {
    ours.configure(this.#config(priority, more));
  }

  #config(priority: number, more: Readonly<Record<string, unknown>>) {
    const { version, vrid, intervalUs, password } = this.variant;
    const web = {
      ...{ interface: 'eth0', vrid, version, priority, interval: `${intervalUs / 1000}ms` },
      ...(password === undefined ? {} : { password }),
      addresses: [this.#prefixed],
      ...more,
    };
    return { vrrp: { web } };
  }

  async startPeer(): Promise<Keepalived> {
    const { version, vrid, intervalUs, password } = this.variant;
    const instance: KeepalivedInstance = {
      ...{ version, vrid, priority: PEER_PRIORITY, intervalSeconds: intervalUs / 1_000_000 },
      ...(password === undefined ? {} : { password }),
      addresses: [this.#prefixed],
    };
    const peer = await Keepalived.start(nodeB, instance);
    this.#processes.push(peer);
    return peer;
  }

  /** Who has the virtual IP: 'ours', 'theirs', 'both' or 'nobody'. */
  holder(): string {
    const [ours, theirs] = [addressesA.holds(this.vip), addressesB.holds(this.vip)];
    if (ours && theirs) return 'both';
    return ours ? 'ours' : theirs ? 'theirs' : 'nobody';
  }

  /** Waits for the holder, and that only he advertises, for a down interval and more. */
  async settle(holder: 'ours' | 'theirs'): Promise<void> {
    await waitFor(`the virtual IP to be ${holder}`, () => this.holder() === holder, 15_000);
    const [speaker, silent] =
      holder === 'ours' ? [this.#ourIp, this.#peerIp] : [this.#peerIp, this.#ourIp];
    const { vrid, version } = this.variant;
    const sinceUs = monotonicUs();
    // At version 2's intervals of a second the takeovers that follow would show it, too.
    await this.#watch.waitFrom(speaker, vrid, sinceUs, version === 2 ? 1 : 5);
    expect(this.#watch.from(silent, vrid, sinceUs)).toEqual([]);
    expect(this.holder()).toBe(holder);
  }

  /** Time from the last advert of the one that ended to the first of the other. */
  async takeoverUs(by: 'ours' | 'theirs', sinceUs: number, resigned: boolean): Promise<number> {
    const [next, last] = by === 'ours' ? [this.#ourIp, this.#peerIp] : [this.#peerIp, this.#ourIp];
    const { vrid } = this.variant;
    const first = await this.#watch.waitFrom(next, vrid, sinceUs);
    const before = this.#watch.from(last, vrid).filter(({ atUs }) => atUs < first.atUs);
    const final = before.at(-1);
    expect(final?.priority === 0).toBe(resigned);
    return first.atUs - (final?.atUs ?? 0);
  }

  skewUs(priority: number): number {
    return skewTimeUs({ version: this.variant.version, priority }, this.variant.intervalUs);
  }

  downUs(priority: number): number {
    const { version, intervalUs } = this.variant;
    return activeDownIntervalUs({ version, priority }, intervalUs);
  }

  /** Removes what a killed process has left. */
  async bury(node: LabNode): Promise<void> {
    const watch = node === nodeA ? addressesA : addressesB;
    if (!watch.holds(this.vip)) return;
    await check(node, ['ip', 'addr', 'del', this.#prefixed, 'dev', 'eth0']);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch.close();
    for (const process of this.#processes) await process.dispose();
    for (const node of [nodeA, nodeB]) await this.bury(node);
  }
}

function expectOnTime(elapsedUs: number, computedUs: number): void {
  expect(elapsedUs / computedUs).toBeGreaterThan(1 - STAMP_TOLERANCE_US / computedUs);
  expect(elapsedUs / computedUs).toBeLessThan(1 + LATE_SHARE);
}

/** Ours has the higher priority. */
async function winAndLose(variant: Variant): Promise<void> {
  await using duel = new Duel(variant);
  const ours = await duel.startOurs(OUR_PRIORITY_HIGH);
  await ours.waitForState('web', 'active');
  await duel.startPeer();
  await duel.settle('ours');

  const stoppedUs = monotonicUs();
  expect(await ours.stop()).toBe(0);
  const resigned = await duel.takeoverUs('theirs', stoppedUs, true);
  expectOnTime(resigned, duel.skewUs(PEER_PRIORITY));
  await duel.settle('theirs');

  const mark = ours.mark;
  await ours.restart();
  const preempted = await ours.waitForTransition('web', 'active', mark);
  expect(preempted).toMatchObject({ reason: 'preempted' });
  await duel.settle('ours');

  const killedUs = monotonicUs();
  await ours.kill('SIGKILL', 'both');
  expectOnTime(await duel.takeoverUs('theirs', killedUs, false), duel.downUs(PEER_PRIORITY));
  await ours.ended();
  expect((await ours.run(['cleanup'])).code).toBe(0);
  await duel.settle('theirs');
}

/** Ours has the lower priority. */
async function loseAndWin(variant: Variant): Promise<void> {
  await using duel = new Duel(variant);
  const ours = await duel.startOurs(OUR_PRIORITY_LOW);
  await ours.waitForState('web', 'active');
  const first = ours.mark;
  const peer = await duel.startPeer();
  const yielded = await ours.waitForTransition('web', 'backup', first);
  expect(yielded).toMatchObject({ reason: 'higher-priority-peer' });
  await duel.settle('theirs');

  const mark = ours.mark;
  const stoppedUs = monotonicUs();
  await peer.stop();
  const resigned = await duel.takeoverUs('ours', stoppedUs, true);
  expectOnTime(resigned, duel.skewUs(OUR_PRIORITY_LOW));
  expect(await ours.waitForTransition('web', 'active', mark)).toMatchObject({
    reason: 'peer-resigned',
  });
  await duel.settle('ours');

  await peer.restart();
  await duel.settle('theirs');
  const killedUs = monotonicUs();
  await peer.kill();
  expectOnTime(await duel.takeoverUs('ours', killedUs, false), duel.downUs(OUR_PRIORITY_LOW));
  await duel.bury(nodeB);
  await duel.settle('ours');
  const { refused } = (await ours.instance('web')).counters;
  expect(Object.values(refused).every((count) => count === 0)).toBe(true);
}

const YIELDS = 'yields to a higher priority, and takes over from a stopped and from a dead one';

describe.each<['ipv4' | 'ipv6', number]>([
  ['ipv4', 1],
  ['ipv6', 3],
])('version 3 over %s', { timeout: TEST_TIMEOUT_MS }, (family, vrid) => {
  it(`keepalived ${YIELDS}`, () => winAndLose({ ...FAST, family, vrid }));
  it(`vipkeeper ${YIELDS}`, () => loseAndWin({ ...FAST, family, vrid: vrid + 1 }));
});

// At intervals of a second they would take a minute and a half one after the other.
describe.concurrent('version 2', { timeout: TEST_TIMEOUT_MS }, () => {
  const password = 'secret12';
  it(`keepalived ${YIELDS}`, () => winAndLose({ ...SLOW, vrid: 5 }));
  it(`vipkeeper ${YIELDS}`, () => loseAndWin({ ...SLOW, vrid: 6 }));
  it(`with a password keepalived ${YIELDS}`, () => winAndLose({ ...SLOW, vrid: 7, password }));
  it(`with a password vipkeeper ${YIELDS}`, () => loseAndWin({ ...SLOW, vrid: 8, password }));
});

describe('the checksum of version 3 over IPv4', { timeout: TEST_TIMEOUT_MS }, () => {
  it('keepalived refuses the one over the message alone and takes what auto chooses', async () => {
    await using duel = new Duel({ ...FAST, family: 'ipv4', vrid: 9 });
    const peer = await duel.startPeer();
    await duel.settle('theirs');
    const ours = await duel.startOurs(OUR_PRIORITY_HIGH, { checksum: 'message' });
    await ours.waitForState('web', 'active');
    await waitFor('keepalived to refuse it', () => /Invalid VRRPv3 checksum/.test(peer.log));
    expect(duel.holder()).toBe('both');
    duel.configureOurs(ours, OUR_PRIORITY_HIGH, { checksum: 'auto' });
    await ours.reload();
    await duel.settle('ours');
  });
});

describe('the wire', { timeout: TEST_TIMEOUT_MS }, () => {
  let directory: string;
  let capture: string;
  const announced = { repeat: 3, delay: '500ms' };
  const vips = [10, 11, 12].map((number) => virtualIp(number));

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'vk-capture-'));
    capture = join(directory, 'wire.pcap');
    // -Z: tcpdump would become a user who may not write there; -U: nothing is left in a buffer.
    const argv = ['tcpdump', '-n', '-U', '-Z', 'root', '-i', 'eth0', '-w', capture];
    let stderr = '';
    const tcpdump = await client.spawn([...argv, 'ip proto 112 or ip6 proto 112 or arp or icmp6'], {
      onStderr: (chunk) => {
        stderr += chunk.toString('utf8');
      },
    });
    await waitFor('tcpdump to listen', () => stderr.includes('listening on'));
    const common = { interface: 'eth0', announce: announced };
    const [v2, v3, v6] = vips as [(typeof vips)[0], (typeof vips)[0], (typeof vips)[0]];
    const password = 'secret12';
    const vrrp = {
      v2: { ...common, vrid: 10, version: 2, password, addresses: [`${v2.ipv4}/24`] },
      v3: { ...common, vrid: 11, interval: '100ms', addresses: [`${v3.ipv4}/24`] },
      v6: { ...common, vrid: 12, interval: '100ms', addresses: [`${v6.ipv6}/64`] },
    };
    const watch = new AddressWatch(nodeA);
    await using director = await Director.start(nodeA, { config: { vrrp } });
    await director.waitForState('v2', 'active');
    await director.waitFor('all announcements', async () => {
      const { instances } = await director.status();
      return instances.every(({ counters }) => counters.announcementsSent === 6);
    });
    expect(watch.holds(v6.ipv6)).toBe(true);
    watch.close();
    await director.stop();
    await waitFor(
      'the last resignation',
      async () => {
        const text = await tshark([
          '-Y',
          'vrrp.prio == 0',
          '-T',
          'fields',
          '-e',
          'vrrp.virt_rtr_id',
        ]);
        return ['10', '11', '12'].every((vrid) => text.split('\n').includes(vrid));
      },
      10_000,
    );
    tcpdump.kill('SIGINT');
    await tcpdump.exited;
  }, TEST_TIMEOUT_MS);

  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  async function tshark(args: readonly string[]): Promise<string> {
    const options = ['-o', 'ip.check_checksum:TRUE'];
    return (await check(client, ['tshark', '-n', '-r', capture, ...options, ...args])).stdout;
  }

  /** Values of fields by packet, of those that pass the filter. */
  async function fields(filter: string, ...names: readonly string[]): Promise<string[][]> {
    const wanted = names.flatMap((name) => ['-e', name]);
    const text = await tshark(['-Y', filter, '-T', 'fields', '-E', 'separator=|', ...wanted]);
    return text
      .trimEnd()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split('|'));
  }

  it('tshark finds the checksums of every advert right, and nothing to remark', async () => {
    const sender = nodeA.on('front');
    const rows = await fields(
      'vrrp',
      ...['vrrp.virt_rtr_id', 'vrrp.version', 'vrrp.checksum.status', 'ip.checksum.status'],
      ...['ip.ttl', 'ipv6.hlim', 'ip.src', 'ipv6.src', '_ws.expert.message'],
    );
    const expected: Readonly<Record<string, string[]>> = {
      10: ['2', '1', '1', '255', '', sender.ipv4, '', ''],
      11: ['3', '1', '1', '255', '', sender.ipv4, '', ''],
      12: ['3', '1', '', '', '255', '', sender.linkLocal, ''],
    };
    for (const [vrid = '', ...rest] of rows) expect(rest).toEqual(expected[vrid]);
    for (const vrid of Object.keys(expected)) {
      expect(rows.filter(([first]) => first === vrid).length).toBeGreaterThan(1);
    }
  });

  it('tshark takes every ARP announcement for gratuitous, as many as were announced', async () => {
    const rows = await fields(
      'arp',
      'arp.src.proto_ipv4',
      'arp.isgratuitous',
      'eth.src',
      'eth.dst',
    );
    const { mac } = nodeA.on('front');
    for (const vip of [vips[0]?.ipv4, vips[1]?.ipv4]) {
      const ours = rows.filter(([address]) => address === vip);
      expect(ours).toHaveLength(6);
      for (const row of ours) {
        expect([row[1], ...row.slice(2)]).toEqual([
          expect.stringMatching(/^(1|True)$/),
          mac,
          'ff:ff:ff:ff:ff:ff',
        ]);
      }
    }
  });

  it('tshark finds every neighbour advertisement right, from a router and overriding', async () => {
    const rows = await fields(
      `icmpv6.type == 136 && icmpv6.nd.na.target_address == ${vips[2]?.ipv6}`,
      ...['icmpv6.checksum.status', 'icmpv6.nd.na.flag', 'ipv6.dst', 'ipv6.hlim'],
    );
    expect(rows).toHaveLength(6);
    for (const row of rows) expect(row).toEqual(['1', '0xa0000000', 'ff02::1', '255']);
  });

  it('tcpdump finds no wrong checksum either', async () => {
    const { stdout } = await check(client, ['tcpdump', '-n', '-vvv', '-r', capture]);
    expect(stdout).toContain('VRRPv2, Advertisement, vrid 10');
    expect(stdout).toContain('VRRPv3, Advertisement, vrid 11');
    expect(stdout).toContain('[icmp6 sum ok] ICMP6, neighbor advertisement');
    expect(stdout).not.toMatch(/\bbad\b|wrong|\[\||invalid/);
  });
});
