/**
 * Regular expressions of checks, tried on texts that servers wrote. They run on threads of their
 * own and in bounded time, because one that backtracks without end must hold up neither the
 * controller nor the checks of others: an expression that was too slow is tried again in the second
 * lane, with more patience, and goes there until it is quick again; the first lane is free for the
 * others.
 */
import { Worker } from 'node:worker_threads';

export type ExpressionVerdict = 'success' | 'no-match' | 'too-slow';

/**
 * Longest time of a try in the first lane and in the second. Both are far above what an expression
 * needs that does not backtrack without end, because on a loaded director the thread may wait for
 * its processor meanwhile.
 */
const QUICK_TIMEOUT_MS = 200;
const PATIENT_TIMEOUT_MS = 500;

/** A thread that has nothing to do for this long is ended: it holds some megabytes. */
const IDLE_MS = 60_000;
const THREAD_MEMORY_MAX_MB = 64;

/** What the thread runs, in plain JavaScript: a text needs no file that a build must place. */
const PROGRAM = `
  const { parentPort } = require('node:worker_threads');
  const { Script } = require('node:vm');
  const script = new Script('expression.test(text)');
  parentPort.on('message', ({ source, flags, text, timeout }) => {
    let verdict = 'too-slow';
    try {
      globalThis.expression = new RegExp(source, flags);
      globalThis.text = text;
      verdict = script.runInThisContext({ timeout }) ? 'success' : 'no-match';
    } catch {}
    parentPort.postMessage(verdict);
  });
`;

interface Job {
  readonly expression: RegExp;
  readonly text: string;
  readonly isWanted: () => boolean;
  /** null when it was not tried. */
  readonly done: (verdict: ExpressionVerdict | null) => void;
}

/** One thread, and what waits for it: at most one job of each run that is in flight. */
class Lane {
  readonly #waiting: Job[] = [];
  readonly #timeoutMs: number;
  #worker: Worker | null = null;
  #job: Job | null = null;
  #idle: NodeJS.Timeout | null = null;

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  add(job: Job): void {
    this.#waiting.push(job);
    this.#next();
  }

  #next(): void {
    if (this.#job !== null) return;
    let job = this.#waiting.shift();
    while (job !== undefined && !job.isWanted()) {
      job.done(null);
      job = this.#waiting.shift();
    }
    if (this.#idle !== null) clearTimeout(this.#idle);
    this.#idle = null;
    if (job === undefined) {
      this.#idle = setTimeout(() => void this.#worker?.terminate(), IDLE_MS).unref();
      return;
    }
    this.#job = job;
    const { source, flags } = job.expression;
    this.#thread().postMessage({ source, flags, text: job.text, timeout: this.#timeoutMs });
  }

  #thread(): Worker {
    if (this.#worker !== null) return this.#worker;
    const worker = new Worker(PROGRAM, {
      eval: true,
      resourceLimits: { maxOldGenerationSizeMb: THREAD_MEMORY_MAX_MB },
    });
    // What waits for a verdict has timers of its own: a thread keeps no process alive.
    worker.unref();
    worker.on('message', (verdict: ExpressionVerdict) => this.#finish(verdict));
    // It ran out of memory, which is no match either.
    worker.on('error', () => {});
    worker.on('exit', () => {
      if (this.#worker === worker) this.#worker = null;
      this.#finish('too-slow');
    });
    this.#worker = worker;
    return worker;
  }

  #finish(verdict: ExpressionVerdict): void {
    const job = this.#job;
    this.#job = null;
    job?.done(verdict);
    this.#next();
  }
}

const quick = new Lane(QUICK_TIMEOUT_MS);
const patient = new Lane(PATIENT_TIMEOUT_MS);
const slowExpressions = new WeakSet<RegExp>();

/**
 * Tries an expression, whose object tells its owner from others. 'too-slow' without a try when
 * `isWanted` says no by the time that the thread is free. Never rejects.
 */
export async function matchesInTime(
  expression: RegExp,
  text: string,
  isWanted: () => boolean,
): Promise<ExpressionVerdict> {
  const tryIn = (lane: Lane) =>
    new Promise<ExpressionVerdict | null>((done) => {
      lane.add({ expression, text, isWanted, done });
    });
  if (!slowExpressions.has(expression)) {
    const verdict = await tryIn(quick);
    if (verdict !== 'too-slow') return verdict ?? 'too-slow';
    slowExpressions.add(expression);
  }
  const startMs = performance.now();
  const verdict = await tryIn(patient);
  const wasQuick = performance.now() - startMs < QUICK_TIMEOUT_MS;
  if (verdict !== null && verdict !== 'too-slow' && wasQuick) slowExpressions.delete(expression);
  return verdict ?? 'too-slow';
}
