/**
 * Interoperation with keepalived's use_vmac: both sides on macvlans with the virtual hardware
 * address, in version 3 over IPv4 and IPv6, and in version 2 with a password, at the same time. keepalived listens on its macvlan,
 * which is in private mode, so our advertisements must come from the virtual address to be heard.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Director } from '../lab/director.ts';
import { Capture } from '../lab/frame-capture.ts';
import { check, LabError, localMachine, waitFor } from '../lab/host.ts';
import { Keepalived } from '../lab/keepalived.ts';
import { ensurePackages, NETWORK_PACKAGES, PEER_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 90_000;

const FAST = { version: 3, intervalSeconds: 0.1 } as const;
const SLOW = { version: 2, intervalSeconds: 1, password: 'secret12' } as const;
const ROUTERS = [
  {
    ...{ ...FAST, name: 'four', vrid: 71, link: 'vrrp.71', vip: virtualIp(1).ipv4 },
    mac: '00:00:5e:00:01:47',
  },
  {
    ...{ ...FAST, name: 'six', vrid: 72, link: 'vrrp.72', vip: virtualIp(2).ipv6 },
    mac: '00:00:5e:00:02:48',
  },
  {
    ...{ ...SLOW, name: 'two', vrid: 73, link: 'vrrp.73', vip: virtualIp(3).ipv4 },
    mac: '00:00:5e:00:01:49',
  },
] as const;

let topology: Topology;
let ours: LabNode;
let theirs: LabNode;
let client: LabNode;
const peers: Keepalived[] = [];
let director: Director | null = null;

beforeAll(async () => {
  await ensurePackages([...NETWORK_PACKAGES, ...PEER_PACKAGES]);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  topology = await Topology.create(localMachine, { realServers: 1 });
  [ours, theirs] = topology.directors as [LabNode, LabNode];
  client = topology.clients[0] as LabNode;
}, SETUP_TIMEOUT_MS);

afterAll(async () => {
  await director?.dispose();
  for (const peer of peers) await peer.dispose();
  await topology?.dispose();
});

function prefixed(vip: string): string {
  return `${vip}/${vip.includes(':') ? 64 : 24}`;
}

function configOf(priority: number): Readonly<Record<string, unknown>> {
  const instances = ROUTERS.map(({ name, vrid, vip, version, intervalSeconds, ...more }) => [
    name,
    {
      ...{ interface: 'eth0', vrid, version, priority, vmac: true },
      ...{ interval: `${intervalSeconds * 1000}ms`, addresses: [prefixed(vip)] },
      ...('password' in more ? { password: more.password } : {}),
    },
  ]);
  return { vrrp: Object.fromEntries(instances) };
}

async function startKeepalived(): Promise<void> {
  for (const { link, vip, ...router } of ROUTERS) {
    const instance = { ...router, priority: 100, addresses: [prefixed(vip)], vmac: link };
    peers.push(await Keepalived.start(theirs, instance));
  }
}

/** Every VIP answers, and by the virtual hardware address. */
async function reachable(): Promise<void> {
  for (const { vip, mac } of ROUTERS) {
    await check(client, ['ping', '-n', '-c', '1', '-W', '2', vip]);
    const { stdout } = await check(client, ['ip', '-j', 'neigh', 'show', 'to', vip]);
    expect((JSON.parse(stdout) as { lladdr?: string }[])[0]?.lladdr).toBe(mac);
  }
}

/** The last state that each keepalived has entered. */
async function theyAre(state: 'MASTER' | 'BACKUP'): Promise<void> {
  await waitFor(
    `keepalived to be ${state}`,
    () =>
      peers.every(({ log }) => {
        const entered = [...log.matchAll(/Entering (\w+) STATE/g)];
        return entered.at(-1)?.[1] === state;
      }),
    10_000,
  );
}

async function weBecame(to: 'active' | 'backup', reason: string, since: number): Promise<void> {
  for (const { name } of ROUTERS) {
    await director?.waitForLine('transition', { instance: name, to, reason }, since);
  }
}

it(
  'keepalived with use_vmac and a director take over from each other',
  async () => {
    // keepalived leaves this to its operator; without it the interface answers for the VIP too.
    const settings = ['arp_ignore=1', 'arp_announce=2'].map((s) => `net.ipv4.conf.all.${s}`);
    await check(theirs, ['sysctl', '-qw', ...settings]);
    const capture = await Capture.start(client);
    await startKeepalived();
    await theyAre('MASTER');
    await reachable();

    director = await Director.start(ours, { config: configOf(150) });
    await weBecame('active', 'preempted', 0);
    await theyAre('BACKUP');
    await reachable();
    expect(await director.stop()).toBe(0);
    await theyAre('MASTER');
    await reachable();

    let mark = director.mark;
    director.configure(configOf(50));
    await director.restart();
    await director.waitFor(
      'ours to hear keepalived',
      async () =>
        (await director?.tryStatus())?.instances.every(({ peer }) => peer !== null) === true,
    );
    expect(director.lines('transition', { to: 'active' }, mark)).toEqual([]);

    mark = director.mark;
    for (const peer of peers.splice(0)) {
      await peer.kill();
      await peer.dispose();
    }
    for (const { link } of ROUTERS) await check(theirs, ['ip', 'link', 'del', link]);
    await weBecame('active', 'peers-silent', mark);
    await reachable();
    mark = director.mark;
    await startKeepalived();
    await weBecame('backup', 'higher-priority-peer', mark);
    await theyAre('MASTER');
    await reachable();
    for (const { counters } of (await director.status()).instances) {
      expect(Object.values(counters.refused).reduce((sum, count) => sum + count)).toBe(0);
    }

    const frames = await capture.stop();
    const adverts = frames.filter(({ vrid }) => vrid !== null);
    for (const { vrid, mac, vip } of ROUTERS) {
      const own = adverts.filter((frame) => frame.vrid === vrid);
      expect([...new Set(own.map(({ source }) => source))]).toEqual([mac]);
      expect(new Set(own.map(({ advertFrom }) => advertFrom)).size).toBe(2);
      const said = frames.filter(({ says }) => says?.startsWith(`${vip} `));
      expect([...new Set(said.map(({ says }) => says))]).toEqual([`${vip} is ${mac}`]);
    }
    expect([...new Set(adverts.map(({ remarks }) => remarks))]).toEqual(['']);
  },
  TEST_TIMEOUT_MS,
);
