/** Messages about neighbours, as a Linux kernel sent them. */
import { describe, expect, test } from 'vitest';
import { MessageCursor } from '../../../../src/linux/netlink/message.ts';
import { decodeNeighbor, type Neighbor } from '../../../../src/linux/netlink/neighbors.ts';
import { fromHex } from '../../core/wire/frames.ts';

const IPV4 =
  '4c0000001c00020001000000ed520000020000000300000080000001080001000a0900020a000200525400000001' +
  '00000800040000000000140003000f0000000f0000000f00000000000000';
const IPV6 =
  '580000001c00020001000000ed5200000a00000003000000800000011400010020010db8000000000000000000000002' +
  '0a00020052540000000100000800040000000000140003000e0000000e0000000e00000000000000';

function decoded(hex: string): Neighbor | 'other' | null {
  const bytes = fromHex(hex);
  const cursor = new MessageCursor(bytes);
  cursor.start(bytes.length);
  expect(cursor.next()).toBe(true);
  return decodeNeighbor(cursor);
}

describe('decodeNeighbor', () => {
  test.each([
    ['IPv4', IPV4, '10.9.0.2'],
    ['IPv6', IPV6, '2001:db8::2'],
  ])('reads one of %s', (_, hex, address) => {
    expect(decoded(hex)).toEqual({ interfaceIndex: 3, address, mac: '52:54:00:00:00:01' });
  });

  test('leaves out one without a hardware address, and those of bridges', () => {
    // The attribute gets a type that nobody knows; the family becomes AF_BRIDGE.
    expect(decoded(IPV4.replace('0a000200525400000001', '0a007f00525400000001'))).toBe('other');
    expect(decoded(IPV4.replace('ed520000020000', 'ed520000070000'))).toBe('other');
  });

  test('refuses a damaged one', () => {
    expect(decoded(IPV4.replace('080001000a090002', 'ff0001000a090002'))).toBeNull();
  });
});
