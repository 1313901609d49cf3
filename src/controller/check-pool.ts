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
import { type CheckDefinition, questionOf } from '../core/health/check-key.ts';
import { type CheckState, type FoundAs, initialCheckState } from '../core/health/check-state.ts';
import type { ProbeFailure, ProbeResult } from '../core/health/probe-result.ts';
import { fnv1a32 } from '../core/health/schedule.ts';
import { LargeMap, LargeSet } from '../core/large-map.ts';
import { Turn } from '../core/turn.ts';
import { TURNS } from '../linux/turns.ts';
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
  | { readonly kind: 'ready' }
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
/** Checks that are looked at between two looks at the clock. */
const CHECKS_PER_LOOK = 64;
/** The same of checks that are begun, or told a worker about, each in some ten microseconds. */
const BEGUN_PER_LOOK = 8;

export interface CheckPoolOptions {
  /** Threads beside this one; null for as many as the checks need and the machine has. */
  readonly workers: number | null;
  /** The worker's program, compiled; WORKER_FILE unless told otherwise. */
  readonly workerFile?: URL;
}

/** How many worker threads these checks are given on a machine with so many processors; 0 for none. */
export function workersFor(definitions: Iterable<CheckDefinition>, processors: number): number {
  let load = 0;
  for (const { check } of definitions) load += loadOf(check);
  return workersOf(load, processors);
}

/** What a check takes of a thread that a worker may take off this one. */
function loadOf(check: CheckConfig): number {
  return LOCAL_KINDS.includes(check.kind) ? 0 : costUs(check) / check.intervalUs;
}

function workersOf(load: number, processors: number): number {
  if (load <= SHARE_OF_THREAD) return 0;
  return Math.min(Math.ceil(load / SHARE_OF_THREAD), Math.max(1, processors), WORKERS_MAX);
}

interface Remote {
  worker: Worker;
  readonly definitions: LargeMap<CheckDefinition>;
  /** Resolves when its program is loaded, or has ended. */
  readonly ready: Promise<void>;
  restart: NodeJS.Timeout | null;
  /** Resolves when it has ended; null before it is asked to. */
  ended: Promise<void> | null;
}

export class CheckPool {
  readonly #options: CheckPoolOptions;
  readonly #ports: CheckRunnerPorts;
  readonly #local: CheckRunner;
  #remotes: Remote[] = [];
  /** Threads that have not ended: also those that load, and those that are ending. */
  readonly #threads = new Set<Remote>();
  readonly #definitions = new LargeMap<CheckDefinition>();
  /** Of the checks that run in workers, or are to run somewhere soon, by key. */
  readonly #remembered = new LargeMap<CheckMemory>();
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

  /**
   * Begins to run these, none of which runs, in turns. One that asks what another asks or asked with
   * other timing is not unknown again. `leaving`: keys of those that remove() is told of next; it
   * decides with how many threads there are then. `found`: how their servers are in the table, by
   * their keys.
   */
  async add(
    added: readonly CheckDefinition[],
    leaving: readonly string[],
    found: ReadonlyMap<string, FoundAs>,
  ): Promise<void> {
    const gone = new Set(leaving);
    const { workers, answers } = await this.#survey(added, gone);
    if (this.#stopped) return;
    const moving = workers !== this.#remotes.length;
    const moved = moving ? [...this.#definitions.values()] : [];
    if (moving) {
      const remotes = Array.from({ length: workers }, () => this.#begin());
      // To load takes a second on a busy machine: until then checks run where they are.
      await Promise.all(remotes.map(({ ready }) => ready));
      if (this.#stopped) return;
      for (const remote of this.#remotes.splice(0)) void this.#end(remote);
      this.#remotes = remotes;
    }
    const turn = new Turn(TURNS);
    for (const list of [moved.filter(({ key }) => !gone.has(key)), added]) {
      for (let first = 0; first < list.length; first += BEGUN_PER_LOOK) {
        this.#beginSome(list.slice(first, first + BEGUN_PER_LOOK), answers, found);
        if (turn.hasLasted()) await turn.rest();
        if (this.#stopped) return;
      }
    }
  }

  /** Ends these: nothing more is told of them. */
  remove(keys: readonly string[]): void {
    if (this.#stopped || keys.length === 0) return;
    for (const key of keys) {
      this.#definitions.delete(key);
      this.#remembered.delete(key);
    }
    this.#local.remove(keys);
    for (const remote of this.#remotes) {
      const removed = keys.filter((key) => remote.definitions.delete(key));
      if (removed.length > 0) this.#tell(remote, [], removed);
    }
  }

  /** How many workers there should be, and which check has the answer to whose question. */
  async #survey(
    added: readonly CheckDefinition[],
    leaving: ReadonlySet<string>,
  ): Promise<{ readonly workers: number; readonly answers: ReadonlyMap<string, string> }> {
    const asked = new LargeSet();
    const answers = new LargeMap<string>();
    const turn = new Turn(TURNS);
    let load = 0;
    let looked = 0;
    for (const { check, key } of added) {
      load += loadOf(check);
      if (this.#definitions.size > 0) asked.add(questionOf(key));
      if (++looked % CHECKS_PER_LOOK === 0 && turn.hasLasted()) await turn.rest();
    }
    for (const [key, { check }] of this.#definitions) {
      if (!leaving.has(key)) load += loadOf(check);
      const question = asked.size === 0 ? '' : questionOf(key);
      if (asked.has(question)) answers.set(question, key);
      if (++looked % CHECKS_PER_LOOK === 0 && turn.hasLasted()) await turn.rest();
    }
    const workers = this.#options.workers ?? workersOf(load, availableParallelism());
    return { workers, answers };
  }

  /** Has these run where they are to run; `answers`: by their questions, whose memory they take over. */
  #beginSome(
    some: readonly CheckDefinition[],
    answers: ReadonlyMap<string, string>,
    found: ReadonlyMap<string, FoundAs>,
  ): void {
    const workers = this.#remotes.length;
    const shares = new Map<Remote, CheckDefinition[]>();
    const moved: string[] = [];
    for (const definition of some) {
      const { key, check } = definition;
      const question = questionOf(key);
      const memory = this.#memory(key) ?? this.#memory(answers.get(question) ?? '');
      const known = memory ?? newMemory(this.#ports.nowUs(), found.get(key) ?? null);
      this.#definitions.set(key, definition);
      if (workers === 0 || LOCAL_KINDS.includes(check.kind)) {
        this.#remembered.delete(key);
        if (this.#local.memory(key) === null) this.#local.add(definition, known);
        continue;
      }
      if (this.#local.memory(key) !== null) moved.push(key);
      this.#remembered.set(key, copyOf(known));
      // By question, so that what asks the same with other timing is found in the same worker.
      const remote = this.#remotes[fnv1a32(question) % workers] as Remote;
      const share = shares.get(remote) ?? [];
      shares.set(remote, share);
      share.push(definition);
    }
    if (moved.length > 0) this.#local.remove(moved);
    this.#local.start();
    for (const [remote, share] of shares) {
      for (const definition of share) remote.definitions.set(definition.key, definition);
      this.#tell(remote, share, []);
    }
  }

  /** As CheckRunner.runNow(), of the checks of this thread. */
  runNow(matches: (definition: CheckDefinition) => boolean): void {
    this.#local.runNow(matches);
  }

  /** All checks. */
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

  /** The weight that a check asked for when it last succeeded; null for the configured one. */
  weight(key: string): number | null {
    return this.#memory(key)?.weight ?? null;
  }

  /**
   * Aborts all runs; resolves when their sockets are closed and all threads have ended, those that
   * load included. Nothing is reported afterwards.
   */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#remotes = [];
    const ends = [...this.#threads].map((remote) => this.#end(remote));
    await Promise.all([this.#local.stop(), ...ends]);
  }

  #memory(key: string): CheckMemory | null {
    return this.#remembered.get(key) ?? this.#local.memory(key);
  }

  /** One that has died is told everything when it is back. */
  #tell(
    { worker, restart }: Remote,
    added: readonly CheckDefinition[],
    remove: readonly string[],
  ): void {
    if (restart !== null) return;
    const add = added.map((one) => [one, this.#remembered.get(one.key) ?? null] as const);
    worker.postMessage({ kind: 'configure', add, remove } satisfies ToCheckWorker);
  }

  #begin(): Remote {
    const worker = this.#startWorker(() => remote);
    const remote: Remote = {
      worker,
      definitions: new LargeMap(),
      ready: new Promise((resolve) => {
        worker.once('message', () => resolve());
        worker.once('exit', () => resolve());
      }),
      restart: null,
      ended: null,
    };
    this.#threads.add(remote);
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
    if (message.kind === 'ready' || message.kind === 'stopped' || this.#stopped) return;
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
    if (remote.ended !== null) return;
    this.#ports.onDefect(new Error(`A thread of checks ended with ${code}; the next one starts`));
    remote.restart = setTimeout(() => {
      remote.restart = null;
      remote.worker = this.#startWorker(() => remote);
      this.#tell(remote, [...remote.definitions.values()], []);
    }, RESTART_DELAY_MS);
  }

  #end(remote: Remote): Promise<void> {
    remote.ended ??= this.#endThread(remote).finally(() => this.#threads.delete(remote));
    return remote.ended;
  }

  async #endThread({ worker, restart }: Remote): Promise<void> {
    if (restart !== null) {
      clearTimeout(restart);
      return;
    }
    const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    const timer = setTimeout(() => void worker.terminate(), STOP_TIMEOUT_MS);
    worker.postMessage({ kind: 'stop' } satisfies ToCheckWorker);
    await ended;
    clearTimeout(timer);
  }
}

function newMemory(nowUs: number, found: FoundAs | null): CheckMemory {
  const state = initialCheckState(nowUs, found);
  return { state, lastDurationUs: null, weight: null, skippedSlots: 0 };
}

function copyOf({ state, lastDurationUs, weight, skippedSlots }: CheckMemory): CheckMemory {
  return { state, lastDurationUs, weight, skippedSlots };
}
