/**
 * Frames that keepalived 2.2.7 sent, byte for byte, and helpers to read them. Configuration:
 * VRID 10 version 2, VRID 11 version 3 on a virtual MAC address, VRID 12 version 3 over IPv6,
 * VRID 13 version 2 with the password "secret12"; advertisements each second.
 */

import type { Result } from '../../../../src/core/result.ts';
import { writeU16 } from '../../../../src/core/wire/bytes.ts';
import { finishChecksum, onesComplementSum } from '../../../../src/core/wire/checksum.ts';
import {
  decodeEthernetHeader,
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_IPV4,
} from '../../../../src/core/wire/ethernet.ts';
import { decodeIpv4 } from '../../../../src/core/wire/ipv4.ts';
import { decodeIpv6 } from '../../../../src/core/wire/ipv6.ts';
import type { ReceivedDatagram } from '../../../../src/core/wire/vrrp.ts';

export function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** A buffer whose every byte shows whether the code under test wrote it. */
export function dirtyBuffer(lengthBytes: number): Uint8Array {
  return new Uint8Array(lengthBytes).fill(0xa5);
}

/** The frames start at the Ethernet header. */
export const KEEPALIVED_FRAMES = {
  advertV2:
    '01005e0000127eaa637c8a6d080045c0002c00010000ff701793c00002fbe000' +
    '0012210ac802000192edc0000201c00002020000000000000000',
  advertV2Password:
    '01005e0000127eaa637c8a6d080045c0002800010000ff701797c00002fbe000' +
    '0012210d5a010101546dc00002047365637265743132',
  advertV2Resign:
    '01005e0000127eaa637c8a6d080045c0002c00070000ff70178dc00002fbe000' +
    '0012210a000200015aeec0000201c00002020000000000000000',
  advertV3Ipv4:
    '01005e00001200005e00010b080045c0002000010000ff70179fc00002fbe000' +
    '0012310bc8010064a100c0000203',
  advertV3Ipv4Resign:
    '01005e00001200005e00010b080045c0002000070000ff701799c00002fbe000' +
    '0012310b000100646901c0000203',
  advertV3Ipv6:
    '3333000000127eaa637c8a6d86dd6c06674e002870fffe800000000000007caa' +
    '63fffe7c8a6dff020000000000000000000000000012310c64020064d68efe80' +
    '000000000000000000000000000120010db8000000000000000000000001',
  arp: 'ffffffffffff7eaa637c8a6d080600010800060400017eaa637c8a6dc0000201' + 'ffffffffffffc0000201',
  arpVirtualMac:
    'ffffffffffff00005e00010b0806000108000604000100005e00010bc0000203' + 'ffffffffffffc0000203',
  naLinkLocal:
    '3333000000017eaa637c8a6d86dd6000000000203afffe800000000000000000' +
    '000000000001ff0200000000000000000000000000018800ed0720000000fe80' +
    '000000000000000000000000000102017eaa637c8a6d',
  naGlobal:
    '3333000000017eaa637c8a6d86dd6000000000203aff20010db8000000000000' +
    '000000000001ff02000000000000000000000000000188008e97200000002001' +
    '0db800000000000000000000000102017eaa637c8a6d',
} as const;

/** The datagram that a raw socket gives for a frame with IP in it. */
export function datagramOf(frameHex: string): ReceivedDatagram {
  const frame = fromHex(frameHex);
  const ethernet = unwrap(decodeEthernetHeader(frame));
  if (ethernet.etherType === ETHERTYPE_IPV4) {
    const ip = unwrap(decodeIpv4(frame, ETHERNET_HEADER_BYTES));
    const bytes = frame.subarray(ip.payloadStart, ip.payloadStart + ip.payloadBytes);
    return { ...ip, bytes, lengthBytes: bytes.length, truncated: false, family: 'ipv4' };
  }
  const ip = unwrap(decodeIpv6(frame, ETHERNET_HEADER_BYTES));
  const bytes = frame.subarray(ip.payloadStart, ip.payloadStart + ip.payloadBytes);
  return {
    bytes,
    lengthBytes: bytes.length,
    truncated: false,
    ttl: ip.hopLimit,
    source: ip.source,
    destination: ip.destination,
    family: 'ipv6',
  };
}

/** The datagram with other content, as if the sender had sent that. */
export function withBytes(datagram: ReceivedDatagram, bytes: Uint8Array): ReceivedDatagram {
  return { ...datagram, bytes, lengthBytes: bytes.length };
}

/** A copy with some bytes replaced. */
export function patched(bytes: Uint8Array, changes: Readonly<Record<number, number>>): Uint8Array {
  const copy = bytes.slice();
  for (const [offset, value] of Object.entries(changes)) copy[Number(offset)] = value;
  return copy;
}

/** A copy whose VRRP checksum over the message alone is right again after a change. */
export function rechecksummed(bytes: Uint8Array, pseudoSum = 0): Uint8Array {
  const copy = patched(bytes, { 6: 0, 7: 0 });
  writeU16(copy, 6, finishChecksum(onesComplementSum(copy, 0, copy.length, pseudoSum)));
  return copy;
}

/** The value of a Result; fails the test with the error's text when there is none. */
export function unwrap<T>(result: Result<T, { readonly detail: string }>): T {
  if (!result.ok) throw new Error(`Unexpectedly refused: ${JSON.stringify(result.error)}`);
  return result.value;
}

/** The reason of a failed Result; 'accepted' when it did not fail. */
export function reasonOf(result: Result<unknown, { readonly reason: string }>): string {
  return result.ok ? 'accepted' : result.error.reason;
}
