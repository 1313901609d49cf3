/**
 * One request of an HTTP check, over a connection of its own, as RFC 9110, RFC 9112 and RFC 9113
 * have it. Redirects are not followed: a 302 is a status like any other. Everything is bounded:
 * time from connect to verdict, headers (by undici, 16 KiB), and the bytes of the body that are
 * looked at. The socket is made here, not by undici, so that it can be closed at any moment of its
 * life.
 */
import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import { TLSSocket } from 'node:tls';
import type { Dispatcher } from 'undici';
import type { HttpCheckConfig, HttpRequestConfig } from '../core/config/check.ts';
import type { CheckTarget } from '../core/health/check-key.ts';
import type { ProbeFailure, ProbeResult } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import { endpointText } from '../core/ipvs/model.ts';
import type { AttemptOptions } from './attempt.ts';
import { Attempt } from './attempt.ts';
import { openConnection, startTls } from './connection.ts';
import { explainAnswer, HttpAnswer } from './http-answer.ts';
import { errorCode } from './socket-error.ts';

const USUAL_HEADERS = [
  ['user-agent', 'vipkeeper'],
  ['accept', '*/*'],
  // The body is compared as it is sent.
  ['accept-encoding', 'identity'],
] as const;

/** Least that Node.js takes: headers and data that a server sends faster than they are read. */
const SESSION_MEMORY_MAX_MB = 1;

/** A request with what it needs. */
export interface HttpExchange {
  readonly check: HttpCheckConfig;
  readonly request: HttpRequestConfig;
  readonly target: CheckTarget;
  /** The library for the version of the check; the other is null, as nobody pays for both. */
  readonly http1: typeof import('undici') | null;
  readonly http2: typeof import('node:http2') | null;
  /** null without TLS. */
  readonly secureContext: SecureContext | null;
  /** The request's `bodyMatches`. */
  readonly matches: RegExp | null;
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
  let close = async (): Promise<void> => {};
  socket.once(secureContext === null ? 'connect' : 'secureConnect', () => {
    if (check.version === '2' && socket instanceof TLSSocket && socket.alpnProtocol !== 'h2') {
      const detail = 'The server does not choose HTTP/2 (ALPN)';
      return attempt.settle(probeFailure('protocol', detail), 'now');
    }
    attempt.waitingFor = 'the header of the answer';
    try {
      const { request, matches } = exchange;
      const answer = new HttpAnswer(attempt, request, matches);
      const { http1, http2 } = exchange;
      if (http1 !== null) close = askByHttp1(http1, exchange, socket, answer);
      else if (http2 !== null) close = askByHttp2(http2, exchange, socket, answer);
    } catch (error) {
      attempt.settle(probeFailure('cannot-run', (error as Error).message), 'now');
    }
  });
  const result = await attempt.finished;
  await close();
  return result;
}

/** Asks by HTTP/1 over a connection that stands; returns what lets go of it. */
function askByHttp1(
  undici: typeof import('undici'),
  exchange: HttpExchange,
  socket: Socket,
  answer: HttpAnswer,
): () => Promise<void> {
  const { check } = exchange;
  if (check.version === '1.0') sendAsHttp10(socket);
  const client = new undici.Client(originOf(exchange), {
    // Connectors answer later: undici ignores an answer given within the call.
    connect: (_options, callback) => setImmediate(callback, null, socket),
    // The attempt's timeout covers these phases.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  const { method, path, body } = exchange.request;
  const options: Dispatcher.DispatchOptions = {
    method: method as Dispatcher.HttpMethod,
    path,
    headers: [['host', hostOf(exchange)] as const, ...headersOf(exchange.request)].flat(),
    body,
    // Connection: close.
    reset: true,
  };
  client.dispatch(options, new ResponseHandler(answer));
  return () => client.destroy();
}

/** Asks by HTTP/2 in the same way. Node's own client, as it bears a socket that is destroyed. */
function askByHttp2(
  http2: typeof import('node:http2'),
  exchange: HttpExchange,
  socket: Socket,
  answer: HttpAnswer,
): () => Promise<void> {
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
      ...{ ':method': method, ':path': path, ':authority': hostOf(exchange) },
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
  return async () => session.destroy();
}

function originOf({ target, secureContext }: HttpExchange): string {
  const scheme = secureContext === null ? 'http' : 'https';
  return `${scheme}://${endpointText(target.address, target.port)}`;
}

function hostOf({ request, target }: HttpExchange): string {
  return request.host ?? endpointText(target.address, target.port);
}

/** What every request has, unless the check says otherwise, and what the check adds. */
function headersOf({ headers }: HttpRequestConfig): (readonly [string, string])[] {
  const given = new Set(headers.map(([name]) => name.toLowerCase()));
  return [...USUAL_HEADERS.filter(([name]) => !given.has(name)), ...headers];
}

/** undici writes version 1.1 only: the request line, which comes first, is changed on its way. */
function sendAsHttp10(socket: Socket): void {
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
  socket.write = (chunk: unknown, ...rest: unknown[]): boolean => {
    socket.write = write;
    return write(String(chunk).replace(' HTTP/1.1\r\n', ' HTTP/1.0\r\n'), ...rest);
  };
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

/** Takes from undici what the answer is. */
class ResponseHandler implements Dispatcher.DispatchHandler {
  readonly #answer: HttpAnswer;

  constructor(answer: HttpAnswer) {
    this.#answer = answer;
  }

  onRequestStart(): void {}

  onResponseStart(_controller: Dispatcher.DispatchController, status: number): void {
    this.#answer.status(status);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#answer.data(chunk);
  }

  onResponseEnd(): void {
    this.#answer.end();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#answer.error(error);
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
