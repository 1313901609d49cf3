/**
 * Director: the product's two processes inside a lab node of this machine, with a configuration
 * and a runtime directory of their own in a temporary directory. Its log is collected as parsed
 * lines, its status is asked for over its control socket.
 *
 * Invariants: every wait is bounded; both processes are members of one process group, which ends
 * with stop(), dispose() or this process, whichever is first, however the test ended.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { DirectorStatus, InstanceReport } from '../../src/core/status.ts';
import type { VrrpStateName } from '../../src/core/vrrp/types.ts';
import { type Child, exitWithin, LabError, REPOSITORY, type RunResult, waitFor } from './host.ts';
import { memoryDirectory } from './memory-directory.ts';
import type { LabNode } from './topology.ts';

/** Two starts of Node on a busy machine. */
const START_TIMEOUT_MS = 15_000;
const WAIT_TIMEOUT_MS = 10_000;
/** The product's own limit of a stop is 10 s. */
const STOP_TIMEOUT_MS = 12_000;
const ANSWER_TIMEOUT_MS = 3_000;

/** The compiled command line; build first. */
export const VIPKEEPER: readonly string[] = [
  process.execPath,
  join(REPOSITORY, 'dist', 'src', 'main.js'),
];

/** The command of an installation; made by build/bundle.mjs. */
export const INSTALLED: readonly string[] = [join(REPOSITORY, 'dist', 'start', 'vipkeeper')];

/** A log line: fields differ by `event`. */
export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly event?: string;
  readonly [field: string]: unknown;
}

/** One of the two processes, or both at the same moment. */
export type Who = 'keeper' | 'controller' | 'both';

/** A configuration as text, or as a value; YAML reads JSON. */
export type ConfigText = string | Readonly<Record<string, unknown>>;

export interface DirectorOptions {
  /** Key of values given per director; default 'a'. */
  readonly name?: string;
  /** Without runtime_directory, which is added; http is off unless it has it. */
  readonly config: Readonly<Record<string, unknown>>;
  /** As compiled, without launcher and bundles; default as an installation runs it. */
  readonly compiled?: boolean;
  /** Where its files are, which are removed with it; default in memory. */
  readonly directory?: string;
}

export class Director {
  readonly node: LabNode;
  readonly name: string;
  readonly directory: string;
  readonly runtimeDirectory: string;
  readonly configPath: string;
  readonly stateDirectory: string;
  /** Everything logged so far, in order, over restarts of the controller too. */
  readonly log: LogLine[] = [];
  #stderr = '';
  #partial = '';
  #child: Child | null = null;

  readonly #command: readonly string[];

  private constructor(node: LabNode, { name = 'a', compiled, directory }: DirectorOptions) {
    this.#command = compiled === true ? VIPKEEPER : INSTALLED;
    this.node = node;
    this.name = name;
    this.directory = directory ?? memoryDirectory('vk-');
    this.runtimeDirectory = join(this.directory, 'run');
    this.stateDirectory = join(this.directory, 'state');
    this.configPath = join(this.directory, 'vipkeeper.yaml');
  }

  /** Starts a director and waits until its keeper is configured. */
  static async start(node: LabNode, options: DirectorOptions): Promise<Director> {
    const director = new Director(node, options);
    director.configure(options.config);
    try {
      await director.restart();
    } catch (error) {
      await director.dispose();
      throw error;
    }
    return director;
  }

  /** Starts the processes, of which none may run, in the same runtime directory. */
  async restart(director = this.name): Promise<void> {
    const argv = [...this.#command, 'run', '--config', this.configPath, '--director', director];
    const child = await this.node.spawn(argv, {
      env: { STATE_DIRECTORY: this.stateDirectory },
      onStdout: (chunk) => this.#collect(chunk.toString('utf8')),
      onStderr: (chunk) => {
        this.#stderr += chunk.toString('utf8');
      },
    });
    child.end();
    this.#child = child;
    let exitCode: number | null = null;
    void child.exited.then((code) => {
      exitCode = code;
    });
    await this.waitFor(
      'the keeper to be configured',
      async () => {
        if (exitCode !== null) throw new LabError(`The director ended with ${exitCode}`);
        const status = await this.tryStatus();
        return status !== null && status.instances.length > 0;
      },
      START_TIMEOUT_MS,
    );
  }

  /** Writes the configuration file; takes effect with reload(), or at a controller's start. */
  configure(config: ConfigText): void {
    const whole =
      typeof config === 'string'
        ? config
        : JSON.stringify({ runtime_directory: this.runtimeDirectory, http: 'off', ...config });
    writeFileSync(this.configPath, whole);
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Number of log lines so far: a place in the log for `since`. */
  get mark(): number {
    return this.log.length;
  }

  /** Lines with this event and these fields, from `since` on. */
  lines(event: string, fields: Readonly<Record<string, unknown>> = {}, since = 0): LogLine[] {
    const wanted = Object.entries(fields);
    return this.log
      .slice(since)
      .filter((line) => line.event === event)
      .filter((line) => wanted.every(([key, value]) => isDeepStrictEqual(line[key], value)));
  }

  /** Waits for a line with this event and these fields, and returns it. */
  async waitForLine(
    event: string,
    fields: Readonly<Record<string, unknown>> = {},
    since = 0,
    timeoutMs = WAIT_TIMEOUT_MS,
  ): Promise<LogLine> {
    const what = `a log line ${event} ${JSON.stringify(fields)}`;
    await this.waitFor(what, () => this.lines(event, fields, since).length > 0, timeoutMs);
    return this.lines(event, fields, since)[0] as LogLine;
  }

  /** Waits until the instance has logged a transition to `to`, from `since` on. */
  waitForTransition(
    instance: string,
    to: VrrpStateName,
    since = 0,
    timeoutMs = WAIT_TIMEOUT_MS,
  ): Promise<LogLine> {
    return this.waitForLine('transition', { instance, to }, since, timeoutMs);
  }

  /** Waits until the instance's state, asked for, is `state`. */
  async waitForState(
    instance: string,
    state: VrrpStateName,
    timeoutMs = WAIT_TIMEOUT_MS,
  ): Promise<void> {
    await this.waitFor(
      `${instance} to be ${state}`,
      async () => {
        const status = await this.tryStatus();
        return status?.instances.find(({ name }) => name === instance)?.state === state;
      },
      timeoutMs,
    );
  }

  /** waitFor() whose failure shows the log and the standard error. */
  async waitFor(
    what: string,
    condition: () => boolean | Promise<boolean>,
    timeoutMs = WAIT_TIMEOUT_MS,
  ): Promise<void> {
    try {
      await waitFor(what, condition, timeoutMs);
    } catch (error) {
      const log = this.log.slice(-30).map((line) => JSON.stringify(line));
      const detail = [...log, this.#stderr.slice(-2_000)].join('\n');
      throw new LabError(`${(error as Error).message} on ${this.node.name}:\n${detail}`);
    }
  }

  /** Body of GET `path` on the control socket; rejects when nobody answers with 200. */
  ask(path: string): Promise<string> {
    const socketPath = join(this.runtimeDirectory, 'control.sock');
    const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath, path, signal, agent: false }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const body = Buffer.concat(chunks).toString('utf8');
          if (response.statusCode === 200) resolve(body);
          else reject(new LabError(`${path}: ${response.statusCode} ${body}`));
        });
      });
      asked.on('error', reject);
      asked.end();
    });
  }

  async status(): Promise<DirectorStatus> {
    return JSON.parse(await this.ask('/v1/status')) as DirectorStatus;
  }

  /** Null while no controller answers. */
  tryStatus(): Promise<DirectorStatus | null> {
    return this.status().catch(() => null);
  }

  /** Status of an instance, which must be there. */
  async instance(name: string): Promise<InstanceReport> {
    const { instances } = await this.status();
    const found = instances.find((candidate) => candidate.name === name);
    if (found === undefined) throw new LabError(`${this.node.name} has no instance ${name}`);
    return found;
  }

  /** Values of a metric by its labels: '{vrrp_instance="web",reason="ttl"}' or ''. */
  async metric(name: string): Promise<ReadonlyMap<string, number>> {
    const values = new Map<string, number>();
    for (const line of (await this.ask('/metrics')).split('\n')) {
      const match = /^(\w+)(\{.*\})? (\S+)$/.exec(line);
      if (match?.[1] === name) values.set(match[2] ?? '', Number(match[3]));
    }
    return values;
  }

  /** Process ids of the two, of which both must run. */
  async pids(): Promise<{ readonly keeper: number; readonly controller: number }> {
    const { keeper, controller } = await this.status();
    if (keeper.pid === null) throw new LabError(`${this.node.name} has no keeper`);
    return { keeper: keeper.pid, controller: controller.pid };
  }

  /** Sends a signal; to both, it reaches them at the same moment. Returns the process ids. */
  async kill(
    signal: NodeJS.Signals,
    who: Who,
  ): Promise<{ readonly keeper: number; readonly controller: number }> {
    const pids = await this.pids();
    if (who === 'both') this.signalGroup(signal);
    else process.kill(pids[who], signal);
    return pids;
  }

  /** Sends a signal to both processes without asking for their ids, as a stopped one needs. */
  signalGroup(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** Waits until both processes are gone; their output ends with them. */
  async ended(timeoutMs = STOP_TIMEOUT_MS): Promise<number> {
    const child = this.#child;
    if (child === null) return 0;
    const code = await exitWithin(child, timeoutMs);
    if (code === null) {
      throw new LabError(`${this.node.name} did not end in ${timeoutMs} ms: ${this.#stderr}`);
    }
    this.#child = null;
    return code;
  }

  /** Has the configuration file read again, and waits until that is done. */
  async reload(): Promise<void> {
    const since = this.mark;
    await this.kill('SIGHUP', 'keeper');
    await this.waitForLine('reloaded', {}, since);
  }

  /** Runs another command of the command line in the node, such as `cleanup`. */
  run(argv: readonly string[]): Promise<RunResult> {
    return this.node.run([...this.#command, ...argv, '--runtime-directory', this.runtimeDirectory]);
  }

  /** Ends it as the service manager does and returns the exit code. */
  async stop(): Promise<number> {
    if (this.#child === null) return 0;
    await this.kill('SIGTERM', 'keeper');
    return this.ended();
  }

  /** Ends whatever runs and removes the files. May be called again; never waits for long. */
  async dispose(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child !== null) {
      child.kill('SIGKILL');
      await exitWithin(child, STOP_TIMEOUT_MS);
    }
    rmSync(this.directory, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
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

/** Scheduling class of a process: 2 is SCHED_RR (sched(7)); /proc/PID/stat, field 41. */
export function schedulingPolicy(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The second field, a name in parentheses, may hold blanks.
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[38]);
}
