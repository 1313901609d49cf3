/**
 * The UDP sockets of BFD (RFC 5881 section 4, RFC 5883): a receiver for a family and port, shared
 * by all sessions, and a sender for each session with a source port of its own, in the network
 * namespace that the thread is in when they are made.
 *
 * Invariants: a receiver tells where a packet came from (address, interface, TTL) and when it
 * arrived, not when it was read; a sender never queues what it hears; nothing throws once open.
 */
import type { AddressFamily } from '../core/config/config.ts';
import { BFD_SOURCE_PORT_MAX, BFD_SOURCE_PORT_MIN } from '../core/wire/bfd.ts';
import { monotonicUs, realtimeUs } from './clock.ts';
import {
  AF_INET,
  AF_INET6,
  EADDRINUSE,
  EAGAIN,
  EINTR,
  IP_PKTINFO,
  IP_RECVTTL,
  IP_TOS,
  IP_TTL,
  IPV6_HOPLIMIT,
  IPV6_PKTINFO,
  IPV6_RECVHOPLIMIT,
  IPV6_RECVPKTINFO,
  IPV6_TCLASS,
  IPV6_UNICAST_HOPS,
  IPV6_V6ONLY,
  SO_BINDTODEVICE,
  SO_PRIORITY,
  SO_RCVBUF,
  SO_TIMESTAMPNS_OLD,
  SOCK_DGRAM,
  SOL_IP,
  SOL_IPV6,
  SOL_SOCKET,
} from './constants.ts';
import { readTimespecUs, walkControlMessages } from './control-messages.ts';
import {
  bind,
  close,
  ifIndex,
  type PollHandle,
  poll,
  SystemError,
  sendto,
  setsockopt,
  socket,
} from './libc.ts';
import { Receiver } from './receiver.ts';
import { encodeSockaddrIn, encodeSockaddrIn6, HOST_LITTLE_ENDIAN } from './sockaddr.ts';
import { arrivalUs } from './vrrp-socket.ts';

/** A control packet has 24 bytes, with the longest authentication section 52: the rest is cut. */
const RECEIVE_BYTES = 256;
/** Stamp (32), destination and interface (40) and TTL (24), with room for a kernel's more. */
const CONTROL_BYTES = 256;
/** Some 1,000 packets at the kernel's charge of 0.75 KiB: a second of ten sessions at 10 ms. */
const RECEIVE_QUEUE_BYTES = 1024 * 1024;
/** Packets taken in one go, after which deadlines get their turn. */
const DRAIN_PACKETS_MAX = 1024;
/** The least that the kernel allows: a sender hears nothing that matters. */
const SENDER_QUEUE_BYTES = 1;
/** Ports tried, from a random one on: that many in a row are not taken on a sane host. */
const PORT_ATTEMPTS_MAX = 256;
/** Internetwork control (RFC 791, precedence 6): RFC 5881 leaves it open, routers send it so. */
const TRAFFIC_CLASS = 0xc0;
/** TC_PRIO_INTERACTIVE (linux/pkt_sched.h): the greatest priority without CAP_NET_ADMIN. */
const QUEUE_PRIORITY = 6;

/** One received packet. The object and its arrays are reused: valid inside the handler only. */
export interface ReceivedBfd {
  readonly payload: Uint8Array;
  /** Length of the UDP payload, which may exceed `payload`. */
  readonly lengthBytes: number;
  /** 4 or 16 bytes, network order; zeros where the kernel told none. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  /** Index of the interface that it came in on; 0 where the kernel told none. */
  readonly interfaceIndex: number;
  /** TTL or hop limit; 0 where the kernel told none. */
  readonly ttl: number;
  /** Monotonic clock of its arrival at this host. */
  readonly receivedAtUs: number;
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

export class BfdReceiver {
  readonly family: AddressFamily;
  readonly port: number;
  readonly #fd: number;
  readonly #poll: PollHandle;
  readonly #receiver = new Receiver(RECEIVE_BYTES, CONTROL_BYTES);
  readonly #control: DataView;
  readonly #packet: Mutable<ReceivedBfd>;
  #stampUs: number | null = null;
  /** A moment at which no packet waited: those that come now have arrived since. */
  #emptyAtUs: number;
  #closed = false;
  /** Errors of receiving, other than that nothing waits. */
  failures = 0;

  /**
   * Opens the socket on every address and calls `onReadable` from the event loop while packets
   * wait. Throws SystemError (EADDRINUSE beside another BFD daemon).
   */
  constructor(family: AddressFamily, port: number, onReadable: () => void) {
    this.family = family;
    this.port = port;
    const { buffer, address, control } = this.#receiver;
    this.#control = new DataView(control.buffer, control.byteOffset, control.byteLength);
    this.#packet = {
      payload: buffer,
      lengthBytes: 0,
      // struct sockaddr_in has the address at 4, sockaddr_in6 at 8.
      source: family === 'ipv4' ? address.subarray(4, 8) : address.subarray(8, 24),
      destination: new Uint8Array(family === 'ipv4' ? 4 : 16),
      interfaceIndex: 0,
      ttl: 0,
      receivedAtUs: 0,
    };
    const fd = openReceiver(family, port);
    try {
      this.#emptyAtUs = monotonicUs();
      this.#poll = poll(fd, () => {
        if (!this.#closed) onReadable();
      });
    } catch (error) {
      close(fd);
      throw error;
    }
    this.#fd = fd;
  }

  /**
   * Gives every waiting packet to `handler`, in order, which must not keep the object or call
   * drain(). Returns their number: DRAIN_PACKETS_MAX when more may wait, for which `onReadable`
   * is called again. `handler` may close the receiver.
   */
  drain(handler: (packet: ReceivedBfd) => void): number {
    // Real time first: what passes between the two readings makes arrivals later, never earlier.
    let nowRealUs = realtimeUs();
    let nowUs = monotonicUs();
    for (let count = 0; count < DRAIN_PACKETS_MAX; ) {
      if (this.#closed) return count;
      const received = this.#receiver.receive(this.#fd);
      if (received === -EINTR) continue;
      if (received < 0) {
        if (received !== -EAGAIN) this.failures++;
        this.#emptyAtUs = monotonicUs();
        return count;
      }
      count++;
      this.#read(received);
      const stampUs = this.#stampUs;
      if (stampUs !== null && stampUs > nowRealUs) {
        // It came while this loop ran, or the real-time clock was set back: look again.
        nowRealUs = realtimeUs();
        nowUs = monotonicUs();
      }
      const ageUs = stampUs === null ? 0 : nowRealUs - stampUs;
      this.#packet.receivedAtUs = arrivalUs({ nowUs, ageUs, emptyAtUs: this.#emptyAtUs });
      handler(this.#packet);
    }
    return DRAIN_PACKETS_MAX;
  }

  #read(lengthBytes: number): void {
    const packet = this.#packet;
    packet.lengthBytes = lengthBytes;
    packet.ttl = 0;
    packet.interfaceIndex = 0;
    packet.destination.fill(0);
    this.#stampUs = null;
    walkControlMessages(this.#control, this.#receiver.controlLength, this.#readMessage);
  }

  readonly #readMessage = (level: number, type: number, offset: number, bytes: number): void => {
    const packet = this.#packet;
    const view = this.#control;
    if (level === SOL_SOCKET && type === SO_TIMESTAMPNS_OLD) {
      this.#stampUs = readTimespecUs(view, offset, bytes);
    } else if (this.family === 'ipv4' && level === SOL_IP) {
      if (type === IP_TTL && bytes >= 4) packet.ttl = view.getInt32(offset, HOST_LITTLE_ENDIAN);
      // struct in_pktinfo: interface index, local address, destination address.
      if (type === IP_PKTINFO && bytes >= 12) this.#readDestination(offset, offset + 8);
    } else if (this.family === 'ipv6' && level === SOL_IPV6) {
      if (type === IPV6_HOPLIMIT && bytes >= 4) {
        packet.ttl = view.getInt32(offset, HOST_LITTLE_ENDIAN);
      }
      // struct in6_pktinfo: destination address, interface index.
      if (type === IPV6_PKTINFO && bytes >= 20) this.#readDestination(offset + 16, offset);
    }
  };

  #readDestination(indexOffset: number, addressOffset: number): void {
    const { destination } = this.#packet;
    this.#packet.interfaceIndex = this.#control.getInt32(indexOffset, HOST_LITTLE_ENDIAN);
    const { control } = this.#receiver;
    destination.set(control.subarray(addressOffset, addressOffset + destination.length));
  }

  /** May be called from a handler, and again. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poll.close();
    close(this.#fd);
  }
}

function openReceiver(family: AddressFamily, port: number): number {
  const ipv4 = family === 'ipv4';
  const fd = socket(ipv4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
  try {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_QUEUE_BYTES);
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS_OLD, 1);
    if (ipv4) {
      setsockopt(fd, SOL_IP, IP_RECVTTL, 1);
      setsockopt(fd, SOL_IP, IP_PKTINFO, 1);
      bind(fd, encodeSockaddrIn(new Uint8Array(4), port));
    } else {
      // The IPv4 sessions have a socket of their own on this port.
      setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, 1);
      setsockopt(fd, SOL_IPV6, IPV6_RECVHOPLIMIT, 1);
      setsockopt(fd, SOL_IPV6, IPV6_RECVPKTINFO, 1);
      bind(fd, encodeSockaddrIn6(new Uint8Array(16), port, 0));
    }
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

export interface BfdSenderOptions {
  readonly family: AddressFamily;
  /** 4 or 16 bytes, network order. */
  readonly neighbor: Uint8Array;
  readonly port: number;
  /** Our own address; null for the one that the route prefers. */
  readonly source: Uint8Array | null;
  /** Interface to send through, and the scope of link-local addresses; null for the route's. */
  readonly interfaceName: string | null;
  /** TTL or hop limit, 1 to 255. */
  readonly ttl: number;
  /** 0 to 1, 1 excluded: where the search for a free source port begins. */
  readonly chance: number;
}

export class BfdSender {
  /** RFC 5881 section 4: the same for all packets of a session. */
  readonly sourcePort: number;
  /** Index of the interface when the socket was opened; null without one. */
  readonly interfaceIndex: number | null;
  readonly #fd: number;
  readonly #destination: Uint8Array;
  #closed = false;

  /** Throws SystemError (EADDRNOTAVAIL without the source address, ENODEV without interface). */
  constructor(options: BfdSenderOptions) {
    const { family, neighbor, port, interfaceName } = options;
    this.interfaceIndex = interfaceName === null ? null : ifIndex(interfaceName);
    const scope = this.interfaceIndex ?? 0;
    const { fd, sourcePort } = openSender(options, scope);
    this.#fd = fd;
    this.sourcePort = sourcePort;
    this.#destination =
      family === 'ipv4'
        ? encodeSockaddrIn(neighbor, port)
        : encodeSockaddrIn6(neighbor, port, scope);
  }

  /** Sends the first `lengthBytes` of `packet`. Returns the bytes sent or -errno; never throws. */
  send(packet: Uint8Array, lengthBytes: number): number {
    return sendto(this.#fd, packet, lengthBytes, this.#destination);
  }

  /** May be called again. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    close(this.#fd);
  }
}

function openSender(
  options: BfdSenderOptions,
  scope: number,
): { readonly fd: number; readonly sourcePort: number } {
  const { family, interfaceName, ttl } = options;
  const ipv4 = family === 'ipv4';
  const fd = socket(ipv4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
  try {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, SENDER_QUEUE_BYTES);
    if (interfaceName !== null) {
      const name = new TextEncoder().encode(`${interfaceName}\0`);
      setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name);
    }
    if (ipv4) {
      setsockopt(fd, SOL_IP, IP_TTL, ttl);
      setsockopt(fd, SOL_IP, IP_TOS, TRAFFIC_CLASS);
    } else {
      setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, 1);
      setsockopt(fd, SOL_IPV6, IPV6_UNICAST_HOPS, ttl);
      setsockopt(fd, SOL_IPV6, IPV6_TCLASS, TRAFFIC_CLASS);
    }
    // After IP_TOS, which sets a priority of its own.
    setsockopt(fd, SOL_SOCKET, SO_PRIORITY, QUEUE_PRIORITY);
    return { fd, sourcePort: bindSourcePort(fd, options, scope) };
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** Binds the source address and the first free port; returns the port. */
function bindSourcePort(fd: number, options: BfdSenderOptions, scope: number): number {
  const { family, source, chance } = options;
  const address = source ?? new Uint8Array(family === 'ipv4' ? 4 : 16);
  const ports = BFD_SOURCE_PORT_MAX - BFD_SOURCE_PORT_MIN + 1;
  const first = Math.floor(chance * ports);
  for (let attempt = 1; ; attempt++) {
    const port = BFD_SOURCE_PORT_MIN + ((first + attempt) % ports);
    try {
      const encoded =
        family === 'ipv4'
          ? encodeSockaddrIn(address, port)
          : encodeSockaddrIn6(address, port, scope);
      bind(fd, encoded);
      return port;
    } catch (error) {
      const taken = error instanceof SystemError && error.errno === EADDRINUSE;
      if (!taken || attempt >= PORT_ATTEMPTS_MAX) throw error;
    }
  }
}
