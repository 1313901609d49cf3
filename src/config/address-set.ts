/**
 * The addresses and ports of a virtual service as text: one, a range or a network of addresses,
 * and one or more ports. '192.0.2.10:80', '192.0.2.10-20:80', '192.0.2.10-192.0.3.20:80',
 * '192.0.2.0/28:80,443', '[2001:db8::10-1f]:8000-8010'. Ranges are bounded before they are made.
 */
import type { IpText } from '../core/config/config.ts';
import { formatIp, ipFamily, parseIp } from '../core/ip.ts';
import { err, ok, type Result } from '../core/result.ts';
import { familyBits, isUnicast } from './values.ts';

/** As many kernel services as one service may be: what is more is a matter for a firewall mark. */
export const ENTRIES_MAX = 4_096;

export interface ServiceAddress {
  readonly address: IpText;
  readonly port: number;
}

/** Every address with every port, in the order of the text; the error says what is wrong. */
export function parseAddressSet(text: string): Result<readonly ServiceAddress[], string> {
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*)):([\d,-]+)$/.exec(text);
  if (match === null) return err(EXPECTED);
  const bracketed = match[1] !== undefined;
  const addresses = parseAddresses(match[1] ?? match[2] ?? '');
  if (!addresses.ok) return addresses;
  if ((ipFamily(addresses.value[0] as IpText) === 'ipv6') !== bracketed) return err(EXPECTED);
  const ports = parsePorts(match[3] as string);
  if (ports === null) return err(EXPECTED);
  const count = addresses.value.length * ports.length;
  if (count > ENTRIES_MAX) return err(tooMany(count));
  return ok(addresses.value.flatMap((address) => ports.map((port) => ({ address, port }))));
}

/** What is said of too many entries. */
export function tooMany(count: number | bigint): string {
  return `expected at most ${ENTRIES_MAX} addresses and ports of one service, not ${count}: use a firewall mark (fwmark) for so many`;
}

export const EXPECTED =
  'expected an IP address with port, such as 192.0.2.10:80 or 192.0.2.10-20:80,443';

function parseAddresses(text: string): Result<readonly IpText[], string> {
  const [start = '', end, ...more] = text.split('-');
  if (more.length > 0) return err(EXPECTED);
  if (end !== undefined) return parseRange(start, end);
  const slash = start.indexOf('/');
  if (slash >= 0) return parseNetwork(start.slice(0, slash), start.slice(slash + 1));
  return parseRange(start, start);
}

/** From an address to another, or to one that differs in its last part only. */
function parseRange(start: string, end: string): Result<readonly IpText[], string> {
  const first = parseIp(start);
  const last = first === null ? null : (parseIp(end) ?? parseIp(lastPart(start, end)));
  if (first === null || last === null || first.length !== last.length) return err(EXPECTED);
  return expand(numberOf(first), numberOf(last), first.length);
}

/** '192.0.2.10' and '20' as '192.0.2.20'; '2001:db8::10' and '1f' as '2001:db8::1f'. */
function lastPart(start: string, end: string): string {
  const separator = start.includes(':') ? ':' : '.';
  return start.slice(0, start.lastIndexOf(separator) + 1) + end;
}

function parseNetwork(network: string, length: string): Result<readonly IpText[], string> {
  const bytes = parseIp(network);
  if (bytes === null || !/^\d{1,3}$/.test(length)) return err(EXPECTED);
  const bits = familyBits(bytes.length === 4 ? 'ipv4' : 'ipv6');
  if (Number(length) > bits) return err(EXPECTED);
  const size = 1n << BigInt(bits - Number(length));
  const first = numberOf(bytes);
  if (first % size !== 0n) {
    const base = textOf(first - (first % size), bytes.length);
    return err(`expected ${base}/${length}: ${network} is an address within that network`);
  }
  return expand(first, first + size - 1n, bytes.length);
}

function expand(first: bigint, last: bigint, length: number): Result<readonly IpText[], string> {
  const count = last - first + 1n;
  if (count < 1n) return err('expected a range from the lower address to the higher one');
  if (count > BigInt(ENTRIES_MAX)) return err(tooMany(count));
  const addresses: IpText[] = [];
  for (let value = first; value <= last; value++) addresses.push(textOf(value, length));
  return addresses.every(isUnicast) ? ok(addresses) : err('expected unicast addresses');
}

function numberOf(bytes: Uint8Array): bigint {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return value;
}

function textOf(value: bigint, length: number): IpText {
  const bytes = new Uint8Array(length);
  let rest = value;
  for (let index = length - 1; index >= 0; index--) {
    bytes[index] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return formatIp(bytes, length === 4 ? 'ipv4' : 'ipv6');
}

/** '80', '80,443', '8000-8010'; each port once, in the order of the text; null for other text. */
function parsePorts(text: string): readonly number[] | null {
  const ports = new Set<number>();
  for (const part of text.split(',')) {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part);
    if (match === null) return null;
    const first = Number(match[1]);
    const last = match[2] === undefined ? first : Number(match[2]);
    // Port 0 stands for all of them and is no part of a range.
    if (last > 65_535 || first > last || (first === 0 && last > 0)) return null;
    for (let port = first; port <= last; port++) ports.add(port);
  }
  return [...ports];
}
