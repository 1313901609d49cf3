/**
 * How long a controller of 10,000 and one of 20,000 services with two checked servers each keep their
 * event loops from anything else: at the start, while the table is compared, at reloads, when a thousand
 * servers fail at once, and when they are asked for all that they know. The table is in memory
 * (memory-ipvs.ts), so that this needs no kernel with IPVS; all else is the compiled director.
 *
 * CPU time of the controller's thread tells of the program, less what its processor stood still in it:
 * a virtual machine takes that for CPU time. The wall clock tells of the machine as well.
 */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { VIPKEEPER } from '../lab/director.ts';
import {
  type Child,
  check,
  exitWithin,
  LabError,
  localMachine,
  REPOSITORY,
  waitFor,
} from '../lab/host.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';
import { FixedWork } from './fixed-work.ts';
import { type Collections, MONITOR_VARIABLE, type PausesReport } from './pauses-guest.ts';
import { load, median, print, type Report, type Row } from './report.ts';
import { Standstill } from './standstill.ts';

/** Services of two servers each: 30,000 and 60,000 entries of the table. */
const SIZES = [10_000, 20_000] as const;
/** So many services have servers that fail together. */
const FRAIL = 500;
const PORTS = { steady: 8080, frail: 8081 } as const;
const PORTS_PER_ADDRESS = 2_000;
const TARGET_MS = 10;
const START_TIMEOUT_MS = 600_000;
const ANSWER_TIMEOUT_MS = 300_000;
/** Comparisons come every 5 s. */
const QUIET_MS = 12_000;
const SETTLE_MS = 3_000;
const LOOK_MS = 250;

/** Accepts connections on all addresses and closes them. */
const LISTENER = `
const { createServer } = require('node:net');
createServer((socket) => { socket.on('error', () => {}); socket.destroy(); })
  .listen({ port: Number(process.argv[1]), backlog: 4096 }, () => console.log('ready'));`;

interface Phase {
  readonly name: string;
  readonly report: PausesReport;
  /** CPU time of the longest turn, less standstills. */
  readonly ownMs: number;
  /** Turns that took more than TARGET_MS by that. */
  readonly over: number;
}

class Contest {
  readonly #node: LabNode;
  readonly #services: number;
  readonly #standstill: Standstill;
  readonly #directory = mkdtempSync(join(tmpdir(), 'vipkeeper-bench-'));
  readonly #configFile = join(this.#directory, 'vipkeeper.yaml');
  readonly #listeners = new Map<number, Child>();
  readonly phases: Phase[] = [];
  /** What was not answered. */
  readonly refused: string[] = [];
  /** In this phase so far. */
  #measured: PausesReport | null = null;
  #director: Child | null = null;
  #output = '';
  /** How many services have this weight for their first server, in place of 1. */
  #changed = { services: 0, weight: 1 };
  /** Whether services are in the table only while their virtual IP is here. */
  #follows = false;

  constructor(node: LabNode, services: number, standstill: Standstill) {
    this.#node = node;
    this.#services = services;
    this.#standstill = standstill;
  }

  async run(): Promise<void> {
    for (const port of Object.values(PORTS)) await this.#listen(port);
    await this.#start();
    const all = 2 * this.#services;
    await this.#phase('cold start', async () => {
      await this.#until(all);
      await delay(QUIET_MS);
    });
    await this.#phase('comparisons and checks', () => delay(QUIET_MS));
    await this.#phase('reload, 1 service changed', () => this.#reload(1));
    await this.#phase('reload, nothing changed', () => this.#reload(1));
    await this.#phase('reload, 100 services changed', () => this.#reload(100));
    await this.#phase('reload, all services changed', () => this.#reload(this.#services));
    await this.#phase('1,000 servers fail', () => this.#fail());
    await this.#phase('1,000 servers recover', () => this.#listen(PORTS.frail));
    await this.#phase('status', () => this.#ask('/v1/status'));
    await this.#phase('metrics', () => this.#ask('/metrics'));
    await this.#phase('table for a plan', () => this.#ask('/v1/table'));
    await this.#phase('all three and a reload at once', async () => {
      const asked = ['/v1/status', '/metrics', '/v1/table'].map((path) => this.#ask(path));
      await Promise.all([...asked, this.#reload(1)]);
    });
    this.#follows = true;
    await this.#reload(this.#services);
    await delay(SETTLE_MS);
    const link = (state: string) => check(this.#node, ['ip', 'link', 'set', 'eth0', state]);
    await this.#phase('all services go with the virtual IP', async () => {
      await link('down');
      await this.#until(0);
    });
    await this.#phase('all services come with it', async () => {
      await link('up');
      await this.#until(all);
    });
  }

  async dispose(): Promise<void> {
    if (this.#director !== null) {
      this.#director.kill('SIGKILL');
      await exitWithin(this.#director, 5_000);
    }
    for (const child of this.#listeners.values()) child.kill('SIGKILL');
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #phase(name: string, act: () => Promise<unknown>): Promise<void> {
    await this.#look();
    this.#measured = null;
    await act();
    await delay(SETTLE_MS);
    await this.#look();
    const report = this.#measured as PausesReport | null;
    if (report === null) throw new LabError(`The controller does not answer: ${this.#output}`);
    const { ownMs, over } = this.#judge(report);
    this.phases.push({ name: `${this.#services} services, ${name}`, report, ownMs, over });
    const kinds = Object.entries(report.collections).map(
      ([kind, { count, maxMs }]) => `${count} ${kind} up to ${maxMs.toFixed(1)}`,
    );
    print(
      `pauses, ${this.#services} services, ${name}: CPU ${ownMs.toFixed(1)} ms (${over} turns above ` +
        `${TARGET_MS}; ${report.longest.cpuMs.toFixed(1)} ms with standstills), wall ${report.longest.wallMs.toFixed(1)} ms; ${kinds.join(', ')}; ` +
        `RSS ${report.rssMiB.toFixed(0)} MiB`,
    );
  }

  /** Of the turns that were told, and of the longest when none was long enough for that. */
  #judge({ turns, longest }: PausesReport): Pick<Phase, 'ownMs' | 'over'> {
    const own = turns.map(({ fromMs, toMs, cpuMs, cpu }) =>
      cpu === null ? cpuMs : cpuMs - Math.min(cpuMs, this.#standstill.within(fromMs, toMs, cpu)),
    );
    const ownMs = turns.length === 0 ? longest.cpuMs : Math.max(...own);
    return { ownMs, over: own.filter((ms) => ms > TARGET_MS).length };
  }

  async #start(): Promise<void> {
    this.#configure();
    const guest = join(REPOSITORY, 'dist', 'test', 'bench', 'pauses-guest.js');
    const argv = [...VIPKEEPER, 'run', '--config', this.#configFile, '--director', 'a'];
    const collect = (chunk: Buffer) => {
      this.#output = (this.#output + chunk.toString('utf8')).slice(-4_000);
    };
    this.#director = await this.#node.spawn(argv, {
      env: {
        STATE_DIRECTORY: join(this.#directory, 'state'),
        NODE_OPTIONS: `--import=${guest}`,
        [MONITOR_VARIABLE]: join(this.#directory, 'monitor'),
      },
      onStdout: collect,
      onStderr: collect,
    });
    this.#director.end();
  }

  /** Until the controller has programmed so many servers. */
  async #until(servers: number): Promise<void> {
    const reached = async () => (await this.#look())?.servers === servers;
    const what = `a table of ${servers} servers`;
    await waitFor(what, reached, START_TIMEOUT_MS, LOOK_MS).catch((error) => {
      throw new LabError(`${(error as Error).message}: ${this.#output}`);
    });
  }

  async #listen(port: number): Promise<void> {
    let ready = false;
    const argv = [process.execPath, '-e', LISTENER, String(port)];
    const onStdout = () => {
      ready = true;
    };
    this.#listeners.set(port, await this.#node.spawn(argv, { onStdout }));
    await waitFor('the listener', () => ready, START_TIMEOUT_MS);
  }

  async #fail(): Promise<void> {
    this.#listeners.get(PORTS.frail)?.kill('SIGKILL');
    await delay(SETTLE_MS);
  }

  /** As many services get another weight as are said; the same as before, when none do. */
  async #reload(services: number): Promise<void> {
    if (services !== this.#changed.services || services > 1) {
      this.#changed = { services, weight: this.#changed.weight + 1 };
    }
    this.#configure();
    await this.#call('POST', '/v1/reload');
  }

  async #ask(path: string): Promise<void> {
    const error = await this.#call('GET', path).then(
      () => null,
      (reason: Error) => `${path}: ${reason.message}`,
    );
    if (error !== null) this.refused.push(error);
  }

  #call(method: string, path: string): Promise<void> {
    const socketPath = join(this.#directory, 'run', 'control.sock');
    return new Promise((resolve, reject) => {
      const options = { socketPath, path, method, timeout: ANSWER_TIMEOUT_MS };
      const sent = request(options, (answer) => {
        answer.resume();
        answer.once('error', reject);
        const { statusCode = 0 } = answer;
        answer.once('end', () =>
          statusCode === 200 ? resolve() : reject(new LabError(`answered with ${statusCode}`)),
        );
      });
      sent.once('timeout', () => sent.destroy(new LabError('not answered in time')));
      sent.once('error', reject);
      sent.end();
    });
  }

  #configure(): void {
    const { services: changed, weight } = this.#changed;
    const services = Array.from({ length: this.#services }, (_, index) => {
      const address = `198.18.0.${1 + Math.floor(index / PORTS_PER_ADDRESS)}`;
      const frail = index < FRAIL;
      const follows = this.#follows ? '\n    follow: web\n    only_on_active: true' : '';
      const timing = frail ? 'interval: 1s, fall: 1, rise: 1' : 'interval: 60s';
      const servers = [0, 1].map((at) => {
        const port = frail ? PORTS.frail : PORTS.steady;
        const other = at === 0 && index < changed ? weight : 1;
        return `      - { address: "${serverAddress(2 * index + at)}:${port}", weight: ${other} }\n`;
      });
      return `  s${index}:
    address: ${address}:${10_000 + (index % PORTS_PER_ADDRESS)}
    forwarding: nat${follows}
    check: { tcp: {}, ${timing} }
    servers:
${servers.join('')}`;
    });
    const vip = `${virtualIp(1).ipv4}/24`;
    writeFileSync(
      this.#configFile,
      `http: off
runtime_directory: ${this.#directory}/run
vrrp:
  web: { interface: eth0, vrid: 51, priority: 150, interval: 1s, addresses: [${vip}] }
services:
${services.join('')}`,
    );
  }

  /** The controller as it is now, with what was measured since the last look; null while there is none. */
  async #look(): Promise<PausesReport | null> {
    for (const name of readdirSync(this.#directory)) {
      if (!name.startsWith('monitor.')) continue;
      const report = await read(join(this.#directory, name)).catch(() => null);
      if (report === null) continue;
      this.#measured = together(this.#measured, report);
      return report;
    }
    return null;
  }
}

/** What was measured of one controller in two parts, as one. */
function together(first: PausesReport | null, second: PausesReport): PausesReport {
  if (first === null || first.pid !== second.pid) return second;
  const collections: Record<string, Collections> = { ...first.collections };
  for (const [kind, { count, maxMs }] of Object.entries(second.collections)) {
    const before = collections[kind] ?? { count: 0, maxMs: 0 };
    collections[kind] = {
      count: before.count + count,
      maxMs: Math.max(before.maxMs, maxMs),
    };
  }
  const most = (of: keyof PausesReport['longest']) =>
    Math.max(first.longest[of], second.longest[of]);
  const longest = { wallMs: most('wallMs'), cpuMs: most('cpuMs') };
  const loadingMs = first.loadingMs ?? second.loadingMs;
  return { ...second, collections, longest, loadingMs, turns: [...first.turns, ...second.turns] };
}

function read(path: string): Promise<PausesReport> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(path);
    socket.on('data', (chunk) => {
      text += chunk.toString('utf8');
    });
    socket.once('error', reject);
    socket.once('close', () => {
      try {
        resolve(JSON.parse(text) as PausesReport);
      } catch (error) {
        reject(error as Error);
      }
    });
  });
}

/** Loopback addresses, each once. */
function serverAddress(index: number): string {
  const network = Math.floor(index / 250);
  return `127.${1 + Math.floor(network / 250)}.${network % 250}.${1 + (index % 250)}`;
}

export async function pauses(runs: number | null): Promise<Report> {
  const before = load();
  const all: Phase[] = [];
  const refused: string[] = [];
  let stoodStillMs = 0;
  const fixedWork = new FixedWork();
  for (const services of Array.from({ length: runs ?? 1 }, () => SIZES).flat()) {
    const topology = await Topology.create(localMachine, {
      directors: 1,
      realServers: 0,
      clients: 0,
    });
    const node = topology.directors[0] as LabNode;
    const standstill = await Standstill.open();
    const contest = new Contest(node, services, standstill);
    try {
      await check(node, ['ip', 'link', 'set', 'lo', 'up']);
      await contest.run();
      all.push(...contest.phases);
      refused.push(...contest.refused);
      stoodStillMs = Math.max(stoodStillMs, standstill.longestMs);
    } finally {
      await contest.dispose();
      await standstill.close();
      await topology.dispose();
    }
  }
  const { leastMs, medianMs, mostMs } = fixedWork.end();
  const names = [...new Set(all.map(({ name }) => name))];
  const samples = (name: string, of: (phase: Phase) => number) =>
    all.flatMap((phase) => (phase.name === name ? of(phase) : []));
  const own = ({ ownMs }: Phase) => ownMs;
  const wall = ({ report }: Phase) => report.longest.wallMs;
  return {
    name: `pauses: longest turns of controllers of ${SIZES.join(' and ')} services`,
    rows: names.flatMap((name): Row[] => [
      { name: `${name}: CPU time`, unit: 'ms', samples: samples(name, own) },
      { name: `${name}: wall clock`, unit: 'ms', samples: samples(name, wall) },
    ]),
    targets: names.map((name) => {
      const longest = samples(name, own);
      // What the program takes it takes in most runs; the machine adds to one or another.
      const value = median(longest);
      const over = longest.filter((ms) => ms > TARGET_MS).length;
      const text =
        `${name}: CPU time of the longest turn, in the median at most ${TARGET_MS} ms ` +
        `(above it in ${over} of ${longest.length})`;
      return { text, value, met: value <= TARGET_MS };
    }),
    notes: [
      `Node loads the program before that in turns of up to ${Math.max(...all.map(({ report }) => report.loadingMs ?? 0)).toFixed(0)} ms of CPU time`,
      `resident memory: ${Math.max(...all.map(({ report }) => report.rssMiB)).toFixed(0)} MiB at most`,
      `a processor of the machine stood still for up to ${stoodStillMs.toFixed(0)} ms`,
      `meanwhile the same piece of work took ${leastMs.toFixed(1)} to ${mostMs.toFixed(1)} ms of CPU time, ${medianMs.toFixed(1)} ms in the median`,
      ...refused.map((what) => `not answered: ${what}`),
    ],
    load: [before, load()],
  };
}
