/**
 * A director that is killed in the middle of what it does to the kernel: its controller while it
 * programs a thousand services. Who follows brings the table to where it should be; what had
 * clients has them at every moment, and nobody else's entries are touched. And the kernel's
 * settings of IPVS, which outlive the processes that set them.
 *
 * One story: the director runs from the first test to the last.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ServiceIdentity } from '../../src/core/config/config.ts';
import { ownedToJson } from '../../src/core/ipvs/owned.ts';
import { readOwnedText } from '../../src/core/ipvs/owned-journal.ts';
import { type Child, check, REPOSITORY } from '../lab/host.ts';
import { type LabNode, Topology } from '../lab/topology.ts';
import { Vm } from '../lab/vm.ts';
import { GuestDirector, Peer, SETUP_MS, startRealServer, until, WAIT_MS } from './guest.ts';
import type { WatchOrder, WatchReport } from './table-watch.ts';

const WATCH = join(REPOSITORY, 'dist', 'test', 'kernel', 'table-watch.js');
const VIP = '192.0.2.201';
const [REAL1, REAL2] = ['198.51.100.101', '198.51.100.102'] as const;
/** Nobody answers there, and nobody asks. */
const RIPS = [1, 2, 3].map((host) => `203.0.113.${host}`);
/** With their servers: four thousand operations. */
const NEW_SERVICES = 1_000;
const OLD_SERVICES = 40;
/** Reading a thousand services and programming them takes the emulator its time. */
const LONG_MS = 3 * WAIT_MS;

const KEPT_PORTS = [80, 81, 82, 83];
const CHECK = { http: { path: '/healthz' }, interval: '2s', timeout: '60s', fall: 3, rise: 1 };

const tcp = (port: number): ServiceIdentity => ({
  ...{ kind: 'address', protocol: 'tcp', address: VIP, port },
});
const newPort = (index: number) => 10_000 + index;
const oldPort = (index: number) => 9_000 + index;

const keptServices = Object.fromEntries(
  KEPT_PORTS.map((port) => [
    `kept${port}`,
    {
      address: `${VIP}:${port}`,
      scheduler: 'wrr',
      check: CHECK,
      servers: [{ address: `${REAL1}:80`, weight: 2 }, `${REAL2}:80`],
    },
  ]),
);
const uncheckedService = (port: number) => ({
  address: `${VIP}:${port}`,
  ...{ scheduler: 'rr', check: 'none', servers: RIPS.map((rip) => `${rip}:80`) },
});
const services = (count: number, portOf: (index: number) => number) =>
  Object.fromEntries(
    Array.from({ length: count }, (_, index) => [
      `s${portOf(index)}`,
      uncheckedService(portOf(index)),
    ]),
  );

const KEPT_SAVED = KEPT_PORTS.flatMap((port) => [
  `-A -t ${VIP}:${port} -s wrr`,
  `-a -t ${VIP}:${port} -r ${REAL1}:80 -m -w 2`,
  `-a -t ${VIP}:${port} -r ${REAL2}:80 -m -w 1`,
]);
const FOREIGN = [
  '-A -t 203.0.113.9:25 -s rr',
  '-a -t 203.0.113.9:25 -r 198.51.100.160:25 -m -w 1',
  `-a -t ${VIP}:80 -r 198.51.100.161:80 -m -w 0`,
];
const savedServices = (count: number, portOf: (index: number) => number) =>
  Array.from({ length: count }, (_, index) => portOf(index)).flatMap((port) => [
    `-A -t ${VIP}:${port} -s rr`,
    ...RIPS.map((rip) => `-a -t ${VIP}:${port} -r ${rip}:80 -m -w 1`),
  ]);
const SMALL_SAVED = [...KEPT_SAVED, ...FOREIGN, ...savedServices(OLD_SERVICES, oldPort)];
const LARGE_SAVED = [...KEPT_SAVED, ...FOREIGN, ...savedServices(NEW_SERVICES, newPort)];

const SETTINGS = {
  timeouts: { udp: '70s' },
  settings: { expire_nodest_conn: true, sync_threshold: [0, 10] },
};
const SET = ['1', '0 10', 'Timeout (tcp tcpfin udp): 900 120 70'];
const BEFORE = ['0', '3 50', 'Timeout (tcp tcpfin udp): 900 120 300'];

const SMALL = configuration(services(OLD_SERVICES, oldPort));
const LARGE = configuration(services(NEW_SERVICES, newPort));

function configuration(more: object, ipvs: object = SETTINGS) {
  return {
    vrrp: {
      all: {
        interface: 'eth0',
        vrid: 51,
        interval: '1s',
        addresses: [`${VIP}/24`, { address: '198.51.100.1/24', interface: 'eth1' }],
      },
    },
    services: { ...keptServices, ...more },
    ipvs: { reconcile_interval: '2s', ...ipvs },
  };
}

let vm: Vm;
let node: LabNode;
let director: GuestDirector;

beforeAll(async () => {
  vm = await Vm.start();
  const topology = await Topology.create(vm, { directors: 1 });
  node = topology.directors[0] as LabNode;
  const peer = await Peer.start(topology.clients[0] as LabNode);
  director = new GuestDirector(vm, node, peer);
  await director.configure(SMALL);
  await Promise.all([director.start(), ...topology.realServers.map(startRealServer)]);
  await director.started();
  await check(node, ['ipvsadm', '-R'], { stdin: `${FOREIGN.join('\n')}\n` });
}, SETUP_MS);

afterAll(() => vm?.stop());

/** A guest that looks at the kept services and does as it is told; `report` ends it. */
async function watching(order: Partial<WatchOrder>) {
  let output = '';
  const child: Child = await node.spawn([process.execPath, WATCH], {
    onStdout: (chunk) => {
      output += chunk.toString('utf8');
    },
  });
  const whole: WatchOrder = { kept: KEPT_PORTS.map(tcp), kill: null, ...order };
  child.write(`${JSON.stringify(whole)}\n`);
  await until('the first look', () => output.includes('"watching"'), LONG_MS);
  return {
    killed: () => director.until('the middle', () => output.includes('"killed"'), LONG_MS),
    report: async (): Promise<WatchReport> => {
      child.end();
      await child.exited;
      return JSON.parse(output.trim().split('\n').at(-1) ?? '') as WatchReport;
    },
  };
}

async function pids(): Promise<{ readonly keeper: number; readonly controller: number }> {
  const { keeper, controller } = await director.status();
  return { keeper: keeper.pid as number, controller: controller.pid };
}

/** What the runtime directory says is ours, as lines of `ipvsadm -Sn` without their settings. */
async function owned(): Promise<readonly string[]> {
  const { stdout } = await check(node, ['cat', OWNED()]);
  const { owned: found, damaged } = readOwnedText(stdout);
  expect(damaged).toBe(0);
  return Object.entries(ownedToJson(found))
    .flatMap(([service, servers]) => [service, ...servers.map((one) => `${service} ${one}`)])
    .sort();
}

const OWNED = () => `${director.runtimeDirectory}/ipvs-owned.json`;

function ownedOf(saved: readonly string[]): readonly string[] {
  const foreign = new Set(FOREIGN);
  return saved
    .filter((line) => !foreign.has(line))
    .map((line) => {
      const [kind, , service, , server] = line.split(' ');
      return kind === '-A' ? `tcp ${service}` : `tcp ${service} ${server}`;
    })
    .sort();
}

/** The table and what is known of it are as they should be, and stay so. */
async function untilRight(saved: readonly string[]): Promise<void> {
  await director.untilSaved(saved, LONG_MS);
  const { ipvs } = await director.reconciled(2);
  expect(await director.saved()).toEqual(saved.toSorted());
  expect(ipvs).toMatchObject({ lastError: null, foreignServices: 1, foreignServers: 2 });
  await director.until('the list of ours', async () => {
    return (await owned()).join() === ownedOf(saved).join();
  });
}

async function kernelSettings(): Promise<readonly string[]> {
  const names = ['expire_nodest_conn', 'sync_threshold'].map((name) => `net.ipv4.vs.${name}`);
  const { stdout } = await check(node, ['sysctl', '-n', ...names]);
  const [timeouts = ''] = await director.ipvsadm('-l', '--timeout');
  return [...stdout.trim().split('\n'), timeouts].map((line) => line.replaceAll('\t', ' '));
}

/** Ends both processes at once. */
async function killBoth(): Promise<void> {
  const { keeper, controller } = await pids();
  await check(vm, ['kill', '-s', 'KILL', String(keeper), String(controller)]);
  await director.ended();
}

describe("the kernel's settings after the death of both processes", { timeout: LONG_MS }, () => {
  it('are put back by cleanup, which leaves the table as it is', async () => {
    await untilRight(SMALL_SAVED);
    expect(await kernelSettings()).toEqual(SET);
    await killBoth();
    expect(await kernelSettings()).toEqual(SET);
    const put = [
      'net.ipv4.vs.expire_nodest_conn from 1 to 0',
      'net.ipv4.vs.sync_threshold from 0 10 to 3 50',
      'The IPVS timeout udp from 70 to 300',
    ];
    const shown = (await director.vipkeeper('cleanup', '--dry-run')).stdout;
    for (const text of put) expect(shown).toContain(`Would put back ${text}\n`);
    expect(shown).toContain(`Would remove ${VIP} from eth0\n`);
    expect(await kernelSettings()).toEqual(SET);
    const done = (await director.vipkeeper('cleanup')).stdout;
    for (const text of put) expect(done).toContain(`Put back ${text}\n`);
    expect(await kernelSettings()).toEqual(BEFORE);
    expect(await director.saved()).toEqual(SMALL_SAVED.toSorted());
    expect((await director.vipkeeper('cleanup')).stdout).toBe('Nothing is left behind\n');
  });

  it('are known to the next start, with what somebody else has set meanwhile', async () => {
    await director.start();
    await director.started();
    await untilRight(SMALL_SAVED);
    expect(await kernelSettings()).toEqual(SET);
    await killBoth();
    await check(node, ['sysctl', '-w', 'net.ipv4.vs.sync_threshold=5 60']);
    await director.start();
    await director.started();
    expect(await kernelSettings()).toEqual(SET);
    await killBoth();
    // Twice, and no cleanup between.
    await director.start();
    await director.started();
    expect(await director.stop()).toBe(0);
    expect(await kernelSettings()).toEqual(['0', '5 60', BEFORE[2]]);
    await check(node, ['sysctl', '-w', 'net.ipv4.vs.sync_threshold=3 50']);
    await director.start();
    await director.started();
    await untilRight(SMALL_SAVED);
  });
});

describe('a director that is killed while it programs', { timeout: 2 * LONG_MS }, () => {
  it('is right again when the next controller has taken over', async () => {
    const { controller } = await pids();
    const at = tcp(newPort(Math.floor(NEW_SERVICES / 3)));
    const last = tcp(newPort(NEW_SERVICES - 1));
    const watch = await watching({
      kill: { pids: [controller], at, becomes: 'present', last },
    });
    await director.configure(LARGE);
    await director.signal('HUP', 'keeper');
    await watch.killed();
    await director.until(
      'another controller',
      async () => {
        const status = await director.tryStatus();
        return status !== null && status.controller.pid !== controller;
      },
      LONG_MS,
    );
    await untilRight(LARGE_SAVED);
    const report = await watch.report();
    expect(report).toMatchObject({ gaps: [], lastDone: false });
    expect(report.looks).toBeGreaterThan(100);
  });
});
