/**
 * The scalar forms of the configuration language as text: durations, endpoints, prefixes,
 * status ranges. Each parser takes any text, never throws, and returns null for text that is
 * none of its form; printers write what the parsers read.
 */
import type { AddressFamily, IpText } from '../core/config/config.ts';
import { canonicalIp, ipFamily } from '../core/ip.ts';

/** Microseconds of each unit, longest last. */
const UNITS_US = {
  us: 1,
  ms: 1_000,
  s: 1_000_000,
  m: 60_000_000,
  h: 3_600_000_000,
  d: 86_400_000_000,
} as const;
type Unit = keyof typeof UNITS_US;

export const DURATION_PATTERN = /^(\d{1,15})(?:\.(\d{1,6}))?(us|ms|s|m|h|d)$/;

/** Whole microseconds of text such as '500us', '10ms', '1.5s', '5m', '1h' or '7d'; null for other text. */
export function parseDuration(text: string): number | null {
  const match = DURATION_PATTERN.exec(text);
  if (match === null) return null;
  const unitUs = UNITS_US[match[3] as Unit];
  const fraction = match[2] ?? '';
  // Computed in integers: 40.95 times a million is no whole number in floating point.
  const fractionUs = (Number(fraction.padEnd(6, '0')) * unitUs) / 1_000_000;
  const durationUs = Number(match[1]) * unitUs + fractionUs;
  return Number.isSafeInteger(durationUs) ? durationUs : null;
}

/** Text of whole microseconds in the longest unit that needs no fraction, but '0s' for none. */
export function formatDuration(durationUs: number): string {
  if (durationUs === 0) return '0s';
  const units = Object.entries(UNITS_US).reverse();
  const [unit, unitUs] = units.find(([, each]) => durationUs % each === 0) ?? ['us', 1];
  return `${durationUs / unitUs}${unit}`;
}

export interface Endpoint {
  readonly address: IpText;
  /** null where the text names none. */
  readonly port: number | null;
}

/**
 * Address and port of '192.0.2.10:80', '192.0.2.10', '[2001:db8::10]:80', '[2001:db8::10]' or
 * '2001:db8::10'; the address in canonical form, the port 0 to 65535. null for other text.
 */
export function parseEndpoint(text: string): Endpoint | null {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d{1,5}))?$/.exec(text);
  if (match === null) {
    const address = canonicalIp(text);
    return address === null ? null : { address, port: null };
  }
  const address = canonicalIp(match[1] ?? match[2] ?? '');
  const bracketed = match[1] !== undefined;
  if (address === null || (ipFamily(address) === 'ipv6') !== bracketed) return null;
  const port = match[3] === undefined ? null : Number(match[3]);
  return port !== null && port > 65535 ? null : { address, port };
}

export interface Prefix {
  readonly address: IpText;
  readonly prefixLength: number;
}

/** Address bits of a family: 32 or 128. */
export function familyBits(family: AddressFamily): 32 | 128 {
  return family === 'ipv4' ? 32 : 128;
}

/** Address and prefix length of '192.0.2.10/24'; a plain address has its full length. */
export function parsePrefix(text: string): Prefix | null {
  const match = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text);
  const address = match === null ? null : canonicalIp(match[1] as string);
  if (match === null || address === null) return null;
  const bits = familyBits(ipFamily(address));
  const prefixLength = match[2] === undefined ? bits : Number(match[2]);
  return prefixLength < 1 || prefixLength > bits ? null : { address, prefixLength };
}

/** False for the unspecified address, multicast and IPv4's class E: nothing that a host can own. */
export function isUnicast(address: IpText): boolean {
  if (ipFamily(address) === 'ipv6') return address !== '::' && !address.startsWith('ff');
  return address !== '0.0.0.0' && Number(address.split('.')[0]) < 224;
}

/** True in 224.0.0.0/4 and ff00::/8. */
export function isMulticast(address: IpText): boolean {
  if (ipFamily(address) === 'ipv6') return address.startsWith('ff') && address.indexOf(':') === 4;
  const first = Number(address.split('.')[0]);
  return first >= 224 && first < 240;
}

/** Inclusive range of status codes of 200 or '200-299', within 100 to 599; null for others. */
export function parseStatusRange(value: string | number): [number, number] | null {
  const match = /^(\d{3})(?:-(\d{3}))?$/.exec(String(value));
  if (match === null) return null;
  const first = Number(match[1]);
  const last = match[2] === undefined ? first : Number(match[2]);
  return first >= 100 && last <= 599 && first <= last ? [first, last] : null;
}

/** True for what the kernel takes as the name of an interface (dev_valid_name, net/core/dev.c). */
export function isInterfaceName(text: string): boolean {
  return /^[^/:\s\0]{1,15}$/.test(text) && text !== '.' && text !== '..' && isAscii(text);
}

function isAscii(text: string): boolean {
  return /^[\x21-\x7e]*$/.test(text);
}

/** Names of directors, instances and services: they appear in commands, paths and metrics. */
export const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/;
