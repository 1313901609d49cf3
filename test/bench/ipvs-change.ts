/**
 * One server among 5,000 services gets another weight: over the control socket of a director, and
 * by its configuration file; against keepalived, which knows the file alone. From the request, or
 * the signal, to the weight in the kernel; looked at every millisecond. Each daemon runs alone.
 */
import { INSTALLED } from '../lab/director.ts';
import { check, type Machine, writeFile } from '../lab/host.ts';
import { ipvsMachine } from '../lab/requirements.ts';
import { Guest } from './guest.ts';
import { rowsOf } from './ipvs.ts';
import type { Count, Measurement } from './ipvs-guest.ts';
import {
  FIRST_PORT,
  keepalivedConfig,
  type Load,
  serverAddress,
  vipkeeperConfig,
  vipkeeperYaml,
} from './ipvs-load.ts';
import { prepareKeepalived } from './peers.ts';
import { load as loadAverage, median, print, type Report } from './report.ts';

const LOAD: Load = { services: 5_000, servers: 2 };
const RUNS = 5;
const DIRECTORY = '/tmp/vipkeeper-bench';
/** The service whose first server changes. */
const CHANGED = 2_500;
const TARGET_OVERRIDE = 10;
const TARGET_RELOAD = 1;

interface Samples {
  readonly override: Measurement[];
  readonly reload: Measurement[];
  readonly keepalived: Measurement[];
}

export async function ipvsChange(runs: number | null): Promise<Report> {
  const before = loadAverage();
  const { machine, stop } = await ipvsMachine(print);
  try {
    const samples = await measure(machine, runs ?? RUNS);
    return report(machine, samples, [before, loadAverage()]);
  } finally {
    await machine.run(['rm', '-rf', DIRECTORY]);
    await stop();
  }
}

async function measure(machine: Machine, runs: number): Promise<Samples> {
  const one = `${DIRECTORY}/one.yaml`;
  await writeFile(machine, one, vipkeeperConfig({ ...LOAD, services: 1 }, `${DIRECTORY}/run`));
  const guest = await Guest.start(machine);
  const samples: Samples = { override: [], reload: [], keepalived: [] };
  try {
    await guest.call<Count>({ method: 'read', config: one, services: LOAD.services });
    await changeKeepalived(machine, guest, { runs, samples });
    await changeVipkeeper(machine, guest, { runs, samples });
  } finally {
    await guest.call({ method: 'end' });
    guest.close();
  }
  return samples;
}

interface Rounds {
  readonly runs: number;
  readonly samples: Samples;
}

/** Weights of a run: no weight comes twice, so that each is seen when it is new. */
const fileWeight = (run: number) => 10 + run;
const overrideWeight = (run: number) => 100 + run;

async function changeKeepalived(
  machine: Machine,
  guest: Guest,
  { runs, samples }: Rounds,
): Promise<void> {
  const config = (weight: number) => keepalivedConfig(LOAD, { service: CHANGED, weight });
  const argv = await prepareKeepalived(machine, {
    directory: DIRECTORY,
    config: config(1),
    only: '-C',
  });
  const namespace = await newNamespace(machine, 'keepalived');
  const started = await guest.call<Measurement>({ method: 'start', namespace, argv });
  print(`ipvs-change, keepalived start: ${started.wallMs.toFixed(0)} ms`);
  for (let run = 0; run <= runs; run++) {
    const weight = fileWeight(run);
    const from = `${DIRECTORY}/next`;
    await writeFile(machine, from, config(weight));
    const change = { namespace, port: FIRST_PORT + CHANGED, weight };
    const to = `${DIRECTORY}/keepalived.conf`;
    keep(
      samples.keepalived,
      'keepalived, file',
      run,
    )(await guest.call<Measurement>({ method: 'reload', ...change, from, to }));
  }
  await guest.call<Count>({ method: 'end' });
}

async function changeVipkeeper(
  machine: Machine,
  guest: Guest,
  { runs, samples }: Rounds,
): Promise<void> {
  const runtime = `${DIRECTORY}/run`;
  const to = `${DIRECTORY}/vipkeeper.yaml`;
  const config = (weight: number) => vipkeeperYaml(LOAD, runtime, { service: CHANGED, weight });
  await writeFile(machine, to, config(1));
  const namespace = await newNamespace(machine, 'vipkeeper');
  const argv = [...INSTALLED, 'run', '--config', to, '--director', 'bench'];
  const started = await guest.call<Measurement>({ method: 'start', namespace, argv });
  print(`ipvs-change, vipkeeper start: ${started.wallMs.toFixed(0)} ms`);
  for (let run = 0; run <= runs; run++) {
    const weight = fileWeight(run);
    const from = `${DIRECTORY}/next`;
    await writeFile(machine, from, config(weight));
    const change = { namespace, port: FIRST_PORT + CHANGED, weight };
    keep(
      samples.reload,
      'vipkeeper, file',
      run,
    )(await guest.call<Measurement>({ method: 'reload', ...change, from, to }));
    // The file's weight counts for this server no more, so the override is of another one.
    const port = FIRST_PORT + CHANGED + 1;
    const target = `s${port}/${serverAddress(0)}`;
    const socket = `${runtime}/control.sock`;
    const other = { namespace, port, weight: overrideWeight(run), socket, target };
    keep(
      samples.override,
      'vipkeeper, control socket',
      run,
    )(await guest.call<Measurement>({ method: 'override', ...other }));
  }
}

/** Takes a measurement; the first of a daemon does not count, because its code is new to it. */
function keep(samples: Measurement[], what: string, run: number) {
  return (measured: Measurement): void => {
    print(`ipvs-change, ${what}, run ${run}: ${measured.wallMs.toFixed(1)} ms`);
    if (run > 0) samples.push(measured);
  };
}

async function newNamespace(machine: Machine, name: string): Promise<string> {
  const namespace = `vkbench-${process.pid}-${name}`;
  const script = `ip netns add ${namespace} && ip -n ${namespace} link set lo up`;
  await check(machine, ['sh', '-c', script]);
  return namespace;
}

function report(machine: Machine, samples: Samples, load: readonly [number, number]): Report {
  const wall = (name: keyof Samples) => median(samples[name].map(({ wallMs }) => wallMs));
  const target = (name: 'override' | 'reload', least: number) => {
    const value = wall('keepalived') / wall(name);
    const what = name === 'override' ? 'control socket' : 'file';
    const text = `keepalived, file / vipkeeper, ${what}, at least ${least}`;
    return { text, value, met: value >= least };
  };
  return {
    name: `ipvs-change: one weight among ${LOAD.services} services x ${LOAD.servers} servers, on ${machine.name}`,
    rows: [
      ...rowsOf('vipkeeper, control socket', samples.override),
      ...rowsOf('vipkeeper, file', samples.reload),
      ...rowsOf('keepalived, file', samples.keepalived),
    ],
    targets: [target('override', TARGET_OVERRIDE), target('reload', TARGET_RELOAD)],
    notes: [],
    load,
  };
}
