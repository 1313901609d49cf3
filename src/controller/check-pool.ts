/**
 * All checks of a configuration, in this thread, or, when they are more than one thread does with
 * ease, the greater part of them in worker threads. What is known of a check is kept here in both
 * cases: a worker tells results, and the same pure function turns them into states on both sides.
 *
 *   definitions ──by question──> worker 1..n (check-worker.ts) ──results──> state, ports
 *              └──what is quick, or needs this thread──> CheckRunner ──────────^
 *
 * A worker that dies is a defect; the next one goes on with what is known here.
 */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { CheckConfig } from '../core/config/check.ts';
import type { CheckDefinition } from '../core/health/check-key.ts';
import { type CheckState, initialCheckState } from '../core/health/check-state.ts';
import type { ProbeFailure, ProbeResult } from '../core/health/probe-result.ts';
import { fnv1a32 } from '../core/health/schedule.ts';
import { costUs } from './check-cost.ts';
import {
  applyResult,
  type CheckMemory,
  CheckRunner,
  type CheckRunnerOptions,
  type CheckRunnerPorts,
  type CheckSnapshot,
  checkSnapshot,
  concurrentRunsMax,
} from './checks.ts';

/** What the pool tells a worker. */
export type ToCheckWorker =
  | {
      readonly kind: 'configure';
      readonly add: readonly (readonly [CheckDefinition, CheckMemory | null])[];
      /** Keys. */
      readonly remove: readonly string[];
    }
  | { readonly kind: 'stop' };

/** One result: a failure, or null and the weight that the server should have, if any. */
export type WorkerResult = readonly [
  key: string,
  atUs: number,
  durationUs: number,
  skippedSlots: number,
  failure: ProbeFailure | null,
  weight: number | null,
];

export type FromCheckWorker =
  | { readonly kind: 'results'; readonly results: readonly WorkerResult[] }
  | { readonly kind: 'defect'; readonly message: string }
  | { readonly kind: 'stopped' };

/** Share of a thread's time that checks may take beside everything else, and that fills a worker. */
const SHARE_OF_THREAD = 0.5;
const WORKERS_MAX = 16;
/** Kinds that need this thread: they start processes, or ask another part of the controller. */
const LOCAL_KINDS: readonly CheckConfig['kind'][] = ['script', 'file', 'bfd'];
const WORKER_FILE = new URL('./check-worker.js', import.meta.url);
const RESTART_DELAY_MS = 1_000;
const STOP_TIMEOUT_MS = 2_000;

export interface CheckPoolOptions {
  /** Threads beside this one; null for as many as the checks need and the machine has. */
  readonly workers: number | null;
  /** The worker's program, compiled; WORKER_FILE unless told otherwise. */
  readonly workerFile?: URL;
}

/** How many worker threads these checks are given on a machine with so many processors; 0 for none. */
export function workersFor(definitions: Iterable<CheckDefinition>, processors: number): number {
  let load = 0;
  for (const { check } of definitions) {
    if (LOCAL_KINDS.includes(check.kind)) continue;
    load += costUs(check) / check.intervalUs;
  }
  if (load <= SHARE_OF_THREAD) return 0;
  return Math.min(Math.ceil(load / SHARE_OF_THREAD), Math.max(1, processors), WORKERS_MAX);
}

interface Remote {
  worker: Worker;
  readonly definitions: Map<string, CheckDefinition>;
  restart: NodeJS.Timeout | null;
  stopping: boolean;
}

export class CheckPool {
  readonly #options: CheckPoolOptions;
  readonly #ports: CheckRunnerPorts;
  readonly #local: CheckRunner;
  #remotes: Remote[] = [];
  #definitions: ReadonlyMap<string, CheckDefinition> = new Map();
  /** Of the checks that run in workers, by key. */
  #remembered = new Map<string, CheckMemory>();
  #stopped = false;

  constructor(options: CheckPoolOptions & CheckRunnerOptions, ports: CheckRunnerPorts) {
    this.#options = options;
    this.#ports = ports;
    this.#local = new CheckRunner(options, ports);
  }

  /** Threads that run checks beside this one. */
  get workers(): number {
    return this.#remotes.length;
  }

  /** As CheckRunner.configure(): what was there before goes on, whichever thread it runs in. */
  configure(definitions: ReadonlyMap<string, CheckDefinition>): void {
    const wanted =
      this.#options.workers ?? workersFor(definitions.values(), availableParallelism());
    const known = this.#knowledge();
    const moving = wanted !== this.#remotes.length;
    if (moving) {
      for (const remote of this.#remotes.splice(0)) void this.#end(remote);
      this.#remotes = Array.from({ length: wanted }, () => this.#begin());
    }
    const local = new Map<string, CheckDefinition>();
    const shares = this.#remotes.map(() => new Map<string, CheckDefinition>());
    for (const [key, definition] of definitions) {
      const here = wanted === 0 || LOCAL_KINDS.includes(definition.check.kind);
      // By question, so that what asks the same with other timing is found in the same worker.
      const index = here ? 0 : fnv1a32(definition.question) % wanted;
      (here ? local : (shares[index] as Map<string, CheckDefinition>)).set(key, definition);
    }
    this.#definitions = definitions;
    this.#local.configure(local, known);
    const nowUs = this.#ports.nowUs();
    const remembered = new Map<string, CheckMemory>();
    for (const [index, share] of shares.entries()) {
      for (const [key, definition] of share) {
        const memory = this.#remembered.get(key) ?? known(definition) ?? newMemory(nowUs);
        remembered.set(key, memory);
      }
      this.#share(this.#remotes[index] as Remote, share, remembered);
    }
    this.#remembered = remembered;
  }

  /** As CheckRunner.runNow(), of the checks of this thread. */
  runNow(matches: (definition: CheckDefinition) => boolean): void {
    this.#local.runNow(matches);
  }

  /** All checks, in the order in which they were configured. */
  snapshot(): CheckSnapshot[] {
    return [...this.snapshots()];
  }

  /** The same one by one, for what rests between them. */
  *snapshots(): Iterable<CheckSnapshot> {
    for (const [key, definition] of this.#definitions) {
      const memory = this.#memory(key);
      if (memory !== null) yield checkSnapshot(definition, memory);
    }
  }

  /** The state of a check; null when there is none with this key. */
  state(key: string): CheckState | null {
    return this.#memory(key)?.state ?? null;
  }

  /** The weight that a check asks for; null for the configured one. */
  weight(key: string): number | null {
    return this.#memory(key)?.weight ?? null;
  }

  /** Aborts all runs; resolves when their sockets are closed. Nothing is reported afterwards. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const remotes = this.#remotes.splice(0);
    await Promise.all([this.#local.stop(), ...remotes.map((remote) => this.#end(remote))]);
  }

  #memory(key: string): CheckMemory | null {
    return this.#remembered.get(key) ?? this.#local.memory(key);
  }

  /** What is known of a check now, or else of one that asks the same question. */
  #knowledge(): (definition: CheckDefinition) => CheckMemory | null {
    const byKey = new Map<string, CheckMemory>();
    const byQuestion = new Map<string, CheckMemory>();
    for (const [key, { question }] of this.#definitions) {
      const found = this.#memory(key);
      if (found === null) continue;
      const { state, lastDurationUs, weight, skippedSlots } = found;
      byKey.set(key, { state, lastDurationUs, weight, skippedSlots });
      byQuestion.set(question, { state, lastDurationUs, weight, skippedSlots: 0 });
    }
    return ({ key, question }) => {
      const found = byKey.get(key) ?? byQuestion.get(question);
      return found === undefined ? null : { ...found };
    };
  }

  #share(
    remote: Remote,
    share: ReadonlyMap<string, CheckDefinition>,
    remembered: ReadonlyMap<string, CheckMemory>,
  ): void {
    const remove = [...remote.definitions.keys()].filter((key) => !share.has(key));
    const add = [...share]
      .filter(([key]) => !remote.definitions.has(key))
      .map(([key, definition]) => [definition, remembered.get(key) ?? null] as const);
    for (const key of remove) remote.definitions.delete(key);
    for (const [definition] of add) remote.definitions.set(definition.key, definition);
    // One that has died is given everything when it is back.
    if (remote.restart === null && add.length + remove.length > 0) {
      remote.worker.postMessage({ kind: 'configure', add, remove } satisfies ToCheckWorker);
    }
  }

  #begin(): Remote {
    const remote: Remote = {
      worker: this.#startWorker(() => remote),
      definitions: new Map(),
      restart: null,
      stopping: false,
    };
    return remote;
  }

  #startWorker(remote: () => Remote): Worker {
    const worker = new Worker(this.#options.workerFile ?? WORKER_FILE, {
      workerData: { concurrentRunsMax: concurrentRunsMax() },
    });
    worker.on('message', (message: FromCheckWorker) => this.#heard(message));
    worker.on('error', (error) => this.#ports.onDefect(error));
    worker.on('exit', (code) => this.#died(remote(), code));
    return worker;
  }

  #heard(message: FromCheckWorker): void {
    if (message.kind === 'defect') return this.#ports.onDefect(new Error(message.message));
    if (message.kind === 'stopped' || this.#stopped) return;
    for (const [key, atUs, durationUs, skippedSlots, failure, weight] of message.results) {
      const definition = this.#definitions.get(key);
      const memory = this.#remembered.get(key);
      // Removed while its result was under way.
      if (definition === undefined || memory === undefined) continue;
      memory.skippedSlots = skippedSlots;
      const result: ProbeResult =
        failure !== null
          ? { ok: false, durationUs, failure }
          : { ok: true, durationUs, ...(weight === null ? {} : { weight }) };
      applyResult(definition, memory, { result, atUs }, this.#ports);
    }
  }

  #died(remote: Remote, code: number): void {
    if (remote.stopping) return;
    this.#ports.onDefect(new Error(`A thread of checks ended with ${code}; the next one starts`));
    remote.restart = setTimeout(() => {
      remote.restart = null;
      remote.worker = this.#startWorker(() => remote);
      const share = new Map(remote.definitions);
      remote.definitions.clear();
      this.#share(remote, share, this.#remembered);
    }, RESTART_DELAY_MS);
  }

  async #end(remote: Remote): Promise<void> {
    remote.stopping = true;
    if (remote.restart !== null) {
      clearTimeout(remote.restart);
      return;
    }
    const { worker } = remote;
    const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    const timer = setTimeout(() => void worker.terminate(), STOP_TIMEOUT_MS);
    worker.postMessage({ kind: 'stop' } satisfies ToCheckWorker);
    await ended;
    clearTimeout(timer);
  }
}

function newMemory(nowUs: number): CheckMemory {
  const state = initialCheckState(nowUs);
  return { state, lastDurationUs: null, weight: null, skippedSlots: 0 };
}
