/**
 * Programming the kernel's IPVS table from empty, in a fresh network namespace each time (the
 * kernel is slow in one whose table was flushed): the daemon's own code in a warm process, the
 * whole daemon from its start, `ipvsadm -R`, and keepalived from its start. They take turns.
 *
 * Where this machine's kernel has no IPVS, all of it runs in the lab's emulated machine, which
 * slows JavaScript down more than kernel work: so the share of the kernel's time is told too.
 */
import { CONTROLLER_NODE_FLAGS } from '../../src/core/processes.ts';
import { VIPKEEPER } from '../lab/director.ts';
import { type Child, check, LabError, type Machine, REPOSITORY, writeFile } from '../lab/host.ts';
import { ipvsMachine } from '../lab/requirements.ts';
import type { Count, GuestCall, Measurement } from './ipvs-guest.ts';
import { ipvsadmRules, keepalivedConfig, type Load, vipkeeperConfig } from './ipvs-load.ts';
import { prepareKeepalived } from './peers.ts';
import {
  load as loadAverage,
  median,
  print,
  type Report,
  type Row,
  type Target,
} from './report.ts';

const LOAD: Load = { services: 1_000, servers: 2 };
const RUNS = 7;
/** The optimizing compiler has seen the code by then. */
const WARM_UP_RUNS = 4;
const DIRECTORY = '/tmp/vipkeeper-bench';
const CALL_TIMEOUT_MS = 180_000;
/** The kernel clears a namespace away behind our back; the next measurement is not to pay. */
const SETTLE_MS = 1_500;
const TARGET_IPVSADM = 1.5;
const TARGET_KEEPALIVED = 1;

const CONTESTANTS = [
  'vipkeeper warm',
  'ipvsadm -R',
  'keepalived start',
  'vipkeeper start',
] as const;
type Contestant = (typeof CONTESTANTS)[number];

/** The measuring program on the machine with IPVS. */
class Guest {
  readonly #child: Child;
  readonly #waiting: ((line: string) => void)[] = [];
  #partial = '';

  private constructor(child: Child) {
    this.#child = child;
  }

  static async start(machine: Machine): Promise<Guest> {
    let receive: (text: string) => void = () => {};
    let errors = '';
    const program = `${REPOSITORY}/dist/test/bench/ipvs-guest.js`;
    const child = await machine.spawn([process.execPath, ...CONTROLLER_NODE_FLAGS, program], {
      onStdout: (chunk) => receive(chunk.toString('utf8')),
      onStderr: (chunk) => {
        errors += chunk.toString('utf8');
      },
    });
    const guest = new Guest(child);
    receive = (text) => guest.#receive(text);
    const ended = (): void => {
      for (const resolve of guest.#waiting.splice(0)) resolve(JSON.stringify({ error: errors }));
    };
    child.exited.then(ended, ended);
    return guest;
  }

  async call<T extends Measurement | Count>(call: GuestCall): Promise<T> {
    const line = await new Promise<string>((resolve, reject) => {
      const late = () =>
        reject(new LabError(`${call.method} took more than ${CALL_TIMEOUT_MS} ms`));
      const timer = setTimeout(late, CALL_TIMEOUT_MS);
      this.#waiting.push((answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
      this.#child.write(`${JSON.stringify(call)}\n`);
    });
    const { value, error } = JSON.parse(line) as { value?: T; error?: string };
    if (value === undefined) throw new LabError(`${call.method}: ${error}`);
    return value;
  }

  close(): void {
    this.#child.kill('SIGKILL');
  }

  #receive(text: string): void {
    const lines = (this.#partial + text).split('\n');
    this.#partial = lines.pop() ?? '';
    for (const line of lines) this.#waiting.shift()?.(line);
  }
}

class Contest {
  readonly #machine: Machine;
  readonly #guest: Guest;
  readonly #keepalived: readonly string[];
  #count = 0;

  constructor(machine: Machine, guest: Guest, keepalived: readonly string[]) {
    this.#machine = machine;
    this.#guest = guest;
    this.#keepalived = keepalived;
  }

  /** One measurement in a namespace of its own. */
  async run(contestant: Contestant): Promise<Measurement> {
    this.#count++;
    const namespace = `vkbench-${process.pid}-${this.#count}`;
    const script = `ip netns add ${namespace} && ip -n ${namespace} link set lo up`;
    await check(this.#machine, ['sh', '-c', script]);
    try {
      const measured = await this.#guest.call<Measurement>(this.#call(contestant, namespace));
      const { services, servers } = await this.#guest.call<Count>({ method: 'count', namespace });
      if (services !== LOAD.services || servers !== LOAD.services * LOAD.servers) {
        throw new LabError(`${contestant} programmed ${services} services, ${servers} servers`);
      }
      return measured;
    } finally {
      const clean = `rm -rf ${DIRECTORY}/run; ip netns del ${namespace}`;
      await check(this.#machine, ['sh', '-c', clean]);
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    }
  }

  #call(contestant: Contestant, namespace: string): GuestCall {
    switch (contestant) {
      case 'vipkeeper warm':
        return { method: 'program', namespace };
      case 'ipvsadm -R':
        return { method: 'command', namespace, script: `ipvsadm -R <${DIRECTORY}/rules` };
      case 'keepalived start':
        return { method: 'daemon', namespace, argv: this.#keepalived };
      case 'vipkeeper start': {
        const file = `${DIRECTORY}/vipkeeper.yaml`;
        const argv = [...VIPKEEPER, 'run', '--config', file, '--director', 'bench'];
        return { method: 'daemon', namespace, argv };
      }
    }
  }
}

/** Writes the configurations, warms up, and lets the contestants take turns. */
export async function ipvs(runs: number | null): Promise<Report> {
  const before = loadAverage();
  const { machine, stop } = await ipvsMachine(print);
  try {
    const samples = await measure(machine, runs ?? RUNS);
    return report(machine, samples, [before, loadAverage()]);
  } finally {
    await stop();
  }
}

type Samples = Readonly<Record<Contestant, Measurement[]>>;

async function measure(machine: Machine, runs: number): Promise<Samples> {
  await writeFile(machine, `${DIRECTORY}/rules`, ipvsadmRules(LOAD));
  const config = `${DIRECTORY}/vipkeeper.yaml`;
  await writeFile(machine, config, vipkeeperConfig(LOAD, `${DIRECTORY}/run`));
  const keepalived = await prepareKeepalived(machine, {
    directory: DIRECTORY,
    config: keepalivedConfig(LOAD),
    only: '-C',
  });
  const guest = await Guest.start(machine);
  const samples: Samples = {
    'vipkeeper warm': [],
    'ipvsadm -R': [],
    'keepalived start': [],
    'vipkeeper start': [],
  };
  try {
    await guest.call<Count>({ method: 'read', config });
    const contest = new Contest(machine, guest, keepalived);
    for (let run = 1; run <= WARM_UP_RUNS; run++) await contest.run('vipkeeper warm');
    for (let run = 1; run <= runs; run++) {
      for (const contestant of CONTESTANTS) {
        const measured = await contest.run(contestant);
        samples[contestant].push(measured);
        print(`ipvs, run ${run} of ${runs}, ${contestant}: ${measured.wallMs.toFixed(0)} ms`);
      }
    }
    return samples;
  } finally {
    guest.close();
    await machine.run(['rm', '-rf', DIRECTORY]);
  }
}

function report(machine: Machine, samples: Samples, load: readonly [number, number]): Report {
  const rows: Row[] = CONTESTANTS.flatMap((name) => [
    { name, unit: 'ms', samples: samples[name].map(({ wallMs }) => wallMs) },
    {
      name: `${name}: kernel's share of CPU time`,
      unit: '%',
      samples: samples[name].map(({ userMs, systemMs }) => (100 * systemMs) / (userMs + systemMs)),
    },
  ]);
  const wall = (name: Contestant) => median(samples[name].map(({ wallMs }) => wallMs));
  const ratio = (slower: Contestant, faster: Contestant) => wall(slower) / wall(faster);
  const target = (peer: Contestant, least: number): Target => {
    const value = ratio(peer, 'vipkeeper warm');
    return { text: `${peer} / vipkeeper warm, at least ${least}`, value, met: value >= least };
  };
  return {
    name: `ipvs: ${LOAD.services} services x ${LOAD.servers} servers, on ${machine.name}`,
    rows,
    targets: [target('ipvsadm -R', TARGET_IPVSADM), target('keepalived start', TARGET_KEEPALIVED)],
    notes: [
      `keepalived start / vipkeeper start: ${ratio('keepalived start', 'vipkeeper start').toFixed(2)}`,
      `ipvsadm -R / vipkeeper start: ${ratio('ipvsadm -R', 'vipkeeper start').toFixed(2)}`,
    ],
    load,
  };
}
