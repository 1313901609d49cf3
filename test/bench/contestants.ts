/**
 * The two kinds of directors that are compared, each with the same instances in the same
 * namespace: one VIP an instance, version 3, real-time scheduling, no log to a console. Both are
 * run as their own programs; what is measured of them is measured from outside.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { INSTALLED, VIPKEEPER } from '../lab/director.ts';
import {
  type Child,
  check,
  exitWithin,
  LabError,
  localMachine,
  waitFor,
  writeFile,
} from '../lab/host.ts';
import { type LabNode, Topology } from '../lab/topology.ts';
import { crash, prepareKeepalived } from './peers.ts';

export const KINDS = ['vipkeeper', 'keepalived'] as const;
export type Kind = (typeof KINDS)[number];
/** Priorities of the first and the second director. */
export const PRIORITIES = [150, 100] as const;

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 30_000;

export interface BenchInstance {
  readonly name: string;
  readonly interface: string;
  readonly vrid: number;
  readonly intervalMs: number;
  readonly address: string;
}

export interface ContestantOptions {
  readonly directory: string;
  readonly priority: number;
  readonly instances: readonly BenchInstance[];
  /** Of vipkeeper; default one of its own, which is empty. */
  readonly stateDirectory?: string;
  /** Default true. */
  readonly realTime?: boolean;
  /** Merged into vipkeeper's configuration; keepalived's gets nothing of it. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

interface Prepared {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** One running director of either kind. */
export class Contestant {
  readonly kind: Kind;
  readonly node: LabNode;
  readonly directory: string;
  readonly #argv: readonly string[];
  readonly #env: Readonly<Record<string, string>>;
  #running: Child | null = null;

  private constructor(kind: Kind, node: LabNode, directory: string, prepared: Prepared) {
    this.kind = kind;
    this.node = node;
    this.directory = directory;
    this.#argv = prepared.argv;
    this.#env = prepared.env;
  }

  static async start(kind: Kind, node: LabNode, options: ContestantOptions): Promise<Contestant> {
    const contestant = await Contestant.prepare(kind, node, options);
    await contestant.restart();
    return contestant;
  }

  /** With everything that it needs, and not yet started. */
  static async prepare(kind: Kind, node: LabNode, options: ContestantOptions): Promise<Contestant> {
    const directory = join(options.directory, `${kind}-${node.name}`);
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
    const argv = await prepare(kind, directory, options);
    const state = options.stateDirectory ?? join(directory, 'state');
    return new Contestant(kind, node, directory, { argv, env: { STATE_DIRECTORY: state } });
  }

  get #child(): Child {
    if (this.#running === null) throw new LabError(`${this.kind} was not started`);
    return this.#running;
  }

  /** Writes a changed configuration; see reload(). */
  configure(options: ContestantOptions): Promise<string[]> {
    return prepare(this.kind, this.directory, options);
  }

  /** The process of the election: the keeper, or keepalived's VRRP process. */
  electionPid(): number {
    if (this.kind === 'vipkeeper') return this.#child.pid;
    return Number(readFileSync(`${this.directory}/vrrp.pid`, 'utf8'));
  }

  /** The process that the service manager knows. */
  get mainPid(): number {
    return this.#child.pid;
  }

  /** Whether the controller's socket or keepalived's process id is there. */
  async ready(): Promise<void> {
    await waitFor(
      `${this.kind} on ${this.node.name}`,
      async () => {
        if (this.kind === 'vipkeeper') {
          const files = readdirSync(this.directory);
          return (
            files.includes('run') && readdirSync(`${this.directory}/run`).includes('control.sock')
          );
        }
        return readdirSync(this.directory).includes('vrrp.pid');
      },
      START_TIMEOUT_MS,
    );
  }

  /** Another command of vipkeeper's command line, with this director's runtime directory. */
  command(argv: readonly string[]) {
    return this.node.run([...VIPKEEPER, ...argv, '--runtime-directory', `${this.directory}/run`]);
  }

  signal(signal: NodeJS.Signals, pid = this.#child.pid): void {
    process.kill(pid, signal);
  }

  /** All processes at the same moment. */
  signalAll(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async restart(): Promise<void> {
    this.#running = await this.node.spawn(this.#argv, { env: this.#env });
  }

  /** Ends it in order, as the service manager does. */
  async stop(): Promise<void> {
    process.kill(this.#child.pid, 'SIGTERM');
    if ((await exitWithin(this.#child, STOP_TIMEOUT_MS)) === null) {
      throw new LabError(`${this.kind} on ${this.node.name} did not stop`);
    }
  }

  crash(): Promise<void> {
    return crash(this.#child);
  }
}

async function prepare(
  kind: Kind,
  directory: string,
  options: ContestantOptions,
): Promise<string[]> {
  if (kind === 'keepalived') {
    const config = keepalivedConfig(options);
    return prepareKeepalived(localMachine, { directory, config, only: '-P' });
  }
  const file = `${directory}/vipkeeper.yaml`;
  await writeFile(localMachine, file, JSON.stringify(vipkeeperConfig(directory, options)));
  return [...INSTALLED, 'run', '--config', file, '--director', 'bench'];
}

function vipkeeperConfig(directory: string, options: ContestantOptions): unknown {
  const vrrp: Record<string, unknown> = {};
  for (const { name, interface: device, vrid, intervalMs, address } of options.instances) {
    vrrp[name] = {
      interface: device,
      vrid,
      priority: options.priority,
      interval: `${intervalMs}ms`,
      addresses: [address],
    };
  }
  const scheduling = options.realTime === false ? { keeper: { scheduling: 'normal' } } : {};
  const runtime = { http: 'off', runtime_directory: `${directory}/run` };
  return { vrrp, ...runtime, ...scheduling, ...options.extra };
}

function keepalivedConfig({ instances, priority, realTime }: ContestantOptions): string {
  const lines = ['global_defs {', '  vrrp_version 3'];
  if (realTime !== false) {
    // By default it is killed after 10 ms of work without a pause, which takeovers of 255 need.
    lines.push('  vrrp_rt_priority 50', '  vrrp_rlimit_rttime 10000000');
  }
  lines.push('}');
  for (const { name, interface: device, vrid, intervalMs, address } of instances) {
    lines.push(
      `vrrp_instance ${name} {`,
      '  state BACKUP',
      `  interface ${device}`,
      `  virtual_router_id ${vrid}`,
      `  priority ${priority}`,
      `  advert_int ${intervalMs / 1000}`,
      `  virtual_ipaddress { ${address} }`,
      '}',
    );
  }
  return `${lines.join('\n')}\n`;
}

/** VRIDs on one interface, so that neither contestant needs a second one for the same network. */
const VRIDS_PER_INTERFACE = 250;

/** Two directors joined by as many cables as their instances need. */
export async function createPair(interfaces: number): Promise<Topology> {
  const topology = await Topology.create(localMachine, {
    directors: 2,
    realServers: 0,
    clients: 1,
  });
  const [first, second] = topology.directors as [LabNode, LabNode];
  const commands: string[] = [];
  for (let index = 0; index < interfaces; index++) {
    const ends = [first, second].map(({ namespace }) => namespace);
    commands.push(
      `ip link add v${index} netns ${ends[0]} type veth peer name v${index} netns ${ends[1]}`,
    );
    for (const [host, namespace] of ends.entries()) {
      commands.push(`ip -n ${namespace} addr add 10.99.${index}.${host + 1}/24 dev v${index}`);
      commands.push(`ip -n ${namespace} link set v${index} up`);
    }
  }
  try {
    await check(localMachine, ['sh', '-e'], { stdin: `${commands.join('\n')}\n` });
  } catch (error) {
    await topology.dispose();
    throw error;
  }
  return topology;
}

/** `count` instances over the cables of createPair(), 250 on each. */
export function manyInstances(count: number, intervalMs: number): BenchInstance[] {
  return Array.from({ length: count }, (_, index) => {
    const cable = Math.floor(index / VRIDS_PER_INTERFACE);
    const vrid = (index % VRIDS_PER_INTERFACE) + 1;
    return {
      name: `i${index}`,
      interface: `v${cable}`,
      vrid,
      intervalMs,
      address: `10.98.${cable}.${vrid}/32`,
    };
  });
}

/** Cables that `count` instances need. */
export function cablesFor(count: number): number {
  return Math.ceil(count / VRIDS_PER_INTERFACE);
}

/** How many VIPs of manyInstances() the node holds. */
export async function heldVips(node: LabNode): Promise<number> {
  const { stdout } = await check(node, ['ip', '-4', '-o', 'addr', 'show']);
  return (stdout.match(/ 10\.98\./g) ?? []).length;
}

/** Removes what a crashed director left. */
export async function removeVips(node: LabNode): Promise<void> {
  const { stdout } = await check(node, ['ip', '-4', '-o', 'addr', 'show']);
  const left = [...stdout.matchAll(/^\d+: (\S+) +inet (10\.98\.\S+)/gm)];
  const commands = left.map(([, device, address]) => `addr del ${address} dev ${device}`);
  if (commands.length === 0) return;
  await check(node, ['ip', '-batch', '-'], { stdin: `${commands.join('\n')}\n` });
}

/** CPU time of all threads of a process since its start, in ms. */
export function cpuMs(pid: number): number {
  const tasks = `/proc/${pid}/task`;
  let nanoseconds = 0;
  for (const task of readdirSync(tasks)) {
    nanoseconds += Number(readFileSync(`${tasks}/${task}/schedstat`, 'utf8').split(' ')[0]);
  }
  return nanoseconds / 1e6;
}

export function sleep(timeMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, timeMs));
}
