/**
 * Starting the twin process and starting it again when it dies: the same code for the keeper,
 * which starts controllers, and for the controller, which starts the next keeper. Starts are
 * spaced by core/backoff.ts. The channel is Node's IPC over the child's descriptor.
 */
import type { ChildProcess } from 'node:child_process';
import { afterDeath, type Backoff, NO_FAILURES } from '../core/backoff.ts';
import { monotonicUs } from '../linux/clock.ts';
import { Channel } from './channel.ts';

export interface TwinCommand {
  readonly nodeFlags: readonly string[];
  readonly script: string;
  readonly args: readonly string[];
  /** Added to this process's environment; undefined takes a variable out. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface TwinHandlers<Incoming> {
  readonly onMessage: (message: Incoming) => void;
  /** The twin ended; `exitCode` is null when a signal ended it. A restart is already planned. */
  readonly onGone: (exitCode: number | null, signal: string | null) => void;
  /** The channel is closed: it is gone, or has become another program under its process id. */
  readonly onClosed?: () => void;
}

/** Starts what `argv` says by `spawn`, which may be given a command around it. */
export type Launch = (
  argv: readonly string[],
  spawn: (argv: readonly string[]) => ChildProcess,
) => ChildProcess;

/** Node's own environment variables that must not reach the twin. */
export const DROPPED_ENVIRONMENT: readonly string[] = [
  'NODE_CHANNEL_FD',
  'NODE_CHANNEL_SERIALIZATION_MODE',
];

export class TwinSupervisor<Outgoing, Incoming> {
  readonly #command: TwinCommand;
  readonly #handlers: TwinHandlers<Incoming>;
  readonly #launch: Launch;
  #child: ChildProcess | null = null;
  #channel: Channel<Outgoing, Incoming> | null = null;
  #backoff: Backoff = NO_FAILURES;
  #startedAtUs = 0;
  #retry: NodeJS.Timeout | null = null;
  #stopped = false;

  constructor(
    command: TwinCommand,
    handlers: TwinHandlers<Incoming>,
    launch: Launch = (argv, spawn) => spawn(argv),
  ) {
    this.#command = command;
    this.#handlers = handlers;
    this.#launch = launch;
  }

  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  get channel(): Channel<Outgoing, Incoming> | null {
    return this.#channel;
  }

  /** Starts the twin now. */
  start(): void {
    const { nodeFlags, script, args } = this.#command;
    const env = { ...process.env, ...this.#command.env };
    for (const name of DROPPED_ENVIRONMENT) delete env[name];
    this.#startedAtUs = monotonicUs();
    // Loaded here, because a keeper that has a plan is in no hurry any more when it starts one.
    const { spawn } = process.getBuiltinModule('node:child_process');
    const argv = [process.execPath, ...nodeFlags, script, ...args];
    const child = this.#launch(argv, ([file = '', ...rest]) =>
      spawn(file, rest, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], env }),
    );
    this.#child = child;
    this.#channel = new Channel<Outgoing, Incoming>(child, {
      onMessage: this.#handlers.onMessage,
      onClose: () => this.#handlers.onClosed?.(),
    });
    let gone = false;
    const onGone = (exitCode: number | null, signal: string | null): void => {
      if (gone) return;
      gone = true;
      this.#ended(exitCode, signal);
    };
    child.once('exit', onGone);
    // 'error': it could not be started at all (no processes or memory left).
    child.once('error', () => onGone(null, null));
  }

  /** No restart from now on. */
  stopRestarting(): void {
    this.#stopped = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
  }

  kill(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  #ended(exitCode: number | null, signal: string | null): void {
    this.#child = null;
    this.#channel = null;
    const next = afterDeath(this.#backoff, monotonicUs() - this.#startedAtUs);
    this.#backoff = next.backoff;
    this.#handlers.onGone(exitCode, signal);
    if (this.#stopped) return;
    this.#retry = setTimeout(() => this.start(), next.delayUs / 1000);
  }
}
