/**
 * Ethernet II headers, and the MAC addresses that VRRP and IP multicast derive from others.
 * Frames here have no VLAN tag and no frame check sequence: packet sockets neither take nor give
 * them. The network card pads short frames; nothing here does.
 */
import type { AddressFamily } from '../config/config.ts';
import { ok, type Result } from '../result.ts';
import { readU16, writeU16 } from './bytes.ts';
import { type DecodeError, decodeError } from './decode-error.ts';

export const MAC_BYTES = 6;
export const ETHERNET_HEADER_BYTES = 14;

export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_IPV6 = 0x86dd;

/** ff:ff:ff:ff:ff:ff */
export const BROADCAST_MAC: Uint8Array = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff);

export interface EthernetHeader {
  readonly destination: Uint8Array;
  readonly source: Uint8Array;
  readonly etherType: number;
}

/** Writes the header at the start of `target`; returns ETHERNET_HEADER_BYTES. */
export function encodeEthernetHeader(
  target: Uint8Array,
  destination: Uint8Array,
  source: Uint8Array,
  etherType: number,
): number {
  target.set(destination, 0);
  target.set(source, MAC_BYTES);
  writeU16(target, 2 * MAC_BYTES, etherType);
  return ETHERNET_HEADER_BYTES;
}

/** Header of the frame in `bytes`; the addresses are copies. */
export function decodeEthernetHeader(bytes: Uint8Array): Result<EthernetHeader, DecodeError> {
  if (bytes.length < ETHERNET_HEADER_BYTES) {
    return decodeError(
      'truncated',
      `Ethernet frame of ${bytes.length} bytes; its header alone has ${ETHERNET_HEADER_BYTES}`,
    );
  }
  return ok({
    destination: bytes.slice(0, MAC_BYTES),
    source: bytes.slice(MAC_BYTES, 2 * MAC_BYTES),
    etherType: readU16(bytes, 2 * MAC_BYTES),
  });
}

/** '00:00:5e:00:01:33' of 6 bytes. */
export function formatMac(mac: Uint8Array): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** 6 bytes of '00:00:5E:00:01:33' or '00-00-5e-00-01-33', or null for other text. */
export function parseMac(text: string): Uint8Array | null {
  if (!/^[0-9a-f]{2}(?<separator>[:-])(?:[0-9a-f]{2}\k<separator>){4}[0-9a-f]{2}$/i.test(text)) {
    return null;
  }
  return Uint8Array.from(text.split(/[:-]/), (byte) => Number.parseInt(byte, 16));
}

/** The virtual router's MAC address, 00-00-5E-00-01-{VRID} or -02- (RFC 9568 section 7.3). */
export function virtualRouterMac(family: AddressFamily, vrid: number): Uint8Array {
  return Uint8Array.of(0x00, 0x00, 0x5e, 0x00, family === 'ipv4' ? 0x01 : 0x02, vrid);
}

/**
 * The MAC address of an IP multicast group: 01-00-5E and the low 23 bits (RFC 1112 section 6.4)
 * or 33-33 and the low 32 bits (RFC 2464 section 7).
 */
export function multicastMac(group: Uint8Array): Uint8Array {
  const low = group.subarray(group.length - 4);
  if (group.length === 16) return Uint8Array.of(0x33, 0x33, ...low);
  const mac = Uint8Array.of(0x01, 0x00, 0x5e, ...low.subarray(1));
  mac[3] = (mac[3] as number) & 0x7f;
  return mac;
}
