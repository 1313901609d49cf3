/**
 * Programming the kernel's IPVS table from empty, in a fresh network namespace each time (the
 * kernel is slow in one whose table was flushed): the daemon's own code in a warm process, the
 * whole daemon from its start, `ipvsadm -R`, and keepalived from its start, in turns.
 *
 * Where this machine's kernel has no IPVS, all of it runs in the lab's emulated machine, which
 * slows JavaScript down more than kernel work: so the share of the kernel's time is told too.
 */
import { INSTALLED } from '../lab/director.ts';
import { check, LabError, type Machine, writeFile } from '../lab/host.ts';
import { ipvsMachine } from '../lab/requirements.ts';
import { Guest } from './guest.ts';
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

/** What is programmed, by whom besides the warm process and ipvsadm, and how often at most. */
interface Case extends Load {
  readonly contestants: readonly Contestant[];
  readonly runs: number;
}
/** The optimizing compiler has seen the code by then, and has thrown away what it guessed wrong. */
const WARM_UP_RUNS = 4;
const DIRECTORY = '/tmp/vipkeeper-bench';
/** The kernel clears a namespace away behind our back; the next measurement is not to pay. */
const SETTLE_MS = 1_500;
const TARGET_IPVSADM = 1.5;
const TARGET_KEEPALIVED = 1;

const CONTESTANTS = [
  'vipkeeper warm',
  'ipvsadm -R',
  'keepalived start',
  'vipkeeper start',
  'vipkeeper plan',
] as const;
type Contestant = (typeof CONTESTANTS)[number];
/**
 * They take turns. The others, which take half a minute each, come after them: the warm process is
 * not to do nothing for so long, as a controller, which compares its table, never does.
 */
const COMPARED: readonly Contestant[] = ['vipkeeper warm', 'ipvsadm -R', 'keepalived start'];

const WITHOUT_START = CONTESTANTS.filter((name) => name !== 'vipkeeper start');
/** The large ones fewer times: emulated, a peer takes ten seconds and more. */
const CASES: readonly Case[] = [
  { services: 1_000, servers: 2, contestants: CONTESTANTS, runs: 7 },
  { services: 10, servers: 1_000, contestants: WITHOUT_START, runs: 3 },
  { services: 10_000, servers: 2, contestants: WITHOUT_START, runs: 3 },
];

let namespaces = 0;

class Contest {
  readonly #machine: Machine;
  readonly #guest: Guest;
  readonly #keepalived: readonly string[];
  readonly #load: Load;

  constructor(
    machine: Machine,
    guest: Guest,
    { keepalived, load }: { readonly keepalived: readonly string[]; readonly load: Load },
  ) {
    this.#machine = machine;
    this.#guest = guest;
    this.#keepalived = keepalived;
    this.#load = load;
  }

  /** One measurement in a namespace of its own. */
  async run(contestant: Contestant): Promise<Measurement> {
    namespaces++;
    const namespace = `vkbench-${process.pid}-${namespaces}`;
    const script = `ip netns add ${namespace} && ip -n ${namespace} link set lo up`;
    await check(this.#machine, ['sh', '-c', script]);
    try {
      // What it compares with the file is there.
      if (contestant === 'vipkeeper plan') {
        await this.#guest.call<Measurement>(this.#call('ipvsadm -R', namespace));
      }
      const measured = await this.#guest.call<Measurement>(this.#call(contestant, namespace));
      const { services, servers } = await this.#guest.call<Count>({ method: 'count', namespace });
      const wanted = this.#load.services * this.#load.servers;
      if (services !== this.#load.services || servers !== wanted) {
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
        const argv = [...INSTALLED, 'run', '--config', file, '--director', 'bench'];
        return { method: 'daemon', namespace, argv };
      }
      case 'vipkeeper plan': {
        const options = `--director bench --runtime-directory ${DIRECTORY}/run`;
        const command = [...INSTALLED, 'plan', `${DIRECTORY}/vipkeeper.yaml`].join(' ');
        return { method: 'command', namespace, script: `${command} ${options} >/dev/null` };
      }
    }
  }
}

/** Writes the configurations, warms up, and lets the contestants take turns, case by case. */
export async function ipvs(runs: number | null): Promise<Report> {
  const before = loadAverage();
  const { machine, stop } = await ipvsMachine(print);
  try {
    const guest = await Guest.start(machine);
    const measured: Measured[] = [];
    try {
      for (const one of CASES) {
        const samples = await measure(machine, guest, { ...one, runs: runs ?? one.runs });
        measured.push({ load: one, samples });
      }
    } finally {
      guest.close();
    }
    return report(machine, measured, [before, loadAverage()]);
  } finally {
    await machine.run(['rm', '-rf', DIRECTORY]);
    await stop();
  }
}

type Samples = Readonly<Record<Contestant, Measurement[]>>;

interface Measured {
  readonly load: Case;
  readonly samples: Samples;
}

async function measure(machine: Machine, guest: Guest, one: Case): Promise<Samples> {
  await writeFile(machine, `${DIRECTORY}/rules`, ipvsadmRules(one));
  const config = `${DIRECTORY}/vipkeeper.yaml`;
  // The warm process makes the others from one: reading is not what is measured.
  await writeFile(machine, config, vipkeeperConfig({ ...one, services: 1 }, `${DIRECTORY}/run`));
  await guest.call<Count>({ method: 'read', config, services: one.services });
  await writeFile(machine, config, vipkeeperConfig(one, `${DIRECTORY}/run`));
  const keepalived = await prepareKeepalived(machine, {
    directory: DIRECTORY,
    config: keepalivedConfig(one),
    only: '-C',
  });
  const samples: Samples = {
    'vipkeeper warm': [],
    'ipvsadm -R': [],
    'keepalived start': [],
    'vipkeeper start': [],
    'vipkeeper plan': [],
  };
  const contest = new Contest(machine, guest, { keepalived, load: one });
  for (let run = 1; run <= WARM_UP_RUNS; run++) await contest.run('vipkeeper warm');
  const isCompared = (name: Contestant) => COMPARED.includes(name);
  const others = one.contestants.filter((name) => !isCompared(name));
  for (const inTurns of [one.contestants.filter(isCompared), others]) {
    for (let run = 1; run <= one.runs; run++) {
      for (const contestant of inTurns) {
        const measured = await contest.run(contestant);
        samples[contestant].push(measured);
        const what = `${one.services} x ${one.servers}, run ${run} of ${one.runs}`;
        print(`ipvs, ${what}, ${contestant}: ${measured.wallMs.toFixed(0)} ms`);
      }
    }
  }
  return samples;
}

function report(
  machine: Machine,
  measured: readonly Measured[],
  load: readonly [number, number],
): Report {
  const wall = (samples: Samples, name: Contestant) =>
    median(samples[name].map(({ wallMs }) => wallMs));
  const rows = measured.flatMap(({ load: one, samples }) =>
    one.contestants.flatMap((name) =>
      rowsOf(`${one.services} x ${one.servers}, ${name}`, samples[name]),
    ),
  );
  const targets = measured.flatMap(({ load: one, samples }) => {
    const target = (peer: Contestant, least: number): Target => {
      const value = wall(samples, peer) / wall(samples, 'vipkeeper warm');
      const what = `${one.services} x ${one.servers}, ${peer} / vipkeeper warm, at least ${least}`;
      return { text: what, value, met: value >= least };
    };
    return [target('ipvsadm -R', TARGET_IPVSADM), target('keepalived start', TARGET_KEEPALIVED)];
  });
  const first = (measured[0] as Measured).samples;
  const ratio = (peer: Contestant) =>
    (wall(first, peer) / wall(first, 'vipkeeper start')).toFixed(2);
  return {
    name: `ipvs: services x servers, on ${machine.name}`,
    rows,
    targets,
    notes: [
      `keepalived start / vipkeeper start: ${ratio('keepalived start')}`,
      `ipvsadm -R / vipkeeper start: ${ratio('ipvsadm -R')}`,
    ],
    load,
  };
}

/** Time, and the share of CPU time that was spent inside the kernel. */
export function rowsOf(name: string, samples: readonly Measurement[]): Row[] {
  const share = ({ userMs, systemMs }: Measurement) =>
    userMs + systemMs === 0 ? 0 : (100 * systemMs) / (userMs + systemMs);
  return [
    { name, unit: 'ms', samples: samples.map(({ wallMs }) => wallMs) },
    { name: `${name}: kernel's share of CPU time`, unit: '%', samples: samples.map(share) },
  ];
}
