/** The authentication trailer byte for byte against keepalived's, and what its MAC binds. */
import { describe, expect, test } from 'vitest';
import { InternalError } from '../../../../src/core/assert.ts';
import {
  decodeAdvertisement,
  encodeAdvertisement,
  VRRP_GROUP_IPV6,
} from '../../../../src/core/wire/vrrp.ts';
import {
  HMAC_TRAILER_BYTES,
  hmacTrailer,
  MAC_INPUT_BYTES_MAX,
  readHmacTrailer,
  verifyHmac,
} from '../../../../src/core/wire/vrrp-hmac.ts';
import { dirtyBuffer, patched, reasonOf, toHex, unwrap, withBytes } from './frames.ts';
import { ADVERT, datagramOfAdvert, ip, KEY, OTHER_KEY, type Signature, sha256 } from './signed.ts';

const SIGNATURE: Signature = {
  keyId: 1,
  key: KEY,
  sequence: { seconds: 0x68000000, fraction: 0x80000000 },
};
const IPV6 = {
  ...ADVERT,
  family: 'ipv6',
  priority: 200,
  addresses: [ip('fe80::100')],
  source: ip('fe80::10'),
  destination: ip('fe80::20'),
} as const;

const VECTORS = [
  [
    'IPv4',
    { ...ADVERT, priority: 200, checksum: 'message' as const },
    '3133c80100644402c0000264',
    '010100006800000080000000' + '1b84bc4e8e43892dc6d98448f8ee2265',
  ],
  [
    'IPv6',
    IPV6,
    '3133c8010064a2e9fe800000000000000000000000000100',
    '010100006800000080000000' + 'c8c56146ebfd66ee10ec4d8186461b78',
  ],
] as const;

const verification = (advert: { family: 'ipv4' | 'ipv6'; source: Uint8Array }) => ({
  family: advert.family,
  source: advert.source,
  key: KEY,
  mac: sha256,
  scratch: dirtyBuffer(MAC_INPUT_BYTES_MAX),
});

describe('hmacTrailer', () => {
  test.each(VECTORS)('%s: message and trailer equal the vector', (_, advert, message, trailer) => {
    const { bytes } = datagramOfAdvert(advert, SIGNATURE);
    expect(toHex(bytes.slice(0, -HMAC_TRAILER_BYTES))).toBe(message);
    expect(toHex(bytes.slice(-HMAC_TRAILER_BYTES))).toBe(trailer);
  });

  test('does not change an IPv4 checksum, which covers the message alone', () => {
    const unsigned = datagramOfAdvert(ADVERT, null).bytes;
    const signed = datagramOfAdvert(ADVERT, SIGNATURE).bytes;
    expect(toHex(signed.slice(0, unsigned.length))).toBe(toHex(unsigned));
  });

  test('changes an IPv6 checksum, which covers the whole packet', () => {
    const unsigned = datagramOfAdvert(IPV6, null).bytes;
    const signed = datagramOfAdvert(IPV6, SIGNATURE).bytes;
    const different = [...unsigned.keys()].filter((index) => unsigned[index] !== signed[index]);
    expect(different.every((index) => index === 6 || index === 7)).toBe(true);
    expect(different).not.toEqual([]);
  });

  test('needs a buffer for both, and version 3', () => {
    const trailer = hmacTrailer({ ...verification(ADVERT), ...SIGNATURE });
    expect(encodeAdvertisement(dirtyBuffer(40), ADVERT, trailer)).toBe(40);
    expect(() => encodeAdvertisement(dirtyBuffer(39), ADVERT, trailer)).toThrow(InternalError);
    const version2 = { ...ADVERT, version: 2 } as const;
    expect(() => encodeAdvertisement(dirtyBuffer(80), version2, trailer)).toThrow(InternalError);
    const noKey = hmacTrailer({ ...verification(ADVERT), ...SIGNATURE, keyId: 0 });
    expect(() => encodeAdvertisement(dirtyBuffer(40), ADVERT, noKey)).toThrow(InternalError);
  });
});

describe('decodeAdvertisement with a trailer', () => {
  test.each([
    ['IPv4', ADVERT],
    ['IPv6', IPV6],
  ])('%s: takes it where it is known, and nothing else of its length or another', (_, advert) => {
    const signed = datagramOfAdvert(advert, SIGNATURE);
    const decoded = unwrap(decodeAdvertisement(signed, HMAC_TRAILER_BYTES));
    expect(decoded.trailerBytes).toBe(HMAC_TRAILER_BYTES);
    expect(toHex(decoded.message)).toBe(toHex(signed.bytes));
    expect(decoded.addressBytes.map(toHex)).toEqual(advert.addresses.map(toHex));
    expect(decoded.authenticationData).toHaveLength(0);
    expect(reasonOf(decodeAdvertisement(signed))).toBe('oversized');
    for (const lengthBytes of [signed.lengthBytes - 1, signed.lengthBytes + 1]) {
      const bytes = new Uint8Array(lengthBytes);
      bytes.set(signed.bytes.subarray(0, lengthBytes));
      const other = withBytes(signed, bytes);
      expect(reasonOf(decodeAdvertisement(other, HMAC_TRAILER_BYTES))).toBe('oversized');
    }
    const cut = { ...signed, truncated: true };
    expect(reasonOf(decodeAdvertisement(cut, HMAC_TRAILER_BYTES))).toBe('oversized');
  });

  test('takes an advertisement without one, and says so', () => {
    const unsigned = datagramOfAdvert(ADVERT, null);
    const decoded = unwrap(decodeAdvertisement(unsigned, HMAC_TRAILER_BYTES));
    expect(decoded.trailerBytes).toBe(0);
    expect(decoded.message).toHaveLength(12);
  });

  test('never in version 2', () => {
    const version2 = datagramOfAdvert({ ...ADVERT, version: 2 }, null);
    const longer = new Uint8Array(version2.lengthBytes + HMAC_TRAILER_BYTES);
    longer.set(version2.bytes);
    const result = decodeAdvertisement(withBytes(version2, longer), HMAC_TRAILER_BYTES);
    expect(reasonOf(result)).toBe('oversized');
  });

  test('outlives the buffer that it was in', () => {
    const signed = datagramOfAdvert(ADVERT, SIGNATURE);
    const decoded = unwrap(decodeAdvertisement(signed, HMAC_TRAILER_BYTES));
    signed.bytes.fill(0);
    expect(verifyHmac(decoded.message, verification(ADVERT))).toBe(true);
  });
});

describe('verifyHmac', () => {
  const signed = datagramOfAdvert(ADVERT, SIGNATURE).bytes;

  test('is true for what was signed, whatever its checksum', () => {
    expect(verifyHmac(signed, verification(ADVERT))).toBe(true);
    // The kernel may make the checksum after the signing (IPV6_CHECKSUM).
    expect(verifyHmac(patched(signed, { 6: 1, 7: 2 }), verification(ADVERT))).toBe(true);
  });

  test.each([
    ['another key', { key: OTHER_KEY }],
    ['another source', { source: ip('198.51.100.11') }],
    ['the other family', { family: 'ipv6' as const }],
    ['a hash that gives too little', { mac: () => new Uint8Array(15) }],
  ])('is false with %s', (_, change) => {
    expect(verifyHmac(signed, { ...verification(ADVERT), ...change })).toBe(false);
  });

  test.each([
    ['version', { 0: 0x41 }],
    ['VRID', { 1: 52 }],
    ['priority', { 2: 255 }],
    ['first address', { 8: 1 }],
    ['key id', { 13: 2 }],
    ['reserved field', { 15: 1 }],
    ['time', { 19: 1 }],
    ['counter', { 23: 1 }],
    ['MAC', { 39: 0 }],
  ])('is false with another %s', (_, changes) => {
    expect(verifyHmac(patched(signed, changes), verification(ADVERT))).toBe(false);
  });

  test('fails when it is asked about what has no trailer', () => {
    expect(() => verifyHmac(new Uint8Array(28), verification(ADVERT))).toThrow(InternalError);
  });
});

test('readHmacTrailer reads what was written, and tells other formats', () => {
  const sequence = { seconds: 0xfffffffe, fraction: 0x8001ffff };
  const { bytes } = datagramOfAdvert(ADVERT, { ...SIGNATURE, keyId: 255, sequence });
  expect(readHmacTrailer(bytes)).toEqual({ keyId: 255, sequence, wellFormed: true });
  expect(readHmacTrailer(patched(bytes, { 12: 2 })).wellFormed).toBe(false);
  expect(readHmacTrailer(patched(bytes, { 14: 1 })).wellFormed).toBe(false);
});

test('a signed IPv6 advertisement of 255 addresses fits the buffers', () => {
  const addresses = Array.from({ length: 255 }, () => ip('2001:db8::1'));
  const advert = { ...IPV6, addresses, destination: VRRP_GROUP_IPV6 };
  const decoded = unwrap(
    decodeAdvertisement(datagramOfAdvert(advert, SIGNATURE), HMAC_TRAILER_BYTES),
  );
  expect(verifyHmac(decoded.message, verification(IPV6))).toBe(true);
});
