/** TCP check: success is an established connection, which is then closed in order. */
import type { SocketPath } from '../core/config/check.ts';
import type { CheckTarget } from '../core/health/check-key.ts';
import type { ProbeResult } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import { SystemError } from '../linux/libc.ts';
import {
  type TcpConnection,
  TcpConnector,
  type TcpDestination,
  type TcpTalk,
  tcpDestination,
} from '../linux/tcp-connector.ts';
import type { AttemptOptions } from './attempt.ts';
import { openFailure } from './connection.ts';

/** Shared by all checks of the thread whose connections it makes. */
export const connector: TcpConnector = new TcpConnector();

/** Connects, and knows enough. */
class ConnectAttempt implements TcpTalk {
  readonly listens = false;
  readonly #destination: TcpDestination;
  readonly #timeoutMs: number;
  readonly #done: (result: ProbeResult | null) => void;
  readonly #startMs = performance.now();
  /** null while there is no verdict. */
  #result: ProbeResult | null = null;

  constructor(
    destination: TcpDestination,
    timeoutMs: number,
    done: (result: ProbeResult | null) => void,
  ) {
    this.#destination = destination;
    this.#timeoutMs = timeoutMs;
    this.#done = done;
  }

  onEstablished(connection: TcpConnection): void {
    this.#result = { ok: true, durationUs: this.#durationUs() };
    connector.leave(connection);
  }

  onData(): void {}

  onEnd(): void {}

  onError(error: SystemError): void {
    const failure = openFailure(error, this.#destination);
    this.#result = { ok: false, durationUs: this.#durationUs(), failure };
  }

  onTimeout(): void {
    const failure = probeFailure('timeout', `Waited ${this.#timeoutMs} ms for the connection`);
    this.#result = { ok: false, durationUs: this.#durationUs(), failure };
  }

  onClosed(): void {
    this.#done(this.#result);
  }

  #durationUs(): number {
    return Math.round((performance.now() - this.#startMs) * 1000);
  }
}

/**
 * Connects to a server; `done` is called once, never within this call, when the connection is
 * closed: null when it was given up before a verdict, by what this returns.
 */
export function startTcp(
  destination: TcpDestination,
  timeoutMs: number,
  done: (result: ProbeResult | null) => void,
): () => void {
  const attempt = new ConnectAttempt(destination, timeoutMs, done);
  try {
    const connection = connector.open(destination, timeoutMs, attempt);
    return () => connector.close(connection);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    attempt.onError(error);
    queueMicrotask(() => attempt.onClosed());
    return () => {};
  }
}

/** The same as a promise, which the signal gives up. Never rejects. */
export function probeTcp(
  path: SocketPath,
  target: CheckTarget,
  { timeoutMs, signal }: AttemptOptions,
): Promise<ProbeResult | null> {
  if (signal.aborted) return Promise.resolve(null);
  return new Promise((resolve) => {
    const giveUp = startTcp(tcpDestination(target, path), timeoutMs, (result) => {
      signal.removeEventListener('abort', giveUp);
      resolve(result);
    });
    signal.addEventListener('abort', giveUp);
  });
}
