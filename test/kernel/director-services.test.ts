/**
 * Virtual services of several kernel entries on a real kernel, and what becomes of servers that
 * are taken out of the configuration. The director runs from the first test to the last.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DirectorStatus } from '../../src/core/status.ts';
import { check } from '../lab/host.ts';
import { type LabNode, Topology } from '../lab/topology.ts';
import { Vm } from '../lab/vm.ts';
import { GuestDirector, Peer, SETUP_MS, startRealServer, TEST_MS } from './guest.ts';

/** Each reload, each command and each new controller is a start of Node. */
const RELOADS_MS = 500_000;

const VIP = '192.0.2.201';
const VIP6 = '2001:db8:1::201';
const REAL1 = '198.51.100.101';
const REAL2 = '198.51.100.102';
const REAL1_6 = '2001:db8:2::101';

const WEB = {
  address: ['192.0.2.201-203:80', `${VIP}:8080,8081`],
  fwmark: 7,
  scheduler: 'rr',
  check: { http: { path: '/healthz' }, interval: '2s', timeout: '20s', fall: 2 },
};
const MIXED = {
  address: [`${VIP}:90`, `[${VIP6}]:90`],
  fwmark: 9,
  family: 'both',
  scheduler: 'rr',
  check: 'none',
  servers: [`${REAL1}:80`, `[${REAL1_6}]:80`],
};
/** A server of the other family behind a tunnel. */
const TUNNEL = {
  address: `${VIP}:91`,
  scheduler: 'rr',
  forwarding: 'tun',
  check: 'none',
  servers: [REAL1_6],
};

function configuration(servers: readonly string[], more = {}) {
  return {
    vrrp: {
      all: {
        interface: 'eth0',
        vrid: 51,
        interval: '1s',
        addresses: [
          `${VIP}/24`,
          '192.0.2.202/24',
          '192.0.2.203/24',
          `${VIP6}/64`,
          { address: '198.51.100.1/24', interface: 'eth1' },
          { address: '2001:db8:2::1/64', interface: 'eth1' },
        ],
      },
    },
    services: { web: { ...WEB, servers }, ...more },
    ipvs: { reconcile_interval: '1s' },
  };
}

const ENTRIES = [
  ...['201:80', '202:80', '203:80', '201:8080', '201:8081'].map((end) => `-t 192.0.2.${end}`),
  '-f 7',
];

function savedWeb(weights: Readonly<Record<string, number>>): readonly string[] {
  return ENTRIES.flatMap((entry) => [
    `-A ${entry} -s rr`,
    ...Object.entries(weights).map(([ip, weight]) => `-a ${entry} -r ${ip}:80 -m -w ${weight}`),
  ]);
}

const OTHERS = [
  `-A -t ${VIP}:90 -s rr`,
  `-a -t ${VIP}:90 -r ${REAL1}:80 -m -w 1`,
  `-A -t [${VIP6}]:90 -s rr`,
  `-a -t [${VIP6}]:90 -r [${REAL1_6}]:80 -m -w 1`,
  '-A -f 9 -s rr',
  `-a -f 9 -r ${REAL1}:80 -m -w 1`,
  '-A -f 9 -6 -s rr',
  `-a -f 9 -6 -r [${REAL1_6}]:80 -m -w 1`,
  `-A -t ${VIP}:91 -s rr`,
  `-a -t ${VIP}:91 -r [${REAL1_6}]:91 -i -w 1 --tun-type ipip`,
];

const BOTH = [`${REAL1}:80`, `${REAL2}:80`];

let vm: Vm;
let director: GuestDirector;
let peer: Peer;

beforeAll(async () => {
  vm = await Vm.start();
  const topology = await Topology.create(vm, { directors: 1 });
  const client = topology.clients[0] as LabNode;
  await check(client, ['ip', 'route', 'add', '198.51.100.0/24', 'via', '192.0.2.11']);
  peer = await Peer.start(client);
  director = new GuestDirector(vm, topology.directors[0] as LabNode, peer);
  await director.configure(configuration(BOTH, { mixed: MIXED, tunnel: TUNNEL }));
  await Promise.all([director.start(), ...topology.realServers.map(startRealServer)]);
  await director.started();
}, SETUP_MS);

afterAll(() => vm?.stop());

async function names(path: string, count: number): Promise<readonly (string | null)[]> {
  const found: (string | null)[] = [];
  for (let index = 0; index < count; index++) found.push((await peer.get(path)).server);
  return found.sort();
}

describe('a service of several entries', { timeout: TEST_MS }, () => {
  it('is in the table as ipvsadm reads it: ranges, ports, marks, both families', async () => {
    await director.untilSaved([...savedWeb({ [REAL1]: 1, [REAL2]: 1 }), ...OTHERS]);
  });

  it('checks each server once, and is one service with all its entries in the status', async () => {
    const { checks, services } = await director.status();
    expect(checks.map(({ target }) => target).sort()).toEqual(BOTH);
    const web = services.find(({ name }) => name === 'web');
    expect(web).toMatchObject({ present: true, service: `tcp ${VIP}:80 and 5 more` });
    expect(web?.entries.map(({ present, servers }) => [present, servers])).toEqual(
      Array(6).fill([true, 2]),
    );
  });

  it('serves by every entry', async () => {
    for (const where of ['192.0.2.203', `${VIP}:8081`]) {
      expect(await names(`http://${where}/`, 2)).toEqual(['real1', 'real2']);
    }
  });

  it('takes a failed server out of all of them, with one quorum', async () => {
    await peer.put(`http://${REAL1}/healthz?status=503`);
    await director.untilSaved([...savedWeb({ [REAL1]: 0, [REAL2]: 1 }), ...OTHERS]);
    await peer.put(`http://${REAL2}/healthz?status=503`);
    await director.untilSaved([...savedWeb({ [REAL1]: 0, [REAL2]: 0 }), ...OTHERS]);
    await director.until('the quorum', () => director.lines('quorum', { met: false }).length > 0);
    expect(director.lines('quorum', { service: 'web', met: false })).toHaveLength(1);
    await Promise.all(BOTH.map((server) => peer.put(`http://${server}/healthz?status=200`)));
    await director.untilSaved([...savedWeb({ [REAL1]: 1, [REAL2]: 1 }), ...OTHERS]);
  });

  it('is repaired where one entry was deleted', async () => {
    await check(director.node, ['ipvsadm', '-D', '-t', '192.0.2.202:80']);
    await director.untilSaved([...savedWeb({ [REAL1]: 1, [REAL2]: 1 }), ...OTHERS]);
  });
});

describe('servers that are taken out of the configuration', { timeout: RELOADS_MS }, () => {
  it('stay for their connections, through the death of a controller, and go with them', async () => {
    const download = await peer.startDownload(
      `http://${VIP}:8080/stream?bytes=1000000000&rate=100000`,
    );
    const [gone, left] = download.server === 'real1' ? [REAL1, REAL2] : [REAL2, REAL1];
    await director.configure(configuration([`${left}:80`]));
    await director.reload();
    const planned = await director.vipkeeper('status');
    expect(planned.stdout).toContain(`leaving web (tcp ${VIP}:8080): ${gone}:80, `);
    // Other entries may leave later: connections that have ended are in the table for two minutes.
    const entry = `-t ${VIP}:8080`;
    const ofEntry = (lines: readonly string[]) =>
      lines.filter((line) => line.includes(`${entry} `)).toSorted();
    const kept = ofEntry([...savedWeb({ [left]: 1 }), `-a ${entry} -r ${gone}:80 -m -w 0`]);
    const untilKept = () =>
      director.until('the entry with the download', async () => {
        return ofEntry(await director.saved()).join() === kept.join();
      });
    await untilKept();
    const leavingUntil = (status: DirectorStatus | null) =>
      status?.ipvs.leaving.find((one) => one.entry === `tcp ${VIP}:8080`)?.until;
    const before = leavingUntil(await director.status());
    expect(before).toBeDefined();
    await director.signal('KILL', 'controller');
    await director.until('another controller', async () => {
      const status = await director.tryStatus();
      return (status?.ipvs.reconciles ?? 0) > 0 && leavingUntil(status) === before;
    });
    expect(ofEntry(await director.saved())).toEqual(kept);
    expect(await peer.download()).toMatchObject({ error: null });
    // Somebody in the way of the drain is put right like anybody else.
    await check(director.node, ['ipvsadm', '-e', ...entry.split(' '), '-r', `${gone}:80`, '-m']);
    await untilKept();

    await director.configure({
      ...configuration([`${left}:80`]),
      ipvs: { reconcile_interval: '1s', on_remove: 'delete' },
    });
    await director.reload();
    await director.untilSaved(savedWeb({ [left]: 1 }));
  });
});
