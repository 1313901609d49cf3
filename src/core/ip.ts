/**
 * IP addresses: text to network-order bytes and back. Text is canonical (RFC 5952 for IPv6), so
 * that equal addresses are equal strings.
 */
import type { AddressFamily, IpText } from './config/config.ts';

const ZERO = '0'.charCodeAt(0);
const DOT_FROM_ZERO = '.'.charCodeAt(0) - ZERO;

/** Bytes of an IPv4 (4) or IPv6 (16) address, or null when the text is none. No zone allowed. */
export function parseIp(text: string): Uint8Array | null {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

/** Bytes of a strict dotted quad (no leading zeros), or null. */
export function parseIpv4(text: string): Uint8Array | null {
  const bytes = new Uint8Array(4);
  return putIpv4(text, bytes, 0) ? bytes : null;
}

/**
 * Writes the bytes of an address of either family, 4 or 16, into `target` at `offset`; false when
 * the text is none, and then what is written means nothing.
 */
export function putIp(text: string, target: Uint8Array, offset: number): boolean {
  if (!text.includes(':')) return putIpv4(text, target, offset);
  const bytes = parseIpv6(text);
  if (bytes !== null) target.set(bytes, offset);
  return bytes !== null;
}

function putIpv4(text: string, target: Uint8Array, offset: number): boolean {
  let part = 0;
  let digits = 0;
  let value = 0;
  for (let index = 0; index < text.length; index++) {
    const digit = text.charCodeAt(index) - ZERO;
    if (digit >= 0 && digit <= 9) {
      value = value * 10 + digit;
      digits++;
      // Within three digits, and none of them a leading zero.
      if (value > 255 || digits > (value < 10 ? 1 : value < 100 ? 2 : 3)) return false;
    } else {
      if (digit !== DOT_FROM_ZERO || digits === 0 || part === 3) return false;
      target[offset + part++] = value;
      digits = 0;
      value = 0;
    }
  }
  target[offset + part] = value;
  return part === 3 && digits > 0;
}

/** Bytes of an IPv6 address in any RFC 4291 section 2.2 form, or null. */
export function parseIpv6(text: string): Uint8Array | null {
  const halves = text.split('::');
  if (halves.length > 2) return null;
  const head = parseGroups(halves[0] as string, halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1] as string, true) : [];
  if (head === null || tail === null) return null;
  const length = head.length + tail.length;
  if (halves.length === 2 ? length > 14 : length !== 16) return null;
  const bytes = new Uint8Array(16);
  bytes.set(head, 0);
  bytes.set(tail, 16 - tail.length);
  return bytes;
}

function parseGroups(text: string, last: boolean): number[] | null {
  if (text === '') return [];
  const bytes: number[] = [];
  const groups = text.split(':');
  for (const [index, group] of groups.entries()) {
    if (last && index === groups.length - 1 && group.includes('.')) {
      const quad = parseIpv4(group);
      if (quad === null) return null;
      bytes.push(...quad);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return null;
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    }
  }
  return bytes;
}

/** Canonical text of 4 or 16 network-order bytes, starting at `offset`. */
export function formatIp(bytes: Uint8Array, family: AddressFamily, offset = 0): IpText {
  return family === 'ipv4' ? formatIpv4(bytes, offset) : formatIpv6(bytes, offset);
}

function formatIpv4(bytes: Uint8Array, offset: number): IpText {
  return `${bytes[offset]}.${bytes[offset + 1]}.${bytes[offset + 2]}.${bytes[offset + 3]}`;
}

function formatIpv6(bytes: Uint8Array, offset: number): IpText {
  // RFC 5952 section 5: an IPv4-mapped address ends in a dotted quad, as the kernel's tools show.
  if (isIpv4Mapped(bytes, offset)) return `::ffff:${formatIpv4(bytes, offset + 12)}`;
  const groups: number[] = [];
  for (let index = 0; index < 16; index += 2) {
    groups.push(((bytes[offset + index] as number) << 8) | (bytes[offset + index + 1] as number));
  }
  // RFC 5952 section 4.2: the longest run of two or more zero groups, the first of equals.
  let runStart = -1;
  let runLength = 1;
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && groups[end] === 0) end++;
    if (end - start > runLength) {
      runStart = start;
      runLength = end - start;
    }
    if (end > start) start = end;
  }
  const hex = groups.map((group) => group.toString(16));
  if (runStart === -1) return hex.join(':');
  return `${hex.slice(0, runStart).join(':')}::${hex.slice(runStart + runLength).join(':')}`;
}

/** True in ::ffff:0:0/96 (RFC 4291 section 2.5.5.2). */
function isIpv4Mapped(bytes: Uint8Array, offset: number): boolean {
  for (let index = 0; index < 10; index++) {
    if (bytes[offset + index] !== 0) return false;
  }
  return bytes[offset + 10] === 0xff && bytes[offset + 11] === 0xff;
}

/** Canonical text of an address, or null when the text is none. */
export function canonicalIp(text: string): IpText | null {
  const bytes = parseIp(text);
  return bytes === null ? null : formatIp(bytes, bytes.length === 4 ? 'ipv4' : 'ipv6');
}

/** Family of a canonical address text. */
export function ipFamily(address: IpText): AddressFamily {
  return address.includes(':') ? 'ipv6' : 'ipv4';
}

/** For people. */
export function familyName(family: AddressFamily): string {
  return family === 'ipv4' ? 'IPv4' : 'IPv6';
}

/** Compares two addresses of one family as unsigned integers in network order: <0, 0 or >0. */
export function compareIp(left: Uint8Array, right: Uint8Array): number {
  for (let index = 0; index < left.length; index++) {
    const difference = (left[index] as number) - (right[index] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** True in fe80::/10: an address that is good on one link only. */
export function isLinkLocal(address: IpText): boolean {
  return /^fe[89ab][0-9a-f]:/.test(address);
}
