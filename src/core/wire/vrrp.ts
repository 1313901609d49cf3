/**
 * VRRP advertisements, version 2 (RFC 3768 section 5, with the simple text authentication of RFC
 * 2338 section 5.3.6 that deployed routers still use) and version 3 (RFC 9568 section 5).
 *
 *   version 2 | type 1 | VRID | priority | count | auth type | seconds | checksum |
 *     count x 4-byte addresses | 8 bytes of authentication data
 *   version 3 | type 1 | VRID | priority | count | 0, centiseconds (4 + 12 bits) | checksum |
 *     count x 4- or 16-byte addresses
 *
 * Encoding allocates nothing; decoding copies what it keeps, so receive buffers can be reused.
 */
import { assert } from '../assert.ts';
import type { AddressFamily, ChecksumForm, IpText } from '../config/config.ts';
import { formatIp } from '../ip.ts';
import { ok, type Result } from '../result.ts';
import type { Advertisement, Refusal, RefusalReason } from '../vrrp/types.ts';
import { formatU16, readU16, writeU16 } from './bytes.ts';
import { finishChecksum, onesComplementSum, pseudoHeaderSum } from './checksum.ts';

/** IP protocol number and IPv6 next header of VRRP. */
export const VRRP_PROTOCOL = 112;
/** TTL or hop limit of every advertisement: RFC 9568 sections 5.1.1.3 and 5.1.2.3. */
export const VRRP_TTL = 255;
/** 224.0.0.18 */
export const VRRP_GROUP_IPV4: Uint8Array = Uint8Array.of(224, 0, 0, 18);
/** ff02::12 */
export const VRRP_GROUP_IPV6: Uint8Array = Uint8Array.of(
  ...[0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12],
);

export const AUTHENTICATION_NONE = 0;
/** Simple text password, RFC 2338 section 5.3.6. */
export const AUTHENTICATION_TEXT = 1;
/** Authentication data of version 2: a password is zero padded to this length. */
export const AUTHENTICATION_BYTES = 8;

/** Where the checksum stands, in both versions. */
export const CHECKSUM_OFFSET = 6;

const HEADER_BYTES = 8;
/** Where the addresses begin, in both versions. */
export const ADDRESSES_OFFSET: number = HEADER_BYTES;
const TYPE_ADVERTISEMENT = 1;
const MAX_ADDRESSES = 255;
const US_PER_SECOND = 1_000_000;
const US_PER_CENTISECOND = 10_000;
const MAX_INTERVAL_SECONDS = 255;
const MAX_INTERVAL_CENTISECONDS = 4095;

/** The longest advertisement there can be: version 3 with 255 IPv6 addresses. */
export const MAX_ADVERTISEMENT_BYTES: number = HEADER_BYTES + MAX_ADDRESSES * 16;

type WireChecksumForm = Exclude<ChecksumForm, 'auto'>;

export interface OutgoingAdvertisement {
  readonly version: 2 | 3;
  readonly family: AddressFamily;
  readonly vrid: number;
  /** 0 (resigning) to 255 (owner). */
  readonly priority: number;
  /** Version 2: whole seconds, 1 to 255. Version 3: multiples of 10 ms, 10 ms to 40.95 s. */
  readonly advertIntervalUs: number;
  /** 1 to 255 addresses of `family`, network order; over IPv6 the link-local one first. */
  readonly addresses: readonly Uint8Array[];
  /** Matters to version 3 over IPv4 only; the other checksums have one form each. */
  readonly checksum: WireChecksumForm;
  /** Version 2 only: AUTHENTICATION_BYTES bytes, zero padded; null for none. */
  readonly password: Uint8Array | null;
  /** Addresses of the IP packet, for the pseudo-header. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
}

/** What follows the message in the same datagram: an authentication trailer, vrrp-hmac.ts. */
export interface TrailerWriter {
  readonly lengthBytes: number;
  /** Writes it behind the message, which is complete but for its checksum, still 0. */
  readonly write: (target: Uint8Array, messageBytes: number) => void;
}

/**
 * Writes the advertisement at the start of `target`, the trailer behind it, and returns their
 * length in bytes (MAX_ADVERTISEMENT_BYTES and the trailer's always suffice). Without a trailer
 * it allocates nothing. Values out of range are defects of the caller.
 */
export function encodeAdvertisement(
  target: Uint8Array,
  advert: OutgoingAdvertisement,
  trailer: TrailerWriter | null = null,
): number {
  const { version, family, addresses } = advert;
  const count = addresses.length;
  assert(version === 3 || family === 'ipv4', 'VRRP version 2 exists over IPv4 only');
  assert(version === 2 || advert.password === null, 'VRRP version 3 has no authentication');
  assert(count >= 1 && count <= MAX_ADDRESSES, 'an advertisement lists 1 to 255 addresses');
  assert(advert.vrid >= 1 && advert.vrid <= 255, 'a VRID is 1 to 255');
  assert(advert.priority >= 0 && advert.priority <= 255, 'a priority is 0 to 255');
  assert(version === 3 || trailer === null, 'VRRP version 2 has no trailer');
  const lengthBytes = messageBytes(version, family, count);
  const totalBytes = lengthBytes + (trailer?.lengthBytes ?? 0);
  assert(target.length >= totalBytes, 'the buffer is too small for the advertisement');

  target[0] = (version << 4) | TYPE_ADVERTISEMENT;
  target[1] = advert.vrid;
  target[2] = advert.priority;
  target[3] = count;
  writeU16(target, 4, version === 2 ? timingV2(advert) : timingV3(advert));
  writeU16(target, CHECKSUM_OFFSET, 0);
  let offset = HEADER_BYTES;
  const addressBytes = bytesPerAddress(family);
  for (let index = 0; index < count; index++) {
    const address = addresses[index] as Uint8Array;
    assert(address.length === addressBytes, 'an advertised address is of the other family');
    target.set(address, offset);
    offset += addressBytes;
  }
  if (version === 2) {
    // RFC 3768 section 5.3.10: zeros when there is no authentication.
    if (advert.password === null) target.fill(0, offset, lengthBytes);
    else target.set(advert.password, offset);
  }
  trailer?.write(target, lengthBytes);
  const coveredBytes = checksumBytes(family, lengthBytes, totalBytes);
  const initial = hasPseudoHeader(advert)
    ? pseudoHeaderSum(advert.source, advert.destination, VRRP_PROTOCOL, coveredBytes)
    : 0;
  const sum = onesComplementSum(target, 0, coveredBytes, initial);
  writeU16(target, CHECKSUM_OFFSET, finishChecksum(sum));
  return totalBytes;
}

/**
 * Makes an encoded advertisement for another destination: changes the checksum of `target`, in
 * place, where a pseudo-header with the destination is in it (RFC 1624 equation 3). The trailer
 * does not cover the destination. Allocates nothing.
 */
export function retargetAdvertisement(
  target: Uint8Array,
  advert: Pick<OutgoingAdvertisement, 'version' | 'family' | 'checksum'>,
  from: Uint8Array,
  to: Uint8Array,
): void {
  if (!hasPseudoHeader(advert)) return;
  const before = onesComplementSum(from, 0, from.length, 0);
  const old = finishChecksum(readU16(target, CHECKSUM_OFFSET));
  const sum = onesComplementSum(to, 0, to.length, old + finishChecksum(before));
  writeU16(target, CHECKSUM_OFFSET, finishChecksum(sum));
}

function hasPseudoHeader(
  advert: Pick<OutgoingAdvertisement, 'version' | 'family' | 'checksum'>,
): boolean {
  const { version, family, checksum } = advert;
  return family === 'ipv6' || (version === 3 && checksum === 'pseudo-header');
}

/** Authentication type and whole seconds: RFC 3768 sections 5.3.6 and 5.3.7. */
function timingV2(advert: OutgoingAdvertisement): number {
  const { advertIntervalUs, password } = advert;
  const seconds = advertIntervalUs / US_PER_SECOND;
  assert(
    Number.isInteger(seconds) && seconds >= 1 && seconds <= MAX_INTERVAL_SECONDS,
    'an interval of VRRP version 2 is 1 to 255 whole seconds',
  );
  if (password === null) return (AUTHENTICATION_NONE << 8) | seconds;
  assert(password.length === AUTHENTICATION_BYTES, 'the password is not padded to 8 bytes');
  return (AUTHENTICATION_TEXT << 8) | seconds;
}

/** Four reserved zero bits and 12 bits of centiseconds: RFC 9568 sections 5.2.6 and 5.2.7. */
function timingV3(advert: OutgoingAdvertisement): number {
  const centiseconds = advert.advertIntervalUs / US_PER_CENTISECOND;
  assert(
    Number.isInteger(centiseconds) &&
      centiseconds >= 1 &&
      centiseconds <= MAX_INTERVAL_CENTISECONDS,
    'an interval of VRRP version 3 is 1 to 4095 whole centiseconds',
  );
  return centiseconds;
}

/** 4 or 16. */
export function bytesPerAddress(family: AddressFamily): number {
  return family === 'ipv4' ? 4 : 16;
}

function messageBytes(version: number, family: AddressFamily, count: number): number {
  const authenticationBytes = version === 2 ? AUTHENTICATION_BYTES : 0;
  return HEADER_BYTES + count * bytesPerAddress(family) + authenticationBytes;
}

/**
 * How much of a datagram the checksum is over. In IPv6 it is the transport's (RFC 8200 section
 * 8.1), which the kernel may make, so it covers all; in IPv4 it is the message's own.
 */
function checksumBytes(family: AddressFamily, lengthBytes: number, totalBytes: number): number {
  return family === 'ipv6' ? totalBytes : lengthBytes;
}

/** Which TTLs or hop limits are taken, both inclusive. */
export interface TtlBounds {
  readonly minTtl: number;
  readonly maxTtl: number;
}

/** What multicast demands: RFC 9568 sections 5.1.1.3 and 5.1.2.3. */
export const LOCAL_TTL: TtlBounds = { minTtl: VRRP_TTL, maxTtl: VRRP_TTL };

/** One datagram as a socket gave it: the IP payload and what the IP header said. */
export interface ReceivedDatagram {
  /** Starts with the VRRP message; may be a larger buffer that is reused afterwards. */
  readonly bytes: Uint8Array;
  /** Length of the datagram, which may exceed the buffer. */
  readonly lengthBytes: number;
  /** The datagram was longer than what was stored (MSG_TRUNC). */
  readonly truncated: boolean;
  /** TTL or hop limit. */
  readonly ttl: number;
  /** Bounds of it; without them LOCAL_TTL. */
  readonly ttlBounds?: TtlBounds;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly family: AddressFamily;
}

/**
 * A valid advertisement. It owns a copy of the packet, so it outlives the buffer; text and
 * views of addresses are made on every call, because the common advertisement needs neither.
 * Its getters are not own properties: a spread copy loses them.
 */
export class DecodedAdvertisement implements Advertisement {
  readonly version: 2 | 3;
  readonly family: AddressFamily;
  readonly vrid: number;
  readonly priority: number;
  readonly advertIntervalUs: number;
  readonly checksum: WireChecksumForm;
  readonly addressCount: number;
  /** Version 2: the field's value, whatever it is. Version 3: AUTHENTICATION_NONE. */
  readonly authenticationType: number;
  /** Length of what follows the message: 0, or what decodeAdvertisement was told to allow. */
  readonly trailerBytes: number;
  /** The whole packet: the message and its trailer. */
  readonly message: Uint8Array;

  /**
   * `bytes` holds a message of `lengthBytes` that decodeAdvertisement has found valid, and
   * `trailerBytes` more.
   */
  constructor(
    bytes: Uint8Array,
    { lengthBytes, trailerBytes }: { lengthBytes: number; trailerBytes: number },
    family: AddressFamily,
    checksum: WireChecksumForm,
  ) {
    const version = (bytes[0] as number) >> 4 === 2 ? 2 : 3;
    this.version = version;
    this.family = family;
    this.vrid = bytes[1] as number;
    this.priority = bytes[2] as number;
    this.advertIntervalUs = readIntervalUs(bytes, version);
    this.checksum = checksum;
    this.addressCount = bytes[3] as number;
    this.authenticationType = version === 2 ? (bytes[4] as number) : AUTHENTICATION_NONE;
    this.trailerBytes = trailerBytes;
    this.message = bytes.slice(0, lengthBytes + trailerBytes);
  }

  /** Canonical text of the advertised addresses, in the order of the packet. */
  get addresses(): readonly IpText[] {
    const step = bytesPerAddress(this.family);
    return Array.from({ length: this.addressCount }, (_, index) =>
      formatIp(this.message, this.family, HEADER_BYTES + index * step),
    );
  }

  /** The advertised addresses in network order. */
  get addressBytes(): readonly Uint8Array[] {
    const step = bytesPerAddress(this.family);
    return Array.from({ length: this.addressCount }, (_, index) =>
      this.message.subarray(HEADER_BYTES + index * step, HEADER_BYTES + (index + 1) * step),
    );
  }

  /** The 8 bytes of authentication data of version 2; empty in version 3. */
  get authenticationData(): Uint8Array {
    const start = HEADER_BYTES + this.addressCount * bytesPerAddress(this.family);
    return this.message.subarray(start, this.message.length - this.trailerBytes);
  }
}

function readIntervalUs(bytes: Uint8Array, version: 2 | 3): number {
  if (version === 2) return (bytes[5] as number) * US_PER_SECOND;
  // RFC 9568 section 5.2.6: the reserved bits are ignored on reception.
  return (readU16(bytes, 4) & 0x0fff) * US_PER_CENTISECOND;
}

/**
 * VRID of a datagram before anything of it is verified, or null when it is too short to have one.
 * Good for finding who would be interested; never for a decision about the election.
 */
export function peekVrid(bytes: Uint8Array, lengthBytes: number): number | null {
  return Math.min(bytes.length, lengthBytes) < 2 ? null : (bytes[1] as number);
}

/**
 * The advertisement in a datagram, or the first reason of REFUSAL_REASONS that applies to the
 * packet alone, in the order of RFC 9568 section 7.1.
 *
 * The length must be exactly what the version and the address count say, or in version 3 by
 * exactly `trailerBytes` more where the receiver knows such a trailer (0: it knows none); whether
 * the trailer is right is another question (vrrp/authenticate.ts). Padding of short frames never
 * gets here, because the kernel cuts a datagram to the length in its IP header; other bytes that
 * do follow the message belong to an extension that nobody here could verify, so they are refused
 * rather than ignored.
 */
export function decodeAdvertisement(
  input: ReceivedDatagram,
  trailerBytes = 0,
): Result<DecodedAdvertisement, Refusal> {
  const { bytes, family } = input;
  const storedBytes = Math.min(bytes.length, input.lengthBytes);
  const { minTtl, maxTtl } = input.ttlBounds ?? LOCAL_TTL;
  if (input.ttl < minTtl || input.ttl > maxTtl) {
    // Below 255 it has crossed a router, so it is not of this LAN.
    const expected = minTtl === maxTtl ? `${minTtl}` : `${minTtl} to ${maxTtl}`;
    return refuse('ttl', `TTL or hop limit ${input.ttl}; expected ${expected}`);
  }
  if (storedBytes === 0) return refuse('truncated', 'Empty datagram; expected 8 bytes or more');
  const first = bytes[0] as number;
  const version = first >> 4;
  if (version !== 3 && (version !== 2 || family === 'ipv6')) {
    const expected = family === 'ipv4' ? '2 or 3' : '3 over IPv6';
    return refuse('version', `VRRP version ${version}; expected ${expected}`);
  }
  const type = first & 0x0f;
  if (type !== TYPE_ADVERTISEMENT) {
    // RFC 9568 section 5.2.2: a packet with unknown type is discarded.
    return refuse('type', `VRRP packet type ${type}; expected 1 (advertisement)`);
  }
  if (storedBytes < HEADER_BYTES) {
    return refuse('truncated', `${storedBytes} bytes; expected ${HEADER_BYTES} or more`);
  }
  const count = bytes[3] as number;
  const lengthBytes = messageBytes(version, family, count);
  const found =
    version === 3 && input.lengthBytes === lengthBytes + trailerBytes ? trailerBytes : 0;
  const totalBytes = lengthBytes + found;
  const longer = input.truncated || input.lengthBytes > totalBytes;
  if (storedBytes < totalBytes || longer) {
    const reason = storedBytes < lengthBytes ? 'truncated' : 'oversized';
    return refuse(reason, lengthDetail(input, storedBytes, lengthBytes, count));
  }
  const coveredBytes = checksumBytes(family, lengthBytes, totalBytes);
  const checksum = findChecksumForm(input, version, coveredBytes);
  if (checksum === null) return refuse('checksum', checksumDetail(input, version, coveredBytes));
  if (count === 0) {
    // RFC 9568 section 5.2.5 with erratum 8299: an advertisement of nothing is ignored.
    return refuse('no-addresses', 'No addresses; expected 1 or more');
  }
  const lengths = { lengthBytes, trailerBytes: found };
  const advert = new DecodedAdvertisement(bytes, lengths, family, checksum);
  if (advert.advertIntervalUs === 0) {
    // RFC 9568 section 5.2.7 with erratum 8301: 1 to 4095; the fields cannot hold too much.
    const expected = version === 2 ? '1 to 255 seconds' : '1 to 4095 centiseconds';
    return refuse('interval', `Advertisement interval 0; expected ${expected}`);
  }
  return ok(advert);
}

function refuse(
  reason: RefusalReason,
  detail: string,
): { readonly ok: false; readonly error: Refusal } {
  return { ok: false, error: { reason, detail } };
}

function lengthDetail(
  input: ReceivedDatagram,
  storedBytes: number,
  expectedBytes: number,
  count: number,
): string {
  const found =
    storedBytes < expectedBytes ? storedBytes : Math.max(input.lengthBytes, expectedBytes + 1);
  const orMore = input.truncated ? ' or more' : '';
  return `${found}${orMore} bytes; expected ${expectedBytes} with address count ${count}`;
}

/**
 * Which form of checksum is right, or null for none. Version 3 over IPv4 is found in two forms:
 * over the message alone as RFC 9568 section 5.2.8 has it, and with the pseudo-header of RFC 5798
 * as most deployed routers send it.
 */
function findChecksumForm(
  input: ReceivedDatagram,
  version: number,
  lengthBytes: number,
): WireChecksumForm | null {
  const sum = onesComplementSum(input.bytes, 0, lengthBytes, 0);
  if (input.family === 'ipv4' && finishChecksum(sum) === 0) return 'message';
  if (version === 2) return null;
  const pseudo = pseudoHeaderSum(input.source, input.destination, VRRP_PROTOCOL, lengthBytes);
  // The folding of an empty range adds the two sums.
  const total = onesComplementSum(input.bytes, 0, 0, sum + pseudo);
  return finishChecksum(total) === 0 ? 'pseudo-header' : null;
}

/** "0x1234; expected 0x…": what the checksum field holds and should have held. */
function checksumDetail(input: ReceivedDatagram, version: number, lengthBytes: number): string {
  const { bytes, source, destination } = input;
  const before = onesComplementSum(bytes, 0, CHECKSUM_OFFSET, 0);
  const message = onesComplementSum(bytes, HEADER_BYTES, lengthBytes, before);
  const pseudo = pseudoHeaderSum(source, destination, VRRP_PROTOCOL, lengthBytes);
  const withPseudo = formatU16(finishChecksum(onesComplementSum(bytes, 0, 0, message + pseudo)));
  const alone = formatU16(finishChecksum(message));
  const found = `Checksum ${formatU16(readU16(bytes, CHECKSUM_OFFSET))}; expected`;
  if (input.family === 'ipv6') return `${found} ${withPseudo}`;
  if (version === 2) return `${found} ${alone}`;
  return `${found} ${alone}, or ${withPseudo} with a pseudo-header`;
}
