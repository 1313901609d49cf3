/**
 * Whole directors in network namespaces: both processes, real sockets, the kernel's addresses.
 * Every test has directors of its own on one LAN; a client there watches the wire with the
 * kernel's receive times. Times are compared with the computed intervals of the protocol, never
 * with fixed numbers, and everything that is waited for is bounded. Needs root and a build.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { DirectorStatus } from '../../src/core/status.ts';
import { activeDownIntervalUs, skewTimeUs } from '../../src/core/vrrp/timing.ts';
import type { VrrpStateName } from '../../src/core/vrrp/types.ts';
import { monotonicUs } from '../../src/linux/clock.ts';
import { Director, schedulingPolicy } from '../lab/director.ts';
import { check, LabError, localMachine, waitFor } from '../lab/host.ts';
import { ensurePackages, NETWORK_PACKAGES, TRACE_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';
import { AddressWatch, AdvertWatch } from '../lab/watch.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 40_000;

const VRID = 51;
const VIP = virtualIp(1).ipv4;
const VIP6 = virtualIp(1).ipv6;
const INTERVAL_US = 100_000;

/**
 * A takeover may be late by this share of its computed time: a fifth, on machines that do other
 * things too. It may never be early; the stamps of two ports of a bridge differ by microseconds.
 */
const LATE_SHARE = 0.2;
const STAMP_TOLERANCE_US = 500;

interface Pair {
  readonly compiled?: boolean;
  /** Fields of the instance `web`, beside the common ones. */
  readonly web?: Readonly<Record<string, unknown>>;
  readonly more?: Readonly<Record<string, unknown>>;
}

function configOf({ web = {}, more = {} }: Pair = {}): Readonly<Record<string, unknown>> {
  const instance = {
    interface: 'eth0',
    vrid: VRID,
    priority: { a: 150, b: 100 },
    interval: '100ms',
    addresses: [`${VIP}/24`],
    ...web,
  };
  return { vrrp: { web: instance }, ...more };
}

let topology: Topology;
let nodeA: LabNode;
let nodeB: LabNode;
let ipA: string;
let ipB: string;
let adverts: AdvertWatch;
let addressesA: AddressWatch;
let addressesB: AddressWatch;
const running: Director[] = [];

beforeAll(async () => {
  await ensurePackages([...NETWORK_PACKAGES, ...TRACE_PACKAGES]);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
}, SETUP_TIMEOUT_MS);

async function buildTopology(): Promise<void> {
  topology = await Topology.create(localMachine, { realServers: 1 });
  [nodeA, nodeB] = topology.directors as [LabNode, LabNode];
  ipA = nodeA.on('front').ipv4;
  ipB = nodeB.on('front').ipv4;
  adverts = new AdvertWatch(topology.clients[0] as LabNode);
  addressesA = new AddressWatch(nodeA);
  addressesB = new AddressWatch(nodeB);
}

beforeAll(buildTopology, SETUP_TIMEOUT_MS);

afterEach(async () => {
  for (const director of running.splice(0)) await director.dispose();
  adverts.adverts.length = 0;
  // What killed directors leave, and what a test gave to an owner.
  for (const node of [nodeA, nodeB]) {
    const watch = watchOf(node);
    for (const vip of [`${VIP}/24`, `${virtualIp(2).ipv4}/24`, `${VIP6}/64`]) {
      const [address = ''] = vip.split('/');
      if (watch.holds(address)) await check(node, ['ip', 'addr', 'del', vip, 'dev', 'eth0']);
    }
  }
});

afterAll(async () => {
  adverts?.close();
  addressesA?.close();
  addressesB?.close();
  await topology?.dispose();
});

function watchOf(node: LabNode): AddressWatch {
  return node === nodeA ? addressesA : addressesB;
}

async function start(node: LabNode, pair: Pair = {}): Promise<Director> {
  const name = node === nodeA ? 'a' : 'b';
  const { compiled = false } = pair;
  const director = await Director.start(node, { name, config: configOf(pair), compiled });
  running.push(director);
  return director;
}

/** Both directors, the first of them active. */
async function startPair(pair: Pair = {}): Promise<{ a: Director; b: Director }> {
  const a = await start(nodeA, pair);
  await a.waitForState('web', 'active');
  const b = await start(nodeB, pair);
  // Until it has heard the active once, its down interval counts from its own start.
  await b.waitFor('the backup to hear', async () => (await b.instance('web')).peer !== null);
  expect((await b.instance('web')).state).toBe('backup');
  return { a, b };
}

/** Who has the address, by the kernel's word: 'a', 'b', 'ab' or ''. */
function holders(address = VIP): string {
  return `${addressesA.holds(address) ? 'a' : ''}${addressesB.holds(address) ? 'b' : ''}`;
}

async function waitForHolder(holder: string, address = VIP): Promise<void> {
  await waitFor(`${address} to be on "${holder}"`, () => holders(address) === holder);
}

/** Asserts that something came after `computedUs`, at most LATE_SHARE later, and never before. */
function expectOnTime(elapsedUs: number, computedUs: number): void {
  expect(elapsedUs / computedUs).toBeGreaterThan(1 - STAMP_TOLERANCE_US / computedUs);
  expect(elapsedUs / computedUs).toBeLessThan(1 + LATE_SHARE);
}

const downIntervalUs = (priority: number) =>
  activeDownIntervalUs({ version: 3, priority }, INTERVAL_US);

/** Last advert of a sender on the wire, which must have sent some. */
function lastAdvertAtUs(source: string): number {
  const last = adverts.from(source, VRID).at(-1);
  if (last === undefined) throw new LabError(`No advert from ${source}`);
  return last.atUs;
}

describe('election', { timeout: TEST_TIMEOUT_MS }, () => {
  it('the higher priority preempts, in real time, and the lower one yields', async () => {
    // Both ways of starting one: without the launcher here, with it in most tests.
    const b = await start(nodeB, { compiled: true });
    await b.waitForTransition('web', 'active');
    const mark = b.mark;
    const a = await start(nodeA);
    expect(await a.waitForTransition('web', 'active')).toMatchObject({ reason: 'preempted' });
    expect(await b.waitForTransition('web', 'backup', mark)).toMatchObject({
      reason: 'higher-priority-peer',
      peer: ipA,
    });
    await waitForHolder('a');
    const [atA, atB] = [await a.instance('web'), await b.instance('web')];
    expect(atA).toMatchObject({ state: 'active', sourceAddress: ipA });
    expect(atA.addresses).toMatchObject([{ address: VIP, present: true }]);
    expect(atB).toMatchObject({ state: 'backup', peer: { address: ipA, priority: 150 } });
    expect(atB.addresses).toMatchObject([{ present: false }]);
    const pids = await a.pids();
    expect([schedulingPolicy(pids.keeper), schedulingPolicy(pids.controller)]).toEqual([2, 0]);
  });

  it('of two active ones with equal priority the higher address stays', async () => {
    const pair = { web: { priority: 100 } };
    const a = await start(nodeA, pair);
    await a.waitForState('web', 'active');
    await nodeB.isolate('front');
    const b = await start(nodeB, pair);
    await b.waitForState('web', 'active');
    expect(holders()).toBe('ab');
    const mark = a.mark;
    await nodeB.rejoin('front');
    const yielded = await a.waitForTransition('web', 'backup', mark);
    expect(yielded).toMatchObject({ reason: 'equal-priority-higher-address', peer: ipB });
    await waitForHolder('b');
    expect(b.lines('transition', { to: 'backup' })).toHaveLength(1);
  });

  it('the owner is active at once and its own address survives its stop', async () => {
    const pair = { web: { priority: { a: 255, b: 100 } } };
    const b = await start(nodeB, pair);
    await b.waitForState('web', 'active');
    const mark = b.mark;
    await check(nodeA, ['ip', 'addr', 'add', `${VIP}/24`, 'dev', 'eth0']);
    const a = await start(nodeA, pair);
    const first = await a.waitForLine('transition', { instance: 'web' });
    expect(first).toMatchObject({ from: 'initialize', to: 'active', reason: 'address-owner' });
    await b.waitForTransition('web', 'backup', mark);
    await waitForHolder('a');
    expect(await a.stop()).toBe(0);
    await b.waitForState('web', 'active');
    expect(holders()).toBe('ab');
  });

  it('without preempt a higher priority waits for the active to resign', async () => {
    const pair = { web: { preempt: false } };
    const b = await start(nodeB, pair);
    await b.waitForState('web', 'active');
    const a = await start(nodeA, pair);
    const sinceUs = monotonicUs();
    // Four times as long as it takes with preempt.
    await adverts.waitFrom(ipB, VRID, sinceUs, 14);
    expect(a.lines('transition')).toHaveLength(1);
    expect(holders()).toBe('b');
    await b.stop();
    expect(await a.waitForTransition('web', 'active')).toMatchObject({ reason: 'peer-resigned' });
    await waitForHolder('a');
  });

  it('preempt_delay passes before the takeover, and no more', async () => {
    const delayUs = 1_000_000;
    const pair = { web: { preempt_delay: '1s' } };
    const b = await start(nodeB, pair);
    await b.waitForState('web', 'active');
    const a = await start(nodeA, pair);
    const began = await a.waitForTransition('web', 'backup');
    const took = await a.waitForTransition('web', 'active');
    expect(took).toMatchObject({ reason: 'preempted' });
    const elapsedUs = (Date.parse(String(took.at)) - Date.parse(String(began.at))) * 1000;
    // The delay counts from the first advert heard, the last ignored one starts the down interval.
    const leastUs = delayUs + downIntervalUs(150) - INTERVAL_US;
    expect(elapsedUs).toBeGreaterThan(leastUs - 2_000);
    expect(elapsedUs / (leastUs + 3 * INTERVAL_US)).toBeLessThan(1 + LATE_SHARE);
  });
});

describe('failover', { timeout: TEST_TIMEOUT_MS }, () => {
  it('a stopped active resigns and its peer takes over after the skew time', async () => {
    const { a, b } = await startPair();
    const sinceUs = monotonicUs();
    expect(await a.stop()).toBe(0);
    const taken = await adverts.waitFrom(ipB, VRID, sinceUs);
    const resigned = adverts.from(ipA, VRID).at(-1);
    expect(resigned?.priority).toBe(0);
    const skewUs = skewTimeUs({ version: 3, priority: 100 }, INTERVAL_US);
    expectOnTime(taken.atUs - (resigned?.atUs ?? 0), skewUs);
    expect(await b.waitForTransition('web', 'active')).toMatchObject({ reason: 'peer-resigned' });
    await waitForHolder('b');
    expect(await b.stop()).toBe(0);
    expect(holders()).toBe('');
  });

  it('after the death of both processes the peer takes over after the down interval', async () => {
    const { a, b } = await startPair();
    const sinceUs = monotonicUs();
    await a.kill('SIGKILL', 'both');
    const taken = await adverts.waitFrom(ipB, VRID, sinceUs);
    expectOnTime(taken.atUs - lastAdvertAtUs(ipA), downIntervalUs(100));
    expect(await b.waitForTransition('web', 'active')).toMatchObject({ reason: 'peers-silent' });
    await a.ended();
    // Nobody is left to remove the address but the service manager's stop hook.
    expect(holders()).toBe('ab');
    const cleaned = await a.run(['cleanup']);
    expect(cleaned).toMatchObject({ code: 0, stdout: `Removed ${VIP} from eth0\n` });
    expect(holders()).toBe('b');
  });

  it('the death of the controller moves nothing and delays no advert', async () => {
    const { a } = await startPair();
    const sinceUs = monotonicUs();
    const before = await a.kill('SIGKILL', 'controller');
    await a.waitFor('another controller', async () => {
      const status = await a.tryStatus();
      return status !== null && status.controller.pid !== before.controller;
    });
    const status = await a.status();
    expect(status.keeper.pid).toBe(before.keeper);
    expect(status.instances[0]).toMatchObject({ state: 'active', reason: 'peers-silent' });
    // The keeper did not wait for an ordinary process, and is real-time alone again.
    expect(schedulingPolicy(status.controller.pid)).toBe(0);
    const { stdout } = await check(localMachine, ['chrt', '-p', `${before.keeper}`]);
    expect(stdout).toContain('SCHED_RR|SCHED_RESET_ON_FORK');
    await adverts.waitFrom(ipA, VRID, monotonicUs(), 2);
    expect(largestGapUs(ipA, sinceUs) / INTERVAL_US).toBeLessThan(1 + LATE_SHARE);
    expect(adverts.from(ipB, VRID, sinceUs)).toEqual([]);
    expect(addressesA.removals(VIP, sinceUs)).toEqual([]);
  });

  it('the next keeper adopts the VIP of a dead one, whoever started whom', async () => {
    // Three intervals are enough for Node to start, on a busy machine too.
    const { a, b } = await startPair({ web: { interval: '500ms' } });
    const sinceUs = monotonicUs();
    const before = await a.kill('SIGKILL', 'keeper');
    const second = await otherKeeper(a, before.keeper);
    expect(second).toMatchObject({
      controller: { pid: before.controller },
      keeper: { restarts: 1, scheduling: 'realtime' },
      instances: [{ state: 'active', reason: 'adopted' }],
    });
    expect(schedulingPolicy(second.keeper.pid ?? 0)).toBe(2);
    // Now the keeper is the child: without its parent it starts a controller of its own.
    await a.kill('SIGKILL', 'controller');
    await a.waitFor('another controller', async () => {
      const status = await a.tryStatus();
      return status !== null && status.controller.pid !== before.controller;
    });
    expect((await a.status()).keeper.pid).toBe(second.keeper.pid);
    await a.kill('SIGKILL', 'keeper');
    const third = await otherKeeper(a, second.keeper.pid);
    expect(third.instances).toMatchObject([{ state: 'active', reason: 'adopted' }]);
    expect(adverts.from(ipB, VRID, sinceUs)).toEqual([]);
    expect(b.lines('transition', { to: 'active' })).toEqual([]);
    expect(addressesA.removals(VIP, sinceUs)).toEqual([]);
  });

  it('a keeper that was dead for too long is followed by a backup', async () => {
    // No keeper starts within three intervals of 10 ms.
    const { a, b } = await startPair({ web: { interval: '10ms', preempt: false } });
    const sinceUs = monotonicUs();
    const before = await a.kill('SIGKILL', 'keeper');
    await b.waitForTransition('web', 'active');
    const next = await otherKeeper(a, before.keeper, 'backup');
    expect(next.instances).toMatchObject([{ reason: 'started' }]);
    expect(addressesA.removals(VIP, sinceUs)).toHaveLength(1);
    expect(holders()).toBe('b');
  });

  it('when keepers keep dying the controller gives the VIP up before a peer has it', async () => {
    // The peer's skew time, which is the controller's margin, is 300 ms then.
    const { a, b } = await startPair({ web: { interval: '500ms' } });
    const mark = a.mark;
    const sinceUs = monotonicUs();
    await killKeepers(a);
    await a.waitForLine('gave-up', {}, mark);
    expect(addressesA.holds(VIP)).toBe(false);
    await b.waitForTransition('web', 'active');
    const [removal] = addressesA.removals(VIP, sinceUs);
    const [takeover] = adverts.from(ipB, VRID, sinceUs);
    expect(removal?.atUs).toBeLessThan(takeover?.atUs ?? 0);
    // The next one lives, and wins by its priority.
    await a.waitForState('web', 'active');
    await waitForHolder('a');
  });

  it('a controller without a keeper still stops, and leaves no VIP', async () => {
    const { a } = await startPair();
    const { controller } = await killKeepers(a);
    process.kill(controller, 'SIGTERM');
    await a.ended();
    expect(addressesA.holds(VIP)).toBe(false);
  });

  it('a director that was not running for a while yields when it wakes up', async () => {
    const { a, b } = await startPair({ web: { preempt: false } });
    await stallAndWake(a, b, { holder: 'b', sleeperIp: ipA, otherIp: ipB });
    await stallAndWake(b, a, { holder: 'a', sleeperIp: ipB, otherIp: ipA });
  });
});

/** Kills four keepers in a row, after which the fifth is started two seconds later. */
async function killKeepers(director: Director): Promise<{ readonly controller: number }> {
  const { controller } = await director.pids();
  let last: number | null = null;
  for (let count = 0; count < 4; count++) {
    await director.waitFor('a keeper to kill', async () => {
      const pid = (await director.tryStatus())?.keeper.pid ?? last;
      if (pid === last || pid === null) return false;
      process.kill(pid, 'SIGKILL');
      last = pid;
      return true;
    });
  }
  return { controller };
}

/** Waits for a keeper other than that one, and for its instance to be in a state. */
async function otherKeeper(
  director: Director,
  than: number | null,
  state: VrrpStateName = 'active',
): Promise<DirectorStatus> {
  let found: DirectorStatus | null = null;
  await director.waitFor('another keeper', async () => {
    const status = await director.tryStatus();
    const pid = status?.keeper.pid ?? than;
    found = pid !== than && status?.instances[0]?.state === state ? status : null;
    return found !== null;
  });
  return found as unknown as DirectorStatus;
}

/** Longest time between two adverts in a row of a sender. */
function largestGapUs(source: string, sinceUs: number): number {
  const times = adverts.from(source, VRID, sinceUs).map(({ atUs }) => atUs);
  return Math.max(...times.slice(1).map((atUs, index) => atUs - (times[index] as number)));
}

/** Stops an active director's processes until its peer is active, wakes it, watches the VIP. */
async function stallAndWake(
  sleeper: Director,
  other: Director,
  expected: { holder: string; sleeperIp: string; otherIp: string },
): Promise<void> {
  const { holder, sleeperIp, otherIp } = expected;
  const watch = watchOf(sleeper.node);
  const [markSleeper, markOther] = [sleeper.mark, other.mark];
  sleeper.signalGroup('SIGSTOP');
  await other.waitForTransition('web', 'active', markOther);
  // Longer still, so that many adverts wait in its socket and its own deadline is long over.
  await adverts.waitFrom(otherIp, VRID, monotonicUs(), 5);
  expect(holders()).toBe('ab');
  const wokenUs = monotonicUs();
  sleeper.signalGroup('SIGCONT');
  while (watch.holds(VIP) && monotonicUs() - wokenUs < INTERVAL_US) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  // One turn: much shorter than an interval, and before anything could be sent.
  expect((monotonicUs() - wokenUs) / INTERVAL_US).toBeLessThan(0.25);
  expect(await sleeper.waitForTransition('web', 'backup', markSleeper)).toMatchObject({
    reason: 'stalled',
    peer: otherIp,
  });
  await adverts.waitFrom(otherIp, VRID, monotonicUs(), 5);
  expect(adverts.from(sleeperIp, VRID, wokenUs)).toEqual([]);
  expect(holders()).toBe(holder);
}

describe('faults', { timeout: TEST_TIMEOUT_MS }, () => {
  it.each([
    ['loses its carrier', () => nodeA.linkDown('front'), () => nodeA.linkUp('front')],
    [
      'is set down',
      () => check(nodeA, ['ip', 'link', 'set', 'eth0', 'down']),
      () => check(nodeA, ['ip', 'link', 'set', 'eth0', 'up']),
    ],
  ])('an interface that %s is a fault, and its return is not', async (_, down, up) => {
    const { a, b } = await startPair();
    const mark = a.mark;
    await down();
    expect(await a.waitForTransition('web', 'fault', mark)).toMatchObject({
      reason: 'interface-down',
    });
    await b.waitForTransition('web', 'active');
    await waitForHolder('b');
    await up();
    expect(await a.waitForTransition('web', 'backup', mark)).toMatchObject({
      from: 'fault',
      reason: 'interface-up',
    });
    await a.waitForTransition('web', 'active', mark);
    await waitForHolder('a');
    expect(a.lines('transition', {}, mark).map(({ to }) => to)).toEqual([
      'fault',
      'backup',
      'active',
    ]);
    expect(a.log.filter(({ code }) => code !== undefined)).toEqual([]);
  });

  it('an interface that is deleted and made again is used again', async () => {
    const { a } = await startPair();
    const mark = a.mark;
    const { port, mac, ipv4, ipv6 } = nodeA.on('front');
    await check(nodeA, ['ip', 'link', 'del', 'eth0']);
    expect(await a.waitForTransition('web', 'fault', mark)).toBeDefined();
    await a.waitFor('the fault to be that it is missing', async () => {
      const [instance] = (await a.status()).instances;
      return instance?.state === 'fault' && instance.addresses[0]?.present === false;
    });
    await waitForHolder('b');
    const hub = ['ip', '-n', topology.switchNamespace, 'link'];
    const veth = ['type', 'veth', 'peer', 'name', 'eth0', 'address', mac];
    await check(localMachine, [...hub, 'add', port, ...veth, 'netns', nodeA.namespace]);
    await check(localMachine, [...hub, 'set', port, 'master', 'front', 'up']);
    await check(nodeA, ['ip', 'link', 'set', 'eth0', 'up']);
    await check(nodeA, ['ip', 'addr', 'add', `${ipv6}/64`, 'dev', 'eth0', 'nodad']);
    await check(nodeA, ['ip', 'addr', 'add', `${ipv4}/24`, 'dev', 'eth0']);
    await a.waitForTransition('web', 'active', mark);
    await waitForHolder('a');
    await adverts.waitFrom(ipA, VRID, monotonicUs(), 3);
    expect(a.log.filter(({ code }) => code !== undefined)).toEqual([]);
  });

  it('a VIP that is deleted by hand is put back, counted and told, without transition', async () => {
    const { a } = await startPair();
    const { addressesRestored, announcementsSent, transitions } = (await a.instance('web'))
      .counters;
    const culprit = await nodeA.spawn(['ip', 'addr', 'del', `${VIP}/24`, 'dev', 'eth0']);
    expect(await culprit.exited).toBe(0);
    const told = await a.waitForLine('address-restored');
    expect(told).toMatchObject({ instance: 'web', address: VIP, byPid: culprit.pid });
    await waitForHolder('a');
    const after = (await a.instance('web')).counters;
    expect(after.addressesRestored).toBe(addressesRestored + 1);
    expect(after.announcementsSent).toBe(announcementsSent + 5);
    expect(after.transitions).toEqual(transitions);
  });

  it('without a controller that starts, the VIP is given up after the hold, not before', async () => {
    const holdUs = 1_000_000;
    const pair = { more: { keeper: { hold: '1s' } } };
    const { a, b } = await startPair(pair);
    const mark = a.mark;
    a.configure('vrrp: [');
    const sinceUs = monotonicUs();
    await a.kill('SIGKILL', 'controller');
    const taken = await adverts.waitFrom(ipB, VRID, sinceUs);
    const resigned = adverts.from(ipA, VRID, sinceUs).at(-1);
    expect(resigned?.priority).toBe(0);
    expect((resigned?.atUs ?? 0) - sinceUs).toBeGreaterThan(holdUs);
    expect(taken.atUs).toBeGreaterThan(resigned?.atUs ?? 0);
    await waitForHolder('b');
    await b.waitForState('web', 'active');
    await a.waitFor('a controller to say why it ends', () =>
      a.stderr.includes('vipkeeper.yaml:1:'),
    );
    a.configure({ ...configOf(pair), runtime_directory: a.runtimeDirectory });
    await a.waitForTransition('web', 'active', mark, 20_000);
    await waitForHolder('a');
    expect(a.lines('transition', { to: 'fault' }, mark)).toMatchObject([
      { reason: 'controller-lost' },
    ]);
  });
});

describe('configurations', { timeout: TEST_TIMEOUT_MS }, () => {
  it('an IPv6 instance speaks over link-local addresses and fails over', async () => {
    const watch = new AdvertWatch(topology.clients[0] as LabNode, 'ipv6');
    try {
      const pair = { web: { addresses: [`${VIP6}/64`] } };
      const { a, b } = await startPair(pair);
      const [localA, localB] = [nodeA.on('front').linkLocal, nodeB.on('front').linkLocal];
      expect(await a.instance('web')).toMatchObject({ family: 'ipv6', sourceAddress: localA });
      expect(await b.instance('web')).toMatchObject({ peer: { address: localA } });
      const client = topology.clients[0] as LabNode;
      await check(client, ['ping', '-n', '-c', '1', '-W', '1', VIP6]);
      expect(holders(VIP6)).toBe('a');
      const sinceUs = monotonicUs();
      await a.kill('SIGKILL', 'both');
      const taken = await watch.waitFrom(localB, VRID, sinceUs);
      const last = watch.from(localA, VRID).at(-1);
      expectOnTime(taken.atUs - (last?.atUs ?? 0), downIntervalUs(100));
      await a.ended();
      expect((await a.run(['cleanup'])).code).toBe(0);
      expect(holders(VIP6)).toBe('b');
    } finally {
      watch.close();
    }
  });

  it('two instances on one interface elect independently', async () => {
    const other = virtualIp(2).ipv4;
    const mail = {
      ...(configOf().vrrp as { web: object }).web,
      vrid: 52,
      priority: { a: 100, b: 150 },
      addresses: [`${other}/24`],
    };
    const config = { vrrp: { ...(configOf().vrrp as object), mail } };
    const [a, b] = [
      await Director.start(nodeA, { name: 'a', config }),
      await Director.start(nodeB, { name: 'b', config }),
    ];
    running.push(a, b);
    await a.waitForState('web', 'active');
    await b.waitForState('mail', 'active');
    await waitForHolder('a');
    await waitForHolder('b', other);
    await a.waitForState('mail', 'backup');
    await a.stop();
    await b.waitForState('web', 'active');
    expect([holders(), holders(other)]).toEqual(['b', 'b']);
  });

  it('at the shortest interval a pair is stable, and fails over', async () => {
    const { a, b } = await startPair({ web: { interval: '10ms' } });
    const mark = b.mark;
    const sinceUs = monotonicUs();
    await adverts.waitFrom(ipA, VRID, sinceUs, 300);
    expect(b.lines('transition', {}, mark)).toEqual([]);
    expect(adverts.from(ipB, VRID, sinceUs)).toEqual([]);
    const killedUs = monotonicUs();
    await a.kill('SIGKILL', 'both');
    const taken = await adverts.waitFrom(ipB, VRID, killedUs);
    const computedUs = activeDownIntervalUs({ version: 3, priority: 100 }, 10_000);
    expectOnTime(taken.atUs - lastAdvertAtUs(ipA), computedUs);
  });

  it('checksum auto answers in the form that the peer was heard with', async () => {
    const pair = { web: { checksum: { a: 'message', default: 'auto' } } };
    const b = await start(nodeB, pair);
    await b.waitForState('web', 'active');
    const a = await start(nodeA, pair);
    await a.waitForState('web', 'active');
    await waitForHolder('a');
    const sinceUs = monotonicUs();
    await a.stop();
    await b.waitForState('web', 'active');
    await adverts.waitFrom(ipB, VRID, sinceUs, 2);
    const formsOf = (source: string, list = adverts.from(source, VRID)) => [
      ...new Set(list.map(({ checksum }) => checksum)),
    ];
    expect(formsOf(ipA)).toEqual(['message']);
    expect(formsOf(ipB, adverts.from(ipB, VRID).slice(0, 2))).toEqual(['pseudo-header']);
    expect(formsOf(ipB, adverts.from(ipB, VRID, sinceUs))).toEqual(['message']);
    const { refused } = (await b.instance('web')).counters;
    expect(refused.checksum).toBe(0);
  });

  it('a reload changes the priority and touches nothing else', async () => {
    const { a, b } = await startPair();
    const before = await a.pids();
    const sinceUs = monotonicUs();
    a.configure(configOf({ web: { priority: 140 } }));
    await a.reload();
    await waitFor('the new priority on the wire', () =>
      adverts.from(ipA, VRID, sinceUs).some(({ priority }) => priority === 140),
    );
    expect(addressesA.removals(VIP, sinceUs)).toEqual([]);
    expect(largestGapUs(ipA, sinceUs) / INTERVAL_US).toBeLessThan(1 + LATE_SHARE);
    expect(adverts.from(ipB, VRID, sinceUs)).toEqual([]);
    const mark = a.mark;
    a.configure(configOf({ web: { priority: 50 } }));
    await a.reload();
    expect(await a.waitForTransition('web', 'backup', mark)).toMatchObject({
      reason: 'higher-priority-peer',
    });
    await b.waitForState('web', 'active');
    await waitForHolder('b');
    expect(await a.pids()).toEqual(before);
  });

  it('a reload has the keeper list nothing, which could wait for others', async () => {
    const { a } = await startPair();
    const { keeper } = await a.pids();
    let calls = '';
    const tracer = await nodeA.spawn(['strace', '-e', 'trace=%network', '-p', String(keeper)], {
      onStderr: (chunk) => {
        calls += chunk.toString('latin1');
      },
    });
    try {
      await waitFor('strace', () => calls.includes('224.0.0.18'));
      const sinceUs = monotonicUs();
      a.configure(configOf({ web: { priority: 140 } }));
      await a.reload();
      await waitFor('the new priority on the wire', () =>
        adverts.from(ipA, VRID, sinceUs).some(({ priority }) => priority === 140),
      );
    } finally {
      tracer.kill('SIGTERM');
      await tracer.exited;
    }
    expect(calls.split('\n').filter((line) => /^send.*nlmsg_/.test(line))).toEqual([]);
  });

  it('a reload says what is doubtful in the file, as a start does', async () => {
    const { a } = await startPair();
    const mark = a.mark;
    a.configure(configOf({ web: { preempt: false, preempt_delay: '5s' } }));
    await a.reload();
    const { msg } = await a.waitForLine('config', { level: 40 }, mark);
    expect(msg).toContain('without preempt it delays nothing');
  });

  it('a file with errors changes nothing when it is reloaded', async () => {
    const { a } = await startPair();
    const before = await a.pids();
    const sinceUs = monotonicUs();
    a.configure({ vrrp: { web: { interface: 'eth0', vrid: 0 } } });
    await a.kill('SIGHUP', 'keeper');
    await a.waitForLine('reload', { msg: 'The configuration is not valid: the running one stays' });
    await adverts.waitFrom(ipA, VRID, monotonicUs(), 3);
    expect(largestGapUs(ipA, sinceUs) / INTERVAL_US).toBeLessThan(1 + LATE_SHARE);
    expect(await a.pids()).toEqual(before);
    expect(await a.instance('web')).toMatchObject({ state: 'active', priority: 150 });
    expect(addressesA.removals(VIP, sinceUs)).toEqual([]);
  });
});
