/**
 * Interoperation with FRR's vrrpd (Debian's) on one LAN, both with the virtual hardware address,
 * in version 3 over IPv4 and IPv6 and in version 2 at the same time: each takes over from the
 * other after a handover and after a sudden death, each yields to a higher priority, hosts know
 * one hardware address all the while, and tshark finds nothing to remark.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Director } from '../lab/director.ts';
import { Capture } from '../lab/frame-capture.ts';
import { FrrVrrp } from '../lab/frr-vrrp.ts';
import { check, LabError, localMachine } from '../lab/host.ts';
import {
  BFD_PEER_PACKAGES,
  ensurePackages,
  NETWORK_PACKAGES,
  PEER_PACKAGES,
} from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 90_000;

const THEIR_PRIORITY = 100;
const ROUTERS = [
  { vrid: 61, version: 3, family: 'ipv4', intervalMs: 200, vip: virtualIp(1).ipv4 },
  { vrid: 62, version: 3, family: 'ipv6', intervalMs: 200, vip: virtualIp(2).ipv6 },
  { vrid: 63, version: 2, family: 'ipv4', intervalMs: 1_000, vip: virtualIp(3).ipv4 },
] as const;
type Router = (typeof ROUTERS)[number];

function prefixed({ vip, family }: Router): string {
  return `${vip}/${family === 'ipv4' ? 24 : 64}`;
}

function nameOf({ version, family }: Router): string {
  return `v${version}-${family}`;
}

function macOf({ vrid, family }: Router): string {
  return `00:00:5e:00:0${family === 'ipv4' ? 1 : 2}:${vrid.toString(16)}`;
}

let topology: Topology;
let ours: LabNode;
let theirs: LabNode;
let client: LabNode;
let frr: FrrVrrp | null = null;
let director: Director | null = null;

beforeAll(async () => {
  await ensurePackages([...NETWORK_PACKAGES, ...PEER_PACKAGES, ...BFD_PEER_PACKAGES]);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  topology = await Topology.create(localMachine, { realServers: 1 });
  [ours, theirs] = topology.directors as [LabNode, LabNode];
  client = topology.clients[0] as LabNode;
}, SETUP_TIMEOUT_MS);

afterAll(async () => {
  await director?.dispose();
  await frr?.dispose();
  await topology?.dispose();
});

function configOf(priority: number): Readonly<Record<string, unknown>> {
  const instances = ROUTERS.map((router) => [
    nameOf(router),
    {
      interface: 'eth0',
      vrid: router.vrid,
      version: router.version,
      priority,
      interval: `${router.intervalMs}ms`,
      vmac: true,
      addresses: [prefixed(router)],
    },
  ]);
  return { vrrp: Object.fromEntries(instances) };
}

/** Every VIP answers, and by the virtual hardware address. */
async function reachable(): Promise<void> {
  for (const router of ROUTERS) {
    await check(client, ['ping', '-n', '-c', '1', '-W', '2', router.vip]);
    const { stdout } = await check(client, ['ip', '-j', 'neigh', 'show', 'to', router.vip]);
    const [entry] = JSON.parse(stdout) as { lladdr?: string }[];
    expect(entry?.lladdr).toBe(macOf(router));
  }
}

/** All of our instances have become that, for that reason, from `since` of the log on. */
async function became(to: 'active' | 'backup', reason: string, since: number): Promise<void> {
  for (const router of ROUTERS) {
    const instance = nameOf(router);
    await director?.waitForLine('transition', { instance, to, reason }, since);
  }
}

it(
  'FRR and a director take over from each other in every version and family',
  async () => {
    const capture = await Capture.start(client);
    frr = await FrrVrrp.start(
      theirs,
      ROUTERS.map((router) => ({ ...router, vip: prefixed(router), priority: THEIR_PRIORITY })),
    );
    await frr.waitForStates('Master');
    await reachable();

    // A higher priority preempts it, which it accepts.
    director = await Director.start(ours, { config: configOf(150) });
    await became('active', 'preempted', 0);
    await frr.waitForStates('Backup');
    await reachable();

    // Ours resigns.
    expect(await director.stop()).toBe(0);
    await frr.waitForStates('Master');
    await reachable();

    // Beside it, a lower priority stays backup.
    let mark = director.mark;
    director.configure(configOf(50));
    await director.restart();
    await director.waitFor(
      'ours to hear FRR',
      async () =>
        (await director?.tryStatus())?.instances.every(({ peer }) => peer !== null) === true,
    );
    expect(director.lines('transition', { to: 'active' }, mark)).toEqual([]);

    // It dies, and comes back.
    mark = director.mark;
    await frr.kill();
    await became('active', 'peers-silent', mark);
    await reachable();
    mark = director.mark;
    await frr.restart();
    await became('backup', 'higher-priority-peer', mark);
    await frr.waitForStates('Master');

    // It resigns.
    mark = director.mark;
    await frr.stop();
    await became('active', 'peer-resigned', mark);
    await reachable();
    const { instances } = await director.status();
    for (const { counters } of instances) {
      expect(Object.values(counters.refused).reduce((sum, count) => sum + count)).toBe(0);
    }
    expect(instances.map(({ peers }) => peers[0]?.accepted?.checksum)).toEqual([
      'pseudo-header',
      'pseudo-header',
      'message',
    ]);
    const frames = await capture.stop();
    expect([...new Set(frames.map(({ remarks }) => remarks))]).toEqual(['']);
    for (const router of ROUTERS) {
      const adverts = frames.filter(({ vrid }) => vrid === router.vrid);
      expect(new Set(adverts.map(({ advertFrom }) => advertFrom)).size).toBe(2);
      expect([...new Set(adverts.map(({ source }) => source))]).toEqual([macOf(router)]);
      const said = frames.filter(({ says }) => says?.startsWith(`${router.vip} `));
      expect([...new Set(said.map(({ says }) => says))]).toEqual([
        `${router.vip} is ${macOf(router)}`,
      ]);
    }
  },
  TEST_TIMEOUT_MS,
);
