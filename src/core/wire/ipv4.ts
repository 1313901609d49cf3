/**
 * IPv4 headers (RFC 791) as far as VRRP needs them: no options sent, options skipped when
 * received, fragments refused (an advertisement is never fragmented, and nothing reassembles).
 */
import { assert } from '../assert.ts';
import { ok, type Result } from '../result.ts';
import { formatU16, readU16, writeU16 } from './bytes.ts';
import { finishChecksum, onesComplementSum } from './checksum.ts';
import { type DecodeError, decodeError } from './decode-error.ts';

/** A header without options. */
export const IPV4_HEADER_BYTES = 20;

const MORE_FRAGMENTS_AND_OFFSET = 0x3fff;

export interface Ipv4Header {
  /** 4 bytes. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly protocol: number;
  readonly ttl: number;
  /** DSCP and ECN: 0xc0 for routing protocols (RFC 4594 section 3.2). */
  readonly trafficClass: number;
  readonly identification: number;
  readonly payloadBytes: number;
}

/** Writes the header, checksum included, at `offset`; returns IPV4_HEADER_BYTES. */
export function encodeIpv4Header(target: Uint8Array, offset: number, header: Ipv4Header): number {
  assert(target.length >= offset + IPV4_HEADER_BYTES, 'the buffer is too small for IPv4');
  assert(header.payloadBytes <= 0xffff - IPV4_HEADER_BYTES, 'the payload is too long for IPv4');
  target[offset] = 0x45;
  target[offset + 1] = header.trafficClass;
  writeU16(target, offset + 2, IPV4_HEADER_BYTES + header.payloadBytes);
  writeU16(target, offset + 4, header.identification);
  writeU16(target, offset + 6, 0);
  target[offset + 8] = header.ttl;
  target[offset + 9] = header.protocol;
  writeU16(target, offset + 10, 0);
  target.set(header.source, offset + 12);
  target.set(header.destination, offset + 16);
  const sum = onesComplementSum(target, offset, offset + IPV4_HEADER_BYTES, 0);
  writeU16(target, offset + 10, finishChecksum(sum));
  return IPV4_HEADER_BYTES;
}

export interface Ipv4Packet extends Ipv4Header {
  /** Where the payload starts in the decoded bytes; it has `payloadBytes`, padding cut off. */
  readonly payloadStart: number;
}

/** The IPv4 packet that starts at `offset` of `bytes`; its addresses are copies. */
export function decodeIpv4(bytes: Uint8Array, offset: number): Result<Ipv4Packet, DecodeError> {
  const available = bytes.length - offset;
  if (available < IPV4_HEADER_BYTES) {
    return decodeError('truncated', `IPv4 header of ${Math.max(available, 0)} bytes; expected 20`);
  }
  const first = bytes[offset] as number;
  if (first >> 4 !== 4) return decodeError('unsupported', `IP version ${first >> 4}; expected 4`);
  const headerBytes = (first & 0x0f) * 4;
  const totalBytes = readU16(bytes, offset + 2);
  if (headerBytes < IPV4_HEADER_BYTES || totalBytes < headerBytes) {
    return decodeError(
      'malformed',
      `IPv4 header length ${headerBytes} in a packet of ${totalBytes} bytes`,
    );
  }
  if (totalBytes > available) {
    return decodeError('truncated', `IPv4 packet of ${totalBytes} bytes; only ${available} here`);
  }
  if (finishChecksum(onesComplementSum(bytes, offset, offset + headerBytes, 0)) !== 0) {
    return decodeError('checksum', `Wrong IPv4 checksum ${formatU16(readU16(bytes, offset + 10))}`);
  }
  if ((readU16(bytes, offset + 6) & MORE_FRAGMENTS_AND_OFFSET) !== 0) {
    return decodeError('unsupported', 'Fragment of an IPv4 packet');
  }
  return ok({
    source: bytes.slice(offset + 12, offset + 16),
    destination: bytes.slice(offset + 16, offset + 20),
    protocol: bytes[offset + 9] as number,
    ttl: bytes[offset + 8] as number,
    trafficClass: bytes[offset + 1] as number,
    identification: readU16(bytes, offset + 4),
    payloadStart: offset + headerBytes,
    payloadBytes: totalBytes - headerBytes,
  });
}
