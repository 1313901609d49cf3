/**
 * From the start of a director, alone on its LAN, to its first advertisement: less the
 * active-down interval, for which every backup waits, that is what starting costs. A first start
 * knows nothing; before a second one the same director has run with the same configuration.
 * keepalived makes no difference between the two, so each of its starts is a first one.
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { activeDownIntervalUs } from '../../src/core/vrrp/timing.ts';
import { waitFor } from '../lab/host.ts';
import { memoryDirectory } from '../lab/memory-directory.ts';
import type { LabNode, Topology } from '../lab/topology.ts';
import { Contestant, createPair, manyInstances, removeVips } from './contestants.ts';
import { load, median, print, type Report, type Row, type Target } from './report.ts';
import { Wire } from './wire.ts';

const INTERVALS_MS = [100, 1_000] as const;
const PRIORITY = 150;
const RUNS = 5;
const START_TIMEOUT_MS = 20_000;
const TARGET_MS = 60;

class Contest {
  readonly #topology: Topology;
  readonly #wire: Wire;
  readonly #intervalMs: number;
  readonly first: number[] = [];
  readonly again: number[] = [];
  readonly keepalived: number[] = [];

  constructor(topology: Topology, wire: Wire, intervalMs: number) {
    this.#topology = topology;
    this.#wire = wire;
    this.#intervalMs = intervalMs;
  }

  async run(): Promise<void> {
    const node = this.#topology.directors[0] as LabNode;
    const directory = memoryDirectory('vipkeeper-bench-');
    const instances = manyInstances(1, this.#intervalMs);
    const options = { directory, priority: PRIORITY, instances };
    const stateDirectory = join(directory, 'state');
    mkdirSync(stateDirectory, { mode: 0o700 });
    try {
      const vipkeeper = await Contestant.prepare('vipkeeper', node, { ...options, stateDirectory });
      this.first.push(await this.#start(vipkeeper, node));
      const kept = () => readdirSync(stateDirectory).includes('start.json');
      await waitFor('the plan to be kept', kept, START_TIMEOUT_MS);
      await vipkeeper.stop();
      this.again.push(await this.#start(vipkeeper, node));
      await vipkeeper.crash();
      await removeVips(node);
      const keepalived = await Contestant.prepare('keepalived', node, options);
      this.keepalived.push(await this.#start(keepalived, node));
      await keepalived.crash();
    } finally {
      await removeVips(node);
      rmSync(directory, { recursive: true, force: true });
    }
    const last = [this.first, this.again, this.keepalived].map((list) => list.at(-1)?.toFixed(0));
    print(
      `start at ${this.#intervalMs} ms, run ${this.first.length}: first ${last[0]}, ` +
        `again ${last[1]}, keepalived ${last[2]} ms`,
    );
  }

  /** Time from the start to the first advertisement beyond the active-down interval, in ms. */
  async #start(contestant: Contestant, node: LabNode): Promise<number> {
    this.#wire.clear();
    const fromMs = performance.timeOrigin + performance.now();
    await contestant.restart();
    try {
      const { adverts } = this.#wire;
      await waitFor(`${contestant.kind} to advertise`, () => adverts.length > 0, START_TIMEOUT_MS);
      const downUs = activeDownIntervalUs(
        { version: 3, priority: PRIORITY },
        this.#intervalMs * 1e3,
      );
      return (adverts[0]?.atMs as number) - fromMs - downUs / 1e3;
    } catch (error) {
      await contestant.crash();
      await removeVips(node);
      throw error;
    }
  }

  rows(): Row[] {
    const at = `at ${this.#intervalMs} ms`;
    return [
      { name: `vipkeeper, first start ${at}`, unit: 'ms', samples: this.first },
      { name: `vipkeeper, configuration seen before ${at}`, unit: 'ms', samples: this.again },
      { name: `keepalived ${at}`, unit: 'ms', samples: this.keepalived },
    ];
  }

  targets(): Target[] {
    const target = (what: string, samples: readonly number[]): Target => {
      const value = median(samples);
      const text = `${what} at ${this.#intervalMs} ms, at most ${TARGET_MS} ms`;
      return { text, value, met: value <= TARGET_MS };
    };
    return [target('first start', this.first), target('configuration seen before', this.again)];
  }

  note(): string {
    const [first, again, peer] = [this.first, this.again, this.keepalived].map(median);
    const ratio = (value: number | undefined) => ((value ?? 0) / (peer ?? 1)).toFixed(1);
    return `at ${this.#intervalMs} ms, vipkeeper / keepalived: first start ${ratio(first)}, seen before ${ratio(again)}`;
  }
}

export async function start(runs: number | null): Promise<Report> {
  const before = load();
  const topology = await createPair(1);
  const wire = await Wire.open(topology.directors[1] as LabNode, 'v0');
  const contests = INTERVALS_MS.map((intervalMs) => new Contest(topology, wire, intervalMs));
  try {
    for (let count = 1; count <= (runs ?? RUNS); count++) {
      for (const contest of contests) await contest.run();
    }
  } finally {
    wire.close();
    await topology.dispose();
  }
  return {
    name: 'start: to the first advertisement, beyond the active-down interval',
    rows: contests.flatMap((contest) => contest.rows()),
    targets: contests.flatMap((contest) => contest.targets()),
    notes: contests.map((contest) => contest.note()),
    load: [before, load()],
  };
}
