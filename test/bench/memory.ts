/**
 * Memory of an idle director: the proportional set size (each shared page divided by the number
 * of its sharers, smaps_rollup in proc(5)) of keeper and controller together, against two bare
 * Node processes that live at the same time and share the same pages of Node. Both pairs also
 * alone, where the sharers are fewer, and keepalived for comparison.
 */
import { readFileSync, rmSync } from 'node:fs';
import { Director } from '../lab/director.ts';
import { type Child, check, LabError, localMachine, waitFor } from '../lab/host.ts';
import { memoryDirectory } from '../lab/memory-directory.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';
import { crash, prepareKeepalived, vrrpConfig } from './peers.ts';
import { load, median, print, type Report, type Row } from './report.ts';

const RUNS = 3;
const IDLE_MS = 30_000;
/** Spread over the idle time; the last one is well before the measurement. */
const SCRAPES = 3;
const KEEPALIVED_IDLE_MS = 3_000;
const TARGET = 1.6;
const VIP = virtualIp(1).ipv4;
const PORT = 9112;
const BARE = [process.execPath, '-e', 'setInterval(() => {}, 1e6)'];

const CONFIG = {
  vrrp: {
    web: { interface: 'eth0', vrid: 51, priority: 150, interval: '1s', addresses: [`${VIP}/24`] },
  },
  http: { listen: `127.0.0.1:${PORT}` },
};

interface Sample {
  readonly keeper: number;
  readonly controller: number;
  readonly bare: number;
  readonly alone: number;
  readonly bareAlone: number;
  readonly keepalived: number;
}

/** Proportional set size in MiB. */
function pssMiB(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kib = /^Pss: +(\d+) kB$/m.exec(rollup)?.[1];
  if (kib === undefined) throw new LabError(`No Pss of process ${pid}`);
  return Number(kib) / 1024;
}

class Contest {
  readonly #node: LabNode;

  constructor(node: LabNode) {
    this.#node = node;
  }

  async run(): Promise<Sample> {
    const director = await this.#director();
    const bare = [await this.#bare(), await this.#bare()];
    let together: { keeper: number; controller: number; bare: number };
    try {
      await this.#idle();
      const { keeper, controller } = await director.pids();
      const sum = bare.reduce((total, { pid }) => total + pssMiB(pid), 0);
      together = { keeper: pssMiB(keeper), controller: pssMiB(controller), bare: sum };
    } finally {
      await director.dispose();
      for (const child of bare) await crash(child);
    }
    const [alone, bareAlone] = [await this.#directorAlone(), await this.#bareAlone()];
    return { ...together, alone, bareAlone, keepalived: await this.#keepalived() };
  }

  async #directorAlone(): Promise<number> {
    const director = await this.#director();
    try {
      await this.#idle();
      const { keeper, controller } = await director.pids();
      return pssMiB(keeper) + pssMiB(controller);
    } finally {
      await director.dispose();
    }
  }

  async #bareAlone(): Promise<number> {
    const bare = [await this.#bare(), await this.#bare()];
    try {
      await sleep(IDLE_MS);
      return bare.reduce((total, { pid }) => total + pssMiB(pid), 0);
    } finally {
      for (const child of bare) await crash(child);
    }
  }

  async #keepalived(): Promise<number> {
    const directory = memoryDirectory('vipkeeper-bench-');
    const instance = { priority: 150, intervalMs: 1_000, vip: VIP, realTime: false };
    const options = { directory, config: vrrpConfig(instance), only: '-P' } as const;
    const child = await this.#node.spawn(await prepareKeepalived(localMachine, options));
    try {
      const holds = async () => (await check(this.#node, ['ip', 'addr'])).stdout.includes(VIP);
      await waitFor('keepalived to be active', holds, 20_000, 100);
      await sleep(KEEPALIVED_IDLE_MS);
      const pids = (await check(localMachine, ['ip', 'netns', 'pids', this.#node.namespace]))
        .stdout;
      const numbers = pids
        .split('\n')
        .filter((line) => line !== '')
        .map(Number);
      return numbers.reduce((total, pid) => total + pssMiB(pid), 0);
    } finally {
      await crash(child);
      await this.#node.run(['ip', 'addr', 'del', `${VIP}/24`, 'dev', 'eth0']);
      rmSync(directory, { recursive: true, force: true });
    }
  }

  async #director(): Promise<Director> {
    await this.#node.run(['ip', 'addr', 'del', `${VIP}/24`, 'dev', 'eth0']);
    const director = await Director.start(this.#node, { config: CONFIG });
    await director.waitForState('web', 'active', 20_000);
    return director;
  }

  #bare(): Promise<Child> {
    return this.#node.spawn(BARE);
  }

  async #idle(): Promise<void> {
    for (let scrape = 0; scrape < SCRAPES; scrape++) {
      await sleep(IDLE_MS / (SCRAPES + 1));
      const url = `http://127.0.0.1:${PORT}/metrics`;
      await check(this.#node, [process.execPath, '-e', `fetch('${url}').then((r) => r.text())`]);
    }
    await sleep(IDLE_MS / (SCRAPES + 1));
  }
}

function sleep(timeMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, timeMs));
}

export async function memory(runs: number | null): Promise<Report> {
  const before = load();
  const topology = await Topology.create(localMachine, {
    directors: 1,
    realServers: 0,
    clients: 0,
  });
  const samples: Sample[] = [];
  const wanted = runs ?? RUNS;
  try {
    const contest = new Contest(topology.directors[0] as LabNode);
    for (let run = 1; run <= wanted; run++) {
      const sample = await contest.run();
      samples.push(sample);
      const both = sample.keeper + sample.controller;
      print(
        `memory, run ${run} of ${wanted}: keeper ${sample.keeper.toFixed(1)} and controller ` +
          `${sample.controller.toFixed(1)} MiB, two bare ${sample.bare.toFixed(1)} MiB, ` +
          `ratio ${(both / sample.bare).toFixed(2)}`,
      );
    }
  } finally {
    await topology.dispose();
  }
  return report(samples, [before, load()]);
}

function report(samples: readonly Sample[], loads: readonly [number, number]): Report {
  const row = (name: string, of: (sample: Sample) => number): Row => {
    return { name, unit: 'MiB', samples: samples.map(of) };
  };
  // Run by run, because the pairs of one run share the same pages.
  const value = median(samples.map(({ keeper, controller, bare }) => (keeper + controller) / bare));
  const alone = median(samples.map((sample) => sample.alone / sample.bareAlone));
  return {
    name: 'memory: proportional set size after 30 s',
    rows: [
      row('keeper + controller, together with bare', (sample) => sample.keeper + sample.controller),
      row('keeper', (sample) => sample.keeper),
      row('controller', (sample) => sample.controller),
      row('two bare Node processes, together', (sample) => sample.bare),
      row('keeper + controller alone', (sample) => sample.alone),
      row('two bare Node processes alone', (sample) => sample.bareAlone),
      row('keepalived (VRRP alone)', (sample) => sample.keepalived),
    ],
    targets: [{ text: `director / two bare, at most ${TARGET}`, value, met: value <= TARGET }],
    notes: [`each pair alone: ${alone.toFixed(2)}`],
    load: loads,
  };
}
