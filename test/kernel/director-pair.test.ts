/**
 * Two whole directors on a real kernel: connection sync that follows the roles, traffic by NAT,
 * direct routing and a tunnel, and a director's loss of power in the middle of a connection.
 *
 * The tests are one story, told in order: the pair starts, works, loses director1, stops.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { check } from '../lab/host.ts';
import { type LabNode, Topology } from '../lab/topology.ts';
import { Vm } from '../lab/vm.ts';
import {
  FIRST_PREFERRED,
  GATEWAY,
  GuestDirector,
  oneInstance,
  Peer,
  SETUP_MS,
  startRealServer,
  TEST_MS,
} from './guest.ts';

const NAT = '192.0.2.201';
const DIRECT = '192.0.2.202';
const TUNNEL = '192.0.2.203';
/** On an ipvlan, a link of its own that shares the interface's hardware address. */
const SEPARATE = '192.0.2.204';
const SERVERS = ['198.51.100.101', '198.51.100.102'];
const MASTER = /^master sync daemon \(mcast=eth2, syncid=77,/;
const BACKUP = /^backup sync daemon \(mcast=eth2, syncid=77,/;

const CONFIG = {
  vrrp: {
    ...oneInstance([...[NAT, DIRECT, TUNNEL].map((address) => `${address}/24`), GATEWAY], {
      ...FIRST_PREFERRED,
      // Virtual services answer all the same.
      accept: false,
    }),
    separate: {
      interface: 'eth0',
      vrid: 52,
      ...FIRST_PREFERRED,
      interval: '1s',
      ipvlan: {},
      addresses: [`${SEPARATE}/24`],
    },
  },
  services: {
    nat: service(NAT, 'nat'),
    direct: service(DIRECT, 'dr'),
    tunnel: service(TUNNEL, 'tun'),
  },
  sync: { interface: 'eth2', id: 77, follow: 'all' },
  ipvs: { reconcile_interval: '1s' },
};

function service(address: string, forwarding: string): Readonly<Record<string, unknown>> {
  const servers = SERVERS.map((server) => `${server}:80`);
  const timing = { interval: '1s', timeout: '5s' };
  return { address: `${address}:80`, scheduler: 'rr', forwarding, check: timing, servers };
}

const SAVED = [
  ...saved(NAT, '-m -w 1'),
  ...saved(DIRECT, '-g -w 1'),
  ...saved(TUNNEL, '-i -w 1 --tun-type ipip'),
].sort();

function saved(address: string, method: string): string[] {
  const servers = SERVERS.map((server) => `-a -t ${address}:80 -r ${server}:80 ${method}`);
  return [`-A -t ${address}:80 -s rr`, ...servers];
}

/**
 * Real servers have the virtual IPs of direct routing and of the tunnel, and answer for them to
 * clients themselves; what came by NAT goes back by way of the active director.
 */
const REAL_SERVER_SCRIPT = `
ip rule add from 198.51.100.0/24 lookup 100
ip route add default via 198.51.100.1 table 100
ip address add ${DIRECT}/32 dev lo
ip link set tunl0 up
sysctl -qw net.ipv4.conf.tunl0.rp_filter=0
ip address add ${TUNNEL}/32 dev tunl0
`;

let vm: Vm;
let client: LabNode;
let peer: Peer;
let first: GuestDirector;
let second: GuestDirector;

beforeAll(async () => {
  vm = await Vm.start();
  const topology = await Topology.create(vm, { sync: true, realServersOnFront: true });
  for (const server of topology.realServers) {
    await check(server, ['sh', '-e'], { stdin: REAL_SERVER_SCRIPT });
  }
  client = topology.clients[0] as LabNode;
  peer = await Peer.start(client);
  const [one, two] = topology.directors.map((node) => new GuestDirector(vm, node, peer));
  first = one as GuestDirector;
  second = two as GuestDirector;
  for (const director of [first, second]) await director.configure(CONFIG);
  await Promise.all([
    first.start(),
    second.start(),
    ...topology.realServers.map((server) => startRealServer(server)),
  ]);
  for (const director of [first, second]) await director.started();
}, SETUP_MS);

afterAll(() => vm?.stop());

async function untilDaemon(director: GuestDirector, wanted: RegExp): Promise<void> {
  await director.until(`only ${wanted.source}`, async () => {
    const lines = await director.ipvsadm('-L', '--daemon');
    return lines.length === 1 && wanted.test(lines[0] as string);
  });
}

async function holdsVips(director: GuestDirector): Promise<boolean> {
  const { stdout } = await check(director.node, ['ip', '-4', '-o', 'address']);
  const present = [NAT, DIRECT, TUNNEL, '198.51.100.1'].filter((address) =>
    stdout.includes(` inet ${address}/24 `),
  );
  expect([0, 4]).toContain(present.length);
  return present.length === 4;
}

/** What the director's ipvlan is: up or not, and its addresses; null without one. */
async function ipvlan(director: GuestDirector): Promise<string | null> {
  const shown = await director.node.run(['ip', '-j', '-d', 'addr', 'show', 'dev', 'vrrp.52']);
  if (shown.code !== 0) return null;
  const [link] = JSON.parse(shown.stdout) as {
    flags: string[];
    linkinfo: { info_kind: string; info_data: { mode: string } };
    addr_info: { local: string }[];
  }[];
  const { info_kind: kind, info_data: data } = link?.linkinfo ?? {};
  const addresses = link?.addr_info.map(({ local }) => local).join(' ');
  return `${kind} ${data?.mode} ${link?.flags.includes('UP') ? 'up' : 'down'} ${addresses}`;
}

async function isReachable(address: string): Promise<void> {
  await check(client, ['ping', '-n', '-c', '2', '-W', '5', address]);
}

/** Names of the servers that answered two requests to each service. */
async function answers(): Promise<Record<string, string[]>> {
  const found: Record<string, string[]> = {};
  for (const address of [NAT, DIRECT, TUNNEL]) {
    const names: string[] = [];
    for (let index = 0; index < 2; index++) {
      const { server, error } = await peer.get(`http://${address}/`);
      names.push(server ?? String(error));
    }
    found[address] = names.sort();
  }
  return found;
}

const BOTH = ['real1', 'real2'];
const ALL_ANSWER = { [NAT]: BOTH, [DIRECT]: BOTH, [TUNNEL]: BOTH };

/** Packets by direction of a service, as ipvsadm counts them. */
async function packets(director: GuestDirector, address: string): Promise<[number, number]> {
  const lines = await director.ipvsadm('-Ln', '--stats', '--exact');
  const line = lines.find((candidate) => candidate.startsWith(`TCP ${address}:80 `)) ?? '';
  const [, , , inward, outward] = line.split(' ');
  return [Number(inward), Number(outward)];
}

describe('a pair of directors', { timeout: TEST_MS }, () => {
  it('has the same table on both, and sends connections from the active one', async () => {
    for (const director of [first, second]) await director.untilSaved(SAVED);
    await untilDaemon(first, MASTER);
    await untilDaemon(second, BACKUP);
    expect([await holdsVips(first), await holdsVips(second)]).toEqual([true, false]);
    for (const [director, role] of [
      [first, 'master'],
      [second, 'backup'],
    ] as const) {
      const { sync } = await director.status();
      expect(sync).toEqual({
        interface: 'eth2',
        id: 77,
        follow: 'all',
        role,
        error: null,
        waitsFor: 0,
      });
    }
  });

  it('forwards by NAT, direct routing and IPIP tunnel', async () => {
    expect(await answers()).toEqual(ALL_ANSWER);
    // The kernel adds its per-processor counters up every two seconds.
    for (const address of [NAT, DIRECT, TUNNEL]) {
      await first.until('the counters', async () => (await packets(first, address))[0] >= 10);
    }
    expect((await packets(first, NAT))[1]).toBeGreaterThanOrEqual(8);
    // What is routed directly or tunnelled is answered past the director.
    expect((await packets(first, DIRECT))[1]).toBe(0);
    expect((await packets(first, TUNNEL))[1]).toBe(0);
  });

  it('takes nothing else to VIPs with accept: false', async () => {
    const { code } = await client.run(['ping', '-n', '-c', '2', '-W', '1', NAT]);
    expect(code).not.toBe(0);
    const { error } = await peer.get(`http://${NAT}:81/`);
    expect(error).not.toBeNull();
    expect(await answers()).toEqual(ALL_ANSWER);
  });

  it('has a VIP on an ipvlan that is up on the active director alone', async () => {
    await first.until('the VIP', async () => (await ipvlan(first)) === `ipvlan l2 up ${SEPARATE}`);
    expect(await ipvlan(second)).toBe('ipvlan l2 down ');
    await isReachable(SEPARATE);
  });

  it('starts a sync daemon again that was stopped by hand, and stops one too many', async () => {
    await check(first.node, ['ipvsadm', '--stop-daemon', 'master']);
    await check(second.node, ['ipvsadm', '--stop-daemon', 'backup']);
    const more = ['--mcast-interface', 'eth2', '--syncid', '78'];
    await check(second.node, ['ipvsadm', '--start-daemon', 'master', ...more]);
    await untilDaemon(first, MASTER);
    await untilDaemon(second, BACKUP);
  });

  it('keeps an established connection through the loss of the active director', async () => {
    const download = await peer.startDownload(`http://${NAT}/stream?bytes=1000000000&rate=200000`);
    const path = `192.0.2.101:${download.localPort} ${NAT}:80 `;
    const synced = async () => {
      const lines = await second.ipvsadm('-Lcn');
      return lines.filter((line) => line.includes(` ESTABLISHED ${path}`));
    };
    await second.until('the connection', async () => (await synced()).length === 1);
    const server = download.server === 'real1' ? SERVERS[0] : SERVERS[1];
    expect((await synced())[0]).toMatch(new RegExp(`${path}${server}:80$`));
    expect(await packets(second, NAT)).toEqual([0, 0]);

    const roles = second.lines('sync').length;
    await first.node.kill();
    await second.until('the takeover', () => holdsVips(second));
    const { receivedBytes } = await peer.download();
    await second.until('more of the download', async () => {
      return (await peer.download()).receivedBytes > receivedBytes + 500_000;
    });
    const after = await peer.download();
    expect(after).toMatchObject({ error: null, localPort: download.localPort });
    await second.until('the counters', async () => (await packets(second, NAT))[1] > 100);
    await untilDaemon(second, MASTER);
    expect((await second.status()).sync).toMatchObject({ role: 'master', error: null });
    expect(second.lines('sync').slice(roles)).toEqual([
      expect.objectContaining({ role: 'master', interface: 'eth2', id: 77 }),
    ]);
  });

  it('serves new connections of every kind by the other director', async () => {
    expect(await answers()).toEqual(ALL_ANSWER);
    expect(await second.saved()).toEqual(SAVED);
    expect(await ipvlan(second)).toBe(`ipvlan l2 up ${SEPARATE}`);
    await isReachable(SEPARATE);
  });

  it('keeps its table at a stop, without virtual IPs and sync daemon', async () => {
    expect(await second.stop()).toBe(0);
    expect(await second.saved()).toEqual(SAVED);
    expect(await holdsVips(second)).toBe(false);
    expect(await ipvlan(second)).toBeNull();
    expect(await second.ipvsadm('-L', '--daemon')).toEqual([]);
  });
});
