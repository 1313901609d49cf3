/**
 * From the start of a director, alone on its LAN, to its first advertisement: less the
 * active-down interval, for which every backup waits, that is what starting costs.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { activeDownIntervalUs } from '../../src/core/vrrp/timing.ts';
import { waitFor } from '../lab/host.ts';
import type { LabNode, Topology } from '../lab/topology.ts';
import {
  Contestant,
  createPair,
  KINDS,
  type Kind,
  manyInstances,
  removeVips,
} from './contestants.ts';
import { load, median, print, type Report } from './report.ts';
import { Wire } from './wire.ts';

const INTERVAL_MS = 100;
const PRIORITY = 150;
const RUNS = 10;
const START_TIMEOUT_MS = 20_000;
const TARGET_MS = 60;

async function run(topology: Topology, wire: Wire, kind: Kind): Promise<number> {
  const node = topology.directors[0] as LabNode;
  const directory = mkdtempSync(join(tmpdir(), 'vipkeeper-bench-'));
  const instances = manyInstances(1, INTERVAL_MS);
  wire.clear();
  const fromMs = performance.timeOrigin + performance.now();
  const contestant = await Contestant.start(kind, node, {
    directory,
    priority: PRIORITY,
    instances,
  });
  try {
    await waitFor(`${kind} to advertise`, () => wire.adverts.length > 0, START_TIMEOUT_MS);
    const downUs = activeDownIntervalUs({ version: 3, priority: PRIORITY }, INTERVAL_MS * 1e3);
    return (wire.adverts[0]?.atMs as number) - fromMs - downUs / 1e3;
  } finally {
    await contestant.crash();
    await removeVips(node);
    rmSync(directory, { recursive: true, force: true });
  }
}

export async function start(runs: number | null): Promise<Report> {
  const before = load();
  const wanted = runs ?? RUNS;
  const topology = await createPair(1);
  const samples: Record<Kind, number[]> = { vipkeeper: [], keepalived: [] };
  const wire = await Wire.open(topology.directors[1] as LabNode, 'v0');
  try {
    for (let count = 1; count <= wanted; count++) {
      for (const kind of KINDS) {
        const value = await run(topology, wire, kind);
        samples[kind].push(value);
        print(`start, run ${count} of ${wanted}, ${kind}: ${value.toFixed(0)} ms`);
      }
    }
  } finally {
    wire.close();
    await topology.dispose();
  }
  const value = median(samples.vipkeeper);
  const text = `start of vipkeeper beyond the active-down interval, at most ${TARGET_MS} ms`;
  return {
    name: 'start: to the first advertisement, beyond the active-down interval',
    rows: KINDS.map((kind) => ({ name: kind, unit: 'ms' as const, samples: samples[kind] })),
    targets: [{ text, value, met: value <= TARGET_MS }],
    notes: [],
    load: [before, load()],
  };
}
