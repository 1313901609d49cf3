/**
 * Decides about the body of an answer while it arrives, in bounded memory. Text that must be
 * contained is decided as soon as it is seen, and only as many bytes are kept as could begin it.
 * A regular expression and a digest are decided on the whole body, since any later byte may change
 * the verdict.
 */
import { Buffer } from 'node:buffer';
import { createHash, type Hash } from 'node:crypto';
import type { BodyDigest } from '../core/config/check.ts';
import { matchesInTime } from './expression.ts';

/** Most bytes of a body that are read: health pages are small, and checks run by the hundred. */
export const BODY_LENGTH_MAX_BYTES = 1024 * 1024;

/** First size of the buffer for a regular expression; it doubles up to the maximum. */
const BUFFER_FIRST_BYTES = 4096;

export interface BodyExpectation {
  readonly contains: string | null;
  /** Without the flags g and y, which would make it remember earlier bodies. */
  readonly matches: RegExp | null;
  readonly digest: BodyDigest | null;
}

export type BodyVerdict =
  | 'undecided'
  | 'success'
  | 'no-text'
  | 'no-match'
  | 'no-digest'
  | 'too-large'
  | 'too-slow';

export class BodyMatcher {
  readonly #matches: RegExp | null;
  readonly #needle: Buffer;
  #contained: boolean;
  /** The end of the body so far, shorter than the needle. */
  #tail: Buffer = Buffer.alloc(0);
  #buffer: Buffer = Buffer.alloc(0);
  #lengthBytes = 0;
  readonly #digest: BodyDigest | null;
  readonly #hash: Hash | null;
  /** Of a body that was looked at to its end, in hexadecimal digits. */
  seenDigest = '';

  /** Throws where this machine does not have the algorithm of the digest. */
  constructor(expectation: BodyExpectation) {
    this.#digest = expectation.digest;
    this.#hash = this.#digest === null ? null : createHash(this.#digest.algorithm);
    this.#needle = Buffer.from(expectation.contains ?? '');
    this.#contained = this.#needle.length === 0;
    this.#matches = expectation.matches;
  }

  /** Takes the next bytes, of which it keeps copies only. */
  push(chunk: Buffer): BodyVerdict {
    const room = BODY_LENGTH_MAX_BYTES - this.#lengthBytes;
    const taken = chunk.subarray(0, room);
    if (!this.#contained) this.#search(taken);
    if (this.#matches !== null) this.#append(taken);
    this.#hash?.update(taken);
    this.#lengthBytes += taken.length;
    const whole = this.#matches !== null || this.#hash !== null;
    if (this.#contained && !whole) return 'success';
    return chunk.length > room ? 'too-large' : 'undecided';
  }

  /** The verdict when the body is complete, for as long as `isWanted` says so. */
  async end(isWanted: () => boolean): Promise<BodyVerdict> {
    if (!this.#contained) return 'no-text';
    this.seenDigest = this.#hash?.digest('hex') ?? '';
    if (this.seenDigest !== (this.#digest?.hex ?? '')) return 'no-digest';
    if (this.#matches === null) return 'success';
    const text = this.#buffer.toString('utf8', 0, this.#lengthBytes);
    return matchesInTime(this.#matches, text, isWanted);
  }

  #search(chunk: Buffer): void {
    const text = Buffer.concat([this.#tail, chunk]);
    this.#contained = text.includes(this.#needle);
    const kept = Math.min(text.length, this.#needle.length - 1);
    this.#tail = Buffer.from(text.subarray(text.length - kept));
  }

  #append(chunk: Buffer): void {
    const needed = this.#lengthBytes + chunk.length;
    if (needed > this.#buffer.length) {
      const doubled = Math.max(needed, this.#buffer.length * 2, BUFFER_FIRST_BYTES);
      const grown = Buffer.alloc(Math.min(doubled, BODY_LENGTH_MAX_BYTES));
      this.#buffer.copy(grown, 0, 0, this.#lengthBytes);
      this.#buffer = grown;
    }
    chunk.copy(this.#buffer, this.#lengthBytes);
  }
}
