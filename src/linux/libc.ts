/**
 * The C library: the only file that imports koffi and calls foreign functions. Works with glibc
 * and musl on 64-bit Linux. Calls that configure throw SystemError; calls on the packet path
 * (sendto, recv, recvmsg, recvmmsg, read, timerfdSet) never throw and return -errno.
 *
 * Memory: the kernel writes only into ArrayBuffers that an object here keeps alive; their backing
 * stores lie outside of V8's heap and do not move. koffi reads errno of the calling thread, which
 * nothing may touch between a call and lastErrno().
 */
import { close as closeInPool, fstatSync, openSync } from 'node:fs';
import { constants as osConstants } from 'node:os';
import koffi from 'koffi';
import { assert } from '../core/assert.ts';
import {
  AF_UNIX,
  CLOCK_MONOTONIC,
  CLONE_NEWNET,
  EBADF,
  ECONNREFUSED,
  EEXIST,
  EINVAL,
  ENOENT,
  EPOLL_CTL_ADD,
  EPOLL_CTL_MOD,
  F_SETFD,
  FD_CLOEXEC,
  IFNAMSIZ,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_TRUNC,
  POLLIN,
  SCHED_OTHER,
  SCHED_RESET_ON_FORK,
  SCHED_RR,
  SHUT_WR,
  SO_ATTACH_FILTER,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  TFD_CLOEXEC,
  TFD_NONBLOCK,
  TFD_TIMER_ABSTIME,
} from './constants.ts';
import { encodeSockaddrUn, HOST_LITTLE_ENDIAN, SOCKADDR_STORAGE_BYTES } from './sockaddr.ts';

type Bytes = Uint8Array | Uint32Array;
type Foreign<Arguments extends unknown[]> = (...args: Arguments) => number;

/** The whole program's symbols hold libc's, whatever its file is called. */
const library = koffi.load(null);

function foreign<Arguments extends unknown[]>(prototype: string): Foreign<Arguments> {
  return library.func(prototype) as Foreign<Arguments>;
}

// 'long' is ssize_t and time_t on every 64-bit Linux.
const c = {
  socket: foreign<[number, number, number]>('int socket(int domain, int type, int protocol)'),
  close: foreign<[number]>('int close(int fd)'),
  bind: foreign<[number, Bytes, number]>('int bind(int fd, const void *addr, uint32_t length)'),
  connect: foreign<[number, Bytes, number]>(
    'int connect(int fd, const void *addr, uint32_t length)',
  ),
  setsockopt: foreign<[number, number, number, Bytes, number]>(
    'int setsockopt(int fd, int level, int name, const void *value, uint32_t length)',
  ),
  getsockopt: foreign<[number, number, number, Bytes, Bytes]>(
    'int getsockopt(int fd, int level, int name, void *value, void *length)',
  ),
  getsockname: foreign<[number, Bytes, Bytes]>('int getsockname(int fd, void *addr, void *length)'),
  sendto: foreign<[number, Bytes, number, number, Bytes | null, number]>(
    'long sendto(int fd, const void *data, size_t n, int flags, const void *addr, uint32_t len)',
  ),
  recv: foreign<[number, Bytes, number, number]>(
    'long recv(int fd, void *buffer, size_t length, int flags)',
  ),
  recvmsg: foreign<[number, Bytes, number]>('long recvmsg(int fd, void *message, int flags)'),
  recvmmsg: foreign<[number, Bytes, number, number, null]>(
    'int recvmmsg(int fd, void *messages, unsigned int n, int flags, void *timeout)',
  ),
  read: foreign<[number, Bytes, number]>('long read(int fd, void *buffer, size_t length)'),
  shutdown: foreign<[number, number]>('int shutdown(int fd, int how)'),
  epollCreate1: foreign<[number]>('int epoll_create1(int flags)'),
  epollCtl: foreign<[number, number, number, Bytes]>(
    'int epoll_ctl(int epfd, int operation, int fd, void *event)',
  ),
  epollWait: foreign<[number, Bytes, number, number]>(
    'int epoll_wait(int epfd, void *events, int count, int timeout)',
  ),
  poll: foreign<[Bytes, number, number]>('int poll(void *fds, unsigned long n, int timeout)'),
  clockGettime: foreign<[number, Bytes]>('int clock_gettime(int clock, void *timespec)'),
  timerfdCreate: foreign<[number, number]>('int timerfd_create(int clock, int flags)'),
  timerfdSettime: foreign<[number, number, Bytes, null]>(
    'int timerfd_settime(int fd, int flags, const void *value, void *old)',
  ),
  ifNametoindex: foreign<[string]>('uint32_t if_nametoindex(const char *name)'),
  ifIndextoname: library.func('void *if_indextoname(uint32_t index, void *name)') as (
    index: number,
    name: Bytes,
  ) => bigint | null,
  setns: foreign<[number, number]>('int setns(int fd, int type)'),
  // musl's sched_setscheduler always fails; pthread_setschedparam works with both libraries.
  pthreadSelf: library.func('uintptr_t pthread_self()') as () => number | bigint,
  pthreadSetschedparam: foreign<[number | bigint, number, Bytes]>(
    'int pthread_setschedparam(uintptr_t thread, int policy, const void *param)',
  ),
  fcntl: library.func('int fcntl(int fd, int command, ...)') as (
    fd: number,
    command: number,
    type: 'int',
    value: number,
  ) => number,
  mkfifo: foreign<[string, number]>('int mkfifo(const char *path, uint32_t mode)'),
  execve: foreign<[string, (string | null)[], (string | null)[]]>(
    'int execve(const char *path, const char **argv, const char **envp)',
  ),
};

const ERRNO_NAMES: ReadonlyMap<number, string> = errnoNames();

function errnoNames(): Map<number, string> {
  const names = new Map<number, string>();
  for (const [name, value] of Object.entries(osConstants.errno)) {
    // EAGAIN and ENOTSUP have second names for the same number: the first one stays.
    if (!names.has(value)) names.set(value, name);
  }
  return names;
}

/** Name of an errno number, as 'EPERM'; 'E' and the number when Node does not know it. */
export function errnoName(errno: number): string {
  return ERRNO_NAMES.get(errno) ?? `E${errno}`;
}

/** A system call that failed: which, and with what errno. */
export class SystemError extends Error {
  override readonly name = 'SystemError';
  readonly errno: number;
  readonly code: string;
  readonly call: string;

  /** `errno` is positive; `detail` says of what, as an interface or a path. */
  constructor(call: string, errno: number, detail = '') {
    const code = errnoName(errno);
    super(`${call}${detail === '' ? '' : ` ${detail}`} failed with ${code}`);
    this.errno = errno;
    this.code = code;
    this.call = call;
  }
}

function lastErrno(): number {
  return koffi.errno();
}

function check(result: number, call: string, detail = ''): number {
  if (result < 0) throw new SystemError(call, lastErrno(), detail);
  return result;
}

/** socket(2), always with SOCK_CLOEXEC and SOCK_NONBLOCK. Returns the descriptor. */
export function socket(domain: number, type: number, protocol: number): number {
  return check(c.socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol), 'socket');
}

/** close(2). A descriptor that is polled must have its poll closed first. */
export function close(fd: number): void {
  assert(!polled.has(fd), 'A polled descriptor is closed after its poll');
  check(c.close(fd), 'close');
}

/**
 * close(2) on a thread of Node's pool, for sockets whose end the kernel makes its caller wait for:
 * 10 ms and more for the readers of a packet socket, the lock of all links for who was in a
 * multicast group. The descriptor stays open until then; a poll of it must be closed first.
 */
export function closeAside(fd: number): void {
  assert(!polled.has(fd), 'A polled descriptor is closed after its poll');
  closeInPool(fd, () => {
    // It is gone whatever close() says (close(2), NOTES), and nobody waits for it.
  });
}

/** bind(2) to an encoded sockaddr. */
export function bind(fd: number, address: Uint8Array): void {
  check(c.bind(fd, address, address.length), 'bind');
}

/** Whether somebody listens on the Unix stream socket of this path. Never waits. */
export function answersOn(path: string): boolean {
  const fd = socket(AF_UNIX, SOCK_STREAM, 0);
  try {
    const address = encodeSockaddrUn(path);
    if (address === null) return false;
    const result = connectStream(fd, address);
    // What else goes wrong, as a full backlog, does not prove that nobody does.
    return result !== -ECONNREFUSED && result !== -ENOENT;
  } finally {
    close(fd);
  }
}

/** connect(2) of a datagram socket to an encoded sockaddr: nothing is sent. */
export function connect(fd: number, address: Uint8Array): void {
  check(c.connect(fd, address, address.length), 'connect');
}

/**
 * connect(2) of a stream socket, which goes on in the background: 0, or -errno (-EINPROGRESS as a
 * rule). Never throws.
 */
export function connectStream(fd: number, address: Uint8Array): number {
  return c.connect(fd, address, address.length) < 0 ? -lastErrno() : 0;
}

/** shutdown(2) of the sending side; never throws: a peer that is gone already is no news. */
export function shutdownWrite(fd: number): void {
  c.shutdown(fd, SHUT_WR);
}

/** setsockopt(2): a number is passed as a C int, bytes as they are. */
export function setsockopt(
  fd: number,
  level: number,
  name: number,
  value: number | Uint8Array,
): void {
  const bytes = typeof value === 'number' ? Uint32Array.of(value) : value;
  const detail = `level ${level} option ${name}`;
  check(c.setsockopt(fd, level, name, bytes, bytes.byteLength), 'setsockopt', detail);
}

/**
 * Attaches a classic BPF program (SO_ATTACH_FILTER): `program` holds struct sock_filter entries
 * of 8 bytes. The kernel copies it.
 */
export function attachFilter(fd: number, program: Uint8Array): void {
  // struct sock_fprog (linux/filter.h): a 16-bit count, then a pointer.
  const fprog = new Uint8Array(16);
  const view = new DataView(fprog.buffer);
  view.setUint16(0, program.length / 8, HOST_LITTLE_ENDIAN);
  view.setBigUint64(8, koffi.address(program), HOST_LITTLE_ENDIAN);
  setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, fprog);
}

/** getsockopt(2) of an option whose value is a C int. */
export function getsockoptInt(fd: number, level: number, name: number): number {
  const value = new Uint32Array(1);
  const result = c.getsockopt(fd, level, name, value, Uint32Array.of(4));
  check(result, 'getsockopt', `level ${level} option ${name}`);
  return (value[0] as number) | 0;
}

/** getsockname(2): the encoded sockaddr that the socket is bound to. */
export function getsockname(fd: number): Uint8Array {
  const address = new Uint8Array(SOCKADDR_STORAGE_BYTES);
  const length = Uint32Array.of(address.length);
  check(c.getsockname(fd, address, length), 'getsockname');
  return address.subarray(0, Math.min(length[0] as number, address.length));
}

/**
 * sendto(2) of the first `length` bytes of `data`, without SIGPIPE and without waiting.
 * `address` is an encoded sockaddr, or null on a connected socket.
 * Returns the number of bytes sent, or -errno. Never throws, allocates nothing itself.
 */
export function sendto(
  fd: number,
  data: Uint8Array,
  length: number,
  address: Uint8Array | null,
): number {
  if (length > data.length) return -EINVAL;
  const addressLength = address === null ? 0 : address.length;
  const flags = MSG_NOSIGNAL | MSG_DONTWAIT;
  const sent = c.sendto(fd, data, length, flags, address, addressLength);
  return sent < 0 ? -lastErrno() : sent;
}

/**
 * recv(2) of one datagram with MSG_TRUNC: returns the datagram's full length, which is greater
 * than `buffer.length` when it was cut, or -errno. Never throws. Not for stream sockets, where
 * MSG_TRUNC discards data.
 */
export function recv(fd: number, buffer: Uint8Array): number {
  const received = c.recv(fd, buffer, buffer.length, MSG_DONTWAIT | MSG_TRUNC);
  return received < 0 ? -lastErrno() : received;
}

/** read(2) into `buffer`: bytes read or -errno. Never throws. */
export function read(fd: number, buffer: Uint8Array): number {
  const received = c.read(fd, buffer, buffer.length);
  return received < 0 ? -lastErrno() : received;
}

/** Where `bytes` begin in memory, for structures that hold pointers; they must be kept alive. */
export function addressOf(bytes: Uint8Array): bigint {
  return koffi.address(bytes);
}

/**
 * recvmsg(2) of one datagram as `header` (struct msghdr) says, without waiting: its full length,
 * which may exceed the buffer, or -errno. Never throws.
 */
export function recvmsg(fd: number, header: Uint8Array): number {
  const received = c.recvmsg(fd, header, MSG_DONTWAIT | MSG_TRUNC);
  return received < 0 ? -lastErrno() : received;
}

/**
 * recvmmsg(2) of up to `count` datagrams into `headers` (struct mmsghdr), without waiting: how
 * many were taken, or -errno. Never throws.
 */
export function recvmmsg(fd: number, headers: Uint8Array, count: number): number {
  const received = c.recvmmsg(fd, headers, count, MSG_DONTWAIT | MSG_TRUNC, null);
  return received < 0 ? -lastErrno() : received;
}

/** Writes an unsigned integer below 2^53 in host order, without making a bigint. */
export function setHost64(view: DataView, offset: number, value: number): void {
  const low = value % 0x1_0000_0000;
  const high = Math.floor(value / 0x1_0000_0000);
  view.setUint32(offset + (HOST_LITTLE_ENDIAN ? 0 : 4), low, HOST_LITTLE_ENDIAN);
  view.setUint32(offset + (HOST_LITTLE_ENDIAN ? 4 : 0), high, HOST_LITTLE_ENDIAN);
}

/** Reads an unsigned integer below 2^53 in host order. */
export function getHost64(view: DataView, offset: number): number {
  const low = view.getUint32(offset + (HOST_LITTLE_ENDIAN ? 0 : 4), HOST_LITTLE_ENDIAN);
  const high = view.getUint32(offset + (HOST_LITTLE_ENDIAN ? 4 : 0), HOST_LITTLE_ENDIAN);
  return high * 0x1_0000_0000 + low;
}

export interface PollHandle {
  /** Stops watching until resume(). May be called again, and from the callback. */
  pause(): void;
  /** Watches again: what waits already is told of. */
  resume(): void;
  /** Stops watching; the descriptor stays open. May be called again, and from the callback. */
  close(): void;
}

/** Descriptors that are watched, with koffi's handles: collecting one would end its watching. */
const polled = new Map<number, ReturnType<typeof koffi.node.poll>>();

/**
 * Calls `onReadable` whenever `fd` is readable or has an error, level-triggered, on the event
 * loop; keeps the loop alive. A descriptor can be watched once at a time. What `onReadable`
 * throws becomes an uncaught exception. Throws SystemError for a bad descriptor.
 */
export function poll(fd: number, onReadable: () => void): PollHandle {
  // koffi aborts the whole process when libuv refuses a descriptor, so it is checked here.
  if (polled.has(fd)) throw new SystemError('poll', EEXIST, `descriptor ${fd}`);
  requirePollable(fd);
  let paused = false;
  const isOpen = (): boolean => polled.get(fd) === handle;
  const wake = (statusOrEvents: unknown): void => {
    // On a pending socket error (ENOBUFS, ENETDOWN) libuv reports a negative status and stops
    // watching; koffi hands that status over in place of the events.
    if (typeof statusOrEvents === 'number' && statusOrEvents < 0 && !paused && isOpen()) {
      handle.start({ readable: true }, wake);
    }
    try {
      onReadable();
    } catch (error) {
      // koffi would leave the exception pending in the event loop and nobody would see it.
      setImmediate(() => {
        throw error;
      });
    }
  };
  const handle = koffi.node.poll(fd, { readable: true }, wake);
  polled.set(fd, handle);
  return {
    pause: () => {
      if (paused || !isOpen()) return;
      paused = true;
      handle.stop();
    },
    resume: () => {
      if (!paused || !isOpen()) return;
      paused = false;
      handle.start({ readable: true }, wake);
    },
    close: () => {
      if (!isOpen()) return;
      polled.delete(fd);
      handle.close();
    },
  };
}

function requirePollable(fd: number): void {
  const stats = (() => {
    try {
      return fstatSync(fd);
    } catch {
      throw new SystemError('poll', EBADF, `descriptor ${fd}`);
    }
  })();
  // epoll refuses these with EPERM.
  if (stats.isFile() || stats.isDirectory()) {
    throw new SystemError('poll', EINVAL, `descriptor ${fd}`);
  }
}

// struct pollfd: int fd, short events, short revents.
const pollfd = new Uint8Array(new ArrayBuffer(8));
const pollfdView = new DataView(pollfd.buffer);

/**
 * poll(2): blocks the thread until `fd` is readable, has an error, or `timeoutMs` (0 or more)
 * have passed; false on time-out. A signal ends the wait early with true, so the caller reads,
 * which may still say -EAGAIN. For sockets whose answer is already due, as netlink's.
 */
export function pollReadable(fd: number, timeoutMs: number): boolean {
  assert(timeoutMs >= 0, 'The wait is bounded');
  pollfdView.setInt32(0, fd, HOST_LITTLE_ENDIAN);
  pollfdView.setInt16(4, POLLIN, HOST_LITTLE_ENDIAN);
  return c.poll(pollfd, 1, timeoutMs) !== 0;
}

/** Descriptors that one PollList holds. */
export const POLL_LIST_MAX = 512;

/**
 * Descriptors that are looked at together, once and without waiting, by one poll(2): cheaper than
 * epoll(7) for what is looked at once only. Its memory is allocated once.
 */
export class PollList {
  readonly #memory = new ArrayBuffer(POLL_LIST_MAX * 8);
  readonly #bytes = new Uint8Array(this.#memory);
  readonly #fds = new Int32Array(this.#memory);
  readonly #events = new Uint16Array(this.#memory);
  #size = 0;

  get isFull(): boolean {
    return this.#size === POLL_LIST_MAX;
  }

  clear(): void {
    this.#size = 0;
  }

  /** Adds a descriptor to a list that is not full. */
  add(fd: number, events: number): void {
    assert(this.#size < POLL_LIST_MAX, 'There is room');
    this.#fds[this.#size * 2] = fd;
    this.#events[this.#size * 4 + 2] = events;
    this.#events[this.#size * 4 + 3] = 0;
    this.#size++;
  }

  /** Looks. A failure, as EINTR, is told as if nothing had happened to any of them. */
  look(): void {
    if (c.poll(this.#bytes, this.#size, 0) >= 0) return;
    for (let index = 0; index < this.#size; index++) this.#events[index * 4 + 3] = 0;
  }

  /** What has happened to the descriptor that was added at this place: 0 for nothing. */
  at(index: number): number {
    return this.#events[index * 4 + 3] as number;
  }
}

// struct epoll_event (linux/eventpoll.h): 32 bits of events and 64 of data, packed on x86-64 only.
const EPOLL_EVENT_BYTES = process.arch === 'x64' ? 12 : 16;
const EPOLL_DATA = process.arch === 'x64' ? 4 : 8;
/** Taken in one call; what is beyond waits for the next one. */
const EPOLL_EVENTS_MAX = 64;

/**
 * An epoll(7) instance: many descriptors behind one that the event loop watches. Its memory is
 * allocated once.
 */
export class Epoll {
  readonly fd: number;
  readonly #event = new Uint8Array(new ArrayBuffer(EPOLL_EVENT_BYTES));
  readonly #eventView = new DataView(this.#event.buffer);
  readonly #events = new Uint8Array(new ArrayBuffer(EPOLL_EVENTS_MAX * EPOLL_EVENT_BYTES));
  readonly #eventsView = new DataView(this.#events.buffer);

  constructor() {
    this.fd = check(c.epollCreate1(SOCK_CLOEXEC), 'epoll_create1');
  }

  /** Watches a descriptor until it is closed; throws SystemError. */
  add(fd: number, events: number): void {
    this.#control(EPOLL_CTL_ADD, fd, events);
  }

  /** Watches for these from now on; what is so already is told again. Throws SystemError. */
  change(fd: number, events: number): void {
    this.#control(EPOLL_CTL_MOD, fd, events);
  }

  /**
   * Gives what has happened, by descriptor, to `take`, some at a time and as long as `goOn` says so;
   * never waits. False when more may have happened.
   */
  drain(take: (fd: number, events: number) => void, goOn: () => boolean): boolean {
    do {
      const count = c.epollWait(this.fd, this.#events, EPOLL_EVENTS_MAX, 0);
      for (let index = 0; index < count; index++) {
        const offset = index * EPOLL_EVENT_BYTES;
        const fd = getHost64(this.#eventsView, offset + EPOLL_DATA);
        take(fd, this.#eventsView.getUint32(offset, HOST_LITTLE_ENDIAN));
      }
      if (count < EPOLL_EVENTS_MAX) return true;
    } while (goOn());
    return false;
  }

  #control(operation: number, fd: number, events: number): void {
    this.#eventView.setUint32(0, events, HOST_LITTLE_ENDIAN);
    setHost64(this.#eventView, EPOLL_DATA, fd);
    check(c.epollCtl(this.fd, operation, fd, this.#event), 'epoll_ctl');
  }

  close(): void {
    close(this.fd);
  }
}

const timespec = new Uint8Array(new ArrayBuffer(16));
const timespecView = new DataView(timespec.buffer);

/** clock_gettime(2) in microseconds, rounded down. Never throws: a wrong clock id is a defect. */
export function clockGettimeUs(clock: number): number {
  assert(c.clockGettime(clock, timespec) === 0, 'The clock exists');
  const nanoseconds = getHost64(timespecView, 8);
  return getHost64(timespecView, 0) * 1_000_000 + Math.floor(nanoseconds / 1000);
}

/** timerfd_create(2) on CLOCK_MONOTONIC, non-blocking, disarmed. Returns the descriptor. */
export function timerfdCreate(): number {
  return check(c.timerfdCreate(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), 'timerfd_create');
}

// struct itimerspec: interval (16 bytes, stays 0: one shot), then value.
const itimerspec = new Uint8Array(new ArrayBuffer(32));
const itimerspecView = new DataView(itimerspec.buffer);

/**
 * timerfd_settime(2): expires once at `absoluteUs` of CLOCK_MONOTONIC (at once when that is
 * past); 0 disarms. A pending expiry is forgotten. A failure is a defect (InternalError).
 */
export function timerfdSet(fd: number, absoluteUs: number): void {
  assert(Number.isSafeInteger(absoluteUs) && absoluteUs >= 0, 'A deadline is whole microseconds');
  const seconds = Math.floor(absoluteUs / 1_000_000);
  setHost64(itimerspecView, 16, seconds);
  setHost64(itimerspecView, 24, (absoluteUs - seconds * 1_000_000) * 1000);
  const result = c.timerfdSettime(fd, TFD_TIMER_ABSTIME, itimerspec, null);
  assert(result === 0, 'The timer descriptor is open');
}

/** if_nametoindex(3) in the thread's network namespace: 0 when there is no such interface. */
export function ifIndex(name: string): number {
  // Longer names would be cut by the C library and could match another interface.
  if (new TextEncoder().encode(name).length >= IFNAMSIZ || name.includes('\0')) return 0;
  return c.ifNametoindex(name);
}

/** if_indextoname(3) in the thread's network namespace: null when there is no such interface. */
export function ifName(index: number): string | null {
  const name = new Uint8Array(IFNAMSIZ);
  if (c.ifIndextoname(index, name) === null) return null;
  const end = name.indexOf(0);
  return new TextDecoder().decode(name.subarray(0, end === -1 ? IFNAMSIZ : end));
}

/**
 * Moves the calling thread into the network namespace of `path` (/run/netns/x, /proc/1/ns/net).
 * Other threads (libuv's pool, workers) stay where they are.
 */
export function setns(path: string): void {
  const fd = openNamespace(path);
  try {
    setnsFd(fd, path);
  } finally {
    close(fd);
  }
}

/** Opens a namespace file, for setnsFd. Close it with close(). */
export function openNamespace(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    const errno = (error as NodeJS.ErrnoException).errno ?? -EINVAL;
    throw new SystemError('open', -errno, path);
  }
}

/** setns(2) of the calling thread to an open network namespace; `detail` is for the error. */
export function setnsFd(fd: number, detail = ''): void {
  check(c.setns(fd, CLONE_NEWNET), 'setns', detail);
}

/**
 * Schedules the calling thread SCHED_RR at `priority` (1 to 99); threads and processes that it
 * starts afterwards are ordinary again (SCHED_RESET_ON_FORK).
 */
export function schedSetRealtime(priority: number): void {
  setScheduling(SCHED_RR | SCHED_RESET_ON_FORK, priority);
}

/** The same, for processes that it starts too. Only CAP_SYS_NICE may take reset-on-fork away. */
export function schedSetRealtimeForAll(priority: number): void {
  setScheduling(SCHED_RR, priority);
}

/** Schedules the calling thread SCHED_OTHER, as every process is by default. */
export function schedSetNormal(): void {
  // The kernel lets only CAP_SYS_NICE clear reset-on-fork, so it is kept: it changes nothing here.
  setScheduling(SCHED_OTHER | SCHED_RESET_ON_FORK, 0);
}

function setScheduling(policy: number, priority: number): void {
  // struct sched_param; musl's has further fields, which the kernel ignores.
  const param = new Uint32Array(12);
  param[0] = priority;
  const errno = c.pthreadSetschedparam(c.pthreadSelf(), policy, param);
  if (errno !== 0) throw new SystemError('sched_setscheduler', errno);
}

/** mkfifo(3): makes a FIFO; the umask takes bits from `mode`. Throws SystemError (EEXIST...). */
export function mkfifo(path: string, mode: number): void {
  check(c.mkfifo(path, mode), 'mkfifo', path);
}

/** fcntl(2) F_SETFD: whether `fd` stays open in a program that execve() starts. */
export function setInheritable(fd: number, inheritable: boolean): void {
  check(c.fcntl(fd, F_SETFD, 'int', inheritable ? 0 : FD_CLOEXEC), 'fcntl', `descriptor ${fd}`);
}

/**
 * execve(2): replaces the process, or throws SystemError. The new program has the standard
 * streams and what setInheritable() was told of; every other descriptor is closed.
 * Scheduling and the network namespace of the calling thread stay.
 */
export function execve(path: string, argv: string[], env: Record<string, string>): never {
  const entries = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  // Node marks even its standard streams close-on-exec when it starts.
  for (const fd of [0, 1, 2]) {
    const errno = c.fcntl(fd, F_SETFD, 'int', 0) < 0 ? lastErrno() : 0;
    // A daemon may have been started without one of them.
    if (errno !== 0 && errno !== EBADF) throw new SystemError('fcntl', errno, `descriptor ${fd}`);
  }
  c.execve(path, [...argv, null], [...entries, null]);
  throw new SystemError('execve', lastErrno(), path);
}

/**
 * Sends one datagram to a Unix socket ('@' starts an abstract name), without waiting. Throws
 * SystemError when the name is too long or nobody takes it.
 */
export function unixDatagramSend(path: string, text: string): void {
  const address = encodeSockaddrUn(path);
  if (address === null) throw new SystemError('sendto', EINVAL, path);
  const data = new TextEncoder().encode(text);
  const fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  try {
    const sent = sendto(fd, data, data.length, address);
    if (sent < 0) throw new SystemError('sendto', -sent, path);
  } finally {
    close(fd);
  }
}
