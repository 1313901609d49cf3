/**
 * A backup of many instances on one interface, whose advertisements come from a sender of the
 * test: it reads them many at a time, and yet takes over when an instance's own time is over, and
 * not because of what it has not read yet.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseIp } from '../../src/core/ip.ts';
import { activeDownIntervalUs, skewTimeUs } from '../../src/core/vrrp/timing.ts';
import { encodeAdvertisement, VRRP_GROUP_IPV4 } from '../../src/core/wire/vrrp.ts';
import { monotonicUs } from '../../src/linux/clock.ts';
import { ifIndex } from '../../src/linux/libc.ts';
import { DeadlineTimer } from '../../src/linux/timer.ts';
import { VrrpSender } from '../../src/linux/vrrp-socket.ts';
import { Director } from '../lab/director.ts';
import { LabError, localMachine, waitFor } from '../lab/host.ts';
import { ensurePackages, NETWORK_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology } from '../lab/topology.ts';
import { AdvertWatch, inside } from '../lab/watch.ts';

const COUNT = 60;
const INTERVAL_US = 600_000;
/** Between two packets: far less than they may wait. */
const GAP_US = INTERVAL_US / COUNT;
const PRIORITY = 100;
const TIMING = { version: 3, priority: PRIORITY } as const;

let topology: Topology;
let backup: Director;
let adverts: AdvertWatch;
let sender: VrrpSender;
let source: string;
let timer: DeadlineTimer | null = null;

beforeAll(async () => {
  await ensurePackages(NETWORK_PACKAGES);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  topology = await Topology.create(localMachine, { realServers: 0 });
  const [nodeA, nodeB] = topology.directors as [LabNode, LabNode];
  adverts = new AdvertWatch(topology.clients[0] as LabNode);
  source = nodeA.on('front').ipv4;
  const sourceAddress = parseIp(source) as Uint8Array;
  sender = inside(nodeA, () => {
    const interfaceIndex = ifIndex('eth0');
    return new VrrpSender({ interfaceName: 'eth0', interfaceIndex, family: 'ipv4', sourceAddress });
  });
  sendInTurn();
  const vrrp = Object.fromEntries(
    Array.from({ length: COUNT }, (_, index) => [
      `i${index + 1}`,
      {
        ...{ interface: 'eth0', vrid: index + 1, priority: PRIORITY, interval: '600ms' },
        addresses: [`10.98.0.${index + 1}/32`],
      },
    ]),
  );
  backup = await Director.start(nodeB, { name: 'b', config: { vrrp } });
  await waitFor('a second of advertisements', async () => {
    const { instances } = await backup.status();
    return instances.every(({ counters }) => counters.advertsReceived >= 2);
  });
}, 10 * 60_000);

afterAll(async () => {
  timer?.close();
  adverts?.close();
  sender?.close();
  await backup?.dispose();
  await topology?.dispose();
});

const silent = new Set<number>();

function send(vrid: number, priority: number): void {
  const message = new Uint8Array(64);
  const length = encodeAdvertisement(message, {
    ...{ version: 3, family: 'ipv4', vrid, priority, advertIntervalUs: INTERVAL_US },
    ...{ addresses: [Uint8Array.of(10, 98, 0, vrid)], checksum: 'pseudo-header', password: null },
    ...{ source: parseIp(source) as Uint8Array, destination: VRRP_GROUP_IPV4 },
  });
  sender.send(message, length);
}

/** The advertisements of all instances that are not silent, one after the other, for ever. */
function sendInTurn(): void {
  let vrid = 1;
  let dueUs = monotonicUs();
  timer = new DeadlineTimer(() => {
    for (; dueUs <= monotonicUs(); dueUs += GAP_US) {
      if (!silent.has(vrid)) send(vrid, 150);
      vrid = (vrid % COUNT) + 1;
    }
    timer?.arm(dueUs);
  });
  timer.arm(dueUs);
}

const own = () => backup.node.on('front').ipv4;

/** From the last advertisement of the test's sender to the first one of the backup. */
async function takeoverUs(vrid: number): Promise<number> {
  const first = await adverts.waitFrom(own(), vrid, 0);
  const last = adverts.from(source, vrid).at(-1);
  return first.atUs - (last?.atUs ?? Number.NaN);
}

it('hears all of them, and takes over for none', async () => {
  const { instances } = await backup.status();
  expect(instances.map(({ state }) => state)).toEqual(Array(COUNT).fill('backup'));
  expect(adverts.adverts.filter((advert) => advert.source === own())).toEqual([]);
});

it('takes over when one instance falls silent, when its own time is over', async () => {
  silent.add(7);
  const downUs = activeDownIntervalUs(TIMING, INTERVAL_US);
  const took = await takeoverUs(7);
  expect(took).toBeGreaterThanOrEqual(downUs);
  expect(took).toBeLessThan(downUs + INTERVAL_US);
}, 30_000);

it('takes over after the skew time when one resigns, which is not looked at at once', async () => {
  silent.add(8);
  send(8, 0);
  const skewUs = skewTimeUs(TIMING, INTERVAL_US);
  const took = await takeoverUs(8);
  expect(took).toBeGreaterThanOrEqual(skewUs);
  expect(took).toBeLessThan(skewUs + INTERVAL_US);
}, 30_000);

it('gives way at once where it is active, and has never taken over for another', async () => {
  silent.delete(7);
  const active = async () =>
    (await backup.status()).instances.filter(({ state }) => state === 'active');
  await waitFor('instance 7 to give way', async () => (await active()).length === 1);
  expect((await active()).map(({ vrid }) => vrid)).toEqual([8]);
  const sent = new Set(
    adverts.adverts.filter((advert) => advert.source === own()).map(({ vrid }) => vrid),
  );
  expect([...sent].sort()).toEqual([7, 8]);
}, 30_000);
