/**
 * An answer of HTTP/1 as it comes, given to what judges it, whatever carries it: the bytes of a
 * connection go in, the verdict of the attempt comes out.
 */
import { Buffer } from 'node:buffer';
import { probeFailure } from '../core/health/probe-result.ts';
import type { Result } from '../core/result.ts';
import type { DecodeError } from '../core/wire/decode-error.ts';
import { HttpAnswerReader } from '../core/wire/http.ts';
import type { AnswerAttempt, HttpAnswer } from './http-answer.ts';

export class Http1Answer {
  readonly #attempt: AnswerAttempt;
  readonly #answer: HttpAnswer;
  readonly #reader: HttpAnswerReader;
  #complete = false;

  /** `method` is the request's. */
  constructor(attempt: AnswerAttempt, answer: HttpAnswer, method: string) {
    this.#attempt = attempt;
    this.#answer = answer;
    this.#reader = new HttpAnswerReader(method, {
      onStatus: (status) => answer.status(status),
      onBody: ({ buffer, byteOffset, length }) =>
        answer.data(Buffer.from(buffer as ArrayBuffer, byteOffset, length)),
    });
  }

  /** Takes what the server sent; whether the answer is complete, or never will be. */
  data(bytes: Uint8Array): boolean {
    return this.#complete || this.#take(this.#reader.push(bytes));
  }

  /** Takes that the server has closed its side. */
  end(): void {
    if (!this.#complete) this.#take(this.#reader.end());
  }

  #take(result: Result<boolean, DecodeError>): boolean {
    if (result.ok) {
      if (result.value) {
        this.#complete = true;
        this.#answer.end();
      }
      return result.value;
    }
    const { reason, detail } = result.error;
    const failure =
      reason === 'truncated'
        ? probeFailure('reset', `Before the answer was complete: ${detail}`)
        : probeFailure('protocol', `The answer is not HTTP/1: ${detail}`);
    this.#complete = true;
    this.#attempt.settle(failure, 'now');
    return true;
  }
}
