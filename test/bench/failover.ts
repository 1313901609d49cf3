/**
 * Crash failover: two directors of the same kind, of which the active one loses its cable and all
 * its processes at once. Measured on the wire, from its last advertisement to the first one of
 * its successor; less the active-down interval of RFC 9568 that is the overshoot, which is all
 * that an implementation can do better or worse. Beside it, the gap as a client sees it.
 *
 * Both kinds have the same namespaces, priorities and intervals, and keepalived has real-time
 * scheduling as the keeper has it. The kinds take turns, run by run.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { activeDownIntervalUs } from '../../src/core/vrrp/timing.ts';
import { VIPKEEPER } from '../lab/director.ts';
import { type Child, check, LabError, localMachine, waitFor, writeFile } from '../lab/host.ts';
import { memoryDirectory } from '../lab/memory-directory.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';
import { crash, prepareKeepalived, vrrpConfig } from './peers.ts';
import {
  load,
  print,
  type Report,
  type Row,
  type Summary,
  summarize,
  type Target,
} from './report.ts';
import { Wire } from './wire.ts';

const VIP = virtualIp(1).ipv4;
const PRIORITIES = [150, 100] as const;
const KINDS = ['vipkeeper', 'keepalived'] as const;
/** Interval and, without --runs, the number of runs of each kind. */
const DISCIPLINES = [
  { intervalMs: 1_000, runs: 4 },
  { intervalMs: 100, runs: 15 },
  { intervalMs: 30, runs: 15 },
  { intervalMs: 10, runs: 15 },
] as const;
/** Ours may be later than keepalived's by this much, in the median and at most. */
const TARGET_MS = 0.2;
const START_TIMEOUT_MS = 20_000;
/** After the start of the backup, so that starting is over when the crash comes. */
const SETTLE_MS = 700;
const PROBE_INTERVAL_SECONDS = '0.001';

type Kind = (typeof KINDS)[number];

interface Sample {
  readonly overshootMs: number;
  /** Longest time between two answers that the client got. */
  readonly gapMs: number;
  /** From the successor's first advertisement to the client's first answer. */
  readonly answeredMs: number;
}

class Contest {
  readonly #topology: Topology;
  readonly #wire: Wire;
  readonly #directory: string;

  constructor(topology: Topology, wire: Wire, directory: string) {
    this.#topology = topology;
    this.#wire = wire;
    this.#directory = directory;
  }

  async run(kind: Kind, intervalMs: number): Promise<Sample> {
    const [first, second] = this.#topology.directors as [LabNode, LabNode];
    const started: Child[] = [];
    try {
      started.push(await this.#start(kind, first, PRIORITIES[0], intervalMs));
      this.#wire.clear();
      await this.#adverts(first, 3);
      started.push(await this.#start(kind, second, PRIORITIES[1], intervalMs));
      await waitFor(`${second.name} to listen`, () => listens(second), START_TIMEOUT_MS, 50);
      await sleep(SETTLE_MS + 3 * intervalMs);
      return await this.#fail(started[0] as Child, intervalMs);
    } finally {
      for (const child of started) await crash(child);
      await first.rejoin('front');
      for (const node of [first, second])
        await node.run(['ip', 'addr', 'del', `${VIP}/24`, 'dev', 'eth0']);
      await this.#topology.clients[0]?.run(['ip', 'neigh', 'flush', 'all']);
    }
  }

  async #fail(active: Child, intervalMs: number): Promise<Sample> {
    const [first, second] = this.#topology.directors as [LabNode, LabNode];
    const client = this.#topology.clients[0] as LabNode;
    const answers: number[] = [];
    const ping = await probe(client, answers);
    try {
      await waitFor('answers before the crash', () => answers.length > 100, START_TIMEOUT_MS);
      if (this.#wire.from(second.on('front').ipv4).length > 0) {
        throw new LabError('The backup advertised before the crash');
      }
      await first.isolate('front');
      active.kill('SIGKILL');
      await this.#adverts(second, 1);
      const successorAtMs = this.#wire.from(second.on('front').ipv4)[0]?.atMs as number;
      const back = () => (answers.at(-1) ?? 0) > successorAtMs;
      await waitFor('answers after the crash', back, START_TIMEOUT_MS);
      const lastAtMs = this.#wire.from(first.on('front').ipv4).at(-1)?.atMs as number;
      const downMs =
        activeDownIntervalUs({ version: 3, priority: PRIORITIES[1] }, intervalMs * 1e3) / 1e3;
      const afterMs = answers.find((atMs) => atMs > successorAtMs) as number;
      const beforeMs = answers.filter((atMs) => atMs <= successorAtMs).at(-1) as number;
      return {
        overshootMs: successorAtMs - lastAtMs - downMs,
        gapMs: afterMs - beforeMs,
        answeredMs: afterMs - successorAtMs,
      };
    } finally {
      ping.kill('SIGKILL');
      await ping.exited;
    }
  }

  async #adverts(node: LabNode, count: number): Promise<void> {
    const { ipv4 } = node.on('front');
    const enough = () => this.#wire.from(ipv4).length >= count;
    await waitFor(`advertisements of ${node.name}`, enough, START_TIMEOUT_MS);
  }

  async #start(kind: Kind, node: LabNode, priority: number, intervalMs: number): Promise<Child> {
    const directory = join(this.#directory, kind, node.name);
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
    const instance = { priority, intervalMs, vip: VIP, realTime: true };
    const argv =
      kind === 'keepalived'
        ? await prepareKeepalived(localMachine, {
            directory,
            config: vrrpConfig(instance),
            only: '-P',
          })
        : await prepareVipkeeper(directory, instance);
    return node.spawn(argv);
  }
}

async function prepareVipkeeper(
  directory: string,
  { priority, intervalMs, vip }: { priority: number; intervalMs: number; vip: string },
): Promise<string[]> {
  const file = `${directory}/vipkeeper.yaml`;
  const web = {
    interface: 'eth0',
    vrid: 51,
    priority,
    interval: `${intervalMs}ms`,
    addresses: [`${vip}/24`],
  };
  const config = { vrrp: { web }, http: 'off', runtime_directory: `${directory}/run` };
  await writeFile(localMachine, file, JSON.stringify(config));
  return [...VIPKEEPER, 'run', '--config', file, '--director', 'bench'];
}

/** Whether somebody in the namespace has a raw socket of protocol 112 (VRRP). */
async function listens(node: LabNode): Promise<boolean> {
  const { stdout } = await check(node, ['cat', '/proc/net/raw']);
  return stdout.split('\n').some((line) => /^\s*\d+: [0-9A-F]{8}:0070 /.test(line));
}

/** A client that asks the VIP every millisecond; the times of the answers, wall clock, in ms. */
function probe(client: LabNode, answers: number[]): Promise<Child> {
  let partial = '';
  const argv = ['ping', '-n', '-D', '-W', '1', '-i', PROBE_INTERVAL_SECONDS, VIP];
  return client.spawn(argv, {
    onStdout: (chunk) => {
      const lines = (partial + chunk.toString('latin1')).split('\n');
      partial = lines.pop() ?? '';
      for (const line of lines) {
        const stamp = /^\[(\d+\.\d+)\] \d+ bytes from/.exec(line)?.[1];
        if (stamp !== undefined) answers.push(Number(stamp) * 1e3);
      }
    },
  });
}

function sleep(timeMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, timeMs));
}

/** Runs every discipline, the two kinds in turns. */
export async function failover(runs: number | null): Promise<Report> {
  const loadBefore = load();
  const topology = await Topology.create(localMachine, {
    directors: 2,
    realServers: 0,
    clients: 1,
  });
  const directory = memoryDirectory('vipkeeper-bench-');
  const wire = await Wire.open(topology.clients[0] as LabNode);
  const rows: Row[] = [];
  const targets: Target[] = [];
  const notes: string[] = [];
  try {
    const contest = new Contest(topology, wire, directory);
    for (const discipline of DISCIPLINES) {
      const samples = await contestRuns(contest, discipline.intervalMs, runs ?? discipline.runs);
      const label = `${discipline.intervalMs} ms`;
      for (const kind of KINDS) {
        const of = (field: keyof Sample) => samples[kind].map((sample) => sample[field]);
        rows.push({ name: `${label} ${kind}: overshoot`, unit: 'ms', samples: of('overshootMs') });
      }
      for (const kind of KINDS) {
        const of = (field: keyof Sample) => samples[kind].map((sample) => sample[field]);
        rows.push({ name: `${label} ${kind}: client gap`, unit: 'ms', samples: of('gapMs') });
        rows.push({
          name: `${label} ${kind}: first advert to answer`,
          unit: 'ms',
          samples: of('answeredMs'),
        });
      }
      const [ours, theirs] = KINDS.map((kind) =>
        summarize(samples[kind].map(({ overshootMs }) => overshootMs)),
      ) as [Summary, Summary];
      for (const of of ['median', 'max'] as const) {
        const value = ours[of] - theirs[of];
        const text = `${label}: ${of} overshoot above keepalived's, at most ${TARGET_MS} ms`;
        targets.push({ text, value, met: value <= TARGET_MS });
      }
    }
  } finally {
    wire.close();
    await topology.dispose();
    rmSync(directory, { recursive: true, force: true });
  }
  return { name: 'failover', rows, targets, notes, load: [loadBefore, load()] };
}

async function contestRuns(
  contest: Contest,
  intervalMs: number,
  runs: number,
): Promise<Record<Kind, Sample[]>> {
  const samples: Record<Kind, Sample[]> = { vipkeeper: [], keepalived: [] };
  for (let run = 1; run <= runs; run++) {
    for (const kind of KINDS) {
      const sample = await contest.run(kind, intervalMs);
      samples[kind].push(sample);
      print(
        `failover ${intervalMs} ms, run ${run} of ${runs}, ${kind}: ` +
          `overshoot ${sample.overshootMs.toFixed(3)} ms, client gap ${sample.gapMs.toFixed(1)} ms`,
      );
    }
  }
  return samples;
}
