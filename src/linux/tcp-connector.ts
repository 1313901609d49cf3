/**
 * TCP connections of checks: any number of them behind one descriptor that the event loop watches
 * (epoll) and one timer, because a socket object and a timer for each would cost several times what
 * the kernel needs. Those that are opened together are looked at together at once (poll): a server
 * that is near has answered by then, and needs neither.
 *
 * A connection that has shown that it stands, and is of no other use, is closed in order: FIN, then
 * reading to the server's FIN for a short while, because closing over what the server says unasked
 * would be a reset, which fills its logs. It is looked at from time to time then, together with
 * others, rather than woken up for. A server that said nothing is believed to say nothing for the
 * next QUIET_CLOSES connections, which are closed without a further look.
 *
 *   open() --> connecting --> talking --leave()--> leaving --FIN of the server, CLOSE_GRACE_MS--> closed
 *                   |            |                                                                   ^
 *                   +------------+--close(), leave() of a quiet server-------------------------------+
 */
import type { SocketPath } from '../core/config/check.ts';
import {
  EAGAIN,
  EINPROGRESS,
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLONESHOT,
  EPOLLOUT,
  EPOLLRDHUP,
  POLLOUT,
  SO_ERROR,
  SOL_SOCKET,
} from './constants.ts';
import {
  close,
  connectStream,
  Epoll,
  getsockoptInt,
  type PollHandle,
  PollList,
  poll,
  read,
  SystemError,
  sendto,
  shutdownWrite,
} from './libc.ts';
import { openStreamSocket, sockaddrOf } from './probe-socket.ts';

/**
 * How long the server may take to finish its side. Closing while its last bytes are under way
 * would reset the connection, which servers log as an error of their client.
 */
export const CLOSE_GRACE_MS = 100;
/** How often connections that are left are looked at. */
const LOOK_MS = 10;
/** Connections to a server that said nothing that are closed at once, before the next look at it. */
export const QUIET_CLOSES = 15;
/** How long nothing may be open before descriptor and timer go, so that the process may end. */
const IDLE_MS = 250;
/** Taken at once of what a server sends. */
const READ_BYTES = 64 * 1024;
/** Reads of one connection in a turn of the event loop; one that goes on waits for the next. */
const READS_MAX = 4;
/**
 * What all that has happened may take of a turn of the event loop, and what has run out of time:
 * thousands of connections may do either at once. The rest waits for the next turn.
 */
const TURN_MS = 1;
/** Reads of a server that talks before its FIN; one that goes on is not waited for. */
const FAREWELL_READS_MAX = 16;

const TALK_EVENTS = EPOLLIN | EPOLLRDHUP | EPOLLET;

export interface TcpDestination extends SocketPath {
  /** Canonical text. */
  readonly address: string;
  readonly port: number;
  /** Encoded; null when it has to be looked up for each connection, as an interface's index. */
  readonly sockaddr: Uint8Array | null;
  /** Connections that may still be closed at once, because the server said nothing on the last. */
  quietCloses: number;
}

/** Where connections go, and how: made once for many of them. */
export function tcpDestination(
  { address, port }: { readonly address: string; readonly port: number },
  { source, device, mark, via }: SocketPath,
): TcpDestination {
  const sockaddr = device === null ? packed(sockaddrOf(address, port, null)) : null;
  return { address, port, source, device, mark, via, sockaddr, quietCloses: 0 };
}

const SLAB_BYTES = 16 * 1024;
/** As the structures with the largest members want it. */
const ALIGNMENT_BYTES = 8;
let slab = new Uint8Array(0);
let slabUsed = 0;

/**
 * The same bytes in memory that many share: the collector looks at each buffer by itself while all
 * else stands still, and destinations may be tens of thousands.
 */
function packed(bytes: Uint8Array): Uint8Array {
  if (slabUsed + bytes.length > slab.length) {
    slab = new Uint8Array(Math.max(SLAB_BYTES, bytes.length));
    slabUsed = 0;
  }
  const place = slab.subarray(slabUsed, slabUsed + bytes.length);
  place.set(bytes);
  slabUsed += Math.ceil(bytes.length / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
  return place;
}

/** What is told of a connection, and who decides what becomes of it. No call may throw. */
export interface TcpTalk {
  /** False when only the connection itself is of interest: nothing is sent, nothing heard. */
  readonly listens: boolean;
  /** It stands: to be sent over, left or closed. Never within open(). */
  onEstablished(connection: TcpConnection): void;
  /** Bytes from the server, valid within the call only. */
  onData(connection: TcpConnection, bytes: Uint8Array): void;
  /** The server has ended its side. */
  onEnd(connection: TcpConnection): void;
  /** It failed, and is closed. */
  onError(error: SystemError): void;
  /** Its time is over: it is closed unless it is given more. */
  onTimeout(connection: TcpConnection): void;
  /** It is closed. Called once, behind everything else, never within open() or another call. */
  onClosed(): void;
}

/** A connection of a TcpConnector, which alone looks into it. */
export interface TcpConnection {
  readonly fd: number;
  readonly destination: TcpDestination;
  readonly talk: TcpTalk;
  state: 'connecting' | 'talking' | 'leaving' | 'closed';
  lane: Lane;
  deadlineMs: number;
  /** Until when it may take to leave. */
  graceMs: number;
  /** Whether the server has said something while it leaves. */
  heard: boolean;
  /** What is not sent yet; null for nothing. */
  unsent: Uint8Array | null;
}

/** Connections that wait equally long, in the order of their deadlines. */
interface Lane {
  readonly waitMs: number;
  readonly waiting: Set<TcpConnection>;
}

export class TcpConnector {
  /** Opened in this turn, and not looked at yet. */
  #fresh: TcpConnection[] = [];
  readonly #list = new PollList();
  /** By descriptor. */
  readonly #connections: (TcpConnection | undefined)[] = [];
  #size = 0;
  /** By the time that they wait. */
  readonly #lanes = new Map<number, Lane>();
  readonly #buffer = new Uint8Array(new ArrayBuffer(READ_BYTES));
  /** Of which more is to be read in the next turn. */
  #unread: TcpConnection[] = [];
  /** Closed, and not told of yet. */
  #closed: TcpConnection[] = [];
  #epoll: Epoll | null = null;
  #poll: PollHandle | null = null;
  #timer: NodeJS.Timeout | null = null;
  #timerMs = Number.POSITIVE_INFINITY;
  #idleSinceMs = 0;

  /** Connections that are not closed yet. */
  get size(): number {
    return this.#size;
  }

  /** Connects. Throws SystemError when there is no descriptor, device, source address or route. */
  open(destination: TcpDestination, timeoutMs: number, talk: TcpTalk): TcpConnection {
    const { address, port, device, sockaddr } = destination;
    const fd = openStreamSocket(address, destination);
    const deadlineMs = performance.now() + timeoutMs;
    try {
      const result = connectStream(fd, sockaddr ?? sockaddrOf(address, port, device));
      if (result < 0 && result !== -EINPROGRESS) throw new SystemError('connect', -result);
    } catch (error) {
      close(fd);
      throw error;
    }
    const lane = this.#lane(timeoutMs);
    const connection: TcpConnection = {
      fd,
      destination,
      talk,
      state: 'connecting',
      lane,
      deadlineMs,
      graceMs: 0,
      heard: false,
      unsent: null,
    };
    this.#connections[fd] = connection;
    this.#size++;
    if (this.#fresh.push(connection) === 1) queueMicrotask(() => this.#lookAtFresh());
    return connection;
  }

  /** Sends bytes, which must stay as they are, over a connection that listens. */
  send(connection: TcpConnection, bytes: Uint8Array): void {
    if (connection.state !== 'talking') return;
    const sent = sendto(connection.fd, bytes, bytes.length, null);
    if (sent < 0 && sent !== -EAGAIN) return this.#fail(connection, new SystemError('send', -sent));
    const unsent = bytes.subarray(Math.max(sent, 0));
    if (unsent.length > 0 && connection.unsent === null) {
      this.#epoll?.change(connection.fd, TALK_EVENTS | EPOLLOUT);
    }
    connection.unsent = unsent.length === 0 ? null : unsent;
  }

  /** Gives a connection this time from now on. */
  setTimeout(connection: TcpConnection, timeoutMs: number): void {
    if (connection.state === 'closed') return;
    connection.lane.waiting.delete(connection);
    connection.lane = this.#lane(timeoutMs);
    connection.deadlineMs = performance.now() + timeoutMs;
    connection.lane.waiting.add(connection);
    this.#arm(connection.deadlineMs);
  }

  /** Closes a connection in order, which stands and does not listen: nothing more is told of it. */
  leave(connection: TcpConnection): void {
    if (connection.state !== 'talking') return;
    if (connection.destination.quietCloses > 0) {
      connection.destination.quietCloses--;
      return this.close(connection);
    }
    connection.state = 'leaving';
    connection.graceMs = performance.now() + CLOSE_GRACE_MS;
    shutdownWrite(connection.fd);
    this.setTimeout(connection, LOOK_MS);
  }

  /** Closes a connection at once; what was not read yet resets it. */
  close(connection: TcpConnection): void {
    if (connection.state === 'closed') return;
    connection.state = 'closed';
    connection.lane.waiting.delete(connection);
    this.#connections[connection.fd] = undefined;
    close(connection.fd);
    this.#size--;
    if (this.#size === 0 && this.#epoll !== null) {
      this.#idleSinceMs = performance.now();
      this.#arm(this.#idleSinceMs + IDLE_MS);
    }
    // Later, so that nobody opens a connection, which may get the same descriptor, while events of
    // this one wait to be handled.
    if (this.#closed.push(connection) === 1) queueMicrotask(() => this.#tellClosed());
  }

  #tellClosed(): void {
    const closed = this.#closed;
    this.#closed = [];
    for (const { talk } of closed) talk.onClosed();
  }

  #start(): Epoll {
    if (this.#epoll === null) {
      const epoll = new Epoll();
      this.#epoll = epoll;
      this.#poll = poll(epoll.fd, () => this.#drain());
    }
    return this.#epoll;
  }

  #stop(): void {
    this.#lanes.clear();
    this.#poll?.close();
    this.#epoll?.close();
    this.#poll = null;
    this.#epoll = null;
  }

  #lane(waitMs: number): Lane {
    let lane = this.#lanes.get(waitMs);
    if (lane === undefined) {
      lane = { waitMs, waiting: new Set() };
      this.#lanes.set(waitMs, lane);
    }
    return lane;
  }

  /** Looks at all that were opened in this turn of the event loop, by as few calls as possible. */
  #lookAtFresh(): void {
    const fresh = this.#fresh;
    this.#fresh = [];
    const list = this.#list;
    for (let from = 0; from < fresh.length; ) {
      const looked: TcpConnection[] = [];
      list.clear();
      for (; from < fresh.length && !list.isFull; from++) {
        const connection = fresh[from] as TcpConnection;
        if (connection.state !== 'connecting') continue;
        looked.push(connection);
        list.add(connection.fd, POLLOUT);
      }
      list.look();
      for (let index = 0; index < looked.length; index++) {
        const connection = looked[index] as TcpConnection;
        // Closed by what another one was told.
        if (connection.state === 'connecting') this.#looked(connection, list.at(index));
      }
    }
  }

  #looked(connection: TcpConnection, events: number): void {
    // What it was opened for is known: there is nothing to watch.
    if (events !== 0 && !connection.talk.listens) return this.#happened(connection, events);
    try {
      const waits = connection.talk.listens ? TALK_EVENTS : EPOLLONESHOT;
      this.#start().add(connection.fd, events === 0 ? waits | EPOLLOUT : waits);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      return this.#fail(connection, error);
    }
    connection.lane.waiting.add(connection);
    this.#arm(connection.deadlineMs);
    if (events !== 0) this.#happened(connection, events);
  }

  /** False when more may have happened, which comes in the next turn. */
  #drain(): boolean {
    if (this.#epoll === null) return true;
    const untilMs = performance.now() + TURN_MS;
    return this.#epoll.drain(
      (fd, events) => {
        const connection = this.#connections[fd];
        // Closed while its events waited in the same batch.
        if (connection !== undefined) this.#happened(connection, events);
      },
      () => performance.now() < untilMs,
    );
  }

  #happened(connection: TcpConnection, events: number): void {
    const failed = (events & (EPOLLERR | EPOLLHUP)) !== 0;
    if (connection.state === 'connecting') {
      if ((events & EPOLLOUT) === 0 && !failed) return;
      const errno = failed ? getsockoptInt(connection.fd, SOL_SOCKET, SO_ERROR) : 0;
      if (errno !== 0) return this.#fail(connection, new SystemError('connect', errno));
      this.#established(connection);
    } else if ((events & EPOLLOUT) !== 0 && connection.unsent !== null) {
      this.send(connection, connection.unsent);
    }
    if (connection.state !== 'talking' || !connection.talk.listens) return;
    if (failed) return this.#receive(connection, 'failed');
    if ((events & EPOLLRDHUP) !== 0) return this.#receive(connection, 'ended');
    if ((events & EPOLLIN) !== 0) this.#receive(connection, 'open');
  }

  #established(connection: TcpConnection): void {
    connection.state = 'talking';
    connection.talk.onEstablished(connection);
  }

  /** Reads what is there, and what is behind it: nothing for now, the server's FIN, or an error. */
  #receive(connection: TcpConnection, behind: 'open' | 'ended' | 'failed'): void {
    const { fd, talk } = connection;
    for (let count = 0; count < READS_MAX; count++) {
      const length = read(fd, this.#buffer);
      if (length === -EAGAIN) return;
      if (length < 0) return this.#fail(connection, new SystemError('read', -length));
      if (length > 0) talk.onData(connection, this.#buffer.subarray(0, length));
      if (connection.state !== 'talking') return;
      if (length === 0) return talk.onEnd(connection);
      // Less than there was room for is all that there was.
      if (length === READ_BYTES || behind === 'failed') continue;
      if (behind === 'ended') talk.onEnd(connection);
      return;
    }
    if (this.#unread.push(connection) === 1) setImmediate(() => this.#readOn());
  }

  #readOn(): void {
    const unread = this.#unread;
    this.#unread = [];
    for (const connection of unread) {
      if (connection.state === 'talking') this.#receive(connection, 'failed');
    }
  }

  #fail(connection: TcpConnection, error: SystemError): void {
    connection.talk.onError(error);
    this.close(connection);
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
    if (!this.#drain()) return this.#arm(0);
    const nowMs = performance.now();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const lane of this.#lanes.values()) {
      nextMs = Math.min(nextMs, this.#expire(lane, nowMs));
      if (lane.waiting.size === 0) this.#lanes.delete(lane.waitMs);
    }
    if (this.#size === 0) {
      nextMs = this.#idleSinceMs + IDLE_MS;
      if (nextMs <= nowMs) return this.#stop();
    }
    if (nextMs < Number.POSITIVE_INFINITY) this.#arm(nextMs);
  }

  /** Goes through what is over its time, for TURN_MS; the deadline of the next one, or infinity. */
  #expire({ waiting }: Lane, nowMs: number): number {
    for (const connection of waiting) {
      if (connection.deadlineMs > nowMs || performance.now() - nowMs >= TURN_MS) {
        return connection.deadlineMs;
      }
      if (connection.state === 'leaving') {
        this.#lookAtLeaving(connection, nowMs);
        continue;
      }
      connection.talk.onTimeout(connection);
      // Not given more time.
      if (connection.deadlineMs <= nowMs) this.close(connection);
    }
    return Number.POSITIVE_INFINITY;
  }

  /** Takes what the server says unasked, since closing with unread bytes would be a reset. */
  #lookAtLeaving(connection: TcpConnection, nowMs: number): void {
    let length = 0;
    for (let count = 0; count < FAREWELL_READS_MAX; count++) {
      length = read(connection.fd, this.#buffer);
      if (length <= 0) break;
      connection.heard = true;
    }
    // Nothing more for now, unlike a FIN, a reset, or a server that goes on talking.
    if (length === -EAGAIN && nowMs < connection.graceMs) {
      return this.setTimeout(connection, LOOK_MS);
    }
    const quiet = !connection.heard && (length === 0 || length === -EAGAIN);
    if (quiet) connection.destination.quietCloses = QUIET_CLOSES;
    this.close(connection);
  }
}
