/** The internet checksum against RFC 1071's own example and packets that other programs sent. */
import { describe, expect, test } from 'vitest';
import {
  finishChecksum,
  onesComplementSum,
  pseudoHeaderSum,
} from '../../../../src/core/wire/checksum.ts';
import { datagramOf, fromHex, KEEPALIVED_FRAMES } from './frames.ts';

describe('onesComplementSum', () => {
  test('sums the example of RFC 1071 section 3', () => {
    expect(onesComplementSum(fromHex('0001f203f4f5f6f7'), 0, 8, 0)).toBe(0xddf2);
  });

  test('pads an odd last byte with zero', () => {
    expect(onesComplementSum(fromHex('0102ff'), 0, 3, 0)).toBe((0x0102 + 0xff00) % 0xffff);
  });

  test('does not take what follows an odd range for its padding', () => {
    expect(onesComplementSum(fromHex('0102ff99'), 0, 3, 0)).toBe((0x0102 + 0xff00) % 0xffff);
  });

  test('is the initial value over an empty range', () => {
    expect(onesComplementSum(fromHex('ffff'), 1, 1, 0x1234)).toBe(0x1234);
    expect(onesComplementSum(fromHex(''), 0, 0, 0x1fffe)).toBe(0xffff);
  });

  test('reads from start to end only', () => {
    expect(onesComplementSum(fromHex('ffff00010002ffff'), 2, 6, 0)).toBe(3);
  });

  test('folds every carry, also those that folding makes', () => {
    expect(onesComplementSum(fromHex('ffffffff'), 0, 4, 0)).toBe(0xffff);
    expect(onesComplementSum(fromHex('ffff0001'), 0, 4, 0)).toBe(1);
    expect(onesComplementSum(fromHex('0001'), 0, 2, 0xffff_ffff)).toBe(1);
  });

  test('is exact beyond 32 bits of unfolded sum', () => {
    const bytes = new Uint8Array(300_000).fill(0xff);
    bytes[299_999] = 0xfe;
    expect(onesComplementSum(bytes, 0, bytes.length, 0)).toBe(0xfffe);
  });

  test('gives the same over two ranges as over one', () => {
    const bytes = fromHex('0001f203f4f5f6f7');
    const half = onesComplementSum(bytes, 0, 4, 0);
    expect(onesComplementSum(bytes, 4, 8, half)).toBe(0xddf2);
  });
});

describe('pseudoHeaderSum', () => {
  test('verifies an IPv4 advertisement of keepalived', () => {
    const { bytes, source, destination } = datagramOf(KEEPALIVED_FRAMES.advertV3Ipv4);
    const pseudo = pseudoHeaderSum(source, destination, 112, bytes.length);
    expect(finishChecksum(onesComplementSum(bytes, 0, bytes.length, pseudo))).toBe(0);
  });

  test('verifies an IPv6 advertisement that the kernel checksummed', () => {
    const { bytes, source, destination } = datagramOf(KEEPALIVED_FRAMES.advertV3Ipv6);
    const pseudo = pseudoHeaderSum(source, destination, 112, bytes.length);
    expect(finishChecksum(onesComplementSum(bytes, 0, bytes.length, pseudo))).toBe(0);
  });

  test('counts both words of a length over 65535', () => {
    const none = new Uint8Array(16);
    expect(pseudoHeaderSum(none, none, 112, 0x2_0003)).toBe(112 + 2 + 3);
  });
});

describe('finishChecksum', () => {
  test('is the ones complement in 16 bits', () => {
    expect(finishChecksum(0xddf2)).toBe(0x220d);
    expect(finishChecksum(0)).toBe(0xffff);
    expect(finishChecksum(0xffff)).toBe(0);
  });
});
