/** IPv4 headers against a frame that the kernel sent for keepalived. */
import { describe, expect, test } from 'vitest';
import { InternalError } from '../../../../src/core/assert.ts';
import { writeU16 } from '../../../../src/core/wire/bytes.ts';
import { finishChecksum, onesComplementSum } from '../../../../src/core/wire/checksum.ts';
import { decodeIpv4, encodeIpv4Header } from '../../../../src/core/wire/ipv4.ts';
import {
  dirtyBuffer,
  fromHex,
  KEEPALIVED_FRAMES,
  patched,
  reasonOf,
  toHex,
  unwrap,
} from './frames.ts';

const frame = fromHex(KEEPALIVED_FRAMES.advertV2);
const packet = frame.subarray(14);
const header = {
  source: fromHex('c00002fb'),
  destination: fromHex('e0000012'),
  protocol: 112,
  ttl: 255,
  trafficClass: 0xc0,
  identification: 1,
  payloadBytes: 24,
};

/** The packet with changes in its header and a right header checksum again. */
function changed(changes: Readonly<Record<number, number>>): Uint8Array {
  const copy = patched(packet, { ...changes, 10: 0, 11: 0 });
  const headerBytes = ((copy[0] as number) & 0x0f) * 4;
  writeU16(copy, 10, finishChecksum(onesComplementSum(copy, 0, headerBytes, 0)));
  return copy;
}

describe('encodeIpv4Header', () => {
  test('equals the header that keepalived sent, at any offset', () => {
    const target = dirtyBuffer(40);
    expect(encodeIpv4Header(target, 3, header)).toBe(20);
    expect(toHex(target)).toBe(
      `${'a5'.repeat(3)}${toHex(packet.subarray(0, 20))}${'a5'.repeat(17)}`,
    );
  });

  test('fails on a buffer too small and a payload too long', () => {
    expect(() => encodeIpv4Header(dirtyBuffer(22), 3, header)).toThrow(InternalError);
    const long = { ...header, payloadBytes: 65_516 };
    expect(() => encodeIpv4Header(dirtyBuffer(20), 0, long)).toThrow(InternalError);
  });
});

describe('decodeIpv4', () => {
  test('reads the packet of keepalived', () => {
    const decoded = unwrap(decodeIpv4(frame, 14));
    expect(decoded).toEqual({ ...header, payloadStart: 34 });
  });

  test('cuts off Ethernet padding', () => {
    const padded = fromHex(`${KEEPALIVED_FRAMES.advertV3Ipv4}${'00'.repeat(14)}`);
    expect(unwrap(decodeIpv4(padded, 14)).payloadBytes).toBe(12);
  });

  test('skips options', () => {
    // 4 bytes of the payload become a router alert's place: header length 6 words.
    const decoded = unwrap(decodeIpv4(changed({ 0: 0x46 }), 0));
    expect(decoded.payloadStart).toBe(24);
    expect(decoded.payloadBytes).toBe(20);
  });

  test.each([
    ['version 6', { 0: 0x65 }, 'unsupported'],
    ['a header of 16 bytes', { 0: 0x44 }, 'malformed'],
    ['a packet shorter than its header', { 3: 19 }, 'malformed'],
    ['more bytes than there are', { 3: 45 }, 'truncated'],
    ['a first fragment', { 6: 0x20 }, 'unsupported'],
    ['a later fragment', { 7: 1 }, 'unsupported'],
  ])('refuses %s', (_, changes, reason) => {
    expect(reasonOf(decodeIpv4(changed(changes), 0))).toBe(reason);
  });

  test('takes a packet that must not be fragmented', () => {
    expect(reasonOf(decodeIpv4(changed({ 6: 0x40 }), 0))).toBe('accepted');
  });

  test('refuses a wrong header checksum, but does not cover the payload', () => {
    expect(reasonOf(decodeIpv4(patched(packet, { 8: 254 }), 0))).toBe('checksum');
    expect(reasonOf(decodeIpv4(patched(packet, { 20: 0 }), 0))).toBe('accepted');
  });

  test('refuses every shorter length, and an offset past the end', () => {
    for (let length = 0; length < packet.length; length++) {
      expect(reasonOf(decodeIpv4(packet.subarray(0, length), 0))).toBe('truncated');
    }
    expect(reasonOf(decodeIpv4(packet, 1000))).toBe('truncated');
  });
});
