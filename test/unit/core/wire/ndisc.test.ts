/** Unsolicited neighbour advertisements as keepalived sends them, and RFC 4861's validity rules. */
import { describe, expect, test } from 'vitest';
import { InternalError } from '../../../../src/core/assert.ts';
import { writeU16 } from '../../../../src/core/wire/bytes.ts';
import {
  finishChecksum,
  onesComplementSum,
  pseudoHeaderSum,
} from '../../../../src/core/wire/checksum.ts';
import {
  decodeNaMessage,
  decodeNeighborAdvertisement,
  encodeNeighborSolicitation,
  encodeUnsolicitedNa,
  NA_FRAME_BYTES,
  solicitedNodeGroup,
} from '../../../../src/core/wire/ndisc.ts';
import {
  dirtyBuffer,
  fromHex,
  KEEPALIVED_FRAMES,
  patched,
  reasonOf,
  toHex,
  unwrap,
} from './frames.ts';

const senderMac = fromHex('7eaa637c8a6d');
const vip = fromHex('20010db8000000000000000000000001');
const frame = fromHex(KEEPALIVED_FRAMES.naGlobal);

/** The frame with changes and a right ICMPv6 checksum again, whatever length it now says. */
function changed(changes: Readonly<Record<number, number>>): Uint8Array {
  const copy = patched(frame, { ...changes, 56: 0, 57: 0 });
  const length = copy[19] as number;
  const pseudo = pseudoHeaderSum(copy.subarray(22, 38), copy.subarray(38, 54), 58, length);
  writeU16(copy, 56, finishChecksum(onesComplementSum(copy, 54, 54 + length, pseudo)));
  return copy;
}

describe('encodeUnsolicitedNa', () => {
  test.each([
    ['fe800000000000000000000000000001', KEEPALIVED_FRAMES.naLinkLocal],
    ['20010db8000000000000000000000001', KEEPALIVED_FRAMES.naGlobal],
  ])('for %s equals the frame of keepalived', (address, expected) => {
    const target = dirtyBuffer(100);
    const na = { senderMac, vip: fromHex(address), router: false, override: true };
    expect(encodeUnsolicitedNa(target, na)).toBe(86);
    expect(toHex(target.subarray(0, 86))).toBe(expected);
    expect(toHex(target.subarray(86))).toBe('a5'.repeat(14));
  });

  test.each([
    [false, false, 0x00],
    [false, true, 0x20],
    [true, false, 0x80],
    [true, true, 0xa0],
  ])('with router %s and override %s sets flags only those', (router, override, flags) => {
    const target = dirtyBuffer(NA_FRAME_BYTES);
    encodeUnsolicitedNa(target, { senderMac, vip, router, override });
    expect(target[58]).toBe(flags);
    const decoded = unwrap(decodeNeighborAdvertisement(target));
    expect([decoded.router, decoded.override, decoded.solicited]).toEqual([
      router,
      override,
      false,
    ]);
  });

  test('fails on a buffer too small, an IPv4 address and a long MAC address', () => {
    const na = { senderMac, vip, router: true, override: true };
    const encode = (target: Uint8Array, change: object) => () =>
      encodeUnsolicitedNa(target, { ...na, ...change });
    expect(encode(dirtyBuffer(85), {})).toThrow(InternalError);
    expect(encode(dirtyBuffer(86), { vip: new Uint8Array(4) })).toThrow(InternalError);
    expect(encode(dirtyBuffer(86), { senderMac: new Uint8Array(8) })).toThrow(InternalError);
  });
});

describe('encodeNeighborSolicitation', () => {
  test('asks for an address, with the own hardware address and a checksum of 0', () => {
    const target = dirtyBuffer(40);
    expect(encodeNeighborSolicitation(target, senderMac, vip)).toBe(32);
    expect(toHex(target.subarray(0, 32))).toBe(
      '8700000000000000' + '20010db8000000000000000000000001' + '01017eaa637c8a6d',
    );
    expect(toHex(target.subarray(32))).toBe('a5'.repeat(8));
  });

  test('fails on a buffer too small, an IPv4 address and a long MAC address', () => {
    const encode = (...args: Parameters<typeof encodeNeighborSolicitation>) => {
      return () => encodeNeighborSolicitation(...args);
    };
    expect(encode(dirtyBuffer(31), senderMac, vip)).toThrow(InternalError);
    expect(encode(dirtyBuffer(32), senderMac, new Uint8Array(4))).toThrow(InternalError);
    expect(encode(dirtyBuffer(32), new Uint8Array(8), vip)).toThrow(InternalError);
  });

  test('goes to the group of the last 24 bits (RFC 4291 section 2.7.1)', () => {
    const group = solicitedNodeGroup(fromHex('40370000000000000000080020 0e8c6c'.replace(' ', '')));
    expect(toHex(group)).toBe('ff0200000000000000000001ff0e8c6c');
  });
});

describe('decodeNaMessage', () => {
  test('reads the message of a frame, wherever it stands', () => {
    const inFrame = unwrap(decodeNaMessage(frame, 54));
    expect(unwrap(decodeNaMessage(frame.slice(54)))).toEqual(inFrame);
    expect(toHex(inFrame.target)).toBe(toHex(vip));
    expect(toHex(inFrame.targetMac as Uint8Array)).toBe('7eaa637c8a6d');
    expect(inFrame.solicited).toBe(false);
  });

  test('refuses what is too short, a solicitation and a multicast target', () => {
    const message = frame.slice(54);
    expect(reasonOf(decodeNaMessage(message.subarray(0, 23)))).toBe('truncated');
    expect(reasonOf(decodeNaMessage(patched(message, { 0: 135 })))).toBe('unsupported');
    expect(reasonOf(decodeNaMessage(patched(message, { 8: 0xff })))).toBe('malformed');
  });
});

describe('decodeNeighborAdvertisement', () => {
  test('reads the frame of keepalived', () => {
    const decoded = unwrap(decodeNeighborAdvertisement(frame));
    expect(toHex(decoded.destinationMac)).toBe('333300000001');
    expect(toHex(decoded.sourceMac)).toBe('7eaa637c8a6d');
    expect(toHex(decoded.source)).toBe(toHex(vip));
    expect(toHex(decoded.destination)).toBe('ff020000000000000000000000000001');
    expect(toHex(decoded.target)).toBe(toHex(vip));
    expect(toHex(decoded.targetMac as Uint8Array)).toBe('7eaa637c8a6d');
  });

  test('skips options that it does not know', () => {
    expect(unwrap(decodeNeighborAdvertisement(changed({ 78: 14 }))).targetMac).toBeNull();
  });

  test.each([
    ['another EtherType', { 12: 0x08, 13: 0x00 }, 'unsupported'],
    ['another next header', { 20: 17 }, 'unsupported'],
    ['a neighbour solicitation', { 54: 135 }, 'unsupported'],
    ['another code', { 55: 1 }, 'unsupported'],
    ['a hop limit that a router has decremented', { 21: 254 }, 'malformed'],
    ['a multicast target', { 62: 0xff }, 'malformed'],
    ['an answer to a solicitation sent to all nodes', { 58: 0x60 }, 'malformed'],
    ['an option of length zero', { 79: 0 }, 'malformed'],
    ['an option longer than the packet', { 79: 2 }, 'malformed'],
    ['half an option', { 19: 28 }, 'malformed'],
    ['an option that ends after its type', { 19: 25 }, 'malformed'],
  ])('refuses %s', (_, changes, reason) => {
    expect(reasonOf(decodeNeighborAdvertisement(changed(changes)))).toBe(reason);
  });

  test('takes an advertisement without options', () => {
    expect(unwrap(decodeNeighborAdvertisement(changed({ 19: 24 }))).targetMac).toBeNull();
  });

  test('refuses a type without a length at the very end of the frame', () => {
    const result = decodeNeighborAdvertisement(changed({ 19: 25 }).subarray(0, 79));
    expect(reasonOf(result)).toBe('malformed');
  });

  test('refuses a wrong checksum', () => {
    const result = decodeNeighborAdvertisement(patched(frame, { 85: 0x6e }));
    expect(reasonOf(result)).toBe('checksum');
  });

  test('refuses every shorter length', () => {
    for (let length = 0; length < 86; length++) {
      const result = decodeNeighborAdvertisement(frame.subarray(0, length));
      expect(reasonOf(result)).toBe('truncated');
    }
  });

  test('refuses an ICMPv6 message shorter than its fixed part', () => {
    expect(reasonOf(decodeNeighborAdvertisement(patched(frame, { 19: 23 })))).toBe('truncated');
  });
});
