/**
 * The client library of a protocol at one end of an exchange. The connection is ours: its path,
 * its time, its TLS, its bounds. The library makes and reads single messages, or has a stream that
 * is fed with them: whole ones, each looked at before. What it throws at one, or would write to the
 * console, is a failure of the check. When there is a verdict it hears nothing any more, and nobody
 * hears it.
 */
import type { Buffer } from 'node:buffer';
import { Duplex } from 'node:stream';
import type { ProbeFailure } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import type { Result } from '../core/result.ts';
import { err, ok } from '../core/result.ts';
import type { DecodeError } from '../core/wire/decode-error.ts';
import type { Framed } from '../core/wire/parts.ts';
import { type Exchange, protocolFailure, type Take } from './exchange.ts';

/** A server's message, as it was decoded and as it came. */
export interface Whole<T> {
  readonly message: T;
  readonly bytes: Buffer;
}

/** Takes messages by a decoder of core/wire, with their bytes. */
export function takingWhole<T>(
  decode: (bytes: Uint8Array) => Result<Framed<T> | null, DecodeError>,
): Take<Whole<T>> {
  return (bytes) => {
    const decoded = decode(bytes);
    if (!decoded.ok) return err(protocolFailure(decoded.error));
    if (decoded.value === null) return ok(null);
    const { message, lengthBytes } = decoded.value;
    return ok({ message: { message, bytes: bytes.subarray(0, lengthBytes) }, lengthBytes });
  };
}

/** What a library wanted to write to the console first, while it acted. */
let said: string | null = null;

const note = (...words: unknown[]): void => {
  said ??= words.map(String).join(' ');
};
const NOTES = { debug: note, error: note, info: note, log: note, trace: note, warn: note };
/** A console of which nothing is seen. */
const SILENT: Console = { ...globalThis.console, ...NOTES };

/**
 * Lets a library act. null, and the end of the check, when it throws, or would say something on
 * the console. `protocol` is the name in the words of a failure.
 */
export function guarded<T>(exchange: Exchange, protocol: string, work: () => T): T | null {
  const { console } = globalThis;
  globalThis.console = SILENT;
  let value: T | null = null;
  try {
    value = work();
  } catch (error) {
    said ??= (error as Error).message;
  } finally {
    globalThis.console = console;
  }
  if (said === null) return value;
  exchange.fail(libraryFailure(protocol, said));
  said = null;
  return null;
}

/** An answer that a library does not take, by its words. */
function libraryFailure(protocol: string, detail: string): ProbeFailure {
  return probeFailure('protocol', `Not an answer of ${protocol}: ${detail}`);
}

/** What a library takes for its socket. */
export class LibraryStream extends Duplex {
  readonly #exchange: Exchange;
  readonly #protocol: string;

  /** `protocol` is the name in the words of a failure. */
  constructor(exchange: Exchange, protocol: string) {
    // Nothing of its end is told: that of the connection is the exchange's.
    super({ autoDestroy: false, emitClose: false });
    this.#exchange = exchange;
    this.#protocol = protocol;
  }

  /** Lets the library act: see guarded(). */
  guard(work: () => void): void {
    guarded(this.#exchange, this.#protocol, work);
  }

  /** Hands a message to the library. */
  deliver(bytes: Buffer): void {
    // Not push(), which would hand it over later, where nobody catches what is thrown.
    this.guard(() => this.emit('data', bytes));
  }

  /** An answer that the library does not take, by its words. */
  failure(detail: string): ProbeFailure {
    return libraryFailure(this.#protocol, detail);
  }

  /** The connection stands before there is a library. */
  connect(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setTimeout(): this {
    return this;
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#exchange.send(chunk);
    done();
  }
}
