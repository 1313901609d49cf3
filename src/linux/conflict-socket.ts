/**
 * Sockets that ask who has an address and hear who says that he does: ARP for IPv4, neighbour
 * discovery for IPv6, one of each for an interface. The kernel gives them only what is about
 * addresses that are watched, and nobody is woken for it: it waits until it is read.
 * Nothing but the constructors throws. All belong to the network namespace of the thread.
 */
import { parseIp } from '../core/ip.ts';
import {
  ARP_FRAME_BYTES,
  ARP_OPERATION_REPLY,
  decodeArp,
  encodeArpProbe,
} from '../core/wire/arp.ts';
import { equalBytes } from '../core/wire/bytes.ts';
import { ETHERNET_HEADER_BYTES } from '../core/wire/ethernet.ts';
import {
  decodeNaMessage,
  encodeNeighborSolicitation,
  NDISC_HOP_LIMIT,
  NS_BYTES,
  solicitedNodeGroup,
} from '../core/wire/ndisc.ts';
import {
  AF_INET6,
  AF_PACKET,
  BPF_ABS,
  BPF_B,
  BPF_H,
  BPF_JEQ,
  BPF_JMP,
  BPF_K,
  BPF_LD,
  ETH_P_ARP,
  ICMPV6_NEIGHBOR_ADVERTISEMENT,
  IPPROTO_ICMPV6,
  IPV6_MULTICAST_HOPS,
  IPV6_MULTICAST_IF,
  IPV6_MULTICAST_LOOP,
  SKF_NET_OFF,
  SO_RCVBUF,
  SOCK_RAW,
  SOL_IPV6,
  SOL_SOCKET,
} from './constants.ts';
import {
  attachFilter,
  bind,
  close,
  closeAside,
  recv,
  SystemError,
  sendto,
  setsockopt,
  socket,
} from './libc.ts';
import { acceptIcmpv6 } from './probe-socket.ts';
import { encodeSockaddrIn6, encodeSockaddrLl } from './sockaddr.ts';
import {
  ACCEPT,
  acceptWords,
  DROP,
  filterProgram,
  type Instruction,
  wordAt,
} from './socket-filter.ts';

/** Packets taken in one go: what comes after that waits for the next. */
const READ_MAX = 256;
/** Asked of the kernel, which doubles it: some hundred packets. */
const RECEIVE_BUFFER_BYTES = 128 * 1024;
/** More addresses than this are not picked out by the kernel: its programs have 4096 steps. */
const FILTER_ADDRESSES_MAX = 2_000;
const ARP_OPERATION = ETHERNET_HEADER_BYTES + 6;
/** The sender's protocol address. */
const ARP_SENDER_IP = ETHERNET_HEADER_BYTES + 14;
/** Neighbour advertisement: the last four bytes of its target. */
const NA_TARGET_END = 20;
const IPV6_HOP_LIMIT = 7;

/** Who said that an address is his. */
export interface Claim {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  /** 6 bytes. */
  readonly mac: Uint8Array;
  /** It answers a question of this socket. */
  readonly answer: boolean;
}

export interface ConflictSocket {
  /** Hears claims of these addresses (canonical, of its family) and of no others. */
  watch(addresses: readonly string[]): void;
  /** Asks who has this address; the bytes sent or -errno. */
  ask(address: string): number;
  /** Tells what was heard since the last time, as much of it as fits in the kernel's queue. */
  read(take: (claim: Claim) => void): void;
  /** May be called again. */
  close(): void;
}

/** ARP on one Ethernet interface: RFC 5227 sections 2.1.1 and 2.4. */
export class ArpConflictSocket implements ConflictSocket {
  readonly #fd: number;
  readonly #mac: Uint8Array;
  readonly #destination: Uint8Array;
  readonly #frame = new Uint8Array(ARP_FRAME_BYTES);
  readonly #buffer = new Uint8Array(128);
  #closed = false;

  /** @param mac the interface's, 6 bytes. Throws SystemError (EPERM without CAP_NET_RAW). */
  constructor(interfaceIndex: number, mac: Uint8Array) {
    this.#mac = mac;
    const address = new Uint8Array(0);
    this.#destination = encodeSockaddrLl({ protocol: ETH_P_ARP, interfaceIndex, address });
    // Protocol 0: nothing is taken before there is a filter and it is bound.
    this.#fd = opened(socket(AF_PACKET, SOCK_RAW, 0), (fd) => {
      setsockopt(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
      attachFilter(fd, filterProgram([DROP]));
      bind(fd, this.#destination);
    });
  }

  watch(addresses: readonly string[]): void {
    filterBy(this.#fd, ARP_FILTER, addresses);
  }

  ask(address: string): number {
    const asked = parseIp(address);
    if (asked?.length !== 4) return 0;
    const lengthBytes = encodeArpProbe(this.#frame, this.#mac, asked);
    return sendto(this.#fd, this.#frame, lengthBytes, this.#destination);
  }

  read(take: (claim: Claim) => void): void {
    readAll(this.#fd, this.#buffer, (frame) => {
      const arp = decodeArp(frame);
      if (!arp.ok) return;
      const { operation, targetMac, senderMac: mac, senderIp: address } = arp.value;
      take({ address, mac, answer: operation === 'reply' && equalBytes(targetMac, this.#mac) });
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeAside(this.#fd);
  }
}

/** Neighbour discovery on one Ethernet interface: RFC 4861 sections 4.3, 4.4 and 7.2. */
export class NdiscConflictSocket implements ConflictSocket {
  readonly #fd: number;
  readonly #mac: Uint8Array;
  readonly #interfaceIndex: number;
  readonly #message = new Uint8Array(NS_BYTES);
  readonly #buffer = new Uint8Array(256);
  #closed = false;

  /**
   * @param linkLocal the interface's link-local address, 16 bytes, which questions come from and
   *   answers go to. @param mac the interface's. Throws SystemError.
   */
  constructor(interfaceIndex: number, mac: Uint8Array, linkLocal: Uint8Array) {
    this.#mac = mac;
    this.#interfaceIndex = interfaceIndex;
    this.#fd = opened(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6), (fd) => {
      attachFilter(fd, filterProgram([DROP]));
      acceptIcmpv6(fd, ICMPV6_NEIGHBOR_ADVERTISEMENT);
      setsockopt(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
      setsockopt(fd, SOL_IPV6, IPV6_MULTICAST_HOPS, NDISC_HOP_LIMIT);
      setsockopt(fd, SOL_IPV6, IPV6_MULTICAST_LOOP, 0);
      setsockopt(fd, SOL_IPV6, IPV6_MULTICAST_IF, interfaceIndex);
      // It then hears what is sent to this address, or to a group, on this interface alone.
      bind(fd, encodeSockaddrIn6(linkLocal, 0, interfaceIndex));
    });
  }

  watch(addresses: readonly string[]): void {
    filterBy(this.#fd, NA_FILTER, addresses);
  }

  ask(address: string): number {
    const asked = parseIp(address);
    if (asked?.length !== 16) return 0;
    const lengthBytes = encodeNeighborSolicitation(this.#message, this.#mac, asked);
    const to = encodeSockaddrIn6(solicitedNodeGroup(asked), 0, this.#interfaceIndex);
    return sendto(this.#fd, this.#message, lengthBytes, to);
  }

  read(take: (claim: Claim) => void): void {
    readAll(this.#fd, this.#buffer, (message) => {
      const na = decodeNaMessage(message);
      if (!na.ok || na.value.targetMac === null) return;
      const { target: address, targetMac: mac, solicited: answer } = na.value;
      take({ address, mac, answer });
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeAside(this.#fd);
  }
}

/** What the kernel takes of all that comes. */
interface Filter {
  /** Falls through to what follows, or drops. */
  readonly first: readonly Instruction[];
  /** Where the last four bytes of the claimed address are. */
  readonly offset: number;
  /** For more addresses than the kernel picks out: at least all answers to us. */
  readonly instead: readonly Instruction[];
}

const ARP_FILTER: Filter = {
  first: [],
  offset: ARP_SENDER_IP,
  instead: [
    { code: BPF_LD | BPF_H | BPF_ABS, k: ARP_OPERATION },
    { code: BPF_JMP | BPF_JEQ | BPF_K, ifFalse: 1, k: ARP_OPERATION_REPLY },
    ACCEPT,
    DROP,
  ],
};

const NA_FILTER: Filter = {
  // What has crossed a router is not from this link (RFC 4861 section 7.1.2).
  first: [
    { code: BPF_LD | BPF_B | BPF_ABS, k: SKF_NET_OFF + IPV6_HOP_LIMIT },
    { code: BPF_JMP | BPF_JEQ | BPF_K, ifTrue: 1, k: NDISC_HOP_LIMIT },
    DROP,
  ],
  offset: NA_TARGET_END,
  instead: [ACCEPT],
};

/** The descriptor after `prepare`, or closed when that throws. */
function opened(fd: number, prepare: (fd: number) => void): number {
  try {
    prepare(fd);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** Takes what passes `first` and has the end of one of these addresses at `offset`. */
function filterBy(
  fd: number,
  { first, offset, instead }: Filter,
  addresses: readonly string[],
): void {
  const words = addresses.map((address) => {
    const bytes = parseIp(address) ?? new Uint8Array(4);
    return wordAt(bytes, bytes.length - 4);
  });
  // A program is charged to the socket (net.core.optmem_max) beside the one that it replaces.
  attachFilter(fd, filterProgram([DROP]));
  const many = words.length > FILTER_ADDRESSES_MAX;
  if (!many && attached(fd, [...first, ...acceptWords(offset, words)])) return;
  attached(fd, [...first, ...instead]);
}

function attached(fd: number, instructions: readonly Instruction[]): boolean {
  try {
    attachFilter(fd, filterProgram(instructions));
    return true;
  } catch (error) {
    if (error instanceof SystemError) return false;
    throw error;
  }
}

/** Gives each waiting datagram that fits into `buffer` to `take`, valid within the call only. */
function readAll(fd: number, buffer: Uint8Array, take: (datagram: Uint8Array) => void): void {
  for (let count = 0; count < READ_MAX; count++) {
    const received = recv(fd, buffer);
    if (received < 0) return;
    if (received <= buffer.length) take(buffer.subarray(0, received));
  }
}
