/**
 * ICMP echo: RFC 792 and RFC 4443 sections 4.1 and 4.2.
 *
 *   type | code 0 | checksum | identifier | sequence number | data
 *
 * The data is a token by which a reply is told from those of other requests. The checksum of
 * ICMPv6 covers a pseudo-header and is the kernel's: it is left out here.
 */
import type { AddressFamily } from '../config/config.ts';
import { equalBytes, readU16, writeU16 } from './bytes.ts';
import { finishChecksum, onesComplementSum } from './checksum.ts';

const HEADER_BYTES = 8;
const IPV4_HEADER_BYTES_MIN = 20;
const REQUEST = { ipv4: 8, ipv6: 128 } as const;
const REPLY = { ipv4: 0, ipv6: 129 } as const;

export interface Echo {
  /** 0 to 65535. */
  readonly id: number;
  readonly sequence: number;
  readonly token: Uint8Array;
}

/** The ICMP message of a request. */
export function encodeEchoRequest(family: AddressFamily, echo: Echo): Uint8Array {
  const message = new Uint8Array(HEADER_BYTES + echo.token.length);
  message[0] = REQUEST[family];
  writeU16(message, 4, echo.id);
  writeU16(message, 6, echo.sequence);
  message.set(echo.token, HEADER_BYTES);
  if (family === 'ipv4') {
    writeU16(message, 2, finishChecksum(onesComplementSum(message, 0, message.length, 0)));
  }
  return message;
}

/**
 * True when `packet` is the reply to `echo`. A raw socket gives the IPv4 header with it (raw(7)),
 * and the bare message for IPv6, whose checksum the kernel has verified.
 */
export function isEchoReply(family: AddressFamily, packet: Uint8Array, echo: Echo): boolean {
  const message = family === 'ipv4' ? withoutHeader(packet) : packet;
  if (message === null || message.length < HEADER_BYTES) return false;
  if (message[0] !== REPLY[family] || message[1] !== 0) return false;
  const sum = onesComplementSum(message, 0, message.length, 0);
  if (family === 'ipv4' && finishChecksum(sum) !== 0) return false;
  if (readU16(message, 4) !== echo.id || readU16(message, 6) !== echo.sequence) return false;
  return equalBytes(message.subarray(HEADER_BYTES), echo.token);
}

function withoutHeader(packet: Uint8Array): Uint8Array | null {
  if (packet.length < IPV4_HEADER_BYTES_MIN) return null;
  const headerBytes = ((packet[0] as number) & 0xf) * 4;
  if (headerBytes < IPV4_HEADER_BYTES_MIN || packet.length < headerBytes) return null;
  return packet.subarray(headerBytes);
}
