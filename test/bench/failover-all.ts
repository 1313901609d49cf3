/**
 * Crash failover of 1,000 instances at once: when each of them is advertised by the successor and
 * its VIP announced, from the first to the last, and how late each is by its own active-down
 * interval. Captured on the cables of the dead director, with the kernel's times.
 */
import { rmSync } from 'node:fs';
import { activeDownIntervalUs } from '../../src/core/vrrp/timing.ts';
import { waitFor } from '../lab/host.ts';
import { memoryDirectory } from '../lab/memory-directory.ts';
import type { LabNode, Topology } from '../lab/topology.ts';
import {
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
import { load, median, print, type Report, type Row, summarize, type Target } from './report.ts';
import { Wire } from './wire.ts';

const COUNT = 1_000;
const INTERVAL_MS = 1_000;
const RUNS = 3;
/** Second bursts of announcements come 5 s after a takeover. */
const SETTLE_MS = 7_000;
const TAKEOVER_TIMEOUT_MS = 60_000;

interface Sample {
  /** From the first instance's takeover to the last one's. */
  readonly spreadMs: number;
  /** From the first VIP's announcement to the last one's. */
  readonly vipSpreadMs: number;
  /** Beyond the active-down interval since each one's own last advertisement. */
  readonly medianLateMs: number;
  readonly mostLateMs: number;
}

async function run(topology: Topology, wires: readonly Wire[], kind: Kind): Promise<Sample> {
  const [first, second] = topology.directors as [LabNode, LabNode];
  const directory = memoryDirectory('vipkeeper-bench-');
  const instances = manyInstances(COUNT, INTERVAL_MS);
  const started: Contestant[] = [];
  try {
    for (const [index, node] of [first, second].entries()) {
      const priority = PRIORITIES[index] as number;
      started.push(await Contestant.start(kind, node, { directory, priority, instances }));
      await started[index]?.ready();
      const all = async () => (await heldVips(first)) === COUNT;
      await waitFor(`${kind} to hold ${COUNT} VIPs`, all, TAKEOVER_TIMEOUT_MS, 200);
      await sleep(SETTLE_MS);
    }
    for (const wire of wires) wire.clear();
    await sleep(2 * INTERVAL_MS);
    started[0]?.signalAll('SIGKILL');
    const all = async () => (await heldVips(second)) === COUNT;
    await waitFor(`${kind} to take over ${COUNT} VIPs`, all, TAKEOVER_TIMEOUT_MS, 200);
    await sleep(INTERVAL_MS);
    return evaluate(wires);
  } finally {
    for (const contestant of started) await contestant.crash();
    for (const node of [first, second]) await removeVips(node);
    rmSync(directory, { recursive: true, force: true });
  }
}

function evaluate(wires: readonly Wire[]): Sample {
  const options = { version: 3, priority: PRIORITIES[1] } as const;
  const downMs = activeDownIntervalUs(options, INTERVAL_MS * 1e3) / 1e3;
  const takeovers: number[] = [];
  const late: number[] = [];
  const announced = new Map<string, number>();
  for (const [cable, wire] of wires.entries()) {
    const lastOfFirst = new Map<number, number>();
    const firstOfSecond = new Map<number, number>();
    for (const { atMs, source, vrid } of wire.adverts) {
      if (source === `10.99.${cable}.1`) lastOfFirst.set(vrid, atMs);
      else if (!firstOfSecond.has(vrid)) firstOfSecond.set(vrid, atMs);
    }
    for (const { atMs, address } of wire.announcements) {
      if (!announced.has(address)) announced.set(address, atMs);
    }
    for (const [vrid, atMs] of firstOfSecond) {
      takeovers.push(atMs);
      late.push(atMs - (lastOfFirst.get(vrid) ?? Number.NaN) - downMs);
    }
  }
  if (takeovers.length !== COUNT) throw new Error(`${takeovers.length} of ${COUNT} were seen`);
  if (announced.size !== COUNT)
    throw new Error(`${announced.size} of ${COUNT} VIPs were announced`);
  const spread = (values: number[]) => summarize(values).max - summarize(values).min;
  return {
    spreadMs: spread(takeovers),
    vipSpreadMs: spread([...announced.values()]),
    medianLateMs: median(late),
    mostLateMs: summarize(late).max,
  };
}

export async function failoverAll(runs: number | null): Promise<Report> {
  const before = load();
  const wanted = runs ?? RUNS;
  const topology = await createPair(cablesFor(COUNT));
  const wires: Wire[] = [];
  const samples: Record<Kind, Sample[]> = { vipkeeper: [], keepalived: [] };
  try {
    const first = topology.directors[0] as LabNode;
    for (let cable = 0; cable < cablesFor(COUNT); cable++) {
      wires.push(await Wire.open(first, `v${cable}`));
    }
    for (let count = 1; count <= wanted; count++) {
      for (const kind of KINDS) {
        const sample = await run(topology, wires, kind);
        samples[kind].push(sample);
        print(
          `failover-all, run ${count} of ${wanted}, ${kind}: first to last ` +
            `${sample.spreadMs.toFixed(1)} ms, VIPs ${sample.vipSpreadMs.toFixed(1)} ms, most late ${sample.mostLateMs.toFixed(2)} ms`,
        );
      }
    }
  } finally {
    for (const wire of wires) wire.close();
    await topology.dispose();
  }
  const fields = ['spreadMs', 'vipSpreadMs', 'medianLateMs', 'mostLateMs'] as const;
  const titles = ['first to last', 'first VIP to last', 'median lateness', 'most lateness'];
  const rows: Row[] = fields.flatMap((field, index) =>
    KINDS.map((kind) => ({
      name: `${kind}: ${titles[index]}`,
      unit: 'ms' as const,
      samples: samples[kind].map((sample) => sample[field]),
    })),
  );
  const of = (kind: Kind, field: (typeof fields)[number]) =>
    median(samples[kind].map((sample) => sample[field]));
  const targets: Target[] = (['spreadMs', 'vipSpreadMs', 'mostLateMs'] as const).map((field) => {
    const value = of('vipkeeper', field) - of('keepalived', field);
    const text = `${titles[fields.indexOf(field)]}: above keepalived's, at most 0 ms`;
    return { text, value, met: value <= 0 };
  });
  const title = 'failover-all: crash of the active director of 1,000 instances at 1 s';
  return { name: title, rows, targets, notes: [], load: [before, load()] };
}
