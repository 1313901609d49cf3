/** Advertisements byte for byte against keepalived's, and the ladder of refusals. */
import { describe, expect, test } from 'vitest';
import { InternalError } from '../../../../src/core/assert.ts';
import { parseIp } from '../../../../src/core/ip.ts';
import { REFUSAL_REASONS } from '../../../../src/core/vrrp/types.ts';
import { pseudoHeaderSum } from '../../../../src/core/wire/checksum.ts';
import {
  decodeAdvertisement,
  encodeAdvertisement,
  MAX_ADVERTISEMENT_BYTES,
  type OutgoingAdvertisement,
  peekVrid,
  VRRP_GROUP_IPV4,
  VRRP_GROUP_IPV6,
} from '../../../../src/core/wire/vrrp.ts';
import {
  datagramOf,
  dirtyBuffer,
  fromHex,
  KEEPALIVED_FRAMES,
  patched,
  reasonOf,
  rechecksummed,
  toHex,
  unwrap,
  withBytes,
} from './frames.ts';

const ip = (text: string): Uint8Array => parseIp(text) as Uint8Array;

const V2: OutgoingAdvertisement = {
  version: 2,
  family: 'ipv4',
  vrid: 10,
  priority: 200,
  advertIntervalUs: 1_000_000,
  addresses: [ip('192.0.2.1'), ip('192.0.2.2')],
  checksum: 'message',
  password: null,
  source: ip('192.0.2.251'),
  destination: VRRP_GROUP_IPV4,
};
const V2_PASSWORD: OutgoingAdvertisement = {
  ...V2,
  vrid: 13,
  priority: 90,
  addresses: [ip('192.0.2.4')],
  password: new TextEncoder().encode('secret12'),
};
const V3: OutgoingAdvertisement = { ...V2, version: 3 };
const V3_PSEUDO: OutgoingAdvertisement = {
  ...V3,
  vrid: 11,
  addresses: [ip('192.0.2.3')],
  checksum: 'pseudo-header',
};
const V3_IPV6: OutgoingAdvertisement = {
  version: 3,
  family: 'ipv6',
  vrid: 12,
  priority: 100,
  advertIntervalUs: 1_000_000,
  addresses: [ip('fe80::1'), ip('2001:db8::1')],
  checksum: 'message',
  password: null,
  source: ip('fe80::7caa:63ff:fe7c:8a6d'),
  destination: VRRP_GROUP_IPV6,
};

function payload(frame: string): string {
  return toHex(datagramOf(frame).bytes);
}

describe('encodeAdvertisement', () => {
  test.each([
    ['version 2', V2, payload(KEEPALIVED_FRAMES.advertV2)],
    ['version 2, resigning', { ...V2, priority: 0 }, payload(KEEPALIVED_FRAMES.advertV2Resign)],
    ['version 2, password', V2_PASSWORD, payload(KEEPALIVED_FRAMES.advertV2Password)],
    ['version 3, IPv4 pseudo-header', V3_PSEUDO, payload(KEEPALIVED_FRAMES.advertV3Ipv4)],
    [
      'version 3, resigning',
      { ...V3_PSEUDO, priority: 0 },
      payload(KEEPALIVED_FRAMES.advertV3Ipv4Resign),
    ],
    ['version 3, IPv6', V3_IPV6, payload(KEEPALIVED_FRAMES.advertV3Ipv6)],
  ])('%s equals what keepalived sends', (_, advert, expected) => {
    const target = dirtyBuffer(MAX_ADVERTISEMENT_BYTES);
    const length = encodeAdvertisement(target, advert);
    expect(toHex(target.subarray(0, length))).toBe(expected);
    expect(target.subarray(length).every((byte) => byte === 0xa5)).toBe(true);
  });

  test.each([
    ['over the message alone', V3, '310ac8020064828ac0000201c0000202'],
    [
      'with a pseudo-header',
      { ...V3, checksum: 'pseudo-header' as const },
      '310ac8020064defbc0000201c0000202',
    ],
    [
      'over the message alone, one address',
      { ...V3, vrid: 1, priority: 100, addresses: [ip('192.168.1.1')] },
      '310164010064a8efc0a80101',
    ],
    [
      'over IPv6 from fe80::c8',
      { ...V3_IPV6, vrid: 10, source: ip('fe80::c8') },
      '310a640200643f5dfe80000000000000000000000000000120010db8000000000000000000000001',
    ],
  ])('version 3 %s equals the vector', (_, advert, expected) => {
    const target = dirtyBuffer(MAX_ADVERTISEMENT_BYTES);
    const length = encodeAdvertisement(target, advert);
    expect(toHex(target.subarray(0, length))).toBe(expected);
  });

  test('ignores the form for checksums that have one only', () => {
    const [message, pseudo] = [dirtyBuffer(64), dirtyBuffer(64)];
    for (const advert of [V2, V3_IPV6]) {
      encodeAdvertisement(message, { ...advert, checksum: 'message' });
      encodeAdvertisement(pseudo, { ...advert, checksum: 'pseudo-header' });
      expect(toHex(message)).toBe(toHex(pseudo));
    }
  });

  test('fits 255 IPv6 addresses exactly into MAX_ADVERTISEMENT_BYTES', () => {
    const target = dirtyBuffer(MAX_ADVERTISEMENT_BYTES);
    const addresses = Array.from({ length: 255 }, () => ip('2001:db8::1'));
    expect(encodeAdvertisement(target, { ...V3_IPV6, addresses })).toBe(MAX_ADVERTISEMENT_BYTES);
    const tooSmall = dirtyBuffer(MAX_ADVERTISEMENT_BYTES - 1);
    expect(() => encodeAdvertisement(tooSmall, { ...V3_IPV6, addresses })).toThrow(InternalError);
  });

  test.each([
    ['10 ms', 10_000, '0001'],
    ['2.55 s', 2_550_000, '00ff'],
    ['40.95 s', 40_950_000, '0fff'],
  ])('version 3 carries an interval of %s in centiseconds', (_, advertIntervalUs, hex) => {
    const target = dirtyBuffer(64);
    encodeAdvertisement(target, { ...V3, advertIntervalUs });
    expect(toHex(target.subarray(4, 6))).toBe(hex);
  });

  test.each<[string, OutgoingAdvertisement]>([
    ['version 2 over IPv6', { ...V3_IPV6, version: 2 }],
    ['a password in version 3', { ...V3, password: new Uint8Array(8) }],
    ['a password that is not padded', { ...V2, password: new Uint8Array(6) }],
    ['no addresses', { ...V3, addresses: [] }],
    ['256 addresses', { ...V3, addresses: Array.from({ length: 256 }, () => ip('192.0.2.1')) }],
    ['an address of the other family', { ...V3, addresses: [ip('2001:db8::1')] }],
    ['VRID 0', { ...V3, vrid: 0 }],
    ['VRID 256', { ...V3, vrid: 256 }],
    ['priority -1', { ...V3, priority: -1 }],
    ['priority 256', { ...V3, priority: 256 }],
    ['half a second in version 2', { ...V2, advertIntervalUs: 500_000 }],
    ['256 s in version 2', { ...V2, advertIntervalUs: 256_000_000 }],
    ['no interval in version 2', { ...V2, advertIntervalUs: 0 }],
    ['half a centisecond in version 3', { ...V3, advertIntervalUs: 5_000 }],
    ['40.96 s in version 3', { ...V3, advertIntervalUs: 40_960_000 }],
    ['no interval in version 3', { ...V3, advertIntervalUs: 0 }],
  ])('fails on %s', (_, advert) => {
    const target = dirtyBuffer(MAX_ADVERTISEMENT_BYTES);
    expect(() => encodeAdvertisement(target, advert)).toThrow(InternalError);
  });
});

describe('decodeAdvertisement', () => {
  test.each([
    ['version 2', KEEPALIVED_FRAMES.advertV2, V2, 'message'],
    ['version 2, password', KEEPALIVED_FRAMES.advertV2Password, V2_PASSWORD, 'message'],
    ['version 3, IPv4', KEEPALIVED_FRAMES.advertV3Ipv4, V3_PSEUDO, 'pseudo-header'],
    ['version 3, IPv6', KEEPALIVED_FRAMES.advertV3Ipv6, V3_IPV6, 'pseudo-header'],
  ])('%s of keepalived says what it was configured with', (_, frame, configured, checksum) => {
    const decoded = unwrap(decodeAdvertisement(datagramOf(frame)));
    expect(decoded.version).toBe(configured.version);
    expect(decoded.family).toBe(configured.family);
    expect(decoded.vrid).toBe(configured.vrid);
    expect(decoded.priority).toBe(configured.priority);
    expect(decoded.advertIntervalUs).toBe(1_000_000);
    expect(decoded.checksum).toBe(checksum);
    expect(decoded.addressBytes.map(toHex)).toEqual(configured.addresses.map(toHex));
    expect(decoded.authenticationType).toBe(configured.password === null ? 0 : 1);
  });

  test('gives addresses as canonical text', () => {
    const v4 = unwrap(decodeAdvertisement(datagramOf(KEEPALIVED_FRAMES.advertV2)));
    expect(v4.addresses).toEqual(['192.0.2.1', '192.0.2.2']);
    const v6 = unwrap(decodeAdvertisement(datagramOf(KEEPALIVED_FRAMES.advertV3Ipv6)));
    expect(v6.addresses).toEqual(['fe80::1', '2001:db8::1']);
  });

  test('gives the authentication data of version 2 and none in version 3', () => {
    const v2 = unwrap(decodeAdvertisement(datagramOf(KEEPALIVED_FRAMES.advertV2Password)));
    expect(new TextDecoder().decode(v2.authenticationData)).toBe('secret12');
    const v3 = unwrap(decodeAdvertisement(datagramOf(KEEPALIVED_FRAMES.advertV3Ipv4)));
    expect(v3.authenticationData.length).toBe(0);
  });

  test('says which checksum form over IPv4 was right', () => {
    const datagram = datagramOf(KEEPALIVED_FRAMES.advertV3Ipv4);
    const message = withBytes(datagram, rechecksummed(datagram.bytes));
    expect(toHex(message.bytes.subarray(6, 8))).toBe('448b');
    expect(unwrap(decodeAdvertisement(message)).checksum).toBe('message');
    expect(unwrap(decodeAdvertisement(datagram)).checksum).toBe('pseudo-header');
  });

  test('outlives the receive buffer', () => {
    const datagram = datagramOf(KEEPALIVED_FRAMES.advertV2Password);
    const decoded = unwrap(decodeAdvertisement(datagram));
    datagram.bytes.fill(0);
    expect(decoded.addresses).toEqual(['192.0.2.4']);
    expect(new TextDecoder().decode(decoded.authenticationData)).toBe('secret12');
    expect(decoded.vrid).toBe(13);
  });

  test('reads a message at the start of a larger buffer', () => {
    const datagram = datagramOf(KEEPALIVED_FRAMES.advertV2);
    const buffer = dirtyBuffer(2048);
    buffer.set(datagram.bytes);
    const result = decodeAdvertisement({ ...datagram, bytes: buffer });
    expect(unwrap(result).addresses).toEqual(['192.0.2.1', '192.0.2.2']);
  });
});

describe('decodeAdvertisement refuses', () => {
  const v2 = datagramOf(KEEPALIVED_FRAMES.advertV2);
  const v3 = datagramOf(KEEPALIVED_FRAMES.advertV3Ipv4);
  const v6 = datagramOf(KEEPALIVED_FRAMES.advertV3Ipv6);
  const without = (bytes: Uint8Array, count: number) => bytes.subarray(0, bytes.length - count);
  const longer = (bytes: Uint8Array, count: number) => fromHex(toHex(bytes) + '00'.repeat(count));
  const v6Pseudo = pseudoHeaderSum(v6.source, v6.destination, 112, 8);

  test.each([
    ['ttl', 'a decremented TTL', { ...v2, ttl: 254 }, 'TTL or hop limit 254; expected 255'],
    ['ttl', 'a decremented hop limit', { ...v6, ttl: 64 }, 'TTL or hop limit 64; expected 255'],
    [
      'version',
      'version 4',
      withBytes(v3, patched(v3.bytes, { 0: 0x41 })),
      'VRRP version 4; expected 2 or 3',
    ],
    [
      'version',
      'version 2 over IPv6',
      withBytes(v6, patched(v6.bytes, { 0: 0x21 })),
      'VRRP version 2; expected 3 over IPv6',
    ],
    [
      'type',
      'type 2',
      withBytes(v3, patched(v3.bytes, { 0: 0x32 })),
      'VRRP packet type 2; expected 1 (advertisement)',
    ],
    ['truncated', 'nothing', withBytes(v3, new Uint8Array(0)), 'Empty datagram; expected 8 bytes'],
    ['truncated', '7 bytes', withBytes(v3, v3.bytes.subarray(0, 7)), '7 bytes; expected 8 or more'],
    [
      'truncated',
      'a missing byte of an address',
      withBytes(v3, without(v3.bytes, 1)),
      '11 bytes; expected 12 with address count 1',
    ],
    [
      'truncated',
      'version 2 without authentication data',
      withBytes(v2, without(v2.bytes, 8)),
      '16 bytes; expected 24 with address count 2',
    ],
    [
      'truncated',
      'a datagram that did not fit into the buffer',
      { ...v3, bytes: without(v3.bytes, 4), truncated: true },
      '8 or more bytes; expected 12 with address count 1',
    ],
    [
      'oversized',
      'one byte more than the count says',
      withBytes(v3, longer(v3.bytes, 1)),
      '13 bytes; expected 12 with address count 1',
    ],
    [
      'oversized',
      'an address more than the count says',
      withBytes(v3, longer(v3.bytes, 4)),
      '16 bytes; expected 12 with address count 1',
    ],
    [
      'oversized',
      'a whole message with more behind it that was not stored',
      { ...v3, truncated: true },
      '13 or more bytes; expected 12 with address count 1',
    ],
    [
      'oversized',
      'a length beyond the buffer',
      { ...v3, lengthBytes: 40 },
      '40 bytes; expected 12 with address count 1',
    ],
    [
      'checksum',
      'a changed priority in version 2',
      withBytes(v2, patched(v2.bytes, { 2: 100 })),
      'Checksum 0x92ed; expected 0xf6ed',
    ],
    [
      'checksum',
      'a changed priority in version 3',
      withBytes(v3, patched(v3.bytes, { 2: 201 })),
      'Checksum 0xa100; expected 0x438b, or 0xa000 with a pseudo-header',
    ],
    [
      'checksum',
      'a changed priority over IPv6',
      withBytes(v6, patched(v6.bytes, { 2: 101 })),
      'Checksum 0xd68e; expected 0xd58e',
    ],
    [
      'checksum',
      'version 2 with a pseudo-header',
      withBytes(v2, rechecksummed(v2.bytes, pseudoHeaderSum(v2.source, v2.destination, 112, 24))),
      'Checksum 0xef56; expected 0x92ed',
    ],
    [
      'checksum',
      'a message-only checksum over IPv6',
      withBytes(v6, rechecksummed(v6.bytes)),
      'Checksum 0x3e51; expected 0xd68e',
    ],
    [
      'checksum',
      'a pseudo-header of another source',
      { ...v3, source: ip('192.0.2.250') },
      'Checksum 0xa100; expected 0x448b, or 0xa101 with a pseudo-header',
    ],
    [
      'no-addresses',
      'count 0 in version 2',
      withBytes(v2, rechecksummed(fromHex('210ac800000100000000000000000000'))),
      'No addresses; expected 1 or more',
    ],
    [
      'no-addresses',
      'count 0 in version 3',
      withBytes(v3, rechecksummed(fromHex('310bc80000640000'))),
      'No addresses; expected 1 or more',
    ],
    [
      'no-addresses',
      'count 0 over IPv6',
      withBytes(v6, rechecksummed(fromHex('310c640000640000'), v6Pseudo)),
      'No addresses; expected 1 or more',
    ],
    [
      'interval',
      'no interval in version 2',
      withBytes(v2, rechecksummed(patched(v2.bytes, { 5: 0 }))),
      'Advertisement interval 0; expected 1 to 255 seconds',
    ],
    [
      'interval',
      'no interval in version 3, whatever the reserved bits',
      withBytes(v3, rechecksummed(patched(v3.bytes, { 4: 0xf0, 5: 0 }))),
      'Advertisement interval 0; expected 1 to 4095 centiseconds',
    ],
  ])('%s: %s', (reason, _, datagram, detail) => {
    const result = decodeAdvertisement(datagram);
    expect(reasonOf(result)).toBe(reason);
    expect(result.ok ? '' : result.error.detail).toContain(detail);
  });

  test.each([
    [254, { minTtl: 254, maxTtl: 254 }, 'accepted'],
    [0, { minTtl: 0, maxTtl: 255 }, 'accepted'],
    [253, { minTtl: 254, maxTtl: 255 }, 'TTL or hop limit 253; expected 254 to 255'],
    [255, { minTtl: 253, maxTtl: 254 }, 'TTL or hop limit 255; expected 253 to 254'],
    [254, { minTtl: 255, maxTtl: 255 }, 'TTL or hop limit 254; expected 255'],
  ])('TTL %i outside of the bounds of a unicast peer', (ttl, ttlBounds, detail) => {
    const result = decodeAdvertisement({ ...v3, ttl, ttlBounds });
    expect(result.ok ? 'accepted' : result.error.detail).toBe(detail);
  });

  test('for the first reason of REFUSAL_REASONS where several apply', () => {
    // Wrong in every way at first; each step repairs the reason that was just given.
    const bytes = patched(longer(v3.bytes, 1), { 0: 0x42, 3: 0, 4: 0, 5: 0 });
    const steps: [string, Parameters<typeof decodeAdvertisement>[0]][] = [];
    let datagram = { ...withBytes(v3, bytes.subarray(0, 4)), ttl: 1 };
    const next = (reason: string, change: Partial<typeof datagram>) => {
      steps.push([reason, datagram]);
      datagram = { ...datagram, ...change };
    };
    const at = (changes: Record<number, number>, end: number) => {
      const changed = patched(bytes, changes).subarray(0, end);
      return { bytes: changed, lengthBytes: changed.length };
    };
    next('ttl', { ttl: 255 });
    next('version', at({ 0: 0x32 }, 4));
    next('type', at({ 0: 0x31 }, 4));
    next('truncated', at({ 0: 0x31 }, 13));
    next('oversized', at({ 0: 0x31 }, 8));
    const noAddresses = rechecksummed(datagram.bytes);
    next('checksum', { bytes: noAddresses, lengthBytes: noAddresses.length });
    const noInterval = rechecksummed(patched(v3.bytes, { 5: 0 }));
    next('no-addresses', { bytes: noInterval, lengthBytes: noInterval.length });
    next('interval', { bytes: v3.bytes, lengthBytes: v3.bytes.length });
    next('accepted', {});
    for (const [reason, step] of steps) expect(reasonOf(decodeAdvertisement(step))).toBe(reason);
    const reasons = steps.map(([reason]) => reason);
    expect([...reasons.slice(0, -1)]).toEqual(REFUSAL_REASONS.slice(0, 8));
  });
});

describe('peekVrid', () => {
  test('reads the VRID of whatever has one, verified or not', () => {
    expect(peekVrid(fromHex('0033'), 2)).toBe(0x33);
    expect(peekVrid(datagramOf(KEEPALIVED_FRAMES.advertV3Ipv6).bytes, 40)).toBe(12);
  });

  test('is null for what is too short', () => {
    expect(peekVrid(fromHex('2133'), 1)).toBeNull();
    expect(peekVrid(fromHex('21'), 2)).toBeNull();
  });
});
