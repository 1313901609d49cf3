/**
 * One whole director on a real kernel: its IPVS table as ipvsadm reads it, repaired whatever is
 * done to it by hand, following the health of real servers, and left alone by a controller that
 * dies. The director runs from the first test to the last; each test leaves it as it found it.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { check } from '../lab/host.ts';
import { type LabNode, Topology } from '../lab/topology.ts';
import { Vm } from '../lab/vm.ts';
import { GuestDirector, Peer, startRealServer, until } from './guest.ts';
import { TABLE_CASES, type TableCase, TWOS } from './table-cases.ts';

/** A boot, five namespaces and four starts of Node, emulated on a busy machine. */
const SETUP_MS = 240_000;
const TEST_MS = 180_000;

const VIP = '192.0.2.201';
const VIP6 = '2001:db8:1::201';
const REAL1 = '198.51.100.101';
const REAL2 = '198.51.100.102';
const FALL = 3;
const RISE = 2;

const CHECK = {
  http: { path: '/healthz' },
  interval: '500ms',
  timeout: '5s',
  fall: FALL,
  rise: RISE,
};

/** Services with servers that run. */
const LIVE: Readonly<Record<string, TableCase['config']>> = {
  web: {
    address: `${VIP}:80`,
    scheduler: 'wrr',
    check: CHECK,
    servers: [`${REAL1}:80`, { address: `${REAL2}:80`, weight: 2 }],
  },
  removing: {
    address: `${VIP}:81`,
    scheduler: 'rr',
    check: CHECK,
    on_failure: 'remove',
    servers: [`${REAL1}:80`, `${REAL2}:80`],
  },
  sticky: {
    address: `${VIP}:82`,
    scheduler: 'rr',
    persistence: { timeout: '10m', prefix: 24 },
    check: 'none',
    servers: [`${REAL1}:80`, `${REAL2}:80`],
  },
  names: {
    address: `${VIP}:83`,
    protocol: 'udp',
    scheduler: 'rr',
    one_packet: true,
    servers: [`${REAL1}:80`, `${REAL2}:80`],
  },
  marked: {
    fwmark: 7,
    scheduler: 'rr',
    check: 'none',
    servers: [`${REAL1}:80`, `${REAL2}:80`],
  },
  web6: {
    address: `[${VIP6}]:80`,
    scheduler: 'rr',
    check: 'none',
    servers: ['[2001:db8:2::101]:80', '[2001:db8:2::102]:80'],
  },
};

const LIVE_SAVED: readonly string[] = [
  `-A -t ${VIP}:80 -s wrr`,
  `-a -t ${VIP}:80 -r ${REAL1}:80 -m -w 1`,
  `-a -t ${VIP}:80 -r ${REAL2}:80 -m -w 2`,
  `-A -t ${VIP}:81 -s rr`,
  `-a -t ${VIP}:81 -r ${REAL1}:80 -m -w 1`,
  `-a -t ${VIP}:81 -r ${REAL2}:80 -m -w 1`,
  `-A -t ${VIP}:82 -s rr -p 600 -M 255.255.255.0`,
  `-a -t ${VIP}:82 -r ${REAL1}:80 -m -w 1`,
  `-a -t ${VIP}:82 -r ${REAL2}:80 -m -w 1`,
  `-A -u ${VIP}:83 -s rr -o`,
  `-a -u ${VIP}:83 -r ${REAL1}:80 -m -w 1`,
  `-a -u ${VIP}:83 -r ${REAL2}:80 -m -w 1`,
  '-A -f 7 -s rr',
  `-a -f 7 -r ${REAL1}:80 -m -w 1`,
  `-a -f 7 -r ${REAL2}:80 -m -w 1`,
  `-A -t [${VIP6}]:80 -s rr`,
  `-a -t [${VIP6}]:80 -r [2001:db8:2::101]:80 -m -w 1`,
  `-a -t [${VIP6}]:80 -r [2001:db8:2::102]:80 -m -w 1`,
];

const CASES = Object.values(TABLE_CASES);
const SAVED = [...LIVE_SAVED, ...CASES.flatMap(({ saved }) => saved)].sort();
const WITH_TWOS = [...SAVED, ...TWOS.saved].sort();

interface IpvsSettings {
  readonly ownership?: 'shared' | 'exclusive';
  readonly on_stop?: 'keep' | 'remove';
}

function configuration(settings: IpvsSettings = {}): Readonly<Record<string, unknown>> {
  const cases = Object.entries({ ...TABLE_CASES, twos: TWOS });
  return {
    vrrp: {
      all: {
        interface: 'eth0',
        vrid: 51,
        interval: '1s',
        addresses: [
          `${VIP}/24`,
          `${VIP6}/64`,
          { address: '198.51.100.1/24', interface: 'eth1' },
          { address: '2001:db8:2::1/64', interface: 'eth1' },
        ],
      },
    },
    services: { ...LIVE, ...Object.fromEntries(cases.map(([name, { config }]) => [name, config])) },
    sync: { interface: 'eth2', id: 51 },
    ipvs: { reconcile_interval: '1s', ...settings },
  };
}

let vm: Vm;
let topology: Topology;
let node: LabNode;
let director: GuestDirector;
/** One whose configuration cannot work here. */
let refused: GuestDirector;
let peer: Peer;

beforeAll(async () => {
  vm = await Vm.start();
  topology = await Topology.create(vm, { directors: 1, sync: true });
  node = topology.directors[0] as LabNode;
  const client = topology.clients[0] as LabNode;
  // The client may speak to the real servers themselves, by way of the director.
  await check(client, ['ip', 'route', 'add', '198.51.100.0/24', 'via', '192.0.2.11']);
  // The sync interface has no address at first, and the kernel finds no module by itself.
  await check(node, ['ip', '-4', 'address', 'flush', 'dev', 'eth2']);
  await check(vm, [
    'sh',
    '-c',
    'modprobe -r ip_vs_twos && echo /bin/false >/proc/sys/kernel/modprobe',
  ]);
  await Promise.all(topology.realServers.map(startRealServer));
  peer = await Peer.start(client);
  director = new GuestDirector(vm, node, peer);
  await director.configure(configuration());
  refused = new GuestDirector(vm, node, peer, 'refused');
  await refused.configure({ ...configuration(), sync: { interface: 'eth7', id: 51 } });
  // At once, because each start of Node takes its seconds.
  await Promise.all([director.start(), refused.start()]);
  await director.until('the first comparison', async () => {
    return ((await director.tryStatus())?.ipvs.reconciles ?? 0) > 0;
  });
}, SETUP_MS);

afterAll(() => vm?.stop());

describe('a director without what it needs of the kernel', { timeout: TEST_MS }, () => {
  it('refuses to start on a sync interface that does not exist, in one sentence', async () => {
    expect(await refused.ended()).toBe(1);
    expect(refused.stderr).toMatch(/^VK-NO-INTERFACE: .*eth7.*; sync needs it/);
    expect(refused.log).toEqual([]);
  });

  it('programs everything but the service whose scheduler is missing, and says the cure', async () => {
    await director.until('all but one service', async () => same(await director.saved(), SAVED));
    await director.reconciled(2);
    const problems = director.log.filter(({ code }) => code === 'VK-NO-SCHEDULER');
    // Told once, not at every comparison.
    expect(problems).toEqual([
      expect.objectContaining({
        msg: `Service tcp ${VIP}:1100: the kernel has no scheduler 'twos'`,
        cure: "Load it with 'modprobe -a ip_vs_twos'",
      }),
    ]);
    expect(director.log.filter(({ code }) => code === 'VK-IPVS')).toEqual([]);
    const { ipvs, services } = await director.status();
    expect(ipvs.lastError).toContain("no scheduler 'twos'");
    expect(ipvs.drift).toEqual({ missing: 0, altered: 0, leftover: 0 });
    expect(services.filter(({ present }) => !present).map(({ name }) => name)).toEqual(['twos']);
    expect(await director.metric('vipkeeper_ipvs_reconcile_success')).toEqual(new Map([['', 0]]));
  });

  it('adds that service by itself when the cure was done', async () => {
    await check(vm, ['modprobe', '-a', 'ip_vs_twos']);
    await director.until('the whole table', async () => same(await director.saved(), WITH_TWOS));
    await director.until('no error', async () => {
      return (await director.status()).ipvs.lastError === null;
    });
    expect((await director.status()).ipvs.drift).toEqual({ missing: 0, altered: 0, leftover: 0 });
  });

  it('starts the sync daemon by itself when its interface has an address', async () => {
    await director.until('the reason', async () => {
      return (await director.status()).sync?.error?.includes('eth2') === true;
    });
    expect((await director.status()).sync?.role).toBe(null);
    expect(director.log.filter(({ code }) => code === 'VK-NO-INTERFACE').length).toBe(1);
    await check(node, ['ip', 'address', 'add', '203.0.113.11/24', 'dev', 'eth2']);
    await director.until('the daemon', async () => {
      const lines = await director.ipvsadm('-L', '--daemon');
      return lines.some((line) => line.startsWith('master sync daemon (mcast=eth2, syncid=51'));
    });
    const { sync } = await director.status();
    expect(sync).toMatchObject({ role: 'master', error: null });
  });
});

describe("a director's table", { timeout: TEST_MS }, () => {
  it('reads back as configured: ipvsadm -Sn', async () => {
    expect(await director.saved()).toEqual(WITH_TWOS);
  });

  it('reads back as configured: ipvsadm -Ln', async () => {
    const [version, , , ...lines] = await director.ipvsadm('-Ln');
    expect(version).toMatch(/^IP Virtual Server version/);
    const listed = blocks(lines);
    for (const [name, { listed: wanted }] of Object.entries({ ...TABLE_CASES, twos: TWOS })) {
      const [service, ...servers] = wanted;
      expect([name, listed.get(service as string)?.toSorted()]).toEqual([name, servers.sort()]);
    }
    expect(listed.size).toBe(CASES.length + 1 + Object.keys(LIVE).length);
  });

  it('reads back as configured: ipvsadm -Ln --thresholds', async () => {
    const lines = await director.ipvsadm('-Ln', '--thresholds');
    const limited = lines.filter((line) => /^-> .*:\d+ (?!0 0 )\d+ \d+ \d+ \d+$/.test(line));
    expect(limited.sort()).toEqual(['-> 198.51.100.150:80 1000 500 0 0', '-> 198.51.100.151:80 40 0 0 0']);
  });
});

/** Servers' lines by their service's line. */
function blocks(lines: readonly string[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  let servers: string[] = [];
  for (const line of lines) {
    if (line.startsWith('->')) {
      servers.push(line);
      continue;
    }
    servers = [];
    found.set(line, servers);
  }
  return found;
}

function same(left: readonly string[], right: readonly string[]): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}
