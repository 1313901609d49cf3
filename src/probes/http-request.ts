/**
 * One request of an HTTP check, over a connection of its own, as RFC 9110, RFC 9112 and RFC 9113
 * have it; over TLS, or by HTTP/2. Redirects are not followed: a 302 is a status like any other.
 * Everything is bounded: time from connect to verdict, headers, and the bytes of the body that are
 * looked at.
 */
import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import { TLSSocket } from 'node:tls';
import type { HttpCheckConfig, HttpRequestConfig } from '../core/config/check.ts';
import type { CheckTarget } from '../core/health/check-key.ts';
import type { ProbeFailure, ProbeResult } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import { endpointText } from '../core/ipvs/model.ts';
import type { Result } from '../core/result.ts';
import type { DecodeError } from '../core/wire/decode-error.ts';
import { encodeHttpRequest } from '../core/wire/http.ts';
import type { AttemptOptions } from './attempt.ts';
import { Attempt } from './attempt.ts';
import { openConnection, startTls } from './connection.ts';
import { explainAnswer, HttpAnswer, type HttpExpectation } from './http-answer.ts';
import { Http1Answer } from './http1.ts';
import { tlsFailure } from './tls-error.ts';

const USUAL_HEADERS = [
  ['user-agent', 'vipkeeper'],
  ['accept', '*/*'],
  // The body is compared as it is sent.
  ['accept-encoding', 'identity'],
] as const;

/** Least that Node.js takes: headers and data that a server sends faster than they are read. */
const SESSION_MEMORY_MAX_MB = 1;

/** A request with what it needs. */
export interface HttpExchange extends HttpExpectation {
  readonly check: HttpCheckConfig;
  readonly target: CheckTarget;
  /** As it goes over the wire by HTTP/1. */
  readonly bytes: Uint8Array;
  /** The library for version 2, which nobody else pays for; null for version 1. */
  readonly http2: typeof import('node:http2') | null;
  /** null without TLS. */
  readonly secureContext: SecureContext | null;
}

/** Asks once. Never rejects; null when the signal gave up before a verdict. */
export async function probeHttpRequest(
  exchange: HttpExchange,
  options: AttemptOptions,
): Promise<ProbeResult | null> {
  const { check, target, secureContext } = exchange;
  const attempt = new Attempt(options);
  if (attempt.settled) return attempt.finished;
  const opened = openConnection(target, check);
  if (!opened.ok) {
    attempt.settle(opened.error, 'now');
    return attempt.finished;
  }
  const socket =
    secureContext === null
      ? opened.value
      : startTls(opened.value, {
          context: secureContext,
          name: tlsName({ serverName: check.serverName, host: exchange.request.host }, target),
          verify: check.tlsVerify,
          alpn: [check.version === '2' ? 'h2' : 'http/1.1'],
        });
  attempt.attach(socket, (error) => explain(error, socket, check));
  if (secureContext !== null) {
    socket.once('connect', () => {
      attempt.waitingFor = 'the TLS handshake';
    });
  }
  let close = (): void => {};
  socket.once(secureContext === null ? 'connect' : 'secureConnect', () => {
    if (check.version === '2' && socket instanceof TLSSocket && socket.alpnProtocol !== 'h2') {
      const detail = 'The server does not choose HTTP/2 (ALPN)';
      return attempt.settle(probeFailure('protocol', detail), 'now');
    }
    attempt.waitingFor = 'the header of the answer';
    try {
      const answer = new HttpAnswer(attempt, exchange);
      const { http2 } = exchange;
      if (http2 === null) askByHttp1(exchange, socket, attempt, answer);
      else close = askByHttp2(http2, exchange, socket, answer);
    } catch (error) {
      attempt.settle(probeFailure('cannot-run', (error as Error).message), 'now');
    }
  });
  const result = await attempt.finished;
  close();
  return result;
}

/** Asks by HTTP/1 over a connection that stands. */
function askByHttp1(
  exchange: HttpExchange,
  socket: Socket,
  attempt: Attempt,
  answer: HttpAnswer,
): void {
  const http1 = new Http1Answer(attempt, answer, exchange.request.method);
  socket.on('data', (chunk) => {
    if (http1.data(chunk)) socket.end();
  });
  socket.once('end', () => http1.end());
  socket.write(exchange.bytes);
}

/** Asks by HTTP/2 in the same way; returns what lets go of it. Node's own client, as it bears a socket that is destroyed. */
function askByHttp2(
  http2: typeof import('node:http2'),
  exchange: HttpExchange,
  socket: Socket,
  answer: HttpAnswer,
): () => void {
  const { method, path, body } = exchange.request;
  const session = http2.connect(originOf(exchange), {
    createConnection: () => socket,
    settings: { enablePush: false },
    maxSessionMemory: SESSION_MEMORY_MAX_MB,
  });
  session.on('error', (error) => answer.error(error));
  // A shutdown in order makes the client close once the answer is complete.
  session.on('goaway', () => session.close());
  const headers = headersOf(exchange.request).map(
    ([name, value]) => [name.toLowerCase(), value] as const,
  );
  const stream = session.request(
    {
      ...{
        ':method': method,
        ':path': path,
        ':authority': hostOf(exchange.request, exchange.target),
      },
      ...Object.fromEntries(headers),
    },
    { endStream: body === null },
  );
  stream.on('response', ({ ':status': status }) => {
    answer.status(status ?? 0);
    // Once the verdict is there, nothing more is asked.
    session.close();
  });
  stream.on('data', (chunk: Buffer) => answer.data(chunk));
  let ended = false;
  stream.on('end', () => {
    ended = true;
    answer.end();
  });
  stream.on('close', () => {
    if (!ended) answer.error(new Error('The server ended the stream without a whole answer'));
  });
  stream.on('error', (error) => answer.error(error));
  if (body !== null) stream.end(body);
  return () => session.destroy();
}

function originOf({ target, secureContext }: HttpExchange): string {
  const scheme = secureContext === null ? 'http' : 'https';
  return `${scheme}://${endpointText(target.address, target.port)}`;
}

function hostOf({ host }: HttpRequestConfig, target: CheckTarget): string {
  return host ?? endpointText(target.address, target.port);
}

/** The request as it goes over the wire by HTTP/1, or why it cannot be sent. */
export function requestBytes(
  request: HttpRequestConfig,
  target: CheckTarget,
  version: '1.0' | '1.1',
): Result<Uint8Array, DecodeError> {
  const { method, path, body } = request;
  const headers = [['Host', hostOf(request, target)] as const, ...headersOf(request)];
  return encodeHttpRequest({ method, path, version, headers, body });
}

/** What every request has, unless the check says otherwise, and what the check adds. */
function headersOf({ headers }: HttpRequestConfig): (readonly [string, string])[] {
  const given = new Set(headers.map(([name]) => name.toLowerCase()));
  return [...USUAL_HEADERS.filter(([name]) => !given.has(name)), ...headers];
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

/** Errors of the socket, up to and including the TLS handshake, and of the parser behind it. */
function explain(error: Error, socket: Socket, check: HttpCheckConfig): ProbeFailure {
  const ofTls = socket instanceof TLSSocket ? tlsFailure(error, socket, check.tlsVerify) : null;
  return ofTls ?? explainAnswer(error);
}
