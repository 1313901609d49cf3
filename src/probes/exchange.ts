/**
 * An exchange of messages over one connection, for protocols that ask and answer: what arrives is
 * collected until a message is complete, TLS may begin at any point. Bounded: time from connect to
 * verdict by the attempt, and the bytes that a server may send. When there is a verdict, or the
 * connection is gone, whoever waits for a message gets null and has nothing more to do.
 */
import { Buffer } from 'node:buffer';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { SocketPath, TlsConfig } from '../core/config/check.ts';
import type { CheckTarget } from '../core/health/check-key.ts';
import type { ProbeFailure, ProbeResult } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import type { Result } from '../core/result.ts';
import { err } from '../core/result.ts';
import type { DecodeError } from '../core/wire/decode-error.ts';
import type { Framed } from '../core/wire/parts.ts';
import { Attempt, type AttemptOptions } from './attempt.ts';
import { openConnection, startTls, type TlsWishes } from './connection.ts';
import { matchesInTime } from './expression.ts';
import { socketFailureReason } from './socket-error.ts';
import { tlsFailure } from './tls-error.ts';
import type { TrustStore } from './trust-store.ts';

/** A server that says more than this to a few questions does not speak the protocol. */
export const RECEIVED_BYTES_MAX = 64 * 1024;

/** The message that `bytes` begin with; null while it is not complete. */
export type Take<T> = (bytes: Buffer) => Result<Framed<T> | null, ProbeFailure>;

export class Exchange {
  readonly #attempt: Attempt;
  readonly #receivedBytesMax: number;
  #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #receivedBytes = 0;
  #look: () => void = () => {};

  constructor(attempt: Attempt, socket: Socket, receivedBytesMax: number) {
    this.#attempt = attempt;
    this.#receivedBytesMax = receivedBytesMax;
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    void attempt.finished.then(() => this.#look());
  }

  /** False as long as there is no verdict. */
  get settled(): boolean {
    return this.#attempt.settled;
  }

  /** True when the connection stands; false when it never will. */
  connected(): Promise<boolean> {
    return this.#happens(this.#socket, 'connect');
  }

  send(message: Uint8Array): void {
    if (!this.#attempt.settled) this.#socket.write(message);
  }

  /** The next message; null when there is a verdict. `waitingFor` is for a timeout's words. */
  next<T>(waitingFor: string, take: Take<T>): Promise<T | null> {
    this.#attempt.waitingFor = waitingFor;
    return new Promise((resolve) => {
      const done = (message: T | null) => {
        this.#look = () => {};
        resolve(message);
      };
      this.#look = () => {
        if (this.#attempt.settled) return done(null);
        if (this.#received.length === 0) return;
        const taken = take(this.#received);
        if (!taken.ok) {
          this.fail(taken.error);
          return done(null);
        }
        if (taken.value === null) return;
        this.#received = this.#received.subarray(taken.value.lengthBytes);
        done(taken.value.message);
      };
      this.#look();
    });
  }

  /** Whether a text matches; false with a verdict, which is there when it cannot be told in time. */
  async matches(expression: RegExp, text: string): Promise<boolean> {
    const wanted = () => !this.#attempt.settled;
    const verdict = await this.#attempt.judged(matchesInTime(expression, text, wanted));
    if (this.#attempt.settled) return false;
    if (verdict === 'too-slow') {
      const detail = `The regular expression ${expression} took too long`;
      this.#attempt.settle(probeFailure('cannot-run', detail), 'now');
    }
    return verdict === 'success';
  }

  /** Begins TLS and waits for the end of the handshake; false when there is a verdict instead. */
  secure(wishes: TlsWishes): Promise<boolean> {
    if (this.#attempt.settled) return Promise.resolve(false);
    // What came before the handshake was said by anybody; it must not count behind it.
    if (this.#received.length > 0) {
      this.fail(probeFailure('protocol', 'The server spoke before the TLS handshake'));
      return Promise.resolve(false);
    }
    this.#attempt.waitingFor = 'the TLS handshake';
    this.#socket.removeAllListeners('data');
    const secured = startTls(this.#socket, wishes);
    // The attempt holds the connection below, which goes with this one.
    secured.on('error', (error) => {
      this.#attempt.settle(explainTls(error, secured, wishes.verify), 'now');
    });
    secured.on('data', (chunk: Buffer) => this.#receive(chunk));
    this.#socket = secured;
    return this.#happens(secured, 'secureConnect');
  }

  fail(failure: ProbeFailure): void {
    this.#attempt.settle(failure, 'linger');
    this.#socket.end();
  }

  /** The verdict is success; `goodbye` is what the protocol ends with. */
  succeed(goodbye: Uint8Array | null): void {
    if (this.#attempt.settled) return;
    if (goodbye !== null) this.#socket.write(goodbye);
    this.#attempt.settle(null, 'linger');
    this.#socket.end();
  }

  #happens(socket: Socket, event: 'connect' | 'secureConnect'): Promise<boolean> {
    return new Promise((resolve) => {
      socket.once(event, () => resolve(!this.#attempt.settled));
      void this.#attempt.finished.then(() => resolve(false));
    });
  }

  #receive(chunk: Buffer): void {
    if (this.#attempt.settled) return;
    this.#receivedBytes += chunk.length;
    if (this.#receivedBytes > this.#receivedBytesMax) {
      const detail = `More than ${this.#receivedBytesMax} bytes before there was a verdict`;
      return this.#attempt.settle(probeFailure('too-large', detail), 'now');
    }
    this.#received = Buffer.concat([this.#received, chunk]);
    this.#look();
  }
}

export interface ExchangeOptions extends AttemptOptions {
  /** RECEIVED_BYTES_MAX unless told otherwise. */
  readonly receivedBytesMax?: number;
}

/**
 * Connects and lets `talk` come to a verdict. Never rejects; null when the signal gave up before
 * there was one.
 */
export async function probeExchange(
  { target, path }: { readonly target: CheckTarget; readonly path: SocketPath },
  options: ExchangeOptions,
  talk: (exchange: Exchange) => Promise<void>,
): Promise<ProbeResult | null> {
  const attempt = new Attempt(options);
  if (attempt.settled) return attempt.finished;
  const opened = openConnection(target, path);
  if (!opened.ok) {
    attempt.settle(opened.error, 'now');
    return attempt.finished;
  }
  const socket = opened.value;
  attempt.attach(socket, (error) =>
    probeFailure(socketFailureReason(error) ?? 'cannot-run', error.message),
  );
  const exchange = new Exchange(attempt, socket, options.receivedBytesMax ?? RECEIVED_BYTES_MAX);
  if (await exchange.connected()) await talk(exchange);
  return attempt.finished;
}

/** Takes messages by a decoder of core/wire; what it refuses is no answer of the protocol. */
export function taking<T>(
  decode: (bytes: Uint8Array) => Result<Framed<T> | null, DecodeError>,
): Take<T> {
  return (bytes) => {
    const decoded = decode(bytes);
    return decoded.ok ? decoded : err(protocolFailure(decoded.error));
  };
}

export function protocolFailure({ reason, detail }: DecodeError): ProbeFailure {
  return probeFailure('protocol', `${reason}: ${detail}`);
}

/** What TLS needs: how it is spoken, for whom, and what is trusted. */
export interface Security {
  readonly check: TlsConfig;
  readonly address: string;
  readonly trust: TrustStore;
}

/** A kind of check that talks over one connection, and may begin TLS on it by `security`. */
export type ExchangeProbe<C> = (
  check: C,
  target: CheckTarget,
  security: Security,
  options: AttemptOptions,
) => Promise<ProbeResult | null>;

/**
 * The probe that asks once by `talk`. It never rejects, and gives null when the signal gave up
 * before a verdict.
 */
export function exchangeProbe<C extends SocketPath>(
  talk: (exchange: Exchange, check: C, security: Security) => Promise<void>,
): ExchangeProbe<C> {
  return (check, target, security, options) =>
    probeExchange({ target, path: check }, options, (exchange) => talk(exchange, check, security));
}

/** Begins TLS on an exchange, with the certificates that are trusted; false with a verdict. */
export function beginWithTls(
  exchange: Exchange,
  { check, address, trust }: Security,
): Promise<boolean> {
  const context = trust.secureContext(check.caFile, check);
  const name = check.serverName ?? address;
  if (context.ok) {
    return exchange.secure({ context: context.value, name, verify: check.tlsVerify, alpn: [] });
  }
  exchange.fail(probeFailure('cannot-run', context.error));
  return Promise.resolve(false);
}

/** What an error of TLS, or of the connection below it, says about the server. */
function explainTls(error: Error, socket: TLSSocket, verify: boolean): ProbeFailure {
  return tlsFailure(error, socket, verify) ?? probeFailure('protocol', error.message);
}
