/**
 * The sockets of VRRP: a receiver for an interface and family, and either a multicast group or
 * unicast; a sender for a source address, to the group or to peers.
 * Raw sockets of protocol 112 (RFC 9568 sections 5.1.1.4 and 5.1.2.4) in the network namespace
 * that the thread is in when they are made.
 *
 * Invariants: a receiver gives packets of its interface only, with the time of their arrival and
 * not of their reading; a sender never queues what it hears; nothing here throws once open.
 */
import { assert } from '../core/assert.ts';
import type { AddressFamily } from '../core/config/config.ts';
import { VRRP_GROUP_IPV4, VRRP_GROUP_IPV6, VRRP_PROTOCOL, VRRP_TTL } from '../core/wire/vrrp.ts';
import { monotonicUs, realtimeUs } from './clock.ts';
import {
  AF_INET,
  AF_INET6,
  BPF_ABS,
  BPF_B,
  BPF_JGE,
  BPF_JMP,
  BPF_K,
  BPF_LD,
  EAGAIN,
  EINTR,
  ENOPROTOOPT,
  EPERM,
  IP_ADD_MEMBERSHIP,
  IP_MULTICAST_IF,
  IP_MULTICAST_LOOP,
  IP_MULTICAST_TTL,
  IP_TOS,
  IP_TTL,
  IPV6_JOIN_GROUP,
  IPV6_MULTICAST_ALL,
  IPV6_MULTICAST_HOPS,
  IPV6_MULTICAST_IF,
  IPV6_MULTICAST_LOOP,
  IPV6_RECVHOPLIMIT,
  IPV6_RECVPKTINFO,
  IPV6_TCLASS,
  IPV6_UNICAST_HOPS,
  SKF_NET_OFF,
  SO_BINDTODEVICE,
  SO_PRIORITY,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_TIMESTAMPNS_OLD,
  SOCK_RAW,
  SOL_IP,
  SOL_IPV6,
  SOL_SOCKET,
} from './constants.ts';
import {
  attachFilter,
  bind,
  close,
  closeAside,
  type PollHandle,
  poll,
  recv,
  SystemError,
  sendto,
  setsockopt,
  socket,
} from './libc.ts';
import { AdvertReader, type ReceivedAdvert } from './received-advert.ts';
import { BatchReceiver } from './receiver.ts';
import { encodeSockaddrIn, encodeSockaddrIn6, HOST_LITTLE_ENDIAN } from './sockaddr.ts';
import { ACCEPT, DROP, filterProgram } from './socket-filter.ts';

export type { ReceivedAdvert } from './received-advert.ts';

/** The longest IPv4 header (60) and the longest advertisement (8 + 255 * 16), rounded up. */
const RECEIVE_BYTES = 4160;
/** Stamp (32), destination (40) and hop limit (24), with room for what a kernel may add. */
const CONTROL_BYTES = 256;
/**
 * The kernel doubles it and charges about 1 KiB a packet, so some 8,000 adverts wait: five
 * seconds of 16 peers at the shortest interval of 10 ms.
 */
const RECEIVE_QUEUE_BYTES = 4 * 1024 * 1024;
/** Adverts taken in one go: a few milliseconds of work, after which deadlines get their turn. */
export const DRAIN_PACKETS_MAX = 128;
/** Adverts taken with one system call. */
const BATCH_PACKETS = 32;
/** Internetwork control (RFC 791, precedence 6), which networks treat as routing traffic. */
export const TRAFFIC_CLASS = 0xc0;
/** TC_PRIO_INTERACTIVE (linux/pkt_sched.h): the greatest priority without CAP_NET_ADMIN. */
const QUEUE_PRIORITY = 6;

/** What a receiver gives. */
export type ReceivedScope =
  /** What is sent to this multicast group, 4 or 16 bytes, which it joins. */
  | Uint8Array
  /** What is sent to any address of this host. */
  | 'unicast'
  /** Of that only what no router has forwarded (TTL or hop limit 255): the kernel drops the rest. */
  | 'unicast-from-link';

export interface VrrpReceiverOptions {
  readonly interfaceName: string;
  readonly interfaceIndex: number;
  readonly family: AddressFamily;
  /** Without it, VRRP's own multicast group. */
  readonly scope?: ReceivedScope;
}

/** What all receivers of the process read into: each does so within one call of drain(). */
interface Batch {
  readonly receiver: BatchReceiver;
  readonly adverts: Readonly<Record<AddressFamily, readonly AdvertReader[]>>;
  readonly sizes: {
    datagramBytes: number;
    addressBytes: number;
    controlBytes: number;
    flags: number;
  };
  busy: boolean;
}

let batch: Batch | null = null;

function sharedBatch(): Batch {
  if (batch !== null) return batch;
  const receiver = new BatchReceiver(BATCH_PACKETS, RECEIVE_BYTES, CONTROL_BYTES);
  const readers = (family: AddressFamily) =>
    receiver.memories.map((memory) => new AdvertReader(family, memory));
  batch = {
    receiver,
    adverts: { ipv4: readers('ipv4'), ipv6: readers('ipv6') },
    sizes: { datagramBytes: 0, addressBytes: 0, controlBytes: 0, flags: 0 },
    busy: false,
  };
  return batch;
}

export class VrrpReceiver {
  readonly family: AddressFamily;
  readonly #fd: number;
  readonly #poll: PollHandle;
  readonly #batch = sharedBatch();
  /** A moment at which no packet waited: those that come now have arrived since. */
  #emptyAtUs: number;
  /** Errors of receiving, other than that nothing waits. */
  failures = 0;
  #closed = false;

  /**
   * Opens the socket and calls `onReadable` from the event loop while packets wait. Throws
   * SystemError (EPERM without CAP_NET_RAW, ENODEV without the interface).
   */
  constructor(options: VrrpReceiverOptions, onReadable: () => void) {
    this.family = options.family;
    const fd = openReceiver(options);
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
   * Gives every waiting packet to `handler`, in order, which must not keep the object, its arrays
   * or call drain() of any receiver. Returns their number: DRAIN_PACKETS_MAX or more when more may
   * wait, for which `onReadable` is called again. `handler` may close the receiver.
   */
  drain(handler: (packet: ReceivedAdvert) => void): number {
    const batch = this.#batch;
    assert(!batch.busy, 'Packets are not read while others are handled');
    batch.busy = true;
    try {
      return this.#drain(batch, handler);
    } finally {
      batch.busy = false;
    }
  }

  #drain(batch: Batch, handler: (packet: ReceivedAdvert) => void): number {
    let count = 0;
    for (let attempts = 0; count < DRAIN_PACKETS_MAX && attempts < DRAIN_PACKETS_MAX; attempts++) {
      if (this.#closed) return count;
      const received = batch.receiver.receive(this.#fd);
      if (received === -EAGAIN) {
        this.#emptyAtUs = monotonicUs();
        return count;
      }
      // An error that was pending is over with having been told: packets may wait behind it.
      if (received >= 0) count += this.#handBatch(batch, received, handler);
      else if (received !== -EINTR) this.failures++;
    }
    return DRAIN_PACKETS_MAX;
  }

  /** Returns the number of packets that it gave to `handler`. */
  #handBatch(batch: Batch, received: number, handler: (packet: ReceivedAdvert) => void): number {
    // Real time first: what passes between the two readings makes arrivals later, never earlier,
    // and a takeover is never early.
    const nowRealUs = realtimeUs();
    const nowUs = monotonicUs();
    const adverts = batch.adverts[this.family];
    for (let index = 0; index < received; index++) {
      const advert = adverts[index] as AdvertReader;
      batch.receiver.sizes(index, batch.sizes);
      advert.read(batch.sizes);
      const ageUs = advert.stampUs === null ? 0 : nowRealUs - advert.stampUs;
      advert.receivedAtUs = arrivalUs({ nowUs, ageUs, emptyAtUs: this.#emptyAtUs });
      handler(advert);
      if (this.#closed) return index + 1;
    }
    return received;
  }

  /** Does not call `onReadable` until watch(); drain() goes on to work. */
  unwatch(): void {
    this.#poll.pause();
  }

  /** Calls `onReadable` again, at once when packets wait. */
  watch(): void {
    this.#poll.resume();
  }

  /**
   * Takes nothing any more; the kernel leaves the group and closes the socket aside. May be called
   * from a handler, and again.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poll.close();
    closeAside(this.#fd);
  }
}

/**
 * When a packet arrived, on the monotonic clock: `ageUs` (by the real-time clock) before `nowUs`,
 * but not later than now and not before `emptyAtUs`, when it was not there yet. So a step of the
 * real-time clock moves it by no more than the time since then.
 */
export function arrivalUs(times: { nowUs: number; ageUs: number; emptyAtUs: number }): number {
  const oldestUs = Math.min(times.emptyAtUs, times.nowUs);
  return Math.min(Math.max(times.nowUs - times.ageUs, oldestUs), times.nowUs);
}

function openReceiver(options: VrrpReceiverOptions): number {
  const { family, interfaceIndex } = options;
  const ipv4 = family === 'ipv4';
  const scope = options.scope ?? (ipv4 ? VRRP_GROUP_IPV4 : VRRP_GROUP_IPV6);
  const fd = socket(ipv4 ? AF_INET : AF_INET6, SOCK_RAW, VRRP_PROTOCOL);
  try {
    if (typeof scope === 'string') attachFilter(fd, unicastFilter(family, scope));
    bindToDevice(fd, options.interfaceName);
    discardQueued(fd);
    growReceiveQueue(fd);
    // The kernel begins to stamp within milliseconds; until then packets get the time of reading.
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS_OLD, 1);
    if (!ipv4) {
      setsockopt(fd, SOL_IPV6, IPV6_RECVPKTINFO, 1);
      setsockopt(fd, SOL_IPV6, IPV6_RECVHOPLIMIT, 1);
      onlyJoinedGroups(fd);
    }
    if (typeof scope !== 'string') joinGroup(fd, family, interfaceIndex, scope);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** Bound to the group, the socket does not take unicast packets, nor other groups' ones. */
function joinGroup(
  fd: number,
  family: AddressFamily,
  interfaceIndex: number,
  group: Uint8Array,
): void {
  if (family === 'ipv4') {
    bind(fd, encodeSockaddrIn(group, 0));
    setsockopt(fd, SOL_IP, IP_ADD_MEMBERSHIP, ipMreqn(group, interfaceIndex));
  } else {
    bind(fd, encodeSockaddrIn6(group, 0, interfaceIndex));
    setsockopt(fd, SOL_IPV6, IPV6_JOIN_GROUP, ipv6Mreq(group, interfaceIndex));
  }
}

/** Drops what other interfaces brought between the making of the socket and its binding. */
function discardQueued(fd: number): void {
  const nothing = new Uint8Array(1);
  for (let count = 0; count < DRAIN_PACKETS_MAX; count++) {
    if (recv(fd, nothing) < 0) return;
  }
}

function growReceiveQueue(fd: number): void {
  try {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_QUEUE_BYTES);
  } catch (error) {
    if (!(error instanceof SystemError) || error.errno !== EPERM) throw error;
    // Without CAP_NET_ADMIN the kernel cuts it to net.core.rmem_max.
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_QUEUE_BYTES);
  }
}

/** A raw IPv6 socket hears every group that any program of the host has joined, unless told. */
function onlyJoinedGroups(fd: number): void {
  try {
    setsockopt(fd, SOL_IPV6, IPV6_MULTICAST_ALL, 0);
  } catch (error) {
    // Linux 4.20 brought it. Before, such packets come too, and end as refused advertisements.
    if (!(error instanceof SystemError) || error.errno !== ENOPROTOOPT) throw error;
  }
}

export interface VrrpSenderOptions {
  readonly interfaceName: string;
  readonly interfaceIndex: number;
  readonly family: AddressFamily;
  /** 4 or 16 bytes, an address of the interface; multicast over IPv6 needs a link-local one. */
  readonly sourceAddress: Uint8Array;
  /** A multicast group, or peers; without it, VRRP's own group. */
  readonly destinations?: readonly Uint8Array[];
  /** TTL or hop limit of unicast packets, 1 to 255; without it 255, as multicast always has. */
  readonly unicastTtl?: number;
}

export class VrrpSender {
  readonly #fd: number;
  readonly #destinations: readonly Uint8Array[];
  #closed = false;

  /**
   * Throws SystemError (EADDRNOTAVAIL when the address is not there, or still tentative). With a
   * descriptor of the caller's, no socket is made.
   */
  constructor(options: VrrpSenderOptions, fd = openSender(options)) {
    const { family, interfaceIndex } = options;
    this.#fd = fd;
    const group = family === 'ipv4' ? VRRP_GROUP_IPV4 : VRRP_GROUP_IPV6;
    this.#destinations = (options.destinations ?? [group]).map((address) =>
      family === 'ipv4'
        ? encodeSockaddrIn(address, 0)
        : encodeSockaddrIn6(address, 0, interfaceIndex),
    );
  }

  /**
   * Sends the first `lengthBytes` of `message`, checksum included, to the destination at `index`.
   * Returns the bytes sent or -errno (ENETDOWN, ENOBUFS, EHOSTUNREACH ...). Never throws,
   * allocates nothing.
   */
  send(message: Uint8Array, lengthBytes: number, index = 0): number {
    return sendto(this.#fd, message, lengthBytes, this.#destinations[index] as Uint8Array);
  }

  /** May be called again. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    close(this.#fd);
  }
}

function openSender(options: VrrpSenderOptions): number {
  const { family, interfaceIndex, sourceAddress } = options;
  const ipv4 = family === 'ipv4';
  const fd = socket(ipv4 ? AF_INET : AF_INET6, SOCK_RAW, VRRP_PROTOCOL);
  try {
    attachFilter(fd, DROP_EVERYTHING);
    // A packet that came before the filter would wait, and be charged, for ever.
    discardQueued(fd);
    bindToDevice(fd, options.interfaceName);
    if (ipv4) {
      bind(fd, encodeSockaddrIn(sourceAddress, 0));
      setsockopt(fd, SOL_IP, IP_MULTICAST_IF, ipMreqn(new Uint8Array(4), interfaceIndex));
      setsockopt(fd, SOL_IP, IP_MULTICAST_LOOP, 0);
      setsockopt(fd, SOL_IP, IP_MULTICAST_TTL, VRRP_TTL);
      setsockopt(fd, SOL_IP, IP_TTL, options.unicastTtl ?? VRRP_TTL);
      setsockopt(fd, SOL_IP, IP_TOS, TRAFFIC_CLASS);
    } else {
      bind(fd, encodeSockaddrIn6(sourceAddress, 0, interfaceIndex));
      setsockopt(fd, SOL_IPV6, IPV6_MULTICAST_IF, interfaceIndex);
      setsockopt(fd, SOL_IPV6, IPV6_MULTICAST_LOOP, 0);
      setsockopt(fd, SOL_IPV6, IPV6_MULTICAST_HOPS, VRRP_TTL);
      setsockopt(fd, SOL_IPV6, IPV6_UNICAST_HOPS, options.unicastTtl ?? VRRP_TTL);
      setsockopt(fd, SOL_IPV6, IPV6_TCLASS, TRAFFIC_CLASS);
    }
    // After IP_TOS, which sets a priority of its own.
    setsockopt(fd, SOL_SOCKET, SO_PRIORITY, QUEUE_PRIORITY);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** Accept 0 bytes of every packet. */
const DROP_EVERYTHING: Uint8Array = filterProgram([DROP]);

/** Where TTL or hop limit and destination stand in the IP header. */
const TTL_OFFSET: Readonly<Record<AddressFamily, number>> = { ipv4: 8, ipv6: 7 };
const DESTINATION_OFFSET: Readonly<Record<AddressFamily, number>> = { ipv4: 16, ipv6: 24 };
/** A multicast address is not below these bytes: 224.0.0.0/4 (and broadcast), ff00::/8. */
const MULTICAST_FIRST: Readonly<Record<AddressFamily, number>> = { ipv4: 224, ipv6: 0xff };

/**
 * Accept what is not multicast, nor too far away for the scope, and 0 bytes of the rest. IPv6 gives
 * an unbound raw socket every group's packets, whatever IPV6_MULTICAST_ALL says.
 */
function unicastFilter(family: AddressFamily, scope: 'unicast' | 'unicast-from-link'): Uint8Array {
  const load = BPF_LD | BPF_B | BPF_ABS;
  return filterProgram([
    { code: load, k: SKF_NET_OFF + DESTINATION_OFFSET[family] },
    { code: BPF_JMP | BPF_JGE | BPF_K, ifTrue: 3, k: MULTICAST_FIRST[family] },
    { code: load, k: SKF_NET_OFF + TTL_OFFSET[family] },
    { code: BPF_JMP | BPF_JGE | BPF_K, ifFalse: 1, k: scope === 'unicast' ? 0 : VRRP_TTL },
    ACCEPT,
    DROP,
  ]);
}

function bindToDevice(fd: number, interfaceName: string): void {
  setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, new TextEncoder().encode(`${interfaceName}\0`));
}

/** struct ip_mreqn (linux/in.h): group, local address (unset), interface index. */
function ipMreqn(group: Uint8Array, interfaceIndex: number): Uint8Array {
  const bytes = new Uint8Array(12);
  bytes.set(group, 0);
  new DataView(bytes.buffer).setInt32(8, interfaceIndex, HOST_LITTLE_ENDIAN);
  return bytes;
}

/** struct ipv6_mreq (linux/in6.h): group, interface index. */
function ipv6Mreq(group: Uint8Array, interfaceIndex: number): Uint8Array {
  const bytes = new Uint8Array(20);
  bytes.set(group, 0);
  new DataView(bytes.buffer).setInt32(16, interfaceIndex, HOST_LITTLE_ENDIAN);
  return bytes;
}
