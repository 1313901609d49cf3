/**
 * Passive hints on a real kernel where a check sees least: behind direct routing and tunnels, a
 * server without the virtual IP passes every check of its own address and answers no client, and
 * its answers do not pass the director, so that what clients send is all that tells.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { check } from '../lab/host.ts';
import { type LabNode, Topology } from '../lab/topology.ts';
import { Vm } from '../lab/vm.ts';
import { GuestDirector, oneInstance, Peer, SETUP_MS, startRealServer, TEST_MS } from './guest.ts';

const WAYS = {
  direct: { vip: '192.0.2.201', forwarding: 'dr', servers: ['198.51.100.101', '198.51.100.102'] },
  tunnelled: {
    vip: '192.0.2.202',
    forwarding: 'tun',
    servers: ['198.51.100.101', '198.51.100.102'],
  },
  six: {
    vip: '2001:db8:1::201',
    forwarding: 'dr',
    servers: ['2001:db8:2::101', '2001:db8:2::102'],
  },
} as const;
type Way = keyof typeof WAYS;
const NAMES = Object.keys(WAYS) as Way[];
/** More than the least that proves something, for each of the two servers. */
const CLIENTS = 48;

const CONFIG = {
  vrrp: oneInstance([
    ...[`${WAYS.direct.vip}/24`, `${WAYS.tunnelled.vip}/24`, `${WAYS.six.vip}/64`],
  ]),
  services: Object.fromEntries(
    NAMES.map((name) => {
      const { vip, forwarding, servers } = WAYS[name];
      const address = vip.includes(':') ? `[${vip}]:80` : `${vip}:80`;
      const passive = { action: 'quiesce', window: '10s', retry: '40s' };
      // At the servers' own addresses.
      const tcp = { tcp: {}, interval: '2s', timeout: '20s' };
      return [name, { address, forwarding, scheduler: 'rr', check: tcp, passive, servers }];
    }),
  ),
  ipvs: { reconcile_interval: '1s' },
};

const SERVER_SCRIPT = `
sysctl -qw net.ipv4.conf.all.arp_ignore=1
ip address add ${WAYS.direct.vip}/32 dev lo
ip address add ${WAYS.tunnelled.vip}/32 dev lo
ip -6 address add ${WAYS.six.vip}/128 dev lo nodad
ip link set tunl0 up
for link in all eth0 eth1 tunl0; do sysctl -qw net.ipv4.conf.$link.rp_filter=0; done
`;

let vm: Vm;
let real1: LabNode;
let peer: Peer;
let director: GuestDirector;

beforeAll(async () => {
  vm = await Vm.start();
  const topology = await Topology.create(vm, { directors: 1, realServersOnFront: true });
  real1 = topology.realServers[0] as LabNode;
  peer = await Peer.start(topology.clients[0] as LabNode);
  for (const server of topology.realServers) {
    await check(server, ['sh', '-e'], { stdin: SERVER_SCRIPT });
  }
  await Promise.all(topology.realServers.map(startRealServer));
  director = new GuestDirector(vm, topology.directors[0] as LabNode, peer);
  await director.configure(CONFIG);
  await director.start();
  await director.started();
  await director.until('all servers to be in', async () => {
    const found = await weights();
    return NAMES.every((name) => found[name]?.join() === '1,1');
  });
}, SETUP_MS);

afterAll(() => vm?.stop());

/** In the kernel, by service, in the order of the configuration. */
async function weights(): Promise<Readonly<Record<string, readonly (number | null)[]>>> {
  const { services } = await director.status();
  return Object.fromEntries(
    services.map(({ name, servers }) => [name, servers.map(({ weight }) => weight)]),
  );
}

async function virtualIp(action: 'add' | 'del', name: Way): Promise<void> {
  const { vip } = WAYS[name];
  const family = vip.includes(':') ? ['-6'] : [];
  const prefix = vip.includes(':') ? '128' : '32';
  const nodad = vip.includes(':') && action === 'add' ? ['nodad'] : [];
  const argv = ['ip', ...family, 'address', action, `${vip}/${prefix}`, 'dev', 'lo', ...nodad];
  await check(real1, argv);
}

describe('servers behind direct routing and tunnels that accept nothing', () => {
  it(
    'are not suspected while all their clients are connected and idle',
    async () => {
      for (const name of NAMES) await peer.connect(WAYS[name].vip, 80, CLIENTS);
      await director.until('the connections', async () => {
        return (await peer.connected()) === CLIENTS * NAMES.length;
      });
      // A window of ten seconds, and more of the samples that are taken each second.
      await director.reconciled(14);
      expect(director.lines('passive')).toEqual([]);
      // The resets are packets too, and are no SYNs of those that come next.
      await peer.release();
      await director.reconciled(2);
    },
    TEST_MS,
  );

  it(
    'get weight 0 where the virtual IP is missing, although their checks succeed',
    async () => {
      for (const name of NAMES) await virtualIp('del', name);
      for (const name of NAMES) await peer.connect(WAYS[name].vip, 80, CLIENTS);
      for (const name of NAMES) {
        const told = () => director.lines('passive', { service: name, began: true }).length > 0;
        await director.until(`the hint of ${name}`, told);
        await director.until(`the weights of ${name}`, async () => {
          return (await weights())[name]?.join() === '0,1';
        });
      }
      const began = director.lines('passive', { began: true });
      expect(began.map(({ service, server }) => `${service} ${server}`).toSorted()).toEqual(
        NAMES.map((name) => {
          const [first] = WAYS[name].servers;
          return `${name} ${first.includes(':') ? `[${first}]` : first}:80`;
        }).toSorted(),
      );
      expect(director.lines('health', { to: 'down' })).toEqual([]);
      const counted = await director.metric('vipkeeper_server_accepts_nothing');
      expect([...counted.values()].filter((value) => value === 1)).toHaveLength(NAMES.length);
    },
    TEST_MS,
  );

  it(
    'are tried again, and serve when the virtual IP is back',
    async () => {
      for (const name of NAMES) await virtualIp('add', name);
      await director.until('the weights', async () => {
        const found = await weights();
        return NAMES.every((name) => found[name]?.join() === '1,1');
      });
      await peer.release();
      for (const name of NAMES) await peer.connect(WAYS[name].vip, 80, CLIENTS);
      await director.until('the connections', async () => {
        return (await peer.connected()) === CLIENTS * NAMES.length;
      });
      await peer.release();
    },
    TEST_MS,
  );
});
