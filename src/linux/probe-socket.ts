/**
 * Sockets of probes, by a path of their own (source, device, mark). A connected datagram socket is
 * for one question to one server: UDP, or raw ICMP for an echo. The kernel delivers what that
 * server sends and nothing else, and reports ICMP errors about what was sent as errors of the
 * socket. All belong to the network namespace that the thread is in when they are made, and never
 * wait.
 */
import type { SocketPath } from '../core/config/check.ts';
import { formatIp, parseIp } from '../core/ip.ts';
import {
  AF_INET,
  AF_INET6,
  ICMP_ECHOREPLY,
  ICMP_FILTER,
  ICMPV6_ECHO_REPLY,
  ICMPV6_FILTER,
  IP_BIND_ADDRESS_NO_PORT,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  SO_BINDTODEVICE,
  SO_MARK,
  SOCK_DGRAM,
  SOCK_RAW,
  SOCK_STREAM,
  SOL_IP,
  SOL_RAW,
  SOL_SOCKET,
} from './constants.ts';
import {
  bind,
  close,
  connect,
  errnoName,
  getsockname,
  ifIndex,
  type PollHandle,
  poll,
  recv,
  SystemError,
  sendto,
  setsockopt,
  socket,
} from './libc.ts';
import {
  decodeSockaddrIn,
  decodeSockaddrIn6,
  encodeSockaddrIn,
  encodeSockaddrIn6,
} from './sockaddr.ts';

export interface ProbeSocketOptions extends SocketPath {
  readonly kind: 'udp' | 'icmp';
  /** Canonical text. */
  readonly address: string;
  /** 0 for ICMP. */
  readonly port: number;
}

/** Datagrams taken in one go: what comes after that waits for the next turn of the loop. */
const DRAIN_MAX = 32;

export class ProbeSocket {
  readonly #fd: number;
  readonly #poll: PollHandle;
  #closed = false;

  /** Opens and connects it; throws SystemError. `onReadable` is called while something waits. */
  constructor(options: ProbeSocketOptions, onReadable: () => void) {
    const fd = open(options);
    try {
      this.#poll = poll(fd, () => {
        if (!this.#closed) onReadable();
      });
    } catch (error) {
      close(fd);
      throw error;
    }
    this.#fd = fd;
  }

  /** Sends one datagram; throws SystemError. */
  send(datagram: Uint8Array): void {
    const sent = sendto(this.#fd, datagram, datagram.length, null);
    if (sent < 0) throw new SystemError('send', -sent);
  }

  /**
   * Gives every waiting datagram to `take`, cut to the length of `buffer`, with its full length;
   * it is valid within the call only. Throws SystemError for an ICMP error about what was sent.
   */
  drain(buffer: Uint8Array, take: (datagram: Uint8Array, lengthBytes: number) => void): void {
    for (let count = 0; count < DRAIN_MAX && !this.#closed; count++) {
      const received = recv(this.#fd, buffer);
      if (received >= 0) {
        take(buffer.subarray(0, Math.min(received, buffer.length)), received);
        continue;
      }
      const name = errnoName(-received);
      if (name === 'EAGAIN') return;
      if (name !== 'EINTR') throw new SystemError('recv', -received);
    }
  }

  /** May be called again. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poll.close();
    close(this.#fd);
  }
}

function open(options: ProbeSocketOptions): number {
  const ipv4 = !options.address.includes(':');
  const family = ipv4 ? AF_INET : AF_INET6;
  const fd =
    options.kind === 'udp'
      ? socket(family, SOCK_DGRAM, 0)
      : socket(family, SOCK_RAW, ipv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
  try {
    if (options.kind === 'icmp') filterEchoReplies(fd, ipv4);
    choosePath(fd, options);
    connect(fd, sockaddrOf(options.address, options.port, options.device));
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/**
 * A TCP socket for `address` with device, mark and source, which is not connected yet. Throws
 * SystemError. The caller owns the descriptor.
 */
export function openStreamSocket(address: string, path: SocketPath): number {
  const fd = socket(address.includes(':') ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
  try {
    // The port is chosen when it connects: else checks of many servers would share one port range.
    if (path.source !== null || path.via !== null)
      setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    choosePath(fd, path);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** Puts device, mark and source of `path` on a socket that is not connected yet. */
export function choosePath(fd: number, { device, mark, source: own, via }: SocketPath): void {
  const source = own ?? (via === null ? null : routeSource(via));
  if (device !== null) {
    const name = new TextEncoder().encode(`${device}\0`);
    named('SO_BINDTODEVICE', device, () => setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name));
  }
  if (mark !== null) {
    named('SO_MARK', String(mark), () => setsockopt(fd, SOL_SOCKET, SO_MARK, mark));
  }
  if (source !== null) named('bind', source, () => bind(fd, sockaddrOf(source, 0, device)));
}

/** The source address that the route to `address` prefers. Throws SystemError, as without route. */
export function routeSource(address: string): string {
  const fd = socket(address.includes(':') ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
  try {
    // Connecting a datagram socket looks the route up and sends nothing; any port will do.
    named('route', address, () => connect(fd, sockaddrOf(address, 9, null)));
    return addressOf(getsockname(fd));
  } finally {
    close(fd);
  }
}

function addressOf(sockaddr: Uint8Array): string {
  const decoded = decodeSockaddrIn(sockaddr);
  if (decoded.ok) return formatIp(decoded.value.address, 'ipv4');
  const six = decodeSockaddrIn6(sockaddr);
  return six.ok ? formatIp(six.value.address, 'ipv6') : '';
}

/** Names what failed as the configuration does. */
function named(call: string, detail: string, action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    throw new SystemError(call, error.errno, detail);
  }
}

/** An address in canonical text as the kernel takes it; link-local ones are of `device`. */
export function sockaddrOf(address: string, port: number, device: string | null): Uint8Array {
  const bytes = parseIp(address) ?? new Uint8Array(4);
  if (bytes.length === 4) return encodeSockaddrIn(bytes, port);
  return encodeSockaddrIn6(bytes, port, device === null ? 0 : ifIndex(device));
}

/** Everything else that the host is told by ICMP would wake this socket too. */
function filterEchoReplies(fd: number, ipv4: boolean): void {
  if (!ipv4) return acceptIcmpv6(fd, ICMPV6_ECHO_REPLY);
  // A set bit blocks a type: struct icmp_filter (linux/icmp.h).
  setsockopt(fd, SOL_RAW, ICMP_FILTER, ~(1 << ICMP_ECHOREPLY) >>> 0);
}

/** A raw ICMPv6 socket takes messages of this type and no others. Throws SystemError. */
export function acceptIcmpv6(fd: number, type: number): void {
  // A set bit blocks a type: struct icmp6_filter (linux/icmpv6.h).
  const blocked = new Uint32Array(8).fill(0xffff_ffff);
  blocked[type >> 5] = ~(1 << (type & 31)) >>> 0;
  setsockopt(fd, IPPROTO_ICMPV6, ICMPV6_FILTER, new Uint8Array(blocked.buffer));
}
