/**
 * Virtual services of several kernel entries on a real kernel, and what becomes of servers that
 * are in a maintenance window, accept no connection, or are taken out of the configuration. The
 * director runs from the first test to the last.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DirectorStatus } from '../../src/core/status.ts';
import { check, writeFile } from '../lab/host.ts';
import { type LabNode, Topology } from '../lab/topology.ts';
import { Vm } from '../lab/vm.ts';
import {
  GATEWAY,
  GATEWAY6,
  GuestDirector,
  LONG_DOWNLOAD,
  oneInstance,
  Peer,
  SETUP_MS,
  startRealServer,
  TEST_MS,
} from './guest.ts';

/** Each reload, each command and each new controller is a start of Node. */
const RELOADS_MS = 500_000;
/** A minute until the clock is looked at, a minute and a half to the window, and its minute. */
const WINDOW_MS = 300_000;
/** Each of the weights lasts half a minute or more. */
const WATCH_MS = 3_000;

const VIP = '192.0.2.201';
const VIP6 = '2001:db8:1::201';
const REAL1 = '198.51.100.101';
const REAL2 = '198.51.100.102';
const REAL1_6 = '2001:db8:2::101';

/** What is told of services, by scripts and by the FIFO, is in these files of the VM. */
const TOLD_SCRIPT = '/tmp/told.sh';
const TOLD = '/tmp/told';
const FIFO_SCRIPT = '/tmp/reader.sh';
const FIFO_LINES = '/tmp/lines';

const WEB = {
  address: ['192.0.2.201-203:80', `${VIP}:8080,8081`],
  fwmark: 7,
  scheduler: 'rr',
  check: { http: { path: '/healthz' }, interval: '2s', timeout: '20s', fall: 2 },
  notify: { quorum_up: TOLD_SCRIPT, quorum_down: TOLD_SCRIPT, server_down: TOLD_SCRIPT },
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
/** One server is out every day at three. */
const KEPT = {
  address: `${VIP}:92`,
  scheduler: 'rr',
  check: 'none',
  servers: [
    {
      address: `${REAL1}:80`,
      maintenance: [
        {
          schedule: '0 3 * * *',
          time_zone: 'UTC',
          duration: '1m',
          drain_before: '2m',
          action: 'down',
          reason: 'nightly update',
        },
      ],
    },
    `${REAL2}:80`,
  ],
};
/** Sooner than the window, and later than it is looked for at the latest. */
const BEFORE_WINDOW = '2031-05-06 02:58:30';
const WATCHED = {
  address: `${VIP}:93`,
  scheduler: 'rr',
  // Of its own: the answers of the other are told by the tests.
  check: { tcp: {}, interval: '2s', timeout: '20s' },
  passive: { action: 'quiesce', window: '10s', retry: '30s' },
  servers: [`${REAL1}:80`, `${REAL2}:80`],
};
/** The same without an action, for the same clients. */
const WARNED = { ...WATCHED, address: `${VIP}:94`, passive: { action: 'warn', window: '10s' } };

function configuration(servers: readonly string[], more = {}) {
  return {
    vrrp: {
      ...oneInstance([
        ...[`${VIP}/24`, '192.0.2.202/24', '192.0.2.203/24', `${VIP6}/64`],
        ...[GATEWAY, GATEWAY6],
      ]),
      // Takes part while the service has its quorum.
      follower: {
        ...{ interface: 'eth0', vrid: 52, interval: '1s', track: ['farm'] },
        addresses: ['192.0.2.210/24'],
      },
    },
    trackers: { farm: { service: 'web' } },
    services: { web: { ...WEB, servers }, ...more },
    ipvs: { reconcile_interval: '1s' },
    notify: { fifo: '/tmp/fifo', fifo_script: FIFO_SCRIPT, script_security: false },
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
  ...[92, 93, 94].flatMap((port) => [
    `-A -t ${VIP}:${port} -s rr`,
    `-a -t ${VIP}:${port} -r ${REAL1}:80 -m -w 1`,
    `-a -t ${VIP}:${port} -r ${REAL2}:80 -m -w 1`,
  ]),
];

const OTHER_SERVICES = {
  mixed: MIXED,
  tunnel: TUNNEL,
  kept: KEPT,
  watched: WATCHED,
  warned: WARNED,
};

const BOTH = [`${REAL1}:80`, `${REAL2}:80`];

let vm: Vm;
let director: GuestDirector;
let peer: Peer;
let real1: LabNode;

beforeAll(async () => {
  vm = await Vm.start();
  const topology = await Topology.create(vm, { directors: 1 });
  const client = topology.clients[0] as LabNode;
  await check(client, ['ip', 'route', 'add', '198.51.100.0/24', 'via', '192.0.2.11']);
  peer = await Peer.start(client);
  real1 = topology.realServers[0] as LabNode;
  const told = '$VIPKEEPER_SERVICE $VIPKEEPER_SERVER $VIPKEEPER_STATE';
  await writeFile(vm, TOLD_SCRIPT, `#!/bin/sh\necho ${told} >> ${TOLD}\n`);
  await writeFile(vm, FIFO_SCRIPT, `#!/bin/sh\nexec cat "$1" >> ${FIFO_LINES}\n`);
  await check(vm, ['chmod', '755', TOLD_SCRIPT, FIFO_SCRIPT]);
  director = new GuestDirector(vm, topology.directors[0] as LabNode, peer);
  await director.configure(configuration(BOTH, OTHER_SERVICES));
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
    const asked = checks.filter(({ kind }) => kind === 'http');
    expect(asked.map(({ target }) => target).sort()).toEqual(BOTH);
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
    const followed = (to: string) => director.lines('transition', { instance: 'follower', to });
    await director.until('the fault of who tracks it', () => followed('fault').length > 0);
    expect(followed('fault')).toMatchObject([{ reason: 'tracker-down' }]);
    const { trackers } = await director.status();
    expect(trackers).toMatchObject([{ up: false, detail: 'healthy weight 0 of quorum 1' }]);
    const before = followed('active').length;
    await Promise.all(BOTH.map((server) => peer.put(`http://${server}/healthz?status=200`)));
    await director.untilSaved([...savedWeb({ [REAL1]: 1, [REAL2]: 1 }), ...OTHERS]);
    await director.until('its return', () => followed('active').length > before);
  });

  it('is told of by scripts and the FIFO, once for each change', async () => {
    const linesOf = async (path: string) =>
      (await check(vm, ['cat', path])).stdout.split('\n').slice(0, -1);
    const told = [`web ${REAL1}:80 down`, `web ${REAL2}:80 down`, 'web down', 'web up', 'web up'];
    const server = (ip: string, state: string) => `RS [${ip}]:tcp:80 [web]:0 ${state}`;
    const lines = [REAL1, REAL2].flatMap((ip) => [
      ...[server(ip, 'UP'), server(ip, 'DOWN'), server(ip, 'UP')],
    ]);
    lines.push('VS [web]:0 UP', 'VS [web]:0 DOWN', 'VS [web]:0 UP');
    await director.until('the last of them', async () => {
      return (await linesOf(TOLD)).length >= told.length;
    });
    expect((await linesOf(TOLD)).toSorted()).toEqual(told.toSorted());
    const ofWeb = (await linesOf(FIFO_LINES)).filter((line) => line.includes('[web]:0 '));
    expect(ofWeb.toSorted()).toEqual(lines.toSorted());
    // Of other services as well, though they have no scripts.
    expect(await linesOf(FIFO_LINES)).toContain(`VS [${VIP}]:tcp:93 UP`);
  });

  it('is repaired where one entry was deleted', async () => {
    await check(director.node, ['ipvsadm', '-D', '-t', '192.0.2.202:80']);
    await director.untilSaved([...savedWeb({ [REAL1]: 1, [REAL2]: 1 }), ...OTHERS]);
  });
});

/** Weight of the first server of the service on this port; null while it is not there. */
async function weightOf(port: number): Promise<number | null> {
  const start = `-a -t ${VIP}:${port} -r ${REAL1}:80 `;
  const line = (await director.saved()).find((each) => each.startsWith(start));
  return line === undefined ? null : Number(/ -w (\d+)$/.exec(line)?.[1]);
}

describe('servers that are out for a while', { timeout: WINDOW_MS }, () => {
  /** Weights of the server with the window, one after the other, from here to after its end. */
  let seen: Promise<readonly (number | null)[]>;

  beforeAll(async () => {
    const weights = [await weightOf(92)];
    await check(vm, ['date', '-u', '-s', BEFORE_WINDOW]);
    const over = () => director.lines('maintenance', { phase: 'ended' }).length > 0;
    const watch = async (): Promise<readonly (number | null)[]> => {
      for (const endsAt = performance.now() + WINDOW_MS; performance.now() < endsAt; ) {
        const ended = over();
        const weight = await weightOf(92);
        if (weight !== weights.at(-1)) weights.push(weight);
        if (ended) break;
        await delay(WATCH_MS);
      }
      return weights;
    };
    seen = watch();
    // The test that waits for it says why it failed.
    seen.catch(() => {});
  });

  it('have weight 0 while they accept nothing although their checks succeed, and are tried again', async () => {
    await check(real1, ['ip', 'route', 'add', 'blackhole', '192.0.2.0/24']);
    for (const port of [93, 94]) await peer.connect(VIP, port, 48);
    await director.until('the weight 0', async () => (await weightOf(93)) === 0);
    // By every second server of each service: for the kernel, half-open ones are active too.
    expect(await peer.connected()).toBe(48);
    const counts = (await director.ipvsadm('-Ln', '-t', `${VIP}:93`)).filter((line) =>
      line.startsWith('-> 198'),
    );
    expect(counts.toSorted()).toEqual([`-> ${REAL1}:80 Masq 0 24 0`, `-> ${REAL2}:80 Masq 1 24 0`]);
    const [began] = director.lines('passive', { service: 'watched', began: true });
    expect(began).toMatchObject({ server: `${REAL1}:80` });
    expect(began?.msg).toMatch(/accepted none of 2\d connections in 1\d s; it gets no new ones/);
    await director.until(
      'the same of the other service',
      () => director.lines('passive', { service: 'warned', began: true }).length > 0,
    );
    expect(await weightOf(94)).toBe(1);
    expect(director.lines('health', { to: 'down', services: ['watched', 'warned'] })).toEqual([]);
    await check(real1, ['ip', 'route', 'del', 'blackhole', '192.0.2.0/24']);
    await director.until('the weight 1', async () => (await weightOf(93)) === 1);
    expect(director.lines('passive', { service: 'watched', began: false })).toHaveLength(1);
    await peer.release();
    expect(await names(`http://${VIP}:93/`, 2)).toEqual(['real1', 'real2']);
  });

  it('drain before a maintenance window, leave the table for it, and come back', async () => {
    expect(await seen).toEqual([1, 0, null, 1]);
    const phases = director.lines('maintenance').map(({ service, server, phase }) => {
      return `${service} ${server} ${phase}`;
    });
    const name = `kept ${REAL1}:80`;
    expect(phases).toEqual([`${name} before`, `${name} in`, `${name} ended`]);
    expect(director.lines('maintenance', { phase: 'in' })[0]).toMatchObject({
      reason: 'nightly update',
      start: '2031-05-06T03:00:00.000Z',
      end: '2031-05-06T03:01:00.000Z',
    });
    await director.untilSaved([...savedWeb({ [REAL1]: 1, [REAL2]: 1 }), ...OTHERS]);
  });
});

describe('servers that are taken out of the configuration', { timeout: RELOADS_MS }, () => {
  it('stay for their connections, through the death of a controller, and go with them', async () => {
    const download = await peer.startDownload(`http://${VIP}:8080${LONG_DOWNLOAD}`);
    const [gone, left] = download.server === 'real1' ? [REAL1, REAL2] : [REAL2, REAL1];
    await director.configure(configuration([`${left}:80`]));
    await director.reload();
    const planned = await director.command('status');
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
