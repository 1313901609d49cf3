/**
 * What many instances cost: the CPU share of the process that holds the election, once as active
 * director of all of them and once as backup of all of them. Both directors are of one kind, and
 * the kinds take turns. From schedstat, in nanoseconds, over all threads of the process.
 */
import { rmSync } from 'node:fs';
import { LabError, waitFor } from '../lab/host.ts';
import { memoryDirectory } from '../lab/memory-directory.ts';
import type { LabNode, Topology } from '../lab/topology.ts';
import {
  Contestant,
  cablesFor,
  cpuMs,
  createPair,
  heldVips,
  KINDS,
  type Kind,
  manyInstances,
  PRIORITIES,
  removeVips,
  sleep,
} from './contestants.ts';
import { load, median, print, type Report, type Row, type Target } from './report.ts';

const DISCIPLINES = [
  { count: 255, intervalMs: 100 },
  { count: 1_000, intervalMs: 1_000 },
  { count: 1_000, intervalMs: 100 },
] as const;
const RUNS = 3;
const WINDOW_MS = 60_000;
/**
 * Second bursts of announcements come 5 s after a takeover and belong to it; V8 collects what a
 * start has left in the first half minute, once.
 */
const SETTLE_MS = 25_000;
const TAKEOVER_TIMEOUT_MS = 60_000;
/** As backup and as active, at most as much as keepalived. */
const TARGET = 1;

interface Sample {
  readonly active: number;
  readonly backup: number;
}

async function measure(
  topology: Topology,
  kind: Kind,
  { count, intervalMs }: { count: number; intervalMs: number },
): Promise<Sample> {
  const nodes = topology.directors as [LabNode, LabNode];
  const directory = memoryDirectory('vipkeeper-bench-');
  const instances = manyInstances(count, intervalMs);
  const started: Contestant[] = [];
  try {
    for (const [index, node] of nodes.entries()) {
      const priority = PRIORITIES[index] as number;
      const contestant = await Contestant.start(kind, node, { directory, priority, instances });
      started.push(contestant);
      await contestant.ready();
      const all = async () => (await heldVips(nodes[0])) === count;
      await waitFor(`${kind} to hold ${count} VIPs`, all, TAKEOVER_TIMEOUT_MS, 200);
    }
    await sleep(SETTLE_MS);
    const pids = started.map((contestant) => contestant.electionPid());
    const before = pids.map(cpuMs);
    const fromMs = performance.now();
    await sleep(WINDOW_MS);
    const after = pids.map(cpuMs);
    const windowMs = performance.now() - fromMs;
    const held = [await heldVips(nodes[0]), await heldVips(nodes[1])];
    if (held[0] !== count || held[1] !== 0) {
      throw new LabError(`${kind} holds ${held[0]} and ${held[1]} VIPs of ${count}`);
    }
    const share = (index: number) =>
      (((after[index] as number) - (before[index] as number)) / windowMs) * 100;
    return { active: share(0), backup: share(1) };
  } finally {
    for (const contestant of started) await contestant.crash();
    for (const node of nodes) await removeVips(node);
    rmSync(directory, { recursive: true, force: true });
  }
}

export async function instances(runs: number | null): Promise<Report> {
  const before = load();
  const most = Math.max(...DISCIPLINES.map(({ count }) => count));
  const topology = await createPair(cablesFor(most));
  const rows: Row[] = [];
  const targets: Target[] = [];
  const wanted = runs ?? RUNS;
  try {
    for (const discipline of DISCIPLINES) {
      const label = `${discipline.count} at ${discipline.intervalMs} ms`;
      const samples: Record<Kind, Sample[]> = { vipkeeper: [], keepalived: [] };
      for (let run = 1; run <= wanted; run++) {
        for (const kind of KINDS) {
          const sample = await measure(topology, kind, discipline);
          samples[kind].push(sample);
          print(
            `instances ${label}, run ${run} of ${wanted}, ${kind}: ` +
              `active ${sample.active.toFixed(2)} %, backup ${sample.backup.toFixed(2)} %`,
          );
        }
      }
      for (const role of ['active', 'backup'] as const) {
        for (const kind of KINDS) {
          const of = samples[kind].map((sample) => sample[role]);
          rows.push({ name: `${label} ${kind}: ${role}`, unit: '%', samples: of });
        }
        const value =
          median(samples.vipkeeper.map((sample) => sample[role])) /
          median(samples.keepalived.map((sample) => sample[role]));
        const text = `${label}, ${role}: CPU time / keepalived's, at most ${TARGET}`;
        targets.push({ text, value, met: value <= TARGET });
      }
    }
  } finally {
    await topology.dispose();
  }
  return {
    name: 'instances: share of a core',
    rows,
    targets,
    notes: [],
    load: [before, load()],
  };
}
