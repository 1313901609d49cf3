/**
 * A director that is killed in the middle of what it does to the kernel: its controller while it
 * programs some hundred services, both of its processes while they are taken out and while they
 * come again, with a list of what is ours that is torn or damaged. Who follows brings the table to
 * where it should be; what had clients has them at every moment, and nobody else's entries are
 * touched. The same while somebody else deletes and adds what is programmed. And the kernel's
 * settings of IPVS, which outlive the processes that set them, and are put back after all of that.
 *
 * One story: each test begins where the one before it ended.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ServiceIdentity } from '../../src/core/config/config.ts';
import { ownedToJson } from '../../src/core/ipvs/owned.ts';
import { readOwnedText } from '../../src/core/ipvs/owned-journal.ts';
import { type Child, check, REPOSITORY } from '../lab/host.ts';
import { type LabNode, Topology } from '../lab/topology.ts';
import { Vm } from '../lab/vm.ts';
import {
  GATEWAY,
  GuestDirector,
  oneInstance,
  Peer,
  SETUP_MS,
  startRealServer,
  TEST_MS,
  until,
} from './guest.ts';
import type { Meddled, WatchOrder, WatchReport } from './table-watch.ts';

const WATCH = join(REPOSITORY, 'dist', 'test', 'kernel', 'table-watch.js');
const VIP = '192.0.2.201';
const [REAL1, REAL2] = ['198.51.100.101', '198.51.100.102'] as const;
/** Nobody answers there, and nobody asks. */
const RIPS = [1, 2, 3].map((host) => `203.0.113.${host}`);
/** With their servers: 1,200 operations, of which the kernel gets 256 at once. */
const NEW_SERVICES = 300;
const OLD_SERVICES = 20;

const KEPT_PORTS = [80, 81, 82, 83];
const CHECK = { http: { path: '/healthz' }, interval: '2s', timeout: '60s', fall: 3, rise: 1 };

const tcp = (port: number): ServiceIdentity => ({
  ...{ kind: 'address', protocol: 'tcp', address: VIP, port },
});
const newPort = (index: number) => 10_000 + index;
const oldPort = (index: number) => 9_000 + index;
/** When it comes or goes, something is done, and most is not. */
const MIDDLE = tcp(newPort(NEW_SERVICES / 20));
const LAST = tcp(newPort(NEW_SERVICES - 1));

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

/** The services that come and go, for who meddles with them. */
const MEDDLED = Array.from(
  { length: NEW_SERVICES },
  (_, index): Meddled => ({
    service: {
      ...{ identity: tcp(newPort(index)), scheduler: 'wlc', persistenceSeconds: 0 },
      ...{ persistencePrefixLength: 32, persistenceEngine: null, onePacket: false },
      ...{ flag1: false, flag2: false, flag3: false },
    },
    server: {
      ...{ address: RIPS[0] as string, port: 80, forwarding: 'nat', weight: 1 },
      ...{ upperThreshold: 0, lowerThreshold: 0, tunnel: { kind: 'ipip' } },
    },
  }),
);

const SET = ['1', '0 10', 'Timeout (tcp tcpfin udp): 900 120 70'];
const BEFORE = ['0', '3 50', 'Timeout (tcp tcpfin udp): 900 120 300'];

const SMALL = configuration(services(OLD_SERVICES, oldPort));
const LARGE = configuration(services(NEW_SERVICES, newPort));

function configuration(more: object) {
  return {
    vrrp: oneInstance([`${VIP}/24`, GATEWAY]),
    services: { ...keptServices, ...more },
    ipvs: {
      reconcile_interval: '3s',
      // Hundreds that drain are as many lines of the log.
      on_remove: 'delete',
      timeouts: { udp: '70s' },
      settings: { expire_nodest_conn: true, sync_threshold: [0, 10] },
    },
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
  // Before all others: it is to see the middle of what they do.
  const child: Child = await node.spawn(['nice', '-n', '-20', process.execPath, WATCH], {
    onStdout: (chunk) => {
      output += chunk.toString('utf8');
    },
  });
  const whole: WatchOrder = { kept: KEPT_PORTS.map(tcp), kill: null, meddle: [], ...order };
  child.write(`${JSON.stringify(whole)}\n`);
  await until('the first look', () => output.includes('"watching"'));
  return {
    killed: () => director.until('the middle', () => output.includes('"killed"')),
    report: async (): Promise<WatchReport> => {
      child.end();
      await child.exited;
      return JSON.parse(output.trim().split('\n').at(-1) ?? '') as WatchReport;
    },
  };
}

/** Has the director read this, and kills these when the first services of it are done. */
async function killedInTheMiddle(
  config: typeof SMALL,
  becomes: 'present' | 'absent',
  pids: readonly number[],
) {
  const watch = await watching({ kill: { pids, at: MIDDLE, becomes, last: LAST } });
  await director.configure(config);
  await director.signal('HUP', 'keeper');
  await watch.killed();
  return watch;
}

async function pids(): Promise<{ readonly keeper: number; readonly controller: number }> {
  const { keeper, controller } = await director.status();
  return { keeper: keeper.pid as number, controller: controller.pid };
}

const OWNED = () => `${director.runtimeDirectory}/ipvs-owned.json`;

/** Waits for the end of both processes, and changes the list of ours, OWNED, by this script. */
async function changeOwned(script: string): Promise<void> {
  await director.ended();
  await check(node, ['sh', '-c', script.replaceAll('OWNED', OWNED())]);
}
/** The beginning of a line, whose writer has not come to change the kernel. */
const TORN = `printf '["+","tcp ${VIP}:1' >>OWNED`;

async function startAgain(): Promise<void> {
  await director.start();
  await director.started();
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
  await director.untilSaved(saved);
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

describe('a director that is killed while it programs', { timeout: TEST_MS }, () => {
  it('is right again when the next controller has taken over', async () => {
    await untilRight(SMALL_SAVED);
    expect(await kernelSettings()).toEqual(SET);
    const { controller } = await pids();
    const watch = await killedInTheMiddle(LARGE, 'present', [controller]);
    await director.until('another controller', async () => {
      const status = await director.tryStatus();
      return status !== null && status.controller.pid !== controller;
    });
    await untilRight(LARGE_SAVED);
    const report = await watch.report();
    expect(report).toMatchObject({ gaps: [], lastDone: false });
    expect(report.looks).toBeGreaterThan(100);
  });

  it('with both processes, takes out the rest at the next start, by a torn list of ours', async () => {
    const { keeper, controller } = await pids();
    const watch = await killedInTheMiddle(SMALL, 'absent', [keeper, controller]);
    await changeOwned(TORN);
    const left = (await director.saved()).length;
    expect(left).toBeGreaterThan(SMALL_SAVED.length);
    expect(left).toBeLessThan(LARGE_SAVED.length + SMALL_SAVED.length);
    // The next one knows what the kernel had before, and what somebody else sets meanwhile.
    expect(await kernelSettings()).toEqual(SET);
    await check(node, ['sysctl', '-w', 'net.ipv4.vs.sync_threshold=5 60']);
    await startAgain();
    expect(await kernelSettings()).toEqual(SET);
    await untilRight(SMALL_SAVED);
    expect(runtimeProblems()).toEqual([]);
    expect(await watch.report()).toMatchObject({ gaps: [], lastDone: false });
  });

  it('with a damaged list of ours, leaves alone what it cannot know, and says so', async () => {
    const { keeper, controller } = await pids();
    const watch = await killedInTheMiddle(LARGE, 'present', [keeper, controller]);
    const first = `${VIP}:${newPort(0)}`;
    await changeOwned(`sed -i 's/^\\["+","tcp ${first}".*/["+","tcp\\x00/' OWNED && ${TORN}`);
    // Nothing of what came is configured now.
    await director.configure(SMALL);
    // The second time, and no cleanup between.
    await startAgain();
    await director.untilSaved([...SMALL_SAVED, ...savedServices(1, newPort)]);
    const problems = runtimeProblems();
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(/ipvs-owned\.json is damaged in \d+ lines?\. /);
    const { ipvs } = await director.reconciled(1);
    expect(ipvs).toMatchObject({ foreignServices: 2, foreignServers: 2 + RIPS.length });
    await check(node, ['ipvsadm', '-D', '-t', first]);
    await untilRight(SMALL_SAVED);
    expect(await watch.report()).toMatchObject({ gaps: [], lastDone: false });
  });

  function runtimeProblems(): readonly string[] {
    const found = director.log.filter(({ code }) => code === 'VK-RUNTIME-DIRECTORY');
    return found.map(({ msg }) => msg);
  }
});

describe('a table that somebody else changes while it is programmed', { timeout: TEST_MS }, () => {
  it('is right in the end, whatever the operations met', async () => {
    const watch = await watching({ meddle: MEDDLED });
    await director.configure(LARGE);
    await director.signal('HUP', 'keeper');
    // As it is configured; who meddles would have another scheduler.
    const last = `-A -t ${VIP}:${newPort(NEW_SERVICES - 1)} -s rr`;
    await director.until('the last service', async () => (await director.saved()).includes(last));
    const report = await watch.report();
    expect(report.gaps).toEqual([]);
    expect(report.meddled).toBeGreaterThan(NEW_SERVICES / 10);
    await untilRight(LARGE_SAVED);
    const { drift } = (await director.status()).ipvs;
    expect(drift.missing).toBeGreaterThan(0);
  });
});

describe("the kernel's settings", { timeout: TEST_MS }, () => {
  it('are put back by a stop after these deaths, with what somebody else had set', async () => {
    expect(await kernelSettings()).toEqual(SET);
    expect(await director.stop()).toBe(0);
    expect(await kernelSettings()).toEqual(['0', '5 60', BEFORE[2]]);
    await check(node, ['sysctl', '-w', 'net.ipv4.vs.sync_threshold=3 50']);
  });

  it('are put back by cleanup, which leaves the table as it is', async () => {
    await startAgain();
    expect(await kernelSettings()).toEqual(SET);
    await killBoth();
    const table = await director.saved();
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
    expect(await director.saved()).toEqual(table);
    expect((await director.vipkeeper('cleanup')).stdout).toBe('Nothing is left behind\n');
  });
});
