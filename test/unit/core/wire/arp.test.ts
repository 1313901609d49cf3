/** Gratuitous ARP, byte for byte as keepalived sends it, and the decoder's refusals. */
import { describe, expect, test } from 'vitest';
import { InternalError } from '../../../../src/core/assert.ts';
import {
  ARP_FRAME_BYTES,
  decodeArp,
  encodeArpProbe,
  encodeGratuitousArp,
} from '../../../../src/core/wire/arp.ts';
import { BROADCAST_MAC } from '../../../../src/core/wire/ethernet.ts';
import {
  dirtyBuffer,
  fromHex,
  KEEPALIVED_FRAMES,
  patched,
  reasonOf,
  toHex,
  unwrap,
} from './frames.ts';

describe('encodeGratuitousArp', () => {
  test.each([
    ['the interface', '7eaa637c8a6d', 'c0000201', KEEPALIVED_FRAMES.arp],
    ['a virtual router', '00005e00010b', 'c0000203', KEEPALIVED_FRAMES.arpVirtualMac],
  ])('from the MAC address of %s equals the frame of keepalived', (_, mac, vip, frame) => {
    const target = dirtyBuffer(60);
    const arp = { senderMac: fromHex(mac), vip: fromHex(vip), targetMac: BROADCAST_MAC };
    expect(encodeGratuitousArp(target, arp)).toBe(42);
    expect(toHex(target.subarray(0, 42))).toBe(frame);
    expect(toHex(target.subarray(42))).toBe('a5'.repeat(18));
  });

  test('puts the target MAC address into the packet, not into the Ethernet header', () => {
    const target = dirtyBuffer(ARP_FRAME_BYTES);
    const senderMac = fromHex('00005e00010b');
    const arp = { senderMac, vip: fromHex('c0000203'), targetMac: senderMac };
    encodeGratuitousArp(target, arp);
    const decoded = unwrap(decodeArp(target));
    expect(toHex(decoded.targetMac)).toBe('00005e00010b');
    expect(toHex(decoded.destinationMac)).toBe('ffffffffffff');
  });

  test('fails on a buffer too small, an IPv6 address and a long MAC address', () => {
    const arp = { senderMac: BROADCAST_MAC, vip: fromHex('c0000201'), targetMac: BROADCAST_MAC };
    const encode = (target: Uint8Array, change: object) => () =>
      encodeGratuitousArp(target, { ...arp, ...change });
    expect(encode(dirtyBuffer(41), {})).toThrow(InternalError);
    expect(encode(dirtyBuffer(42), { vip: new Uint8Array(16) })).toThrow(InternalError);
    expect(encode(dirtyBuffer(42), { senderMac: new Uint8Array(8) })).toThrow(InternalError);
    expect(encode(dirtyBuffer(42), { targetMac: new Uint8Array(8) })).toThrow(InternalError);
  });
});

describe('encodeArpProbe', () => {
  const mac = fromHex('7eaa637c8a6d');

  test('asks for an address and says none of its own (RFC 5227 section 2.1.1)', () => {
    const target = dirtyBuffer(60);
    expect(encodeArpProbe(target, mac, fromHex('c0000203'))).toBe(42);
    expect(toHex(target.subarray(0, 42))).toBe(
      'ffffffffffff7eaa637c8a6d0806' +
        '00010800060400017eaa637c8a6d00000000' +
        '000000000000c0000203',
    );
    expect(toHex(target.subarray(42))).toBe('a5'.repeat(18));
  });

  test('fails on a buffer too small, an IPv6 address and a long MAC address', () => {
    const vip = fromHex('c0000201');
    const encode =
      (...args: Parameters<typeof encodeArpProbe>) =>
      () =>
        encodeArpProbe(...args);
    expect(encode(dirtyBuffer(41), mac, vip)).toThrow(InternalError);
    expect(encode(dirtyBuffer(42), mac, new Uint8Array(16))).toThrow(InternalError);
    expect(encode(dirtyBuffer(42), new Uint8Array(8), vip)).toThrow(InternalError);
  });
});

describe('decodeArp', () => {
  const frame = fromHex(KEEPALIVED_FRAMES.arp);

  test('reads a padded request', () => {
    const decoded = unwrap(decodeArp(fromHex(KEEPALIVED_FRAMES.arp + '00'.repeat(18))));
    expect(decoded.operation).toBe('request');
    expect(toHex(decoded.sourceMac)).toBe('7eaa637c8a6d');
    expect(toHex(decoded.senderMac)).toBe('7eaa637c8a6d');
    expect(toHex(decoded.senderIp)).toBe('c0000201');
    expect(toHex(decoded.targetIp)).toBe('c0000201');
    expect(toHex(decoded.targetMac)).toBe('ffffffffffff');
  });

  test('reads a reply', () => {
    expect(unwrap(decodeArp(patched(frame, { 21: 2 }))).operation).toBe('reply');
  });

  test.each([
    ['another EtherType', { 12: 0x86, 13: 0xdd }],
    ['another hardware type', { 15: 6 }],
    ['another protocol', { 16: 0x86 }],
    ['another hardware address length', { 18: 8 }],
    ['another protocol address length', { 19: 16 }],
    ['operation 0', { 21: 0 }],
    ['operation 3', { 21: 3 }],
  ])('refuses %s', (_, changes) => {
    expect(reasonOf(decodeArp(patched(frame, changes)))).toBe('unsupported');
  });

  test('refuses every shorter length', () => {
    for (let length = 0; length < 42; length++) {
      expect(reasonOf(decodeArp(frame.subarray(0, length)))).toBe('truncated');
    }
  });
});
