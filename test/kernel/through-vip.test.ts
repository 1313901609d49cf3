/**
 * Checks through the virtual IP on a real kernel: a server that is well but lacks the virtual IP
 * answers no client, which only such a check finds, on the active director and on the backup.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { check } from '../lab/host.ts';
import { type LabNode, Topology } from '../lab/topology.ts';
import { Vm } from '../lab/vm.ts';
import {
  FIRST_PREFERRED,
  GuestDirector,
  oneInstance,
  Peer,
  SETUP_MS,
  startRealServer,
  TEST_MS,
  until,
} from './guest.ts';

const VIP = '192.0.2.201';
const TUNNEL_VIP = '192.0.2.202';
const VIP6 = '2001:db8:1::201';
const SERVERS = ['198.51.100.101', '198.51.100.102'];
const SERVERS6 = ['2001:db8:2::101', '2001:db8:2::102'];
const CHECK = { http: { path: '/healthz' }, through_vip: true, interval: '1s', fall: 2, rise: 1 };

const CONFIG = {
  vrrp: oneInstance([`${VIP}/24`, `${TUNNEL_VIP}/24`, `${VIP6}/64`], FIRST_PREFERRED),
  services: {
    direct: {
      address: `${VIP}:80`,
      forwarding: 'dr',
      check: CHECK,
      servers: SERVERS,
    },
    // The same servers, reached in the same way: their checks share a mark.
    again: {
      address: `${VIP}:80`,
      protocol: 'udp',
      forwarding: 'dr',
      check: CHECK,
      servers: SERVERS,
    },
    tunnelled: {
      address: `${TUNNEL_VIP}:80`,
      forwarding: 'tun',
      check: CHECK,
      servers: SERVERS,
    },
    six: {
      address: `[${VIP6}]:80`,
      forwarding: 'dr',
      check: CHECK,
      servers: SERVERS6,
    },
  },
  ipvs: { reconcile_interval: '2s' },
};

const SERVER_SCRIPT = `
sysctl -qw net.ipv4.conf.all.arp_ignore=1
ip address add ${VIP}/32 dev lo
ip address add ${TUNNEL_VIP}/32 dev lo
ip -6 address add ${VIP6}/128 dev lo nodad
ip link set tunl0 up
sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.tunl0.rp_filter=0
`;

let vm: Vm;
let servers: readonly LabNode[];
let directors: readonly [GuestDirector, GuestDirector];

beforeAll(async () => {
  vm = await Vm.start();
  const topology = await Topology.create(vm);
  servers = topology.realServers;
  const peer = await Peer.start(topology.clients[0] as LabNode);
  for (const server of servers) await check(server, ['sh', '-e'], { stdin: SERVER_SCRIPT });
  const made = topology.directors.map((node) => new GuestDirector(vm, node, peer));
  directors = [made[0] as GuestDirector, made[1] as GuestDirector];
  await Promise.all(servers.map(startRealServer));
  for (const director of directors) {
    await director.configure(CONFIG);
    await director.start();
    await director.started();
  }
  await until('the first director to be active', async () => {
    const [instance] = (await directors[0].status()).instances;
    return instance?.state === 'active';
  });
}, SETUP_MS);

afterAll(() => vm?.stop());

/** Weights by service and server, of services that are configured. */
async function weights(director: GuestDirector): Promise<Readonly<Record<string, number | null>>> {
  const { services } = await director.status();
  return Object.fromEntries(
    services.flatMap(({ name, servers: list }) =>
      list.map((server) => [`${name} ${server.server}`, server.weight]),
    ),
  );
}

function expected(second: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  const lists = { direct: SERVERS, again: SERVERS, tunnelled: SERVERS, six: SERVERS6 };
  return Object.fromEntries(
    Object.entries(lists).flatMap(([name, list]) => {
      const places = list.map((one) => (one.includes(':') ? `[${one}]:80` : `${one}:80`));
      return [
        [`${name} ${places[0]}`, 1],
        [`${name} ${places[1]}`, second[name === 'again' ? 'direct' : name] as number],
      ];
    }),
  );
}

const ALL = { direct: 1, tunnelled: 1, six: 1 };

async function untilWeights(second: Readonly<Record<string, number>>): Promise<void> {
  const wanted = expected(second);
  for (const director of directors) {
    let found: Readonly<Record<string, number | null>> = {};
    await director.until(`the weights ${JSON.stringify(wanted)}`, async () => {
      found = await weights(director);
      return Object.entries(wanted).every(([key, weight]) => found[key] === weight);
    });
    expect(found).toEqual(wanted);
  }
}

describe('checks through the virtual IP', () => {
  it(
    'finds servers well on the active director and on the backup',
    async () => {
      await untilWeights(ALL);
    },
    TEST_MS,
  );

  it(
    'carries them by one mark for each way to a server, which is our own entry',
    async () => {
      for (const director of directors) {
        const marks = (await director.saved()).filter((line) => line.startsWith('-a -f'));
        // Two servers by direct routing, by tunnel, and by direct routing of IPv6.
        expect(marks).toHaveLength(6);
        const { ipvs } = await director.status();
        expect(ipvs.foreignServices).toBe(0);
      }
    },
    TEST_MS,
  );

  it(
    'takes a server without the virtual IP out of the services of that address alone',
    async () => {
      await check(servers[1] as LabNode, ['ip', 'address', 'del', `${VIP}/32`, 'dev', 'lo']);
      await untilWeights({ ...ALL, direct: 0 });
      const down = (await directors[0].status()).checks.filter(({ status }) => status === 'down');
      expect(down.map(({ target }) => target)).toEqual([`${VIP}:80 through ${SERVERS[1]}`]);
      await check(servers[1] as LabNode, ['ip', 'address', 'add', `${VIP}/32`, 'dev', 'lo']);
      await untilWeights(ALL);
    },
    TEST_MS,
  );

  it(
    'does so for IPv6 and through a tunnel',
    async () => {
      await check(servers[1] as LabNode, ['ip', 'address', 'del', `${VIP6}/128`, 'dev', 'lo']);
      await check(servers[1] as LabNode, ['ip', 'address', 'del', `${TUNNEL_VIP}/32`, 'dev', 'lo']);
      await untilWeights({ direct: 1, tunnelled: 0, six: 0 });
      await check(servers[1] as LabNode, ['ip', 'address', 'add', `${VIP6}/128`, 'dev', 'lo']);
      await check(servers[1] as LabNode, ['ip', 'address', 'add', `${TUNNEL_VIP}/32`, 'dev', 'lo']);
      await untilWeights(ALL);
    },
    TEST_MS,
  );

  it(
    'puts accept_local back, and takes its entries out, when no check needs them',
    async () => {
      const read = async () => {
        const argv = ['cat', '/proc/sys/net/ipv4/conf/eth1/accept_local'];
        return (await check(directors[1].node, argv)).stdout.trim();
      };
      expect(await read()).toBe('1');
      const { direct } = CONFIG.services;
      const straight = { ...direct, check: { ...CHECK, through_vip: false } };
      await directors[1].configure({ ...CONFIG, services: { direct: straight } });
      await directors[1].reload();
      await until('the setting to be as before', async () => (await read()) === '0');
    },
    TEST_MS,
  );
});
