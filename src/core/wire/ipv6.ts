/**
 * IPv6 headers (RFC 8200 section 3) as far as VRRP and neighbour discovery need them: the fixed
 * header only. Extension headers are left to the caller as an unknown next header; jumbograms
 * are refused.
 */
import { assert } from '../assert.ts';
import { ok, type Result } from '../result.ts';
import { readU16, writeU16 } from './bytes.ts';
import { type DecodeError, decodeError } from './decode-error.ts';

export const IPV6_HEADER_BYTES = 40;
/** Offset of the source address; the destination follows it at once. */
export const IPV6_ADDRESSES_OFFSET = 8;

export interface Ipv6Header {
  /** 16 bytes. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly nextHeader: number;
  readonly hopLimit: number;
  /** DSCP and ECN: 0xc0 for routing protocols (RFC 4594 section 3.2). */
  readonly trafficClass: number;
  /** 20 bits. */
  readonly flowLabel: number;
  readonly payloadBytes: number;
}

/** Writes the header at `offset`; returns IPV6_HEADER_BYTES. */
export function encodeIpv6Header(target: Uint8Array, offset: number, header: Ipv6Header): number {
  assert(target.length >= offset + IPV6_HEADER_BYTES, 'the buffer is too small for IPv6');
  assert(header.payloadBytes <= 0xffff, 'the payload is too long for IPv6');
  writeU16(target, offset, 0x6000 | (header.trafficClass << 4) | (header.flowLabel >>> 16));
  writeU16(target, offset + 2, header.flowLabel & 0xffff);
  writeU16(target, offset + 4, header.payloadBytes);
  target[offset + 6] = header.nextHeader;
  target[offset + 7] = header.hopLimit;
  target.set(header.source, offset + IPV6_ADDRESSES_OFFSET);
  target.set(header.destination, offset + IPV6_ADDRESSES_OFFSET + 16);
  return IPV6_HEADER_BYTES;
}

export interface Ipv6Packet extends Ipv6Header {
  /** Where the payload starts in the decoded bytes; it has `payloadBytes`, padding cut off. */
  readonly payloadStart: number;
}

/** The IPv6 packet that starts at `offset` of `bytes`; its addresses are copies. */
export function decodeIpv6(bytes: Uint8Array, offset: number): Result<Ipv6Packet, DecodeError> {
  const available = bytes.length - offset;
  if (available < IPV6_HEADER_BYTES) {
    return decodeError('truncated', `IPv6 header of ${Math.max(available, 0)} bytes; expected 40`);
  }
  const first = readU16(bytes, offset);
  if (first >> 12 !== 6) return decodeError('unsupported', `IP version ${first >> 12}; expected 6`);
  const payloadBytes = readU16(bytes, offset + 4);
  if (IPV6_HEADER_BYTES + payloadBytes > available) {
    return decodeError(
      'truncated',
      `IPv6 payload of ${payloadBytes} bytes; only ${available - IPV6_HEADER_BYTES} here`,
    );
  }
  const addresses = offset + IPV6_ADDRESSES_OFFSET;
  return ok({
    source: bytes.slice(addresses, addresses + 16),
    destination: bytes.slice(addresses + 16, addresses + 32),
    nextHeader: bytes[offset + 6] as number,
    hopLimit: bytes[offset + 7] as number,
    trafficClass: (first >> 4) & 0xff,
    flowLabel: ((first & 0x0f) << 16) | readU16(bytes, offset + 2),
    payloadStart: offset + IPV6_HEADER_BYTES,
    payloadBytes,
  });
}
