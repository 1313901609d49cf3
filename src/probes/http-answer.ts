/**
 * The answer to one request of an HTTP check, in whatever version it comes: status, body and end
 * are told in order, and the attempt gets its verdict as soon as there is one. Where nothing is
 * asked of the body it must come all the same: a server that hangs behind its header serves nobody.
 */
import type { Buffer } from 'node:buffer';
import { assertNever } from '../core/assert.ts';
import type { HttpRequestConfig } from '../core/config/check.ts';
import type { ProbeFailure } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import type { BodyVerdict } from './body.ts';
import { BODY_LENGTH_MAX_BYTES, BodyMatcher } from './body.ts';
import { errorCode, socketFailureReason } from './socket-error.ts';

/**
 * Bytes of a body that nothing is asked of: whoever has sent so many serves. After a verdict, the
 * same so that a short answer ends without a reset.
 */
const DISCARD_LENGTH_MAX_BYTES = 64 * 1024;

/** What an answer does with the attempt that it is of: see Attempt, which is one. */
export interface AnswerAttempt {
  readonly settled: boolean;
  waitingFor: string;
  settle(failure: ProbeFailure | null, close: 'now' | 'linger'): void;
  judged<T>(judgement: Promise<T>): Promise<T>;
  destroySocket(): void;
}

/** What the answer must be. */
export interface HttpExpectation {
  readonly request: HttpRequestConfig;
  /** The request's `bodyMatches`. */
  readonly matches: RegExp | null;
}

export class HttpAnswer {
  readonly #attempt: AnswerAttempt;
  readonly #request: HttpRequestConfig;
  readonly #matcher: BodyMatcher | null;
  #discardedBytes = 0;
  #ended = false;

  /** Throws where this machine does not have the algorithm of the digest. */
  constructor(attempt: AnswerAttempt, { request, matches }: HttpExpectation) {
    this.#attempt = attempt;
    this.#request = request;
    const { bodyContains: contains, digest } = request;
    const looksAtBody = contains !== null || matches !== null || digest !== null;
    this.#matcher = looksAtBody ? new BodyMatcher({ contains, matches, digest }) : null;
  }

  /** The status of the answer, or of an interim one before it. */
  status(status: number): void {
    // RFC 9110 section 15.2: interim responses come before the final one.
    if (status < 200) return;
    if (!this.#request.status.some(([low, high]) => low <= status && status <= high)) {
      this.#attempt.settle(probeFailure('status', `Status ${status}`), 'linger');
    } else {
      this.#attempt.waitingFor = 'the body of the answer';
    }
  }

  data(chunk: Buffer): void {
    if (this.#attempt.settled || this.#matcher === null) {
      this.#discardedBytes += chunk.length;
      if (this.#discardedBytes <= DISCARD_LENGTH_MAX_BYTES) return;
      this.#attempt.settle(null, 'now');
      this.#attempt.destroySocket();
    } else {
      this.#decide(this.#matcher.push(chunk));
    }
  }

  end(): void {
    this.#ended = true;
    if (this.#attempt.settled) return;
    if (this.#matcher === null) this.#attempt.settle(null, 'linger');
    else void this.#judge(this.#matcher);
  }

  async #judge(matcher: BodyMatcher): Promise<void> {
    const attempt = this.#attempt;
    attempt.waitingFor = 'the regular expression';
    this.#decide(await attempt.judged(matcher.end(() => !attempt.settled)));
  }

  /** Errors after the end say nothing of the answer. */
  error(error: Error): void {
    if (this.#ended) return;
    this.#attempt.settle(explainAnswer(error), 'now');
  }

  #decide(verdict: BodyVerdict): void {
    switch (verdict) {
      case 'undecided':
        return;
      case 'success':
        this.#attempt.settle(null, 'linger');
        return;
      case 'no-text': {
        const detail = `The body does not contain "${this.#request.bodyContains}"`;
        this.#attempt.settle(probeFailure('body', detail), 'linger');
        return;
      }
      case 'no-match': {
        const detail = `The body does not match /${this.#request.bodyMatches}/u`;
        this.#attempt.settle(probeFailure('body', detail), 'linger');
        return;
      }
      case 'no-digest': {
        const { algorithm, hex } = this.#request.digest ?? { algorithm: '', hex: '' };
        const detail = `The ${algorithm} of the body is ${this.#matcher?.seenDigest}; expected ${hex}`;
        this.#attempt.settle(probeFailure('body', detail), 'linger');
        return;
      }
      case 'too-large': {
        const detail = `Undecided after ${BODY_LENGTH_MAX_BYTES} bytes of the body`;
        this.#attempt.settle(probeFailure('too-large', detail), 'now');
        return;
      }
      case 'too-slow': {
        const detail = `The regular expression /${this.#request.bodyMatches}/u took too long`;
        this.#attempt.settle(probeFailure('cannot-run', detail), 'now');
        return;
      }
      default:
        assertNever(verdict);
    }
  }
}

/** Errors of the connection and of the protocol spoken over it. */
export function explainAnswer(error: Error): ProbeFailure {
  const reason = socketFailureReason(error);
  if (reason !== null) return probeFailure(reason, error.message);
  // Of the library, which says 'Protocol error' of whatever is no frame.
  const isNoFrame = errorCode(error) === 'ERR_HTTP2_ERROR';
  const detail = isNoFrame ? `The answer is not HTTP/2: ${error.message}` : error.message;
  return probeFailure('protocol', detail);
}
