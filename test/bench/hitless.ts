/**
 * What clients notice of what happens to a director all the time: a stop, a restart, a killed
 * process, a deleted address, a changed configuration, a stall. The time without answers is that
 * of a client that asks the VIP every millisecond; owners are told by the kernel's notifications
 * on both directors. Each for both kinds, by what comes closest in keepalived.
 */
import { rmSync } from 'node:fs';
import { monotonicUs } from '../../src/linux/clock.ts';
import { enterRealtime, leaveRealtime } from '../../src/linux/scheduling.ts';
import { check, LabError, waitFor } from '../lab/host.ts';
import { memoryDirectory } from '../lab/memory-directory.ts';
import { type LabNode, type Topology, virtualIp } from '../lab/topology.ts';
import { AddressWatch } from '../lab/watch.ts';
import {
  type BenchInstance,
  Contestant,
  cablesFor,
  createPair,
  heldVips,
  KINDS,
  type Kind,
  manyInstances,
  PRIORITIES,
  removeVips,
  sleep,
} from './contestants.ts';
import { Prober } from './prober.ts';
import { load, median, print, type Report, type Row, type Target } from './report.ts';
import { Wire } from './wire.ts';

const RUNS = 5;
const VIP = virtualIp(1).ipv4;
const TIMEOUT_MS = 20_000;
const SETTLE_MS = 4_500;
const AFTER_MS = 4_500;
const STOPPED_MS = 5_000;
const RELOAD_COUNT = 500;
const INSTANCE: BenchInstance = {
  name: 'web',
  interface: 'eth0',
  vrid: 51,
  intervalMs: 1_000,
  address: `${VIP}/24`,
};

interface Pair {
  readonly kind: Kind;
  readonly topology: Topology;
  readonly first: Contestant;
  readonly second: Contestant;
  readonly prober: Prober;
}

type Act = (pair: Pair) => Promise<void>;

interface Discipline {
  readonly name: string;
  /** Most that vipkeeper's clients may miss, in ms. */
  readonly targetMs: number;
  readonly act: Act;
  /** Kind of the peer, when it is not the same. */
  readonly peer?: Kind;
}

const DISCIPLINES: readonly Discipline[] = [
  { name: 'stop', targetMs: 10, act: ({ first }) => first.stop() },
  {
    name: 'stop, peer keepalived',
    targetMs: 10,
    act: ({ first }) => first.stop(),
    peer: 'keepalived',
  },
  { name: 'restart', targetMs: 0, act: restart },
  {
    name: 'election process killed',
    targetMs: 0,
    act: async ({ first }) => first.signal('SIGKILL', first.electionPid()),
  },
  { name: 'VIP deleted', targetMs: 5, act: deleteVip },
];

async function restart({ kind, first }: Pair): Promise<void> {
  if (kind === 'vipkeeper') {
    const { code, stderr } = await first.command(['restart']);
    if (code !== 0) throw new LabError(`vipkeeper restart: ${stderr}`);
    return;
  }
  await first.stop();
  await first.restart();
}

async function deleteVip({ topology }: Pair): Promise<void> {
  const node = topology.directors[0] as LabNode;
  await check(node, ['ip', 'addr', 'del', `${VIP}/24`, 'dev', 'eth0']);
}

async function holds(node: LabNode): Promise<boolean> {
  return (await check(node, ['ip', '-4', '-o', 'addr', 'show'])).stdout.includes(` ${VIP}/`);
}

/** Starts both directors, has the client ask, and calls `during` when all is quiet. */
async function withPair<T>(
  topology: Topology,
  kind: Kind,
  peer: Kind,
  during: (pair: Pair) => Promise<T>,
): Promise<T> {
  const nodes = topology.directors as [LabNode, LabNode];
  const directory = memoryDirectory('vipkeeper-bench-');
  const started: Contestant[] = [];
  let prober: Prober | null = null;
  try {
    for (const [index, node] of nodes.entries()) {
      const options = { directory, priority: PRIORITIES[index] as number, instances: [INSTANCE] };
      const which = index === 0 ? kind : peer;
      started.push(await Contestant.start(which, node, options));
      await started[index]?.ready();
      await waitFor('the VIP', () => holds(nodes[0]), TIMEOUT_MS);
    }
    await sleep(SETTLE_MS);
    prober = new Prober(topology.clients[0] as LabNode, VIP);
    const asking = prober;
    await waitFor('answers', () => asking.answers > 500, TIMEOUT_MS);
    const [first, second] = started as [Contestant, Contestant];
    return await during({ kind, topology, first, second, prober });
  } finally {
    prober?.close();
    for (const contestant of started) await contestant.crash();
    for (const node of nodes) await node.run(['ip', 'addr', 'del', `${VIP}/24`, 'dev', 'eth0']);
    await topology.clients[0]?.run(['ip', 'neigh', 'flush', 'all']);
    rmSync(directory, { recursive: true, force: true });
  }
}

async function outage(topology: Topology, kind: Kind, { act, peer }: Discipline): Promise<number> {
  return withPair(topology, kind, peer ?? kind, async (pair) => {
    await act(pair);
    await sleep(AFTER_MS);
    return pair.prober.outage().longestMs;
  });
}

/** Above those of both contestants. */
const WATCH_PRIORITY = 2;

/** SIGSTOP of a whole director until its peer has taken over: two owners from SIGCONT on, in ms. */
function stalled(topology: Topology, kind: Kind): Promise<number> {
  return withPair(topology, kind, kind, async ({ first }) => {
    const nodes = topology.directors as [LabNode, LabNode];
    const watches = nodes.map((node) => new AddressWatch(node));
    try {
      const pids = [first.mainPid, first.electionPid()];
      if (kind === 'keepalived') for (const pid of pids) first.signal('SIGSTOP', pid);
      else first.signalAll('SIGSTOP');
      await sleep(STOPPED_MS);
      if (!watches[1]?.holds(VIP)) throw new LabError('The peer did not take over');
      // Whoever reads late what the kernel tells would measure itself.
      const entered = enterRealtime(WATCH_PRIORITY);
      if (!entered.ok) throw new LabError(entered.error.message);
      const runsUs = monotonicUs();
      if (kind === 'keepalived') for (const pid of pids) first.signal('SIGCONT', pid);
      else first.signalAll('SIGCONT');
      await sleep(AFTER_MS);
      return overlapUs(watches as [AddressWatch, AddressWatch], runsUs) / 1e3;
    } finally {
      leaveRealtime();
      for (const watch of watches) watch.close();
    }
  });
}

/** For how long both have had the VIP since then, when both had it. */
function overlapUs(watches: readonly [AddressWatch, AddressWatch], sinceUs: number): number {
  const events = watches
    .flatMap((watch, director) => watch.events.map((event) => ({ ...event, director })))
    .filter(({ address, atUs }) => address === VIP && atUs >= sinceUs)
    .sort((left, right) => left.atUs - right.atUs);
  const owners = [true, true];
  let bothUs = 0;
  let beforeUs = sinceUs;
  for (const { atUs, director, kind } of [...events]) {
    if (owners[0] && owners[1]) bothUs += atUs - beforeUs;
    owners[director] = kind === 'added';
    beforeUs = atUs;
  }
  return owners[0] && owners[1] ? Number.POSITIVE_INFINITY : bothUs;
}

/** A reload with one changed instance of 500: by how much any advertisement was late, in ms. */
async function reloaded(topology: Topology, wires: readonly Wire[], kind: Kind): Promise<number> {
  const node = topology.directors[0] as LabNode;
  const directory = memoryDirectory('vipkeeper-bench-');
  const instances = manyInstances(RELOAD_COUNT, 1_000);
  const options = { directory, priority: PRIORITIES[0], instances };
  const contestant = await Contestant.start(kind, node, options);
  try {
    await contestant.ready();
    const all = async () => (await heldVips(node)) === RELOAD_COUNT;
    await waitFor(`${kind} to hold ${RELOAD_COUNT} VIPs`, all, 3 * TIMEOUT_MS, 200);
    await sleep(7_000);
    const [changed, ...others] = instances as [BenchInstance, ...BenchInstance[]];
    const extra = { ...changed, address: '10.98.9.9/32' };
    await contestant.configure({ ...options, instances: [extra, ...others] });
    for (const wire of wires) wire.clear();
    await sleep(2_000);
    contestant.signal('SIGHUP');
    const added = async () =>
      (await check(node, ['ip', '-4', '-o', 'addr', 'show'])).stdout.includes('10.98.9.9/');
    await waitFor('the change', added, TIMEOUT_MS, 100);
    await sleep(3_000);
    return mostLateMs(wires);
  } finally {
    await contestant.crash();
    await removeVips(node);
    rmSync(directory, { recursive: true, force: true });
  }
}

function mostLateMs(wires: readonly Wire[]): number {
  let mostMs = 0;
  for (const wire of wires) {
    const last = new Map<number, number>();
    for (const { atMs, vrid } of wire.adverts) {
      const beforeMs = last.get(vrid);
      if (beforeMs !== undefined) mostMs = Math.max(mostMs, atMs - beforeMs - 1_000);
      last.set(vrid, atMs);
    }
  }
  return mostMs;
}

export async function hitless(runs: number | null): Promise<Report> {
  const before = load();
  const wanted = runs ?? RUNS;
  const topology = await createPair(cablesFor(RELOAD_COUNT));
  const results = new Map<string, Record<Kind, number[]>>();
  const wires: Wire[] = [];
  const note = (name: string, kind: Kind, value: number) => {
    const of = results.get(name) ?? { vipkeeper: [], keepalived: [] };
    of[kind].push(value);
    results.set(name, of);
    print(`hitless, ${name}, ${kind}: ${value.toFixed(1)} ms`);
  };
  try {
    for (let cable = 0; cable < cablesFor(RELOAD_COUNT); cable++) {
      wires.push(await Wire.open(topology.directors[1] as LabNode, `v${cable}`));
    }
    for (let count = 0; count < wanted; count++) {
      for (const kind of KINDS) {
        for (const discipline of DISCIPLINES) {
          note(discipline.name, kind, await outage(topology, kind, discipline));
        }
        note(STALLED, kind, await stalled(topology, kind));
        note(RELOADED, kind, await reloaded(topology, wires, kind));
      }
    }
  } finally {
    for (const wire of wires) wire.close();
    await topology.dispose();
  }
  return report(results, [before, load()]);
}

const STALLED = 'stopped for 5 s: two owners from then on';
const RELOADED = 'reload, 1 of 500 changed: latest advert';
/** What the kernel and the wire cost the advertisement of an instance that nothing happens to. */
const JITTER_MS = 10;

function report(
  results: ReadonlyMap<string, Record<Kind, number[]>>,
  loads: readonly [number, number],
): Report {
  const rows: Row[] = [];
  const targets: Target[] = [];
  const limits = new Map(DISCIPLINES.map(({ name, targetMs }) => [name, targetMs]));
  limits.set(STALLED, 5).set(RELOADED, JITTER_MS);
  for (const [name, samples] of results) {
    for (const kind of KINDS) {
      rows.push({ name: `${name}: ${kind}`, unit: 'ms', samples: samples[kind] });
    }
    const value = median(samples.vipkeeper);
    const limit = limits.get(name) ?? 0;
    targets.push({ text: `${name}, at most ${limit} ms`, value, met: value <= limit });
  }
  const notes = ['Outages are those of a client that asks every millisecond.'];
  return { name: 'hitless: what clients notice', rows, targets, notes, load: loads };
}
