/**
 * ARP for IPv4 over Ethernet (RFC 826), and the gratuitous kind that tells a LAN where a virtual
 * IP lives now. It is a broadcast *request* whose sender and target protocol address are both the
 * virtual IP (RFC 9568 section 6.4.1, RFC 5227 section 3): hosts and switches update from its
 * sender fields. The target hardware address has no meaning in a request; the caller chooses it.
 * A probe asks who has an address and says nothing of the asker's (RFC 5227 section 1.1).
 */
import { assert } from '../assert.ts';
import { ok, type Result } from '../result.ts';
import { formatU16, readU16, writeU16 } from './bytes.ts';
import { type DecodeError, decodeError } from './decode-error.ts';
import {
  BROADCAST_MAC,
  decodeEthernetHeader,
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  encodeEthernetHeader,
  MAC_BYTES,
} from './ethernet.ts';

const ARP_HARDWARE_ETHERNET = 1;
const ARP_OPERATION_REQUEST = 1;
export const ARP_OPERATION_REPLY = 2;
const IPV4_BYTES = 4;

/** Ethernet header and ARP packet, without the padding that the network card adds. */
export const ARP_FRAME_BYTES: number = ETHERNET_HEADER_BYTES + 28;

export interface GratuitousArp {
  /** Where the virtual IP lives: the interface's MAC address or the virtual router's. */
  readonly senderMac: Uint8Array;
  /** 4 bytes. */
  readonly vip: Uint8Array;
  /** BROADCAST_MAC, as keepalived has it, unless a peer needs another. */
  readonly targetMac: Uint8Array;
}

/** Writes the frame at the start of `target` and returns ARP_FRAME_BYTES. No allocation. */
export function encodeGratuitousArp(target: Uint8Array, arp: GratuitousArp): number {
  assert(target.length >= ARP_FRAME_BYTES, 'the buffer is too small for an ARP frame');
  assert(arp.senderMac.length === MAC_BYTES, 'the sender MAC address has not 6 bytes');
  assert(arp.targetMac.length === MAC_BYTES, 'the target MAC address has not 6 bytes');
  assert(arp.vip.length === IPV4_BYTES, 'ARP announces IPv4 addresses only');
  const start = encodeRequestHead(target, arp.senderMac);
  target.set(arp.vip, start + 14);
  target.set(arp.targetMac, start + 18);
  target.set(arp.vip, start + 24);
  return ARP_FRAME_BYTES;
}

/**
 * Writes an ARP probe for the IPv4 address `asked` (4 bytes) at the start of `target` and returns
 * ARP_FRAME_BYTES: a broadcast request whose sender protocol address and target hardware address
 * are zero, so that no cache learns from it and no proxy answers (RFC 5227 section 2.1.1).
 */
export function encodeArpProbe(
  target: Uint8Array,
  senderMac: Uint8Array,
  asked: Uint8Array,
): number {
  assert(target.length >= ARP_FRAME_BYTES, 'the buffer is too small for an ARP frame');
  assert(senderMac.length === MAC_BYTES, 'the sender MAC address has not 6 bytes');
  assert(asked.length === IPV4_BYTES, 'ARP asks for IPv4 addresses only');
  const start = encodeRequestHead(target, senderMac);
  target.fill(0, start + 14, start + 24);
  target.set(asked, start + 24);
  return ARP_FRAME_BYTES;
}

/** A broadcast request up to its sender hardware address; returns where the ARP packet begins. */
function encodeRequestHead(target: Uint8Array, senderMac: Uint8Array): number {
  const start = encodeEthernetHeader(target, BROADCAST_MAC, senderMac, ETHERTYPE_ARP);
  writeU16(target, start, ARP_HARDWARE_ETHERNET);
  writeU16(target, start + 2, ETHERTYPE_IPV4);
  target[start + 4] = MAC_BYTES;
  target[start + 5] = IPV4_BYTES;
  writeU16(target, start + 6, ARP_OPERATION_REQUEST);
  target.set(senderMac, start + 8);
  return start;
}

export interface ArpPacket {
  readonly destinationMac: Uint8Array;
  readonly sourceMac: Uint8Array;
  readonly operation: 'request' | 'reply';
  readonly senderMac: Uint8Array;
  readonly senderIp: Uint8Array;
  readonly targetMac: Uint8Array;
  readonly targetIp: Uint8Array;
}

/** The ARP packet in the Ethernet frame `bytes`, padding allowed; all its fields are copies. */
export function decodeArp(bytes: Uint8Array): Result<ArpPacket, DecodeError> {
  const ethernet = decodeEthernetHeader(bytes);
  if (!ethernet.ok) return ethernet;
  if (ethernet.value.etherType !== ETHERTYPE_ARP) {
    return decodeError('unsupported', `EtherType ${formatU16(ethernet.value.etherType)}, not ARP`);
  }
  if (bytes.length < ARP_FRAME_BYTES) {
    return decodeError(
      'truncated',
      `ARP frame of ${bytes.length} bytes; expected ${ARP_FRAME_BYTES}`,
    );
  }
  const start = ETHERNET_HEADER_BYTES;
  if (
    readU16(bytes, start) !== ARP_HARDWARE_ETHERNET ||
    readU16(bytes, start + 2) !== ETHERTYPE_IPV4 ||
    bytes[start + 4] !== MAC_BYTES ||
    bytes[start + 5] !== IPV4_BYTES
  ) {
    return decodeError('unsupported', 'ARP for something else than IPv4 over Ethernet');
  }
  const operation = readU16(bytes, start + 6);
  if (operation !== ARP_OPERATION_REQUEST && operation !== ARP_OPERATION_REPLY) {
    return decodeError('unsupported', `ARP operation ${operation}; expected 1 or 2`);
  }
  return ok({
    destinationMac: ethernet.value.destination,
    sourceMac: ethernet.value.source,
    operation: operation === ARP_OPERATION_REQUEST ? 'request' : 'reply',
    senderMac: bytes.slice(start + 8, start + 14),
    senderIp: bytes.slice(start + 14, start + 18),
    targetMac: bytes.slice(start + 18, start + 24),
    targetIp: bytes.slice(start + 24, start + 28),
  });
}
