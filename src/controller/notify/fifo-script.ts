/**
 * The program that reads the FIFO: it runs all the time, gets the FIFO's path as its last
 * argument, and is started again when it ends, at once the first time and with growing delays
 * after (core/backoff.ts).
 */
import type { ChildProcess } from 'node:child_process';
import { afterDeath, type Backoff, NO_FAILURES } from '../../core/backoff.ts';
import type { Command } from '../../core/config/config.ts';
import type { Problem } from '../../core/problem.ts';
import { monotonicUs } from '../../linux/clock.ts';
import type { Account } from './account.ts';
import type { ScriptRecords } from './left-scripts.ts';
import { ProcessTree } from './process-tree.ts';
import { collectOutput, startProblem, startScript } from './script.ts';
import { findScriptFault } from './script-file.ts';

/** From the FIFO's end to SIGTERM, and from there to SIGKILL, when the director stops. */
const STOP_STEP_MS = 500;

export interface FifoScriptOptions {
  readonly command: Command;
  readonly fifo: string;
  readonly variables: Readonly<Record<string, string>>;
  readonly account: Account | null;
  readonly security: boolean;
  /** It is not started before this resolves. */
  readonly after: Promise<void>;
  /** Where it is kept that it runs, for whoever comes after a crash. */
  readonly records: ScriptRecords;
}

export interface FifoScriptPorts {
  readonly onProblem: (problem: Problem) => void;
  readonly onEnded: (detail: string, output: string) => void;
}

export class FifoScript {
  readonly #options: FifoScriptOptions;
  readonly #ports: FifoScriptPorts;
  #child: ChildProcess | null = null;
  #backoff: Backoff = NO_FAILURES;
  #retry: NodeJS.Timeout | null = null;
  #stopped = false;

  constructor(options: FifoScriptOptions, ports: FifoScriptPorts) {
    this.#options = options;
    this.#ports = ports;
    void this.#start();
  }

  /** Call when the FIFO is closed: waits for its reader to end, and sees to it. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    const child = this.#child;
    if (child === null) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    const tree = child.pid === undefined ? null : new ProcessTree(child.pid);
    const terminate = setTimeout(() => tree?.signal('SIGTERM'), STOP_STEP_MS);
    const kill = setTimeout(() => tree?.signal('SIGKILL'), 2 * STOP_STEP_MS);
    let giveUp: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      giveUp = setTimeout(resolve, 3 * STOP_STEP_MS);
    });
    await Promise.race([ended, late]);
    for (const timer of [terminate, kill, giveUp]) clearTimeout(timer);
  }

  async #start(): Promise<void> {
    const { command, fifo, account, security, after, records } = this.#options;
    await after;
    if (this.#stopped) return;
    const [path, ...args] = command as [string, ...string[]];
    const startedAtUs = monotonicUs();
    const uid = account?.uid ?? process.getuid?.() ?? 0;
    const fault = await findScriptFault(path, { uid, security });
    if (this.#stopped) return;
    if (fault !== null) return this.#failed(fault, startedAtUs);
    let child: ChildProcess;
    try {
      child = startScript(path, [...args, fifo], this.#options);
    } catch (error) {
      return this.#failed(startProblem(path, error), startedAtUs);
    }
    this.#child = child;
    const { pid } = child;
    if (pid !== undefined) records.began(pid);
    const output = collectOutput(child);
    child.once('error', (error) => this.#failed(startProblem(path, error), startedAtUs));
    child.once('exit', async (code, signal) => {
      this.#child = null;
      if (pid !== undefined) records.ended(pid);
      if (this.#stopped) return;
      this.#again(startedAtUs);
      const how = signal === null ? `exit status ${code}` : `signal ${signal}`;
      this.#ports.onEnded(`${path} ended with ${how} and is started again`, await output());
    });
  }

  #failed(problem: Problem, startedAtUs: number): void {
    this.#child = null;
    if (this.#stopped) return;
    this.#ports.onProblem(problem);
    this.#again(startedAtUs);
  }

  #again(startedAtUs: number): void {
    const { backoff, delayUs } = afterDeath(this.#backoff, monotonicUs() - startedAtUs);
    this.#backoff = backoff;
    this.#retry = setTimeout(() => void this.#start(), delayUs / 1000);
  }
}
