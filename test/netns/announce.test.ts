/**
 * Announcements on the wire, as a capture on the client's side has them: how many, in which
 * order, how far apart, and that none is sent for a VIP that was let go. A packet may be late on
 * a busy machine, so what is asserted are least distances, orders, counts, and the absence of
 * packets until something else has happened on the same wire.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parseIp } from '../../src/core/ip.ts';
import {
  encodeAdvertisement,
  MAX_ADVERTISEMENT_BYTES,
  VRRP_GROUP_IPV4,
} from '../../src/core/wire/vrrp.ts';
import { ifIndex } from '../../src/linux/libc.ts';
import { VrrpSender } from '../../src/linux/vrrp-socket.ts';
import { Capture } from '../lab/capture.ts';
import { Director } from '../lab/director.ts';
import { check, LabError, localMachine } from '../lab/host.ts';
import { ensurePackages, NETWORK_PACKAGES, PEER_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { LANS, type LabNode, Topology, virtualIp } from '../lab/topology.ts';
import { inside } from '../lab/watch.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 60_000;
const SECOND_US = 1_000_000;
const INTERVAL_US = 100_000;
/** The second packet of two may have been received quicker than the first by this share. */
const JITTER_SHARE = 0.2;

const V4 = [1, 2, 3].map((n) => virtualIp(n).ipv4);
const V6 = virtualIp(4).ipv6;
const BACK_VIP = `${LANS.back.ipv4Net}.201`;

let topology: Topology;
let nodeA: LabNode;
let nodeB: LabNode;
let client: LabNode;
let front: Capture;
let back: Capture;
const running: Director[] = [];

beforeAll(async () => {
  await ensurePackages([...NETWORK_PACKAGES, ...PEER_PACKAGES]);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  topology = await Topology.create(localMachine, { realServers: 1 });
  [nodeA, nodeB] = topology.directors as [LabNode, LabNode];
  client = topology.clients[0] as LabNode;
  front = await Capture.start(client, 'front');
  back = await Capture.start(topology.realServers[0] as LabNode, 'back');
}, SETUP_TIMEOUT_MS);

afterEach(async () => {
  for (const director of running.splice(0)) {
    await director.stop();
    await director.dispose();
  }
});

afterAll(async () => {
  await front?.close();
  await back?.close();
  await topology?.dispose();
});

type Fields = Readonly<Record<string, unknown>>;

function instance(vrid: number, addresses: readonly unknown[], more: Fields = {}): Fields {
  const priority = { a: 100, b: 150 };
  return { interface: 'eth0', vrid, priority, interval: '100ms', addresses, ...more };
}

async function start(node: LabNode, config: Fields): Promise<Director> {
  const name = node === nodeA ? 'a' : 'b';
  const director = await Director.start(node, { name, config });
  running.push(director);
  return director;
}

/** Sends advertisements of a low priority from the client, as a peer that does not give way. */
function startLoser(vrid: number): { stop(): void } {
  const source = client.on('front').ipv4;
  const sourceAddress = parseIp(source) as Uint8Array;
  const sender = inside(client, () => {
    const interfaceIndex = ifIndex('eth0');
    return new VrrpSender({ interfaceName: 'eth0', interfaceIndex, family: 'ipv4', sourceAddress });
  });
  const message = new Uint8Array(MAX_ADVERTISEMENT_BYTES);
  const length = encodeAdvertisement(message, {
    version: 3,
    family: 'ipv4',
    vrid,
    priority: 1,
    advertIntervalUs: INTERVAL_US,
    addresses: [parseIp(V4[0] as string) as Uint8Array],
    checksum: 'message',
    password: null,
    source: sourceAddress,
    destination: VRRP_GROUP_IPV4,
  });
  const timer = setInterval(() => sender.send(message, length), 20);
  return {
    stop: () => {
      clearInterval(timer);
      sender.close();
    },
  };
}

describe('a takeover', { timeout: TEST_TIMEOUT_MS }, () => {
  it('announces every VIP before any again, a second time later, and then refreshes', async () => {
    await check(nodeA, ['sysctl', '-qw', 'net.ipv6.conf.eth0.forwarding=1']);
    const since = front.mark;
    const announce = { repeat: 3, delay: '500ms', refresh: '700ms', refresh_repeat: 2 };
    const addresses = [...V4.map((vip) => `${vip}/24`), `${V6}/64`];
    const a = await start(nodeA, { vrrp: { web: instance(61, addresses, { announce }) } });
    const vips = [...V4, V6];
    const seen = () => front.announcements(vips, since);
    // Two bursts of three packets, two refreshes of two.
    await front.waitFor('four bursts', () => seen().length >= vips.length * (3 + 3 + 2 + 2));
    const packets = seen();
    const rounds = Array.from({ length: 10 }, (_, round) =>
      packets.slice(round * vips.length, (round + 1) * vips.length),
    );
    for (const round of rounds) expect(round.map(({ vip }) => vip)).toEqual(vips);
    const { mac } = nodeA.on('front');
    expect(new Set(packets.map((packet) => packet.mac))).toEqual(new Set([mac]));
    expect(new Set(packets.filter(({ kind }) => kind === 'na').map((na) => na.router))).toEqual(
      new Set([true]),
    );
    const beginUs = [0, 3, 6, 8].map((round) => rounds[round]?.[0]?.atUs ?? 0);
    const gapsUs = beginUs.slice(1).map((atUs, index) => atUs - (beginUs[index] as number));
    for (const [index, leastUs] of [500_000, 700_000, 700_000].entries()) {
      expect(gapsUs[index]).toBeGreaterThan(leastUs * (1 - JITTER_SHARE));
      expect(gapsUs[index]).toBeLessThan(leastUs + SECOND_US);
    }
    const [advert] = front.adverts(nodeA.on('front').ipv4, since);
    expect(packets[0]?.atUs).toBeGreaterThanOrEqual(advert?.atUs as number);
    expect((await a.instance('web')).counters.announcementsSent).toBeGreaterThanOrEqual(40);
  });

  it('keeps the pace of a switch without delaying adverts, and ends when it is backup', async () => {
    const since = front.mark;
    const paceUs = 50_000;
    const config = {
      announce_groups: { 'switch-a': { interfaces: ['eth0', 'eth1'], interval: '50ms' } },
      vrrp: {
        web: instance(62, [`${V4[0]}/24`, `${V4[1]}/24`], { announce: { repeat: 100 } }),
        dns: instance(63, [`${V4[2]}/24`], { announce: { repeat: 100 } }),
      },
    };
    const a = await start(nodeA, config);
    const ofA = () =>
      front.announcements(V4, since).filter(({ mac }) => mac === nodeA.on('front').mac);
    await front.waitFor('a dozen announcements', () => ofA().length >= 12);
    const packets = ofA();
    expect(new Set(packets.slice(0, 3).map(({ vip }) => vip))).toEqual(new Set(V4));
    for (const [index, packet] of packets.entries()) {
      const earlier = packets[index - 1];
      if (earlier === undefined) continue;
      expect(packet.atUs - earlier.atUs).toBeGreaterThan(paceUs * (1 - JITTER_SHARE));
    }
    await start(nodeB, config);
    const addressB = nodeB.on('front').ipv4;
    await a.waitForTransition('web', 'backup');
    await a.waitForTransition('dns', 'backup');
    // Hundreds were to come; once its peer has been active for a while, none has.
    const adverts = () => front.adverts(addressB, since).filter(({ vrid }) => vrid === 62);
    await front.waitFor('adverts of the new active', () => adverts().length >= 8);
    const yieldedAtUs = Math.max(
      ...[62, 63].map(
        (vrid) => front.adverts(addressB, since).find((advert) => advert.vrid === vrid)?.atUs ?? 0,
      ),
    );
    const late = ofA().filter(({ atUs }) => atUs > yieldedAtUs + INTERVAL_US);
    expect(late).toEqual([]);
    const own = front.adverts(nodeA.on('front').ipv4, since).filter(({ vrid }) => vrid === 62);
    const gaps = own.slice(1).map(({ atUs }, index) => atUs - (own[index]?.atUs ?? 0));
    expect(Math.max(...gaps)).toBeLessThan(3 * INTERVAL_US);
  });
});

describe('an active director', { timeout: TEST_TIMEOUT_MS }, () => {
  it('answers a losing peer once per delay, with the whole sync group', async () => {
    const delayUs = 800_000;
    const announce = { repeat: 1, delay: '0s', lower_priority_repeat: 2 };
    const more = { announce: { ...announce, lower_priority_delay: '800ms' } };
    const a = await start(nodeA, {
      groups: { edge: { instances: ['web', 'inner'] } },
      vrrp: {
        web: instance(64, [`${V4[0]}/24`], more),
        inner: instance(65, [`${BACK_VIP}/24`], { ...more, interface: 'eth1' }),
      },
    });
    await a.waitForState('inner', 'active');
    const [sinceFront, sinceBack] = [front.mark, back.mark];
    const ofWeb = () => front.announcements([V4[0] as string], sinceFront);
    const ofInner = () => back.announcements([BACK_VIP], sinceBack);
    const loser = startLoser(64);
    try {
      await front.waitFor('three bursts', () => ofWeb().length >= 6);
      await back.waitFor('three bursts', () => ofInner().length >= 6);
    } finally {
      loser.stop();
    }
    for (const packets of [ofWeb(), ofInner()]) {
      const first = packets.filter((_, index) => index % 2 === 0).slice(0, 3);
      for (const [index, packet] of first.entries()) {
        const earlier = first[index - 1];
        if (earlier === undefined) continue;
        expect(packet.atUs - earlier.atUs).toBeGreaterThan(delayUs * (1 - JITTER_SHARE));
      }
    }
  });

  it('announces anew when an interface has carrier again, its own or another', async () => {
    const announce = { repeat: 1, delay: '0s', extra_interface_refresh: '0s' };
    const addresses = [
      `${V4[0]}/24`,
      { address: `${BACK_VIP}/24`, interface: 'eth1', track: false },
    ];
    const a = await start(nodeA, { vrrp: { web: instance(66, addresses, { announce }) } });
    await a.waitForState('web', 'active');
    const sinceBack = back.mark;
    await nodeA.linkDown('back');
    await nodeA.linkUp('back');
    await back.waitFor('the VIP', () => back.announcements([BACK_VIP], sinceBack).length > 0);
    expect(a.lines('transition', { to: 'fault' })).toEqual([]);
    const [sinceFront, mark] = [front.mark, a.mark];
    await nodeA.linkDown('front');
    await a.waitForTransition('web', 'fault', mark);
    await nodeA.linkUp('front');
    await front.waitFor('the VIP', () => {
      return front.announcements([V4[0] as string], sinceFront).length > 0;
    });
    await a.waitForTransition('web', 'active', mark);
  });

  it('keeps switches informed where it sends no adverts', async () => {
    const announce = { repeat: 1, delay: '0s', extra_interface_refresh: '200ms' };
    const addresses = [`${V4[0]}/24`, { address: `${BACK_VIP}/24`, interface: 'eth1' }];
    const [sinceFront, sinceBack] = [front.mark, back.mark];
    await start(nodeA, { vrrp: { web: instance(67, addresses, { announce }) } });
    await back.waitFor('five packets', () => {
      return back.announcements([BACK_VIP], sinceBack).length >= 5;
    });
    expect(front.announcements([V4[0] as string], sinceFront)).toHaveLength(1);
  });
});
