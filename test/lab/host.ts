/**
 * Machine: something that runs commands. The local host and the lab's virtual machine both are
 * one, so topologies, tests and benchmarks are written once and run on either.
 *
 * Invariants: every command has a time limit and a limit on collected output; a command is the
 * leader of its own process group, and kill() reaches the whole group; an exit code other than 0
 * is a result, not an exception; death by signal n is code 128 + n, as shells say it.
 */
import { type ChildProcess, spawn as spawnProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onProcessEnd } from './cleanup.ts';

/** Longest time a command runs when its caller says nothing: emulated guests are slow. */
export const DEFAULT_TIMEOUT_MS = 60_000;
/** Most bytes collected of one stream: a test that prints more has lost its way. */
export const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

export class LabError extends Error {
  override readonly name = 'LabError';
}

export interface SpawnOptions {
  /** Working directory on the machine; the repository's root when absent. */
  readonly cwd?: string;
  /** Added to the machine's own environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Bytes of the stream in the order of arrival; chunks may cut a line or a character. */
  readonly onStdout?: (chunk: Buffer) => void;
  readonly onStderr?: (chunk: Buffer) => void;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Written to standard input, which is then closed. Absent: standard input is empty. */
  readonly stdin?: string | Uint8Array;
  /** After this time the process group gets SIGKILL and run() rejects. */
  readonly timeoutMs?: number;
  /** Text of the streams as it arrives, beside being collected. */
  readonly onStdout?: (text: string) => void;
  readonly onStderr?: (text: string) => void;
}

export interface RunResult {
  /** Exit code; 128 + n after signal n. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that is running. */
export interface Child {
  /** Process id in the machine's own (outermost) PID namespace. */
  readonly pid: number;
  /** Resolves once, with the exit code, after both output streams have ended. */
  readonly exited: Promise<number>;
  write(data: string | Uint8Array): void;
  /** Closes standard input. */
  end(): void;
  /** Sends a signal to the process group; nothing happens when it has ended. */
  kill(signal?: NodeJS.Signals): void;
}

export interface Machine {
  readonly name: string;
  /** Runs a command to its end. Rejects with LabError when it cannot start or times out. */
  run(argv: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Starts a command. Rejects with LabError when it cannot start. */
  spawn(argv: readonly string[], options?: SpawnOptions): Promise<Child>;
  /** Where a file, with its parent directories, is written by less than a command. */
  writeFile?(path: string, content: string | Uint8Array): Promise<void>;
}

/** The directory with package.json, from the sources as well as from dist. */
export const REPOSITORY = findRepository();

function findRepository(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'package.json'))) {
    const parent = dirname(directory);
    if (parent === directory) throw new LabError('No package.json above the lab');
    directory = parent;
  }
  return directory;
}

/** Path of a compiled lab program (`http-server`, `load`), for `node` on any machine. */
export function labProgram(name: string): string {
  const path = join(REPOSITORY, 'dist', 'test', 'lab', `${name}.js`);
  if (!existsSync(path)) throw new LabError(`${path} is missing: run "npm run build" first`);
  return path;
}

/** run() that rejects with LabError, the command and its output, when the exit code is not 0. */
export async function check(
  machine: Machine,
  argv: readonly string[],
  options?: RunOptions,
): Promise<RunResult> {
  const result = await machine.run(argv, options);
  if (result.code === 0) return result;
  const output = (result.stderr.trim() || result.stdout.trim()).slice(-2000);
  throw new LabError(`"${argv.join(' ')}" on ${machine.name} ended with ${result.code}: ${output}`);
}

/** Writes a file on the machine, with the parent directories. */
export async function writeFile(
  machine: Machine,
  path: string,
  content: string | Uint8Array,
): Promise<void> {
  if (machine.writeFile !== undefined) return machine.writeFile(path, content);
  await check(machine, ['sh', '-c', 'mkdir -p "$(dirname "$1")" && cat >"$1"', 'sh', path], {
    stdin: content,
  });
}

/**
 * Polls `condition` until it holds; rejects with LabError naming `what` after `timeoutMs`. The
 * pause between two polls may depend on how long it has waited.
 */
export async function waitFor(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 10_000,
  intervalMs: number | ((waitedMs: number) => number) = 20,
): Promise<void> {
  const startedAtMs = performance.now();
  while (!(await condition())) {
    const waitedMs = performance.now() - startedAtMs;
    if (waitedMs > timeoutMs) throw new LabError(`Waited ${timeoutMs} ms for ${what}`);
    const pauseMs = typeof intervalMs === 'number' ? intervalMs : intervalMs(waitedMs);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

/** run() in terms of spawn(): the same for every machine. */
export async function runWith(
  machine: Machine,
  argv: readonly string[],
  options: RunOptions,
): Promise<RunResult> {
  const stdout = new Collector(options.onStdout);
  const stderr = new Collector(options.onStderr);
  const child = await machine.spawn(argv, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
    onStdout: (chunk) => stdout.add(chunk) || child.kill('SIGKILL'),
    onStderr: (chunk) => stderr.add(chunk) || child.kill('SIGKILL'),
  });
  if (options.stdin !== undefined) child.write(options.stdin);
  child.end();
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const code = await exitWithin(child, timeoutMs);
  const command = `"${argv.join(' ')}" on ${machine.name}`;
  if (code === null) {
    const tail = (stderr.text() || stdout.text()).slice(-1000);
    throw new LabError(
      `${command} did not end within ${timeoutMs} ms and was killed${tail === '' ? '' : `: ${tail}`}`,
    );
  }
  if (stdout.overflowed || stderr.overflowed) {
    throw new LabError(`${command} printed more than ${OUTPUT_BYTES_MAX} bytes and was killed`);
  }
  return { code, stdout: stdout.text(), stderr: stderr.text() };
}

/** The exit code, or null when the child had to be killed after `timeoutMs`. */
export async function exitWithin(child: Child, timeoutMs: number): Promise<number | null> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<null>((resolve) => {
    timer = setTimeout(() => {
      child.kill('SIGKILL');
      // Not waiting for the exit: a daemon of the command may hold its output open for ever.
      resolve(null);
    }, timeoutMs);
  });
  try {
    return await Promise.race([child.exited, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

class Collector {
  readonly #chunks: Buffer[] = [];
  readonly #onText: ((text: string) => void) | undefined;
  readonly #decoder = new TextDecoder();
  #lengthBytes = 0;
  overflowed = false;

  constructor(onText: ((text: string) => void) | undefined) {
    this.#onText = onText;
  }

  /** False when the limit is passed. */
  add(chunk: Buffer): boolean {
    this.#lengthBytes += chunk.length;
    if (this.#lengthBytes > OUTPUT_BYTES_MAX) {
      this.overflowed = true;
      return false;
    }
    this.#chunks.push(chunk);
    this.#onText?.(this.#decoder.decode(chunk, { stream: true }));
    return true;
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString('utf8');
  }
}

/** The machine that this process runs on. Its children end with this process. */
export class LocalMachine implements Machine {
  readonly name = 'this machine';

  async run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return runWith(this, argv, options);
  }

  async spawn(argv: readonly string[], options: SpawnOptions = {}): Promise<Child> {
    const [command, ...rest] = argv;
    if (command === undefined) throw new LabError('An empty command cannot run');
    const child = spawnProcess(command, rest, {
      cwd: options.cwd ?? REPOSITORY,
      env: { ...process.env, ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
      // Its own process group, so that kill() reaches what the command started.
      detached: true,
    });
    const exited = exitOf(child);
    // A command may end without reading its input; its exit code tells enough.
    child.stdin.on('error', () => {});
    child.stdout.on('data', (chunk: Buffer) => options.onStdout?.(chunk));
    child.stderr.on('data', (chunk: Buffer) => options.onStderr?.(chunk));
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (error) =>
        reject(new LabError(`Cannot run ${command}: ${error.message}`)),
      );
    });
    const pid = child.pid as number;
    let ended = false;
    const forget = onProcessEnd(() => killGroup(pid, 'SIGKILL'));
    return {
      pid,
      exited: exited.finally(() => {
        ended = true;
        forget();
      }),
      write: (data) => child.stdin.write(data),
      end: () => child.stdin.end(),
      kill: (signal = 'SIGTERM') => {
        // While the output is open a member of the group may live after its leader; once it is
        // closed the number may belong to somebody else.
        if (!ended) killGroup(pid, signal);
      },
    };
  }
}

function exitOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => {
    child.once('close', (code, signal) => {
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}

function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** The one local machine: it has no state of its own. */
export const localMachine = new LocalMachine();
