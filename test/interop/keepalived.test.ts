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
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
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
  readonly name: string;
  readonly version: 2 | 3;
  readonly vrid: number;
  readonly family: 'ipv4' | 'ipv6';
  readonly intervalUs: number;
  readonly password?: string;
}

const FAST = { version: 3, intervalUs: 100_000 } as const;
const SLOW = { version: 2, intervalUs: 1_000_000, family: 'ipv4' } as const;
const VARIANTS: readonly Variant[] = [
  { name: 'version 3 over IPv4', vrid: 53, family: 'ipv4', ...FAST },
  { name: 'version 3 over IPv6', vrid: 54, family: 'ipv6', ...FAST },
  { name: 'version 2', vrid: 51, ...SLOW },
  { name: 'version 2 with a password', vrid: 52, password: 'secret12', ...SLOW },
];

let topology: Topology;
let nodeA: LabNode;
let nodeB: LabNode;
let client: LabNode;
let addressesA: AddressWatch;
let addressesB: AddressWatch;
const open: { dispose(): Promise<void> }[] = [];
const closing: (() => void)[] = [];

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

afterEach(async () => {
  for (const close of closing.splice(0)) close();
  for (const process of open.splice(0)) await process.dispose();
  for (const { ipv4, ipv6 } of [virtualIp(1), virtualIp(2), virtualIp(3)]) {
    for (const address of [`${ipv4}/24`, `${ipv6}/64`]) {
      // Whoever was killed leaves some; most are not there.
      for (const node of [nodeA, nodeB]) await removeAddress(node, address);
    }
  }
});

afterAll(async () => {
  addressesA?.close();
  addressesB?.close();
  await topology?.dispose();
});

async function removeAddress(node: LabNode, address: string): Promise<void> {
  const watch = node === nodeA ? addressesA : addressesB;
  if (!watch.holds(address.split('/')[0] as string)) return;
  await check(node, ['ip', 'addr', 'del', address, 'dev', 'eth0']);
}

/** One variant on both sides: ours on the first director, keepalived on the second. */
class Duel {
  readonly variant: Variant;
  readonly vip: string;
  readonly #prefixed: string;
  readonly #watch: AdvertWatch;
  readonly #ourIp: string;
  readonly #peerIp: string;

  constructor(variant: Variant) {
    this.variant = variant;
    const { family } = variant;
    this.vip = virtualIp(1)[family];
    this.#prefixed = `${this.vip}/${family === 'ipv4' ? 24 : 64}`;
    this.#watch = new AdvertWatch(client, family);
    closing.push(() => this.#watch.close());
    const [ours, theirs] = [nodeA.on('front'), nodeB.on('front')];
    this.#ourIp = family === 'ipv4' ? ours.ipv4 : ours.linkLocal;
    this.#peerIp = family === 'ipv4' ? theirs.ipv4 : theirs.linkLocal;
  }

  async startOurs(priority: number, more: Readonly<Record<string, unknown>> = {}) {
    const { version, vrid, intervalUs, password } = this.variant;
    const web = {
      ...{ interface: 'eth0', vrid, version, priority, interval: `${intervalUs / 1000}ms` },
      ...(password === undefined ? {} : { password }),
      addresses: [this.#prefixed],
      ...more,
    };
    const director = await Director.start(nodeA, { config: { vrrp: { web } } });
    open.push(director);
    return director;
  }

  async startPeer(): Promise<Keepalived> {
    const { version, vrid, intervalUs, password } = this.variant;
    const instance: KeepalivedInstance = {
      ...{ version, vrid, priority: PEER_PRIORITY, intervalSeconds: intervalUs / 1_000_000 },
      ...(password === undefined ? {} : { password }),
      addresses: [this.#prefixed],
    };
    const peer = await Keepalived.start(nodeB, instance);
    open.push(peer);
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

  bury(node: LabNode): Promise<void> {
    return removeAddress(node, this.#prefixed);
  }
}

function expectOnTime(elapsedUs: number, computedUs: number): void {
  expect(elapsedUs / computedUs).toBeGreaterThan(1 - STAMP_TOLERANCE_US / computedUs);
  expect(elapsedUs / computedUs).toBeLessThan(1 + LATE_SHARE);
}

describe.each(VARIANTS)('$name', { timeout: TEST_TIMEOUT_MS }, (variant) => {
  it('keepalived yields to a higher priority, and takes over from a stopped and a dead one', async () => {
    const duel = new Duel(variant);
    const ours = await duel.startOurs(OUR_PRIORITY_HIGH);
    await ours.waitForState('web', 'active');
    await duel.startPeer();
    await duel.settle('ours');

    const stoppedUs = monotonicUs();
    expect(await ours.stop()).toBe(0);
    const resigned = await duel.takeoverUs('theirs', stoppedUs, true);
    expectOnTime(resigned, duel.skewUs(PEER_PRIORITY));
    await duel.settle('theirs');

    await ours.restart();
    expect(await ours.waitForTransition('web', 'active', 4)).toMatchObject({ reason: 'preempted' });
    await duel.settle('ours');

    const killedUs = monotonicUs();
    await ours.kill('SIGKILL', 'both');
    expectOnTime(await duel.takeoverUs('theirs', killedUs, false), duel.downUs(PEER_PRIORITY));
    await ours.ended();
    expect((await ours.run(['cleanup'])).code).toBe(0);
    await duel.settle('theirs');
  });

  it('vipkeeper yields to a higher priority, and takes over from a stopped and a dead one', async () => {
    const duel = new Duel(variant);
    const ours = await duel.startOurs(OUR_PRIORITY_LOW);
    await ours.waitForState('web', 'active');
    const peer = await duel.startPeer();
    const yielded = await ours.waitForTransition('web', 'backup', 3);
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
  });
});
