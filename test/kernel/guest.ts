/**
 * Whole directors in the lab VM, as tests on the host see them: their configuration, log, status
 * and end, the IPVS table as ipvsadm prints it, and a client that makes traffic.
 *
 * Invariants: every wait is bounded and its failure shows the director's log; nothing is stubbed:
 * directors are started by the command that users run, and other commands are carried out by its
 * code, mostly in a process that stays.
 */
import { join } from 'node:path';
import { EXIT } from '../../src/cli/commands.ts';
import type { DirectorStatus } from '../../src/core/status.ts';
import {
  type Child,
  check,
  exitWithin,
  LabError,
  labProgram,
  REPOSITORY,
  type RunResult,
  waitFor,
  writeFile,
} from '../lab/host.ts';
import { BACK_GATEWAY_V4, BACK_GATEWAY_V6, type LabNode } from '../lab/topology.ts';
import type { Vm } from '../lab/vm.ts';
import type {
  CommandAnswer,
  Download,
  Exchange,
  HttpAnswer,
  Message,
  PeerCall,
} from './guest-peer.ts';
import { Ipvsadm } from './ipvsadm.ts';

/**
 * Limits for what hangs. The emulator may have to do with what the tests beside it leave of the
 * processors (test/run.mjs): several times as long as it takes alone.
 */
/** A boot, some namespaces, and as many starts of Node. */
export const SETUP_MS = 600_000;
export const TEST_MS = 400_000;
/** For conditions that the product meets in a second or two. */
export const WAIT_MS = 180_000;
/** For the start of a director: three starts of Node. */
const START_MS = 300_000;
/**
 * A command in the VM takes 0.1 s to 0.5 s of a processor, which the product needs as well: what
 * takes long is looked for less often.
 */
const pollMs = (waitedMs: number) => Math.min(1_000, Math.max(250, waitedMs / 8));
/** The command of an installation, whose start is a third of the work that modules are. */
export const VIPKEEPER = join(REPOSITORY, 'dist', 'start', 'vipkeeper');
const PEER = join(REPOSITORY, 'dist', 'test', 'kernel', 'guest-peer.js');

/**
 * A download that lasts for the whole test. It comes some times a second: each packet goes by way
 * of four emulated interfaces, and fifty a second were a third of what a director's file took.
 */
export const LONG_DOWNLOAD = '/stream?bytes=1000000000&rate=100000&tick=200';

/** What real servers behind NAT have as their gateways, as `addresses` of an instance. */
export const GATEWAY = { address: `${BACK_GATEWAY_V4}/24`, interface: 'eth1' } as const;
export const GATEWAY6 = { address: `${BACK_GATEWAY_V6}/64`, interface: 'eth1' } as const;

/** The configuration `vrrp` with one instance, `all`, on the LAN of the clients. */
export function oneInstance(
  addresses: readonly (string | { readonly address: string; readonly interface: string })[],
  more: Readonly<Record<string, unknown>> = {},
) {
  return { all: { interface: 'eth0', vrid: 51, interval: '1s', ...more, addresses } };
}
/** As `more`: director1 is active where both run. */
export const FIRST_PREFERRED = { priority: { director1: 150, director2: 100 } } as const;

/** A log line of a director: fields differ by `event`. */
export interface LogLine {
  readonly msg: string;
  readonly event?: string;
  readonly [field: string]: unknown;
}

/** waitFor() with the pace and patience of the VM. */
export function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = WAIT_MS,
): Promise<void> {
  return waitFor(what, condition, timeoutMs, pollMs);
}

/** The peer in a client's namespace; calls are answered in their order. */
export class Peer {
  readonly #child: Child;
  readonly #waiting: ((line: string) => void)[] = [];
  #partial = '';

  private constructor(child: Child) {
    this.#child = child;
  }

  static async start(node: LabNode): Promise<Peer> {
    let receive: (text: string) => void = () => {};
    let errors = '';
    const child = await node.spawn([process.execPath, PEER], {
      onStdout: (chunk) => receive(chunk.toString('utf8')),
      onStderr: (chunk) => {
        errors += chunk.toString('utf8');
      },
    });
    const peer = new Peer(child);
    receive = (text) => peer.#receive(text);
    const ended = (): void => {
      for (const resolve of peer.#waiting.splice(0)) resolve(JSON.stringify({ error: errors }));
    };
    child.exited.then(ended, ended);
    return peer;
  }

  get(url: string): Promise<HttpAnswer> {
    return this.#call({ method: 'http', url, verb: 'GET' });
  }

  put(url: string): Promise<HttpAnswer> {
    return this.#call({ method: 'http', url, verb: 'PUT' });
  }

  ask(socketPath: string, path: string, verb: 'GET' | 'POST' = 'GET'): Promise<HttpAnswer> {
    return this.#call({ method: 'ask', socketPath, path, verb });
  }

  /** Carries out a command of vipkeeper's, in the process that is there. */
  command(argv: readonly string[]): Promise<CommandAnswer> {
    return this.#call({ method: 'command', argv });
  }

  /** Names of the servers that answered, null where none did. */
  datagrams(host: string, port: number, count: number): Promise<(string | null)[]> {
    return this.#call({ method: 'udp', host, port, count });
  }

  /** What came back to each datagram; null for the first without an answer, and no more then. */
  messages(host: string, port: number, messages: readonly Message[]): Promise<(string | null)[]> {
    return this.#call({ method: 'messages', host, port, messages });
  }

  /** What servers said, one after another; an error is its code. */
  exchange(exchanges: readonly Exchange[]): Promise<string[]> {
    return this.#call({ method: 'exchange', exchanges });
  }

  /** Makes so many connections at once, and does not wait for them. */
  connect(host: string, port: number, count: number): Promise<null> {
    return this.#call({ method: 'connect', host, port, count });
  }

  /** How many of the connections that are held are established. */
  connected(): Promise<number> {
    return this.#call({ method: 'connected' });
  }

  /** Ends the connections of all exchanges and of connect() by a reset. */
  release(): Promise<null> {
    return this.#call({ method: 'release' });
  }

  startDownload(url: string): Promise<Download> {
    return this.#call({ method: 'startDownload', url });
  }

  download(): Promise<Download> {
    return this.#call({ method: 'download' });
  }

  async #call<T>(call: PeerCall): Promise<T> {
    const line = await new Promise<string>((resolve) => {
      this.#waiting.push(resolve);
      this.#child.write(`${JSON.stringify(call)}\n`);
    });
    return JSON.parse(line) as T;
  }

  #receive(text: string): void {
    const lines = (this.#partial + text).split('\n');
    this.#partial = lines.pop() ?? '';
    for (const line of lines) this.#waiting.shift()?.(line);
  }
}

export class GuestDirector {
  readonly node: LabNode;
  readonly runtimeDirectory: string;
  /** Everything logged so far, in order, over restarts of the controller too. */
  readonly log: LogLine[] = [];
  readonly #vm: Vm;
  readonly #peer: Peer;
  readonly #configPath: string;
  readonly #stateDirectory: string;
  readonly #ipvsadm: Ipvsadm;
  #earlierStarts = 0;
  #stderr = '';
  #partial = '';
  #child: Child | null = null;

  /** Its files are in /tmp/`name` of the VM. */
  constructor(vm: Vm, node: LabNode, peer: Peer, name = node.name) {
    this.#vm = vm;
    this.#peer = peer;
    this.node = node;
    this.#ipvsadm = new Ipvsadm(node);
    this.runtimeDirectory = `/tmp/${name}/run`;
    this.#configPath = `/tmp/${name}/vipkeeper.yaml`;
    this.#stateDirectory = `/tmp/${name}/state`;
  }

  /** Writes the configuration file, as JSON, which is YAML; nobody is told. */
  async configure(config: Readonly<Record<string, unknown>>): Promise<void> {
    const whole = { runtime_directory: this.runtimeDirectory, http: 'off', ...config };
    await writeFile(this.#vm, this.#configPath, JSON.stringify(whole));
  }

  /** Starts the processes, and does not wait for them. */
  async start(): Promise<void> {
    const argv = ['run', '--config', this.#configPath, '--director', this.node.name];
    this.#earlierStarts = this.lines('started').length;
    this.#child = await this.node.spawn([VIPKEEPER, ...argv], {
      env: { STATE_DIRECTORY: this.#stateDirectory },
      onStdout: (chunk) => this.#collect(chunk.toString('utf8')),
      onStderr: (chunk) => {
        this.#stderr += chunk.toString('utf8');
      },
    });
    this.#child.end();
  }

  /** Waits until it has programmed the table for the first time. */
  async started(): Promise<void> {
    // Questions that nobody can answer yet are work for the processors that start it.
    const told = () => this.lines('started').length > this.#earlierStarts;
    await this.until('the start to be told', told, START_MS);
    const compared = async () => ((await this.tryStatus())?.ipvs.reconciles ?? 0) > 0;
    await this.until('the first comparison', compared, START_MS);
  }

  get stderr(): string {
    return this.#stderr;
  }

  lines(event: string, fields: Readonly<Record<string, unknown>> = {}): LogLine[] {
    return this.log.filter(
      (line) =>
        line.event === event && Object.entries(fields).every(([key, value]) => line[key] === value),
    );
  }

  /** until() whose failure shows the log. */
  async until(
    what: string,
    condition: () => boolean | Promise<boolean>,
    timeoutMs = WAIT_MS,
  ): Promise<void> {
    try {
      await until(`${what} on ${this.node.name}`, condition, timeoutMs);
    } catch (error) {
      const log = this.log.slice(-30).map((line) => JSON.stringify(line));
      throw new LabError([(error as Error).message, ...log, this.#stderr].join('\n'));
    }
  }

  /** Null while no controller answers. */
  async tryStatus(): Promise<DirectorStatus | null> {
    const { status, body } = await this.#ask('/v1/status');
    return status === 200 ? (JSON.parse(body) as DirectorStatus) : null;
  }

  async status(): Promise<DirectorStatus> {
    return JSON.parse(await this.#answer('/v1/status')) as DirectorStatus;
  }

  /** What comes in the end: an emulator in the background may get no time for a minute. */
  async #answer(path: string): Promise<string> {
    let answer = await this.#ask(path);
    await this.until(`an answer to ${path}`, async () => {
      if (answer.status !== 200) answer = await this.#ask(path);
      return answer.status === 200;
    });
    return answer.body;
  }

  /** Runs a command of the program's own for this director, as a process. */
  async vipkeeper(...argv: string[]): Promise<RunResult> {
    return check(this.node, [VIPKEEPER, ...argv, ...this.#ownDirectory()]);
  }

  /**
   * Carries out a command that asks this director, while it runs, without the start of a process;
   * returns its exit status, which says no more than that there are changes, and what it prints.
   * Calls of the peer wait for its end.
   */
  async command(...argv: string[]): Promise<{ readonly code: number; readonly stdout: string }> {
    const words = [...argv, ...this.#ownDirectory()];
    const { code, stdout, stderr } = await this.#peer.command(words);
    if ((code !== EXIT.ok && code !== EXIT.changes) || stderr !== '') {
      throw new LabError(`"vipkeeper ${words.join(' ')}" ended with ${code}: ${stderr}`);
    }
    return { code, stdout };
  }

  #ownDirectory(): readonly string[] {
    return ['--runtime-directory', this.runtimeDirectory];
  }

  /** Does what the path says, over the control socket: '/v1/reload'. */
  async post(path: string): Promise<HttpAnswer> {
    return this.#peer.ask(join(this.runtimeDirectory, 'control.sock'), path, 'POST');
  }

  /** Values of a metric by its labels: '{class="missing"}' or ''. */
  async metric(name: string): Promise<ReadonlyMap<string, number>> {
    const values = new Map<string, number>();
    for (const line of (await this.#answer('/metrics')).split('\n')) {
      const match = /^(\w+)(\{.*\})? (\S+)$/.exec(line);
      if (match?.[1] === name) values.set(match[2] ?? '', Number(match[3]));
    }
    return values;
  }

  /** Waits until the table was compared, from now on, `times` times more. */
  async reconciled(times: number): Promise<DirectorStatus> {
    const before = (await this.status()).ipvs.reconciles;
    let status: DirectorStatus | null = null;
    await this.until(`${times} reconciles`, async () => {
      status = await this.tryStatus();
      return (status?.ipvs.reconciles ?? 0) >= before + times;
    });
    return status ?? this.status();
  }

  /** Output lines of ipvsadm, blanks made one. */
  async ipvsadm(...argv: string[]): Promise<string[]> {
    const lines = (await this.#ipvsadm.run(argv))
      .split('\n')
      .map((line) => line.trim().replace(/ +/g, ' '));
    return lines.filter((line) => line !== '');
  }

  /** `ipvsadm -Sn`, sorted, because the kernel's order is that of its hash tables. */
  async saved(): Promise<string[]> {
    return (await this.ipvsadm('-Sn')).sort();
  }

  /** Waits until `saved()` is `lines`; the failure shows what it is instead. */
  async untilSaved(lines: readonly string[], timeoutMs = WAIT_MS): Promise<void> {
    const wanted = lines.toSorted().join('\n');
    let saved = '';
    try {
      await this.until(
        'the table',
        async () => {
          saved = (await this.saved()).join('\n');
          return saved === wanted;
        },
        timeoutMs,
      );
    } catch (error) {
      throw new LabError(`${(error as Error).message}\nwanted:\n${wanted}\nfound:\n${saved}`);
    }
  }

  /** Has the configuration file read again, and waits until that is done. */
  async reload(): Promise<void> {
    const before = this.lines('reloaded').length;
    await this.signal('HUP', 'keeper');
    // The reader of the configuration is a start of Node, too.
    const done = () => this.lines('reloaded').length > before;
    await this.until('the reload', done, START_MS);
  }

  /** Sends a signal to one of the two processes; returns its process id. */
  async signal(signal: string, who: 'keeper' | 'controller'): Promise<number> {
    const { keeper, controller } = await this.status();
    const { pid } = { keeper, controller }[who];
    if (pid === null) throw new LabError(`${this.node.name} has no ${who}`);
    await check(this.#vm, ['kill', '-s', signal, String(pid)]);
    return pid;
  }

  /** Ends it as the service manager does; returns the exit code. */
  async stop(): Promise<number> {
    await this.signal('TERM', 'keeper');
    return this.ended();
  }

  /** Waits for the end of both processes; their output ends with them. */
  async ended(): Promise<number> {
    if (this.#child === null) throw new LabError(`${this.node.name} was not started`);
    const code = await exitWithin(this.#child, WAIT_MS);
    if (code === null) throw new LabError(`${this.node.name} did not end: ${this.#stderr}`);
    return code;
  }

  #ask(path: string): Promise<HttpAnswer> {
    return this.#peer.ask(join(this.runtimeDirectory, 'control.sock'), path);
  }

  #collect(text: string): void {
    const lines = (this.#partial + text).split('\n');
    this.#partial = lines.pop() ?? '';
    for (const line of lines) {
      // A controller that was killed in the middle of a line leaves a piece of one.
      if (line.startsWith('{') && line.endsWith('}')) this.log.push(JSON.parse(line) as LogLine);
    }
  }
}

/** Starts the lab's HTTP server on a real server, and waits until it listens. */
export async function startRealServer(node: LabNode): Promise<void> {
  let listening = false;
  await node.spawn([process.execPath, labProgram('http-server'), '--name', node.name], {
    onStdout: () => {
      listening = true;
    },
  });
  await until(`${node.name} to listen`, () => listening);
}

/** Lines of servers in a list of ipvsadm's, by the line of their service. */
export function listedServers(list: readonly string[]): Map<string, string[]> {
  const [version = '', , , ...lines] = list;
  if (!version.startsWith('IP Virtual Server version')) throw new LabError(list.join('\n'));
  const found = new Map<string, string[]>();
  let servers: string[] = [];
  for (const line of lines) {
    if (line.startsWith('->')) {
      servers.push(line);
      continue;
    }
    servers = [];
    found.set(line, servers);
  }
  return found;
}
