/**
 * Connects to servers by TCP, to see whether they accept: any number of connections behind one
 * descriptor that the event loop watches (epoll) and one timer, because a socket object and a
 * timer for each would cost several times what the kernel needs. A connection that is established
 * is closed in order: FIN, then reading to the server's FIN for a short while, because a reset
 * would fill the logs of the server.
 *
 *   open() --> connecting --established--> closing --FIN of the server, or CLOSE_GRACE_MS--> done
 *                  |                                                                          ^
 *                  +--refused, unreachable, timeout, given up ------------------------------- +
 */
import { assert } from '../core/assert.ts';
import type { SocketPath } from '../core/config/check.ts';
import {
  EINPROGRESS,
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  SO_ERROR,
  SOL_SOCKET,
} from './constants.ts';
import {
  close,
  connectStream,
  Epoll,
  errnoName,
  getsockoptInt,
  type PollHandle,
  poll,
  read,
  SystemError,
  shutdownWrite,
} from './libc.ts';
import { openStreamSocket, sockaddrOf } from './probe-socket.ts';

/**
 * How long the server may take to finish its side. Closing while its last bytes are under way
 * would reset the connection, which servers log as an error of their client.
 */
export const CLOSE_GRACE_MS = 100;
/** Read of a server that talks before its FIN; one that goes on is not waited for. */
const FAREWELL_READS_MAX = 16;

export interface TcpDestination extends SocketPath {
  /** Canonical text. */
  readonly address: string;
  readonly port: number;
}

/** null for given up. The time is connect to verdict. */
export type ConnectOutcome =
  | { readonly kind: 'established'; readonly durationMs: number }
  | { readonly kind: 'timeout'; readonly durationMs: number }
  | { readonly kind: 'failed'; readonly durationMs: number; readonly error: SystemError }
  | null;

interface Connection {
  readonly fd: number;
  readonly startMs: number;
  readonly done: (outcome: ConnectOutcome) => void;
  readonly lane: Lane;
  /** null while connecting. */
  outcome: ConnectOutcome;
  deadlineMs: number;
}

/** Connections that wait equally long, in the order of their deadlines. */
interface Lane {
  readonly waitMs: number;
  readonly waiting: Set<Connection>;
}

export class TcpConnector {
  readonly #connections = new Map<number, Connection>();
  /** By the time that they wait. */
  readonly #lanes = new Map<number, Lane>();
  readonly #grace: Lane = { waitMs: CLOSE_GRACE_MS, waiting: new Set() };
  readonly #farewell = new Uint8Array(new ArrayBuffer(4096));
  #epoll: Epoll | null = null;
  #poll: PollHandle | null = null;
  #timer: NodeJS.Timeout | null = null;
  #timerMs = Number.POSITIVE_INFINITY;

  /** Connections that are not closed yet. */
  get size(): number {
    return this.#connections.size;
  }

  /**
   * Connects; `done` is called once, never within this call, when the connection is closed.
   * Returns what gives up: the outcome is then the one that there was, or null. Throws
   * SystemError when there is no descriptor, device or source address.
   */
  open(
    destination: TcpDestination,
    timeoutMs: number,
    done: (outcome: ConnectOutcome) => void,
  ): () => void {
    const epoll = this.#start();
    const { address, port, device } = destination;
    const fd = openStreamSocket(address, destination);
    const startMs = performance.now();
    try {
      const result = connectStream(fd, sockaddrOf(address, port, device));
      if (result < 0 && result !== -EINPROGRESS) throw new SystemError('connect', -result);
      epoll.add(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    } catch (error) {
      close(fd);
      throw error;
    }
    const lane = this.#lane(timeoutMs);
    const deadlineMs = startMs + timeoutMs;
    const connection: Connection = { fd, startMs, done, lane, outcome: null, deadlineMs };
    this.#connections.set(fd, connection);
    lane.waiting.add(connection);
    this.#arm(deadlineMs);
    return () => this.#giveUp(connection);
  }

  #start(): Epoll {
    if (this.#epoll === null) {
      const epoll = new Epoll();
      this.#epoll = epoll;
      this.#poll = poll(epoll.fd, () => this.#drain());
    }
    return this.#epoll;
  }

  /** Lets go of everything when the last connection is closed, so that the process may end. */
  #stopWhenIdle(): void {
    if (this.#connections.size > 0) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#timerMs = Number.POSITIVE_INFINITY;
    this.#lanes.clear();
    this.#poll?.close();
    this.#epoll?.close();
    this.#poll = null;
    this.#epoll = null;
  }

  #lane(waitMs: number): Lane {
    const lane = this.#lanes.get(waitMs) ?? { waitMs, waiting: new Set() };
    this.#lanes.set(waitMs, lane);
    return lane;
  }

  #drain(): void {
    this.#epoll?.drain((fd, events) => {
      const connection = this.#connections.get(fd);
      // Given up while its events waited in the same batch.
      if (connection !== undefined) this.#happened(connection, events);
    });
  }

  #happened(connection: Connection, events: number): void {
    if (connection.outcome === null) {
      if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) === 0) return;
      const durationMs = performance.now() - connection.startMs;
      const errno =
        (events & (EPOLLERR | EPOLLHUP)) === 0
          ? 0
          : getsockoptInt(connection.fd, SOL_SOCKET, SO_ERROR);
      if (errno !== 0) {
        const error = new SystemError('connect', errno);
        return this.#finish(connection, { kind: 'failed', durationMs, error });
      }
      connection.outcome = { kind: 'established', durationMs };
      shutdownWrite(connection.fd);
      connection.lane.waiting.delete(connection);
      connection.deadlineMs = performance.now() + CLOSE_GRACE_MS;
      this.#grace.waiting.add(connection);
      this.#arm(connection.deadlineMs);
    }
    const gone = EPOLLRDHUP | EPOLLERR | EPOLLHUP;
    if ((events & (gone | EPOLLIN)) !== 0 && this.#read(connection, (events & gone) !== 0)) {
      this.#finish(connection, connection.outcome);
    }
  }

  /**
   * Takes what the server says unasked, since closing with unread bytes would be a reset. Whether
   * there is nothing more to come.
   */
  #read({ fd }: Connection, gone: boolean): boolean {
    for (let count = 0; count < FAREWELL_READS_MAX; count++) {
      const length = read(fd, this.#farewell);
      if (length === 0) return true;
      // -EAGAIN, or a reset.
      if (length < 0) return gone || errnoName(-length) !== 'EAGAIN';
    }
    return true;
  }

  #giveUp(connection: Connection): void {
    if (this.#connections.get(connection.fd) === connection) {
      this.#finish(connection, connection.outcome);
    }
  }

  #finish(connection: Connection, outcome: ConnectOutcome): void {
    connection.lane.waiting.delete(connection);
    this.#grace.waiting.delete(connection);
    this.#connections.delete(connection.fd);
    close(connection.fd);
    queueMicrotask(() => connection.done(outcome));
    // Not within the turn: the next connection is most likely under way already.
    if (this.#connections.size === 0) setImmediate(() => this.#stopWhenIdle());
  }

  #arm(deadlineMs: number): void {
    if (this.#timerMs <= deadlineMs) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerMs = deadlineMs;
    const delayMs = Math.max(1, Math.ceil(deadlineMs - performance.now()));
    this.#timer = setTimeout(() => this.#onTimer(), delayMs);
  }

  #onTimer(): void {
    this.#timer = null;
    this.#timerMs = Number.POSITIVE_INFINITY;
    // After a stall, timers run before sockets are read: the answers may be waiting there.
    this.#drain();
    const nowMs = performance.now();
    let nextMs = this.#expire(this.#grace, nowMs);
    for (const lane of this.#lanes.values()) {
      nextMs = Math.min(nextMs, this.#expire(lane, nowMs));
      if (lane.waiting.size === 0) this.#lanes.delete(lane.waitMs);
    }
    if (nextMs < Number.POSITIVE_INFINITY) this.#arm(nextMs);
  }

  /** Ends what is over its time; the deadline of the next one, or infinity. */
  #expire(lane: Lane, nowMs: number): number {
    for (const connection of lane.waiting) {
      if (connection.deadlineMs > nowMs) return connection.deadlineMs;
      const durationMs = nowMs - connection.startMs;
      this.#finish(connection, connection.outcome ?? { kind: 'timeout', durationMs });
    }
    assert(lane.waiting.size === 0, 'What is over its time has ended');
    return Number.POSITIVE_INFINITY;
  }
}
