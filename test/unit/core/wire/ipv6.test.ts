/** IPv6 headers against frames that the kernel sent for keepalived. */
import { describe, expect, test } from 'vitest';
import { InternalError } from '../../../../src/core/assert.ts';
import { decodeIpv6, encodeIpv6Header } from '../../../../src/core/wire/ipv6.ts';
import {
  dirtyBuffer,
  fromHex,
  KEEPALIVED_FRAMES,
  patched,
  reasonOf,
  toHex,
  unwrap,
} from './frames.ts';

const frame = fromHex(KEEPALIVED_FRAMES.advertV3Ipv6);
const packet = frame.subarray(14);
const header = {
  source: fromHex('fe800000000000007caa63fffe7c8a6d'),
  destination: fromHex('ff020000000000000000000000000012'),
  nextHeader: 112,
  hopLimit: 255,
  trafficClass: 0xc0,
  flowLabel: 0x6674e,
  payloadBytes: 40,
};

describe('encodeIpv6Header', () => {
  test('equals the header that keepalived sent, at any offset', () => {
    const target = dirtyBuffer(50);
    expect(encodeIpv6Header(target, 3, header)).toBe(40);
    expect(toHex(target)).toBe(
      `${'a5'.repeat(3)}${toHex(packet.subarray(0, 40))}${'a5'.repeat(7)}`,
    );
  });

  test('keeps all bits of traffic class and flow label apart', () => {
    const target = dirtyBuffer(40);
    encodeIpv6Header(target, 0, { ...header, trafficClass: 0xff, flowLabel: 0 });
    expect(toHex(target.subarray(0, 4))).toBe('6ff00000');
    encodeIpv6Header(target, 0, { ...header, trafficClass: 0, flowLabel: 0xfffff });
    expect(toHex(target.subarray(0, 4))).toBe('600fffff');
  });

  test('fails on a buffer too small and a payload too long', () => {
    expect(() => encodeIpv6Header(dirtyBuffer(42), 3, header)).toThrow(InternalError);
    const long = { ...header, payloadBytes: 65_536 };
    expect(() => encodeIpv6Header(dirtyBuffer(40), 0, long)).toThrow(InternalError);
  });
});

describe('decodeIpv6', () => {
  test('reads the packet of keepalived', () => {
    expect(unwrap(decodeIpv6(frame, 14))).toEqual({ ...header, payloadStart: 54 });
  });

  test('cuts off what follows the payload', () => {
    const padded = fromHex(`${KEEPALIVED_FRAMES.advertV3Ipv6}ffff`);
    expect(unwrap(decodeIpv6(padded, 14)).payloadBytes).toBe(40);
  });

  test('refuses another IP version', () => {
    expect(reasonOf(decodeIpv6(patched(packet, { 0: 0x45 }), 0))).toBe('unsupported');
  });

  test('refuses every shorter length, and an offset past the end', () => {
    for (let length = 0; length < packet.length; length++) {
      expect(reasonOf(decodeIpv6(packet.subarray(0, length), 0))).toBe('truncated');
    }
    expect(reasonOf(decodeIpv6(packet, 1000))).toBe('truncated');
  });
});
