/**
 * One attempt to get a verdict over one socket. The first verdict wins; the timeout, which covers
 * everything from connect on, is the last. The attempt finishes only when its socket is closed,
 * whatever the server does, so whoever awaits it knows that nothing is left behind.
 */
import type { Socket } from 'node:net';
import type { ProbeFailure, ProbeResult } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import { CLOSE_GRACE_MS } from '../linux/tcp-connector.ts';

export interface AttemptOptions {
  /** Connect to verdict, in milliseconds. */
  readonly timeoutMs: number;
  /** Gives up without a verdict. */
  readonly signal: AbortSignal;
  /** No answer within the time is a success: a question to which servers need not answer. */
  readonly silenceSucceeds?: boolean;
}

export class Attempt {
  /** The verdict, when the socket is closed; null when given up before there was one. */
  readonly finished: Promise<ProbeResult | null>;
  /** What the attempt waits for, in words for the detail of a timeout. */
  waitingFor = 'the connection';
  readonly #startMs = performance.now();
  readonly #signal: AbortSignal;
  readonly #onAbort = (): void => this.#abort();
  #resolve: (result: ProbeResult | null) => void = () => {};
  #timer: NodeJS.Timeout;
  #socket: Socket | null = null;
  #closed = false;
  #settled = false;
  #result: ProbeResult | null = null;
  /** Judgements that are under way, and what became of the connection meanwhile. */
  #judgements = 0;
  #meanwhile: ProbeFailure | null = null;

  constructor(options: AttemptOptions) {
    this.finished = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.#signal = options.signal;
    this.#timer = setTimeout(() => {
      // After a stall, timers run before sockets are read: the answer may be waiting there.
      setImmediate(() => this.#expire(options));
    }, options.timeoutMs);
    this.#signal.addEventListener('abort', this.#onAbort);
    if (this.#signal.aborted) this.#abort();
  }

  /** False as long as there is no verdict and nobody gave up. */
  get settled(): boolean {
    return this.#settled;
  }

  /** Hands over the one socket; `explain` turns its error into a failure. */
  attach(socket: Socket, explain: (error: Error) => ProbeFailure): void {
    this.#socket = socket;
    socket.on('error', (error) => {
      if (this.#judgements === 0) this.settle(explain(error), 'now');
      else this.#meanwhile ??= explain(error);
    });
    socket.once('close', () => {
      // What else listens to the close may hold a better verdict than ours.
      setImmediate(() => this.#onClose());
    });
    if (this.#settled) socket.destroy();
  }

  /**
   * Gives the verdict, null for success; all but the first are ignored. The socket is closed at
   * once, or after the server closed it, CLOSE_GRACE_MS at most.
   */
  settle(failure: ProbeFailure | null, close: 'now' | 'linger'): void {
    if (this.#settled) return;
    this.#settled = true;
    clearTimeout(this.#timer);
    const durationUs = Math.round((performance.now() - this.#startMs) * 1000);
    this.#result = failure === null ? { ok: true, durationUs } : { ok: false, durationUs, failure };
    if (this.#socket === null || this.#closed) {
      this.#finish();
    } else if (close === 'now') {
      this.#socket.destroy();
    } else {
      this.#timer = setTimeout(() => this.destroySocket(), CLOSE_GRACE_MS);
    }
  }

  /**
   * Waits for a judgement about what has come: errors and the end of the connection count only
   * after it, if it settles nothing.
   */
  async judged<T>(judgement: Promise<T>): Promise<T> {
    this.#judgements++;
    const value = await judgement;
    this.#judgements--;
    // Whoever waits for the judgement comes first.
    setImmediate(() => {
      if (this.#judgements > 0 || this.#settled) return;
      if (this.#meanwhile !== null) this.settle(this.#meanwhile, 'now');
      else if (this.#closed) this.#onClose();
    });
    return value;
  }

  destroySocket(): void {
    this.#socket?.destroy();
  }

  #expire({ timeoutMs, silenceSucceeds }: AttemptOptions): void {
    if (silenceSucceeds === true) return this.settle(null, 'now');
    const detail = `Waited ${timeoutMs} ms for ${this.waitingFor}`;
    this.settle(probeFailure('timeout', detail), 'now');
  }

  #abort(): void {
    if (this.#settled) {
      this.destroySocket();
      return;
    }
    this.#settled = true;
    clearTimeout(this.#timer);
    if (this.#socket === null || this.#closed) this.#finish();
    else this.#socket.destroy();
  }

  #onClose(): void {
    this.#closed = true;
    if (this.#settled) this.#finish();
    else if (this.#judgements === 0)
      this.settle(probeFailure('reset', `Closed, waiting for ${this.waitingFor}`), 'now');
  }

  #finish(): void {
    clearTimeout(this.#timer);
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#resolve(this.#result);
  }
}
