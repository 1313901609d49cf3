/**
 * The trackers that need files, processes or other programs, and so are not the keeper's: their
 * states go to the keeper, all of them, whenever one changes. Each tracker is looked at by one
 * loop that never overlaps itself. Fails closed: a script that cannot be run is down, and says so.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { assertNever } from '../core/assert.ts';
import type { TrackerConfig } from '../core/config/config.ts';
import { type CheckState, initialCheckState, step } from '../core/health/check-state.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import { serviceQuorum, type WeighedServer } from '../core/vrrp/quorum.ts';
import type { TrackerState } from '../core/vrrp/tracking.ts';
import { monotonicUs } from '../linux/clock.ts';

type Script = Extract<TrackerConfig, { kind: 'script' }>;

export interface TrackerPorts {
  /** States of all trackers that are known, after one changed. */
  readonly onStates: (states: Readonly<Record<string, TrackerState>>) => void;
  readonly onChange: (name: string, state: TrackerState) => void;
  /** Servers of a virtual service with their configured weights and health. */
  readonly servers: (service: string) => readonly WeighedServer[];
}

/** Processes looked at between two turns of the event loop. */
const PROCESSES_PER_TURN = 128;
/** A number in a file is a few digits; more is not read. */
const FILE_LENGTH_MAX = 64;

export class Trackers {
  readonly #ports: TrackerPorts;
  readonly #states = new Map<string, TrackerState>();
  readonly #checks = new Map<string, CheckState>();
  readonly #scripts = new Set<ChildProcess>();
  #configs: readonly TrackerConfig[] = [];
  #abort = new AbortController();

  constructor(ports: TrackerPorts) {
    this.#ports = ports;
  }

  /** Watches these instead of what was watched before; states of the same ones are kept. */
  configure(configs: readonly TrackerConfig[]): void {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#configs = configs;
    const names = new Set(configs.map(({ name }) => name));
    for (const name of this.#states.keys()) if (!names.has(name)) this.#states.delete(name);
    for (const name of this.#checks.keys()) if (!names.has(name)) this.#checks.delete(name);
    for (const config of configs) void this.#watch(config, this.#abort.signal);
    this.send();
  }

  /** Tells the keeper everything again: it may be a new one. */
  send(): void {
    this.#ports.onStates(Object.fromEntries(this.#states));
  }

  /** The health of a virtual service's servers changed. */
  servicesChanged(): void {
    for (const config of this.#configs) if (config.kind === 'service') this.#lookAtService(config);
  }

  /** Ends all loops and the scripts that run. */
  close(): void {
    this.#abort.abort();
    for (const child of this.#scripts) killGroup(child);
  }

  async #watch(config: TrackerConfig, signal: AbortSignal): Promise<void> {
    switch (config.kind) {
      case 'interface':
      case 'bfd':
        return; // The keeper sees links and sessions itself.
      case 'service':
        return this.#lookAtService(config);
      case 'file':
        return this.#repeat(config, signal, async () => {
          this.#set(config.name, await readNumber(config.path));
        });
      case 'process':
        return this.#repeat(config, signal, async () => {
          const count = await countProcesses(config.process);
          const detail = `${count} of ${config.quorum} processes ${config.process}`;
          this.#set(config.name, { up: count >= config.quorum, value: null, detail });
        });
      case 'script':
        return this.#repeat(config, signal, () => this.#judge(config));
      default:
        return assertNever(config);
    }
  }

  async #repeat(
    config: { readonly name: string; readonly intervalUs: number },
    signal: AbortSignal,
    look: () => Promise<void>,
  ): Promise<void> {
    while (!signal.aborted) {
      const startedUs = monotonicUs();
      await look();
      const restUs = Math.max(0, config.intervalUs - (monotonicUs() - startedUs));
      // An abort ends the wait, and with it the loop.
      await delay(restUs / 1000, undefined, { signal }).catch(() => {});
    }
  }

  async #judge(config: Script): Promise<void> {
    const failure = await this.#run(config);
    const before = this.#checks.get(config.name) ?? initialCheckState(monotonicUs());
    const atUs = monotonicUs();
    const { state } = step(
      before,
      config,
      failure === null
        ? { kind: 'succeeded', atUs }
        : { kind: 'failed', atUs, reason: probeFailure('cannot-run', failure) },
    );
    this.#checks.set(config.name, state);
    const up = state.status === 'up';
    const detail = up ? 'exit code 0' : (state.lastFailure?.detail ?? 'not run yet');
    this.#set(config.name, { up, value: null, detail });
  }

  /** Runs the script once: null when it ended with 0, else what happened instead. */
  #run(config: Script): Promise<string | null> {
    return new Promise((resolve) => {
      const [program, ...args] = config.command as [string, ...string[]];
      const child = spawn(program, args, { stdio: 'ignore', detached: true });
      this.#scripts.add(child);
      let timedOut = false;
      const timer = setTimeout(() => {
        timedOut = true;
        killGroup(child);
      }, config.timeoutUs / 1000);
      const finish = (failure: string | null): void => {
        clearTimeout(timer);
        this.#scripts.delete(child);
        resolve(failure);
      };
      child.once('error', (error) => finish(`cannot be run: ${error.message}`));
      child.once('exit', (code, ending) => {
        if (timedOut) finish(`did not end within ${config.timeoutUs / 1000} ms`);
        else if (code === 0) finish(null);
        else finish(code === null ? `ended by ${ending}` : `exit code ${code}`);
      });
    });
  }

  #lookAtService(config: Extract<TrackerConfig, { kind: 'service' }>): void {
    const state = serviceQuorum(this.#ports.servers(config.service), config.quorum);
    if (state !== null) this.#set(config.name, state);
  }

  #set(name: string, state: TrackerState): void {
    const before = this.#states.get(name);
    this.#states.set(name, state);
    if (before?.up === state.up && before.value === state.value) return;
    this.#ports.onChange(name, state);
    this.send();
  }
}

/** The script and what it started: it leads a process group of its own. */
function killGroup(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It ended between the look and the signal.
  }
}

/** The number in a file: 0 without a file, without content, and for anything that is no number. */
async function readNumber(path: string): Promise<TrackerState> {
  let text: string;
  try {
    text = (await readFile(path, 'utf8')).slice(0, FILE_LENGTH_MAX).trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const detail = code === 'ENOENT' ? 'no file' : `cannot be read: ${code}`;
    return { up: true, value: 0, detail };
  }
  const valid = /^[+-]?\d{1,9}$/.test(text);
  const detail = valid ? `number ${Number(text)}` : text === '' ? 'empty' : 'no number';
  return { up: true, value: valid ? Number(text) : 0, detail };
}

/** How many processes have this name: the program's file name, or the process's own. */
async function countProcesses(name: string): Promise<number> {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry));
  let count = 0;
  for (let start = 0; start < pids.length; start += PROCESSES_PER_TURN) {
    const slice = pids.slice(start, start + PROCESSES_PER_TURN);
    const names = await Promise.all(slice.map(processNames));
    count += names.filter((candidates) => candidates.includes(name)).length;
  }
  return count;
}

async function processNames(pid: string): Promise<readonly string[]> {
  try {
    const [comm, commandLine] = await Promise.all([
      readFile(`/proc/${pid}/comm`, 'utf8'),
      readFile(`/proc/${pid}/cmdline`, 'utf8'),
    ]);
    const program = commandLine.split('\0')[0] ?? '';
    return [comm.trim(), program.slice(program.lastIndexOf('/') + 1)];
  } catch {
    // It ended between the listing and the look.
    return [];
  }
}
