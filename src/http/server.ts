/**
 * The HTTP server and the control socket: read-only routes over TCP, and over a unix
 * socket that only root may use these and what changes something. So few routes need no framework, so this is node:http.
 * Every request is bounded in size and time and the connections in number, because both listen
 * for strangers; nothing that a request holds is kept or echoed.
 *
 *   GET /metrics    Prometheus text
 *   GET /v1/status  DirectorStatus as JSON
 *   GET /v1/explain why each instance is what it is, as `vipkeeper explain --json`; ?instance=NAME
 *   GET /healthz    200 while the controller answers
 *
 * Over the unix socket also:
 *
 *   POST /v1/reload   reads the configuration again: 200, or 422 with its errors
 *   POST /v1/restart  replaces both processes in place: 202, or 503 while the keeper is silent
 *   POST /v1/handover?instance=NAME&dry_run  hands over, without a name all that is active: 202,
 *                     200 for a dry run, 422 when it cannot be
 *   POST /v1/override?target=SERVICE/SERVER&action=drain|weight|up|down|clear, with weight,
 *                     timeout_ms, for_ms or until_ms, by, reason, dry_run, force: 200, or 422 with
 *                     the error
 *   POST /v1/takeback?instance=NAME  lets it preempt again: 200, or 422 when it is not held back
 */
import { chmodSync, existsSync, lstatSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { parseOverrideRequest, refusedOverride } from '../core/health/override-request.ts';
import { endpointText } from '../core/ipvs/model.ts';
import { formatProblem, type Problem } from '../core/problem.ts';
import { err, ok, type Result } from '../core/result.ts';
import type { DirectorControl, DirectorStatus, StatusSource, TableLists } from '../core/status.ts';
import { Turn } from '../core/turn.ts';
import { unknownName } from '../core/unknown-name.ts';
import { explainInstances, keeperProblem } from '../core/vrrp/explain.ts';
import { Body } from './body.ts';
import { Metrics } from './metrics.ts';
import { TURNS } from './turns.ts';

/** Requests have a short line and few headers; browsers' cookies do not belong here. */
const HEADER_LENGTH_BYTES_MAX = 8 * 1024;
/** A request without a body is sent at once. */
const REQUEST_TIMEOUT_MS = 5_000;
/** A reader that takes nothing for this long is cut off, and so is an idle connection. */
const IDLE_TIMEOUT_MS = 10_000;
/**
 * How long an answer may be in the making: the metrics of 40,000 checks are long work for a busy
 * machine, done in turns between all else, and their reader is not idle meanwhile.
 */
const ANSWER_TIMEOUT_MS = 60_000;
/** Reading ten thousand services anew takes seconds, and more on a machine that is busy. */
const RELOAD_TIMEOUT_MS = 120_000;
/**
 * What a status waits for has bounds of its own, of a second; the rest is work, which takes longer
 * where much is configured and the machine is busy. After this, it is not coming.
 */
const STATUS_TIMEOUT_MS = 15_000;
/** Scrapers and people are few; more connections than this are closed at once. */
const CONNECTIONS_MAX = 64;
/** What sockaddr_un holds, less the final zero (unix(7)). */
const SOCKET_PATH_LENGTH_BYTES_MAX = 107;
/** Whoever answers on a unix socket accepts at once. */
const CONNECT_TIMEOUT_MS = 1_000;

/** Time for an answer to reach whoever asked for a restart. */
const RESTART_DELAY_MS = 50;

/** Of a long list; made between two looks at the clock. */
const ITEMS_PER_LOOK = 4;

const JSON_TYPE = 'application/json; charset=utf-8';

export interface Listening {
  /** 'http://127.0.0.1:9112', or the path of the socket. */
  readonly address: string;
  /** Port listened on; 0 for a unix socket. */
  readonly port: number;
  /** Ends every connection and frees the address. Idempotent. */
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly contentType: string;
  /** The latter where it may be large; it is released when it was sent. */
  readonly body: string | Body;
}

/**
 * Serves metrics, status and health over TCP. Port 0 takes a free one. Fails with
 * VK-PORT-IN-USE, VK-NOT-ROOT (a privileged port) or VK-SYSTEM (no such address).
 */
export async function serveHttp(
  options: {
    readonly host: string;
    readonly port: number;
    /** IDLE_TIMEOUT_MS unless told otherwise. */
    readonly idleTimeoutMs?: number;
  },
  source: StatusSource,
): Promise<Result<Listening, Problem>> {
  const { host, port, idleTimeoutMs } = options;
  const server = createBoundedServer(source, null, idleTimeoutMs);
  const error = await listen(server, { host, port, exclusive: true });
  if (error !== null) return err(listenProblem(error, host, port));
  const bound = server.address();
  const boundPort = typeof bound === 'object' && bound !== null ? bound.port : port;
  return ok({
    address: `http://${endpointText(host, boundPort)}`,
    port: boundPort,
    close: () => closeServer(server),
  });
}

/**
 * Serves the same over a unix socket of mode 0600, whose directory is made if need be. A socket
 * on which nobody answers is replaced. Fails with VK-ALREADY-RUNNING when somebody does, else
 * with VK-RUNTIME-DIRECTORY.
 */
export async function serveControl(
  socketPath: string,
  source: DirectorControl,
): Promise<Result<Listening, Problem>> {
  // Bound under another name and renamed when it is ready: the path never names a socket with a
  // wider mode or without a listener, and libuv, which unlinks the name it has bound, can not
  // take away the socket of a successor.
  const bindPath = `${socketPath}.new`;
  const lengthBytes = Buffer.byteLength(bindPath);
  if (lengthBytes > SOCKET_PATH_LENGTH_BYTES_MAX) {
    return err(directoryProblem(socketPath, `its path of ${lengthBytes} bytes is too long`));
  }
  const server = createBoundedServer(source, source);
  try {
    if (!existsSync(dirname(socketPath))) mkdirSync(dirname(socketPath), { mode: 0o755 });
    const taken = await whoHolds(socketPath);
    if (taken !== null) return err(taken);
    rmSync(bindPath, { force: true });
    const error = await listen(server, { path: bindPath });
    if (error !== null) return err(directoryProblem(socketPath, error.message));
    chmodSync(bindPath, 0o600);
    renameSync(bindPath, socketPath);
  } catch (error) {
    await closeServer(server);
    return err(directoryProblem(socketPath, (error as Error).message));
  }
  const { ino } = lstatSync(socketPath);
  return ok({
    address: socketPath,
    port: 0,
    close: async () => {
      if (inodeOf(socketPath) === ino) rmSync(socketPath, { force: true });
      await closeServer(server);
    },
  });
}

/** Null when the path is free or holds a socket on which nobody answers. */
async function whoHolds(socketPath: string): Promise<Problem | null> {
  const found = lstatSync(socketPath, { throwIfNoEntry: false });
  if (found === undefined) return null;
  if (!found.isSocket()) return directoryProblem(socketPath, 'something else has its name');
  // Only a refused connection proves that nobody listens: a full backlog does not.
  if ((await connectError(socketPath)) === 'ECONNREFUSED') return null;
  return {
    code: 'VK-ALREADY-RUNNING',
    message: `Another vipkeeper answers on ${socketPath}`,
    cure: "Stop that one, or give this one a 'runtime_directory' of its own",
  };
}

/** Code of the error that a connection attempt ends with, or null when it succeeds. */
function connectError(socketPath: string): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    const end = (code: string | null) => {
      socket.destroy();
      resolve(code);
    };
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => end('ETIMEDOUT'));
    socket.once('connect', () => end(null));
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code ?? 'UNKNOWN'));
  });
}

function inodeOf(path: string): number | null {
  return lstatSync(path, { throwIfNoEntry: false })?.ino ?? null;
}

function createBoundedServer(
  source: StatusSource,
  control: DirectorControl | null,
  idleTimeoutMs = IDLE_TIMEOUT_MS,
): Server {
  const routes = new Routes(source, control);
  const server = createServer(
    {
      maxHeaderSize: HEADER_LENGTH_BYTES_MAX,
      headersTimeout: REQUEST_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: idleTimeoutMs,
      connectionsCheckingInterval: 1_000,
    },
    (request, response) => {
      request.socket.setTimeout(ANSWER_TIMEOUT_MS);
      void routes.answer(request).then((answer) => {
        request.socket.setTimeout(idleTimeoutMs);
        return send(request, response, answer);
      });
    },
  );
  server.maxConnections = CONNECTIONS_MAX;
  server.timeout = idleTimeoutMs;
  return server;
}

/** The routes over one source. */
class Routes {
  readonly #source: StatusSource;
  readonly #metrics: Metrics;
  readonly #control: DirectorControl | null;

  constructor(source: StatusSource, control: DirectorControl | null) {
    this.#control = control;
    // The bound is on the source: one call of it that never ends must not hold up later ones.
    this.#source = { status: () => withTimeout(source.status(), STATUS_TIMEOUT_MS) };
    this.#metrics = new Metrics(this.#source);
  }

  /** Never rejects: what goes wrong is an answer. */
  async answer(request: IncomingMessage): Promise<Answer> {
    const [path = '', query = ''] = (request.url ?? '').split('?', 2);
    const parameters = new URLSearchParams(query);
    const action = this.#action(path, parameters);
    if (action !== null) {
      if (request.method !== 'POST') return failure(405, 'Only POST is allowed');
      if (hasBody(request)) return failure(413, 'A request must not have a body');
      if (path === '/v1/reload') request.socket.setTimeout(RELOAD_TIMEOUT_MS);
      try {
        return await action();
      } catch (error) {
        return failure(503, `It could not be done: ${(error as Error).message}`);
      }
    }
    const route = this.#route(path, parameters);
    if (route === null) {
      return failure(404, 'No such page: there are /metrics, /v1/status, /v1/explain and /healthz');
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return failure(405, 'Only GET and HEAD are allowed');
    }
    if (hasBody(request)) return failure(413, 'A request must not have a body');
    try {
      return await route();
    } catch (error) {
      return failure(503, `The status is not available: ${(error as Error).message}`);
    }
  }

  #action(path: string, query: URLSearchParams): (() => Promise<Answer>) | null {
    const control = this.#control;
    if (control === null) return null;
    switch (path) {
      case '/v1/reload':
        return async () => {
          const answer = await control.reload();
          return json(answer.errors.length === 0 ? 200 : 422, answer);
        };
      case '/v1/restart':
        return async () => {
          const silent = keeperProblem(await control.status());
          if (silent !== null) return failure(503, formatProblem(silent));
          // After the answer has gone out, because the process that gives it ends.
          setTimeout(() => control.restart(), RESTART_DELAY_MS);
          return json(202, { restarting: true });
        };
      case '/v1/handover':
        return async () => {
          const dryRun = query.has('dry_run');
          const answer = await control.handover({ instance: query.get('instance'), dryRun });
          return json(answer.error !== null ? 422 : dryRun ? 200 : 202, answer);
        };
      case '/v1/override':
        return async () => {
          const parsed = parseOverrideRequest((name) => query.get(name), Date.now());
          const answer = parsed.ok
            ? await control.override(parsed.value)
            : refusedOverride(parsed.error);
          return json(answer.error === null ? 200 : 422, answer);
        };
      case '/v1/takeback':
        return async () => {
          const answer = await control.takeback(query.get('instance'));
          return json(answer.error !== null ? 422 : 200, answer);
        };
      default:
        return null;
    }
  }

  async #explain(instance: string | null): Promise<Answer> {
    const status = await this.#source.status();
    const silent = keeperProblem(status);
    if (silent !== null) return failure(503, formatProblem(silent));
    const { instances } = status;
    const explanations = explainInstances(instances, instance);
    if (instance !== null && explanations.length === 0) {
      const names = instances.map(({ name }) => name);
      return failure(404, unknownName('VRRP instance', instance, names));
    }
    return json(200, explanations);
  }

  #route(path: string, query: URLSearchParams): (() => Promise<Answer>) | null {
    switch (path) {
      case '/metrics':
        return async () => ({ status: 200, ...(await this.#metrics.render()) });
      case '/v1/status':
        return async () => ({
          status: 200,
          contentType: JSON_TYPE,
          body: await statusBody(await this.#source.status()),
        });
      case '/v1/table': {
        // On the control socket only: it shows the whole configuration of the services.
        const control = this.#control;
        return control === null
          ? null
          : async () => ({
              status: 200,
              contentType: JSON_TYPE,
              body: await tableBody(await control.table()),
            });
      }
      case '/v1/explain':
        return () => this.#explain(query.get('instance'));
      case '/healthz':
        return async () => ({ status: 200, contentType: 'text/plain', body: 'ok\n' });
      default:
        return null;
    }
  }
}

/**
 * JSON of an object with long lists, which may be tens of megabytes: it is made in many turns of
 * the event loop.
 */
class JsonBody {
  readonly #body = new Body();

  constructor(rest: object) {
    this.#body.add(JSON.stringify(rest).slice(0, -1));
  }

  list(name: string, items: readonly object[]): Promise<void> {
    return this.#add(`,"${name}":[`, items, (item) => JSON.stringify(item), ']');
  }

  /** An object by the entries of its members. */
  members(name: string, entries: readonly (readonly [string, unknown])[]): Promise<void> {
    const member = ([key, value]: readonly [string, unknown]): string =>
      `${JSON.stringify(key)}:${JSON.stringify(value)}`;
    return this.#add(`,"${name}":{`, entries, member, '}');
  }

  end(text: string): Body {
    this.#body.add(text);
    return this.#body;
  }

  async #add<T>(
    head: string,
    items: readonly T[],
    make: (item: T) => string,
    end: string,
  ): Promise<void> {
    this.#body.add(head);
    const turn = new Turn(TURNS);
    for (const [index, item] of items.entries()) {
      this.#body.add(index === 0 ? make(item) : `,${make(item)}`);
      if (index % ITEMS_PER_LOOK === 0 && turn.hasLasted()) await turn.rest();
    }
    this.#body.add(end);
  }
}

async function statusBody({ services, checks, ...rest }: DirectorStatus): Promise<Body> {
  const json = new JsonBody(rest);
  await json.list('services', services);
  await json.list('checks', checks);
  return json.end('}\n');
}

async function tableBody(lists: TableLists): Promise<Body> {
  const { observed, owned, checks, pools, ...rest } = lists;
  const json = new JsonBody(observed === null ? { ...rest, observed } : rest);
  if (observed !== null) await json.list('observed', observed);
  await json.members('owned', owned);
  await json.members('checks', checks);
  await json.members('pools', pools);
  return json.end('}\n');
}

function hasBody(request: IncomingMessage): boolean {
  const { headers } = request;
  const length = headers['content-length'] ?? '0';
  return headers['transfer-encoding'] !== undefined || Number(length) !== 0;
}

function json(status: number, value: object): Answer {
  return { status, contentType: JSON_TYPE, body: `${JSON.stringify(value)}\n` };
}

function failure(status: number, error: string): Answer {
  return json(status, { error });
}

async function send(
  request: IncomingMessage,
  response: ServerResponse,
  { status, contentType, body }: Answer,
): Promise<void> {
  const headers: Record<string, string | number> = {
    'content-type': contentType,
    'content-length': typeof body === 'string' ? Buffer.byteLength(body) : body.lengthBytes,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  };
  if (status === 405) headers.allow = 'GET, HEAD';
  // A body is not read: the connection ends behind the answer, and its rest with it.
  if (hasBody(request)) headers.connection = 'close';
  if (typeof body === 'string') {
    response.writeHead(status, headers);
    response.end(body);
    return;
  }
  // Whoever has gone meanwhile closes no more.
  if (response.destroyed) return body.release();
  // After the kernel has all of it, or the connection is gone.
  response.once('close', () => body.release());
  response.writeHead(status, headers);
  const turn = new Turn(TURNS);
  for (const part of body.parts()) {
    if (!response.write(part)) await drained(response);
    // Whoever takes nothing is cut off.
    if (response.destroyed) return;
    if (turn.hasLasted()) await turn.rest();
  }
  response.end();
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
    if (response.destroyed) done();
  });
}

function withTimeout<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${timeoutMs} ms`)), timeoutMs);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

type ListenOptions = Parameters<Server['listen']>[0] & object;

function listen(server: Server, options: ListenOptions): Promise<NodeJS.ErrnoException | null> {
  return new Promise((resolve) => {
    server.once('error', resolve);
    server.listen(options, () => {
      server.off('error', resolve);
      // accept() fails while descriptors are used up (EMFILE): the next connection may succeed.
      server.on('error', () => {});
      resolve(null);
    });
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

function listenProblem(error: NodeJS.ErrnoException, host: string, port: number): Problem {
  const endpoint = endpointText(host, port);
  switch (error.code) {
    case 'EADDRINUSE':
      return {
        code: 'VK-PORT-IN-USE',
        message: `Another program listens on ${endpoint}`,
        cure: `Find it with \`ss -ltnp 'sport = :${port}'\`, or set http.listen to another port`,
      };
    case 'EACCES':
      return {
        code: 'VK-NOT-ROOT',
        message: `Only root may listen on ${endpoint}`,
        cure: 'Run vipkeeper as root, or set http.listen to a port above 1023',
      };
    default:
      return {
        code: 'VK-SYSTEM',
        message: `Listening on ${endpoint} failed with ${error.code ?? error.message}`,
        cure: 'Set http.listen to an address that this director has',
      };
  }
}

function directoryProblem(socketPath: string, reason: string): Problem {
  return {
    code: 'VK-RUNTIME-DIRECTORY',
    message: `The control socket ${socketPath} cannot be made: ${reason}`,
    cure: "Set 'runtime_directory' to a directory that root may write to",
  };
}
