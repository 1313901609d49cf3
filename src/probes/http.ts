/**
 * HTTP and HTTPS check: one GET over a connection of its own, as RFC 9110 and RFC 9112 have it.
 * Redirects are not followed: a 302 is a status like any other. Everything is bounded: time from
 * connect to verdict, headers (by undici, 16 KiB), and the bytes of the body that are looked at.
 * The socket is made here, not by undici, so that it can be closed at any moment of its life.
 */
import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import { TLSSocket } from 'node:tls';
import type { Dispatcher } from 'undici';
import { assertNever } from '../core/assert.ts';
import type { HttpCheckConfig } from '../core/config/config.ts';
import type { CheckTarget } from '../core/health/check-key.ts';
import type { ProbeFailure, ProbeResult } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import { endpointText } from '../core/ipvs/model.ts';
import type { Result } from '../core/result.ts';
import { err, ok } from '../core/result.ts';
import type { AttemptOptions } from './attempt.ts';
import { Attempt } from './attempt.ts';
import type { BodyExpectation, BodyVerdict } from './body.ts';
import { BODY_LENGTH_MAX_BYTES, BodyMatcher } from './body.ts';
import { openConnection, startTls } from './connection.ts';
import { errorCode, socketFailureReason } from './socket-error.ts';
import type { TrustStore } from './trust-store.ts';

const USER_AGENT = 'vipkeeper';

/** Bytes read after the verdict so that a short answer ends without a reset. */
const DISCARD_LENGTH_MAX_BYTES = 64 * 1024;

/** What is made once for all runs of a check. */
interface Prepared {
  /** null without TLS. */
  readonly secureContext: SecureContext | null;
  readonly body: BodyExpectation;
}

/**
 * A function that runs the check once; it never rejects, and gives null when the signal gave up
 * before a verdict. The CA file is read now; while it cannot be used, every run fails with
 * 'cannot-run' and tries again to read it.
 */
export function createHttpProbe(
  check: HttpCheckConfig,
  target: CheckTarget,
  trust: TrustStore,
): (options: AttemptOptions) => Promise<ProbeResult | null> {
  let prepared = prepare(check, trust);
  return async (options) => {
    // Only directors with an HTTP check pay for the library. Loading it is no server's fault, so
    // it is not part of the timed attempt.
    const { Client } = await import('undici');
    if (!prepared.ok) prepared = prepare(check, trust);
    const attempt = new Attempt(options);
    if (attempt.settled) return attempt.finished;
    if (!prepared.ok) {
      attempt.settle(probeFailure('cannot-run', prepared.error), 'now');
      return attempt.finished;
    }
    const opened = openConnection(target, check);
    if (!opened.ok) {
      attempt.settle(opened.error, 'now');
      return attempt.finished;
    }
    const { secureContext: context } = prepared.value;
    const wishes = { name: tlsName(check, target), verify: check.tlsVerify, alpn: ['http/1.1'] };
    const socket = context === null ? opened.value : startTls(opened.value, { context, ...wishes });
    attempt.attach(socket, (error) => explain(error, socket, check));
    if (check.tls) {
      socket.once('connect', () => {
        attempt.waitingFor = 'the TLS handshake';
      });
    }
    const handler = new ResponseHandler(attempt, check, prepared.value.body);
    const origin = `${check.tls ? 'https' : 'http'}://${endpointText(target.address, target.port)}`;
    const client = new Client(origin, {
      // Connectors answer later: undici ignores an answer given within the call.
      connect: (_options, callback) => setImmediate(callback, null, socket),
      // The attempt's timeout covers these phases.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    socket.once(check.tls ? 'secureConnect' : 'connect', () => {
      attempt.waitingFor = 'the header of the answer';
      client.dispatch(request(check, target), handler);
    });
    const result = await attempt.finished;
    await client.destroy();
    return result;
  };
}

function prepare(check: HttpCheckConfig, trust: TrustStore): Result<Prepared, string> {
  let matches: RegExp | null = null;
  try {
    if (check.bodyMatches !== null) matches = new RegExp(check.bodyMatches, 'u');
  } catch (error) {
    return err((error as Error).message);
  }
  const body = { contains: check.bodyContains, matches };
  if (!check.tls) return ok({ secureContext: null, body });
  const context = trust.secureContext(check.caFile);
  return context.ok ? ok({ secureContext: context.value, body }) : context;
}

/** The name that the certificate must be for. */
export function tlsName(
  check: { readonly serverName: string | null; readonly host: string | null },
  target: CheckTarget,
): string {
  if (check.serverName !== null) return check.serverName;
  if (check.host === null) return target.address;
  // RFC 9110 section 7.2: Host is a name or an address, IPv6 in brackets, with an optional port.
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(check.host);
  return match?.[1] ?? match?.[2] ?? check.host;
}

function request(check: HttpCheckConfig, target: CheckTarget): Dispatcher.DispatchOptions {
  return {
    method: 'GET',
    path: check.path,
    headers: {
      host: check.host ?? endpointText(target.address, target.port),
      'user-agent': USER_AGENT,
      accept: '*/*',
      // The body is compared as it is sent.
      'accept-encoding': 'identity',
    },
    // Connection: close.
    reset: true,
  };
}

/** Follows one response and gives the attempt its verdict. */
class ResponseHandler implements Dispatcher.DispatchHandler {
  readonly #attempt: Attempt;
  readonly #check: HttpCheckConfig;
  readonly #matcher: BodyMatcher | null;
  #discardedBytes = 0;

  constructor(attempt: Attempt, check: HttpCheckConfig, body: BodyExpectation) {
    this.#attempt = attempt;
    this.#check = check;
    const looksAtBody = body.contains !== null || body.matches !== null;
    this.#matcher = looksAtBody ? new BodyMatcher(body) : null;
  }

  onRequestStart(): void {}

  onResponseStart(_controller: Dispatcher.DispatchController, status: number): void {
    // RFC 9110 section 15.2: interim responses come before the final one.
    if (status < 200) return;
    if (!this.#check.status.some(([low, high]) => low <= status && status <= high)) {
      this.#attempt.settle(probeFailure('status', `Status ${status}`), 'linger');
    } else if (this.#matcher === null) {
      this.#attempt.settle(null, 'linger');
    } else {
      this.#attempt.waitingFor = 'the body of the answer';
    }
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#attempt.settled || this.#matcher === null) {
      this.#discardedBytes += chunk.length;
      if (this.#discardedBytes > DISCARD_LENGTH_MAX_BYTES) this.#attempt.destroySocket();
    } else {
      this.#decide(this.#matcher.push(chunk));
    }
  }

  onResponseEnd(): void {
    if (!this.#attempt.settled && this.#matcher !== null) this.#decide(this.#matcher.end());
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
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
        const detail = `The body does not contain "${this.#check.bodyContains}"`;
        this.#attempt.settle(probeFailure('body', detail), 'linger');
        return;
      }
      case 'no-match': {
        const detail = `The body does not match /${this.#check.bodyMatches}/u`;
        this.#attempt.settle(probeFailure('body', detail), 'linger');
        return;
      }
      case 'too-large': {
        const detail = `Undecided after ${BODY_LENGTH_MAX_BYTES} bytes of the body`;
        this.#attempt.settle(probeFailure('too-large', detail), 'now');
        return;
      }
      case 'too-slow': {
        const detail = `The regular expression /${this.#check.bodyMatches}/u took too long`;
        this.#attempt.settle(probeFailure('cannot-run', detail), 'now');
        return;
      }
      default:
        assertNever(verdict);
    }
  }
}

/** Errors of the socket, up to and including the TLS handshake, and of the parser behind it. */
function explain(error: Error, socket: Socket, check: HttpCheckConfig): ProbeFailure {
  if (socket instanceof TLSSocket) {
    // Set by Node.js when the chain or the name of the certificate was refused.
    if (check.tlsVerify && socket.authorizationError) {
      return probeFailure('tls-untrusted', error.message);
    }
    const code = errorCode(error);
    if (code === 'EPROTO' || code?.startsWith('ERR_SSL_') || code?.startsWith('ERR_TLS_')) {
      return probeFailure('tls', error.message);
    }
  }
  return explainAnswer(error);
}

function explainAnswer(error: Error): ProbeFailure {
  const reason = socketFailureReason(error);
  if (reason !== null) return probeFailure(reason, error.message);
  switch (errorCode(error)) {
    case 'UND_ERR_SOCKET':
      return probeFailure(
        error.message.endsWith('closed') ? 'reset' : 'protocol',
        `Before the answer was complete: ${error.message}`,
      );
    case 'UND_ERR_INVALID_ARG':
      return probeFailure('cannot-run', error.message);
    default:
      return probeFailure('protocol', error.message);
  }
}
