/**
 * One request of an HTTP check without TLS by HTTP/1, over a connection of the thread's connector:
 * what most checks are, and so without socket object, timer, signal and promise of its own.
 * Everything is bounded: the time from connect to verdict, the heads and the body that are read,
 * and after the verdict what is read so that a short answer ends without a reset.
 */
import type { ProbeFailure, ProbeResult } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import { SystemError } from '../linux/libc.ts';
import {
  CLOSE_GRACE_MS,
  type TcpConnection,
  type TcpDestination,
  type TcpTalk,
} from '../linux/tcp-connector.ts';
import { openFailure } from './connection.ts';
import { type AnswerAttempt, HttpAnswer, type HttpExpectation } from './http-answer.ts';
import { Http1Answer } from './http1.ts';
import { connector } from './tcp.ts';

/** What is asked, in its final form: made once for all runs of a check. */
export interface PlainRequest extends HttpExpectation {
  readonly destination: TcpDestination;
  /** The request as it goes over the wire. */
  readonly bytes: Uint8Array;
}

class PlainAttempt implements TcpTalk, AnswerAttempt {
  readonly listens = true;
  waitingFor = 'the connection';
  readonly #request: PlainRequest;
  readonly #timeoutMs: number;
  readonly #done: (result: ProbeResult | null) => void;
  readonly #startMs = performance.now();
  #connection: TcpConnection | null = null;
  #answer: Http1Answer | null = null;
  #settled = false;
  #result: ProbeResult | null = null;
  #judgements = 0;
  #closed = false;
  #told = false;

  constructor(
    request: PlainRequest,
    timeoutMs: number,
    done: (result: ProbeResult | null) => void,
  ) {
    this.#request = request;
    this.#timeoutMs = timeoutMs;
    this.#done = done;
  }

  get settled(): boolean {
    return this.#settled;
  }

  onEstablished(connection: TcpConnection): void {
    this.#connection = connection;
    this.waitingFor = 'the header of the answer';
    try {
      const answer = new HttpAnswer(this, this.#request);
      this.#answer = new Http1Answer(this, answer, this.#request.request.method);
    } catch (error) {
      return this.settle(probeFailure('cannot-run', (error as Error).message), 'now');
    }
    connector.send(connection, this.#request.bytes);
  }

  onData(connection: TcpConnection, bytes: Uint8Array): void {
    if (this.#answer?.data(bytes)) this.#closeIfDone(connection);
  }

  onEnd(connection: TcpConnection): void {
    this.#answer?.end();
    this.#closeIfDone(connection);
  }

  onError(error: SystemError): void {
    // What has come is judged first: an error behind it says nothing of the answer.
    if (this.#judgements === 0) this.settle(openFailure(error, this.#request.destination), 'now');
  }

  onTimeout(): void {
    const detail = `Waited ${this.#timeoutMs} ms for ${this.waitingFor}`;
    this.settle(probeFailure('timeout', detail), 'now');
  }

  onClosed(): void {
    this.#closed = true;
    this.#tell();
  }

  /** Gives the verdict, as Attempt.settle() does. */
  settle(failure: ProbeFailure | null, close: 'now' | 'linger'): void {
    if (this.#settled) return;
    this.#settled = true;
    const durationUs = Math.round((performance.now() - this.#startMs) * 1000);
    this.#result = failure === null ? { ok: true, durationUs } : { ok: false, durationUs, failure };
    if (this.#connection === null) return;
    if (close === 'now') connector.close(this.#connection);
    else connector.setTimeout(this.#connection, CLOSE_GRACE_MS);
  }

  async judged<T>(judgement: Promise<T>): Promise<T> {
    this.#judgements++;
    const value = await judgement;
    this.#judgements--;
    // Whoever waits for the judgement comes first.
    setImmediate(() => {
      this.destroySocket();
      this.#tell();
    });
    return value;
  }

  destroySocket(): void {
    if (this.#connection !== null) connector.close(this.#connection);
  }

  /** Gives up without a verdict, or closes what has one. */
  giveUp(connection: TcpConnection): void {
    this.#settled = true;
    connector.close(connection);
  }

  /** The run is over when the connection is closed and nobody judges what came over it. */
  #tell(): void {
    if (this.#told || !this.#closed || this.#judgements > 0) return;
    this.#told = true;
    this.#done(this.#result);
  }

  #closeIfDone(connection: TcpConnection): void {
    if (this.#judgements === 0) connector.close(connection);
  }
}

/**
 * Asks once; `done` is called once, never within this call, when the connection is closed: null
 * when it was given up before a verdict, by what this returns.
 */
export function startPlainHttp(
  request: PlainRequest,
  timeoutMs: number,
  done: (result: ProbeResult | null) => void,
): () => void {
  const attempt = new PlainAttempt(request, timeoutMs, done);
  try {
    const connection = connector.open(request.destination, timeoutMs, attempt);
    return () => attempt.giveUp(connection);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    attempt.onError(error);
    queueMicrotask(() => attempt.onClosed());
    return () => {};
  }
}
