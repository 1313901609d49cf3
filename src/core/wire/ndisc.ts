/**
 * Neighbour advertisements (RFC 4861 section 4.4), and the unsolicited kind that tells a LAN
 * where a virtual IPv6 address lives now (section 7.2.6): to all nodes, with the target's
 * link-layer address, and with Override set so that neighbours replace what they had cached.
 * Neighbour solicitations (section 4.3), which ask who has an address.
 *
 *   Ethernet 14 | IPv6 40 | type 136, code 0, checksum, R S O flags 8 | target 16 | TLLAO 8
 */
import { assert } from '../assert.ts';
import { ok, type Result } from '../result.ts';
import { formatU16, readU16, writeU16 } from './bytes.ts';
import { finishChecksum, onesComplementSum } from './checksum.ts';
import { type DecodeError, decodeError } from './decode-error.ts';
import {
  decodeEthernetHeader,
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_IPV6,
  encodeEthernetHeader,
  MAC_BYTES,
  multicastMac,
} from './ethernet.ts';
import { decodeIpv6, encodeIpv6Header, IPV6_ADDRESSES_OFFSET, IPV6_HEADER_BYTES } from './ipv6.ts';

const NEXT_HEADER_ICMPV6 = 58;
const NEIGHBOR_SOLICITATION = 135;
const NEIGHBOR_ADVERTISEMENT = 136;
const OPTION_SOURCE_LINK_LAYER_ADDRESS = 1;
const OPTION_TARGET_LINK_LAYER_ADDRESS = 2;
const FLAG_ROUTER = 0x80;
const FLAG_SOLICITED = 0x40;
const FLAG_OVERRIDE = 0x20;
/** RFC 4861 section 7.1.2: anything less has crossed a router and is not from this link. */
export const NDISC_HOP_LIMIT = 255;
/** Type, code, checksum, flags and target: the message without options. */
const NA_FIXED_BYTES = 24;
const NA_BYTES: number = NA_FIXED_BYTES + 8;

/** ff02::1 */
const ALL_NODES: Uint8Array = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: Uint8Array = multicastMac(ALL_NODES);

/** The whole Ethernet frame. */
export const NA_FRAME_BYTES: number = ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES + NA_BYTES;

export interface UnsolicitedNa {
  /** Where the virtual IP lives: the interface's MAC address or the virtual router's. */
  readonly senderMac: Uint8Array;
  /** 16 bytes: the target, and the packet's source too. */
  readonly vip: Uint8Array;
  /** R flag: whether this node forwards for others. */
  readonly router: boolean;
  /** O flag: neighbours replace what they had cached. */
  readonly override: boolean;
}

/** Writes the frame at the start of `target` and returns NA_FRAME_BYTES. */
export function encodeUnsolicitedNa(target: Uint8Array, na: UnsolicitedNa): number {
  assert(target.length >= NA_FRAME_BYTES, 'the buffer is too small for a neighbour advertisement');
  assert(na.senderMac.length === MAC_BYTES, 'the sender MAC address has not 6 bytes');
  assert(na.vip.length === 16, 'neighbour discovery announces IPv6 addresses only');
  const ip = encodeEthernetHeader(target, ALL_NODES_MAC, na.senderMac, ETHERTYPE_IPV6);
  encodeIpv6Header(target, ip, {
    source: na.vip,
    destination: ALL_NODES,
    nextHeader: NEXT_HEADER_ICMPV6,
    hopLimit: NDISC_HOP_LIMIT,
    trafficClass: 0,
    flowLabel: 0,
    payloadBytes: NA_BYTES,
  });
  const start = ip + IPV6_HEADER_BYTES;
  target[start] = NEIGHBOR_ADVERTISEMENT;
  target[start + 1] = 0;
  writeU16(target, start + 2, 0);
  // S stays 0: nobody asked (RFC 4861 section 7.2.6). The other 29 bits are reserved, zero.
  target[start + 4] = (na.router ? FLAG_ROUTER : 0) | (na.override ? FLAG_OVERRIDE : 0);
  target.fill(0, start + 5, start + 8);
  target.set(na.vip, start + 8);
  target[start + NA_FIXED_BYTES] = OPTION_TARGET_LINK_LAYER_ADDRESS;
  target[start + NA_FIXED_BYTES + 1] = 1;
  target.set(na.senderMac, start + NA_FIXED_BYTES + 2);
  writeU16(target, start + 2, icmpv6Checksum(target, ip, start, NA_BYTES));
  return NA_FRAME_BYTES;
}

/** An ICMPv6 neighbour solicitation with its option, without IPv6 header. */
export const NS_BYTES: number = NA_BYTES;

/**
 * Writes the ICMPv6 message that asks who has `asked` (16 bytes), with our own hardware address so
 * that the answer needs no question of its own, at the start of `target`; returns NS_BYTES. The
 * checksum is 0: a raw ICMPv6 socket computes it (RFC 3542 section 3.1).
 */
export function encodeNeighborSolicitation(
  target: Uint8Array,
  senderMac: Uint8Array,
  asked: Uint8Array,
): number {
  assert(target.length >= NS_BYTES, 'the buffer is too small for a neighbour solicitation');
  assert(senderMac.length === MAC_BYTES, 'the sender MAC address has not 6 bytes');
  assert(asked.length === 16, 'neighbour discovery asks for IPv6 addresses only');
  target[0] = NEIGHBOR_SOLICITATION;
  target.fill(0, 1, 8);
  target.set(asked, 8);
  target[NA_FIXED_BYTES] = OPTION_SOURCE_LINK_LAYER_ADDRESS;
  target[NA_FIXED_BYTES + 1] = 1;
  target.set(senderMac, NA_FIXED_BYTES + 2);
  return NS_BYTES;
}

/** ff02::1:ff00:0/104 and the last 24 bits of the address: RFC 4291 section 2.7.1. */
export function solicitedNodeGroup(address: Uint8Array): Uint8Array {
  assert(address.length === 16, 'solicited-node groups are of IPv6 addresses');
  const group = new Uint8Array(16);
  group.set([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff]);
  group.set(address.subarray(13), 13);
  return group;
}

/** Checksum of the ICMPv6 message at `start` (RFC 4443 section 2.3); 0 over a right one. */
function icmpv6Checksum(
  bytes: Uint8Array,
  ipOffset: number,
  start: number,
  lengthBytes: number,
): number {
  const addresses = ipOffset + IPV6_ADDRESSES_OFFSET;
  const pseudo = onesComplementSum(
    bytes,
    addresses,
    addresses + 32,
    NEXT_HEADER_ICMPV6 + lengthBytes,
  );
  return finishChecksum(onesComplementSum(bytes, start, start + lengthBytes, pseudo));
}

/** What the ICMPv6 message says. */
export interface NaMessage {
  readonly router: boolean;
  readonly solicited: boolean;
  readonly override: boolean;
  readonly target: Uint8Array;
  /** Target link-layer address option; null without one. */
  readonly targetMac: Uint8Array | null;
}

export interface NeighborAdvertisement extends NaMessage {
  readonly destinationMac: Uint8Array;
  readonly sourceMac: Uint8Array;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
}

/**
 * The neighbour advertisement in the Ethernet frame `bytes`, padding allowed, validated as RFC
 * 4861 section 7.1.2 asks; all its fields are copies.
 */
export function decodeNeighborAdvertisement(
  bytes: Uint8Array,
): Result<NeighborAdvertisement, DecodeError> {
  const ethernet = decodeEthernetHeader(bytes);
  if (!ethernet.ok) return ethernet;
  if (ethernet.value.etherType !== ETHERTYPE_IPV6) {
    return decodeError('unsupported', `EtherType ${formatU16(ethernet.value.etherType)}, not IPv6`);
  }
  const ip = decodeIpv6(bytes, ETHERNET_HEADER_BYTES);
  if (!ip.ok) return ip;
  const { nextHeader, hopLimit, payloadStart: start, payloadBytes } = ip.value;
  if (nextHeader !== NEXT_HEADER_ICMPV6) {
    return decodeError('unsupported', `Next header ${nextHeader}, not ICMPv6 (58)`);
  }
  const message = decodeNaMessage(bytes, start, start + payloadBytes);
  if (!message.ok) return message;
  if (hopLimit !== NDISC_HOP_LIMIT) {
    return decodeError('malformed', `Hop limit ${hopLimit}; expected ${NDISC_HOP_LIMIT}`);
  }
  if (icmpv6Checksum(bytes, ETHERNET_HEADER_BYTES, start, payloadBytes) !== 0) {
    return decodeError('checksum', `Wrong ICMPv6 checksum ${formatU16(readU16(bytes, start + 2))}`);
  }
  if (message.value.solicited && ip.value.destination[0] === 0xff) {
    return decodeError('malformed', 'Solicited and yet sent to a group');
  }
  return ok({
    destinationMac: ethernet.value.destination,
    sourceMac: ethernet.value.source,
    source: ip.value.source,
    destination: ip.value.destination,
    ...message.value,
  });
}

/**
 * The neighbour advertisement that is the ICMPv6 message from `start` to `end`, as a raw socket
 * gives it: the kernel has looked at its checksum, who asks at its hop limit. All fields are copies.
 */
export function decodeNaMessage(
  bytes: Uint8Array,
  start = 0,
  end: number = bytes.length,
): Result<NaMessage, DecodeError> {
  if (end - start < NA_FIXED_BYTES) {
    return decodeError('truncated', `ICMPv6 of ${end - start} bytes; expected ${NA_FIXED_BYTES}`);
  }
  if (bytes[start] !== NEIGHBOR_ADVERTISEMENT || bytes[start + 1] !== 0) {
    return decodeError('unsupported', `ICMPv6 type ${bytes[start]} code ${bytes[start + 1]}`);
  }
  const target = bytes.slice(start + 8, start + NA_FIXED_BYTES);
  if (target[0] === 0xff) return decodeError('malformed', 'Multicast target');
  const targetMac = findTargetMac(bytes, start + NA_FIXED_BYTES, end);
  if (!targetMac.ok) return targetMac;
  const flags = bytes[start + 4] as number;
  return ok({
    router: (flags & FLAG_ROUTER) !== 0,
    solicited: (flags & FLAG_SOLICITED) !== 0,
    override: (flags & FLAG_OVERRIDE) !== 0,
    target,
    targetMac: targetMac.value,
  });
}

/** Walks the options between `start` and `end`: type, length in units of 8 bytes, value. */
function findTargetMac(
  bytes: Uint8Array,
  start: number,
  end: number,
): Result<Uint8Array | null, DecodeError> {
  let found: Uint8Array | null = null;
  let offset = start;
  while (offset < end) {
    const optionBytes = offset + 1 < end ? (bytes[offset + 1] as number) * 8 : 0;
    // RFC 4861 section 7.1.2: every option has a length greater than zero.
    if (optionBytes === 0 || offset + optionBytes > end) {
      return decodeError('malformed', `Option of ${optionBytes} bytes; ${end - offset} are left`);
    }
    if (bytes[offset] === OPTION_TARGET_LINK_LAYER_ADDRESS && optionBytes === 8 && found === null) {
      found = bytes.slice(offset + 2, offset + 8);
    }
    offset += optionBytes;
  }
  return ok(found);
}
