/**
 * Advertisements every 10 ms on a machine with other work: busy loops, twice as many as it has
 * processors, and for vipkeeper a controller that reads a configuration of 5,000 services again
 * and again. How many a second, how far apart, and whether the backup believes it is alone; and how
 * long the machine itself stood still meanwhile.
 */
import { rmSync } from 'node:fs';
import { cpus } from 'node:os';
import { activeDownIntervalUs } from '../../src/core/vrrp/timing.ts';
import { type Child, LabError, localMachine, waitFor } from '../lab/host.ts';
import { memoryDirectory } from '../lab/memory-directory.ts';
import type { LabNode, Topology } from '../lab/topology.ts';
import {
  Contestant,
  createPair,
  type Kind,
  manyInstances,
  PRIORITIES,
  removeVips,
  sleep,
} from './contestants.ts';
import { crash } from './peers.ts';
import { load, median, print, type Report, type Row, type Target } from './report.ts';
import { Standstill } from './standstill.ts';
import { Wire } from './wire.ts';

const INTERVAL_MS = 10;
const WINDOW_MS = 60_000;
/** With --runs 1 the window is short: to see that it works. */
const SHORT_WINDOW_MS = 10_000;
const SERVICES = 5_000;
const RELOAD_EVERY_MS = 4_000;
const START_TIMEOUT_MS = 60_000;
const RATE_TARGET = 99;
const P99_TARGET_MS = 10.5;

const CONTESTANTS = [
  { name: 'vipkeeper', kind: 'vipkeeper', realTime: true },
  { name: 'keepalived, real-time', kind: 'keepalived', realTime: true },
  { name: 'keepalived', kind: 'keepalived', realTime: false },
] as const;

interface Sample {
  readonly rate: number;
  readonly p99Ms: number;
  readonly mostMs: number;
  /** The same of the distances less what the machine stood still in them. */
  readonly p99RunningMs: number;
  readonly mostRunningMs: number;
  /** The longest time for which a processor stood still. */
  readonly standstillMs: number;
  /** Advertisements of the backup, of which there should be none. */
  readonly falseAdverts: number;
  /** Those whose silence before was long enough without what the machine stood still in it. */
  readonly falseRunning: number;
}

/** Of the second director. */
const DOWN_MS =
  activeDownIntervalUs(
    { version: 3, priority: PRIORITIES[1], downTimerAdverts: 3 },
    INTERVAL_MS * 1_000,
  ) / 1_000;
/** Advertisements of the backup that follow one another are of one takeover. */
const TAKEOVER_MS = 3 * INTERVAL_MS;

function services(): Record<string, unknown> {
  const all: Record<string, unknown> = {};
  for (let index = 0; index < SERVICES; index++) {
    const address = `10.97.${index >> 8}.${index & 255}:80`;
    all[`s${index}`] = { address, scheduler: 'wlc', forwarding: 'nat', servers: ['10.96.0.1:80'] };
  }
  return { services: all };
}

async function run(
  topology: Topology,
  wire: Wire,
  standstill: Standstill,
  contestant: { kind: Kind; realTime: boolean },
  windowMs: number,
): Promise<Sample> {
  const { kind, realTime } = contestant;
  const [first, second] = topology.directors as [LabNode, LabNode];
  const directory = memoryDirectory('vipkeeper-bench-');
  const instances = manyInstances(1, INTERVAL_MS);
  const started: Contestant[] = [];
  const loops: Child[] = [];
  let reloads: NodeJS.Timeout | null = null;
  try {
    const extra = services();
    wire.clear();
    for (const [index, node] of [first, second].entries()) {
      const priority = PRIORITIES[index] as number;
      const options = { directory, priority, instances, realTime };
      started.push(await Contestant.start(kind, node, options));
      await started[index]?.ready();
      const active = () => wire.from('10.99.0.1').length > 10;
      await waitFor(`${kind} to advertise`, active, START_TIMEOUT_MS);
    }
    // Where the kernel has no IPVS the services are read and then refused, which is the same work.
    const options = { directory, priority: PRIORITIES[0], instances, realTime, extra };
    await started[0]?.configure(options);
    await sleep(1_000);
    for (let count = 0; count < 2 * cpus().length; count++) {
      loops.push(await localMachine.spawn(['sh', '-c', 'while :; do :; done']));
    }
    reloads = setInterval(() => started[0]?.signal('SIGHUP'), RELOAD_EVERY_MS);
    wire.clear();
    standstill.clear();
    await sleep(windowMs);
    return evaluate(wire, standstill, windowMs);
  } finally {
    if (reloads !== null) clearInterval(reloads);
    for (const loop of loops) await crash(loop);
    for (const each of started) await each.crash();
    for (const node of [first, second]) await removeVips(node);
    rmSync(directory, { recursive: true, force: true });
  }
}

function evaluate(wire: Wire, standstill: Standstill, windowMs: number): Sample {
  const times = wire.from('10.99.0.1').map(({ atMs }) => atMs);
  if (times.length < 2) throw new LabError('Too few advertisements');
  const gaps = times.slice(1).map((atMs, index) => atMs - (times[index] as number));
  const running = gaps.map((gapMs, index) => {
    const fromMs = times[index] as number;
    return gapMs - standstill.within(fromMs, fromMs + gapMs);
  });
  gaps.sort((left, right) => left - right);
  running.sort((left, right) => left - right);
  const wrong = wire.from('10.99.0.2').map(({ atMs }) => atMs);
  return {
    rate: (times.length / windowMs) * 1_000,
    p99Ms: gaps[Math.floor(gaps.length * 0.99)] as number,
    mostMs: gaps.at(-1) as number,
    p99RunningMs: running[Math.floor(running.length * 0.99)] as number,
    mostRunningMs: running.at(-1) as number,
    standstillMs: standstill.longestMs,
    falseAdverts: wrong.length,
    falseRunning: withoutStandstill(times, wrong, standstill),
  };
}

/** How many of the backup's advertisements, at `wrong`, no standstill of the machine explains. */
function withoutStandstill(
  times: readonly number[],
  wrong: readonly number[],
  standstill: Standstill,
): number {
  let count = 0;
  let beforeMs = Number.NEGATIVE_INFINITY;
  let explained = false;
  for (const atMs of wrong) {
    if (atMs - beforeMs > TAKEOVER_MS) {
      const heardMs = times.findLast((timeMs) => timeMs < atMs) ?? Number.NEGATIVE_INFINITY;
      explained = atMs - heardMs - standstill.within(heardMs, atMs) < DOWN_MS;
    }
    if (!explained) count++;
    beforeMs = atMs;
  }
  return count;
}

export async function spacing(runs: number | null): Promise<Report> {
  const before = load();
  const windowMs = runs === 1 ? SHORT_WINDOW_MS : WINDOW_MS;
  const topology = await createPair(1);
  const wire = await Wire.open(topology.directors[1] as LabNode, 'v0');
  const standstill = await Standstill.open();
  const samples = new Map<string, Sample[]>();
  try {
    for (let count = 1; count <= (runs ?? 1); count++) {
      for (const contestant of CONTESTANTS) {
        const sample = await run(topology, wire, standstill, contestant, windowMs);
        samples.set(contestant.name, [...(samples.get(contestant.name) ?? []), sample]);
        print(
          `spacing, ${contestant.name}: ${sample.rate.toFixed(1)}/s, p99 ` +
            `${sample.p99Ms.toFixed(2)} ms, most ${sample.mostMs.toFixed(1)} ms (but for ` +
            `standstills ${sample.p99RunningMs.toFixed(2)} and ${sample.mostRunningMs.toFixed(1)}, the longest ` +
            `${sample.standstillMs.toFixed(1)}), ${sample.falseAdverts} adverts of the backup`,
        );
      }
    }
  } finally {
    await standstill.close();
    wire.close();
    await topology.dispose();
  }
  return report(samples, [before, load()]);
}

function report(samples: Map<string, Sample[]>, loads: readonly [number, number]): Report {
  const fields = [
    { field: 'rate', title: 'adverts a second', unit: '/s' },
    { field: 'p99Ms', title: 'p99 of the distance', unit: 'ms' },
    { field: 'mostMs', title: 'longest distance', unit: 'ms' },
    { field: 'p99RunningMs', title: 'p99 but for standstills', unit: 'ms' },
    { field: 'mostRunningMs', title: 'longest distance but for standstills', unit: 'ms' },
    { field: 'standstillMs', title: 'longest standstill of the machine', unit: 'ms' },
    { field: 'falseAdverts', title: 'adverts of the backup', unit: '' },
    { field: 'falseRunning', title: 'of these not after a standstill', unit: '' },
  ] as const;
  const rows: Row[] = fields.flatMap(({ field, title, unit }) =>
    [...samples].map(([name, list]) => ({
      name: `${name}: ${title}`,
      unit,
      samples: list.map((sample) => sample[field]),
    })),
  );
  const ours = samples.get('vipkeeper') ?? [];
  const rate = median(ours.map((sample) => sample.rate));
  const p99 = median(ours.map((sample) => sample.p99Ms));
  const wrong = Math.max(...ours.map((sample) => sample.falseRunning));
  const targets: Target[] = [
    { text: `adverts a second, at least ${RATE_TARGET}`, value: rate, met: rate >= RATE_TARGET },
    { text: `p99, at most ${P99_TARGET_MS} ms`, value: p99, met: p99 <= P99_TARGET_MS },
    {
      text: 'adverts of the backup but for those after a standstill of the machine, none',
      value: wrong,
      met: wrong === 0,
    },
  ];
  return {
    name: 'spacing: an advertisement every 10 ms under load',
    rows,
    targets,
    notes: [
      'A standstill: no process ran on one of the processors, not even one with a higher real-time',
      "priority; a virtual machine's host does that.",
    ],
    load: loads,
  };
}
