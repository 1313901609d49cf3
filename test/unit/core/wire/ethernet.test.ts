/** Ethernet headers and derived MAC addresses. */
import { describe, expect, test } from 'vitest';
import {
  BROADCAST_MAC,
  decodeEthernetHeader,
  ETHERTYPE_ARP,
  encodeEthernetHeader,
  formatMac,
  multicastMac,
  parseMac,
  virtualRouterMac,
} from '../../../../src/core/wire/ethernet.ts';
import { VRRP_GROUP_IPV4, VRRP_GROUP_IPV6 } from '../../../../src/core/wire/vrrp.ts';
import { dirtyBuffer, fromHex, reasonOf, toHex, unwrap } from './frames.ts';

describe('encodeEthernetHeader', () => {
  test('writes 14 bytes and none after', () => {
    const target = dirtyBuffer(16);
    const source = fromHex('00005e00010b');
    expect(encodeEthernetHeader(target, BROADCAST_MAC, source, ETHERTYPE_ARP)).toBe(14);
    expect(toHex(target)).toBe('ffffffffffff00005e00010b0806a5a5');
  });
});

describe('decodeEthernetHeader', () => {
  test('gives copies of the addresses', () => {
    const frame = fromHex('ffffffffffff00005e00010b0806');
    const header = unwrap(decodeEthernetHeader(frame));
    frame.fill(0);
    expect(toHex(header.destination)).toBe('ffffffffffff');
    expect(toHex(header.source)).toBe('00005e00010b');
    expect(header.etherType).toBe(ETHERTYPE_ARP);
  });

  test('refuses 13 bytes', () => {
    expect(reasonOf(decodeEthernetHeader(new Uint8Array(13)))).toBe('truncated');
  });
});

test('virtualRouterMac follows RFC 9568 section 7.3 in both families', () => {
  expect(toHex(virtualRouterMac('ipv4', 11))).toBe('00005e00010b');
  expect(toHex(virtualRouterMac('ipv6', 255))).toBe('00005e0002ff');
});

test('multicastMac maps the VRRP groups as keepalived and the kernel do', () => {
  expect(toHex(multicastMac(VRRP_GROUP_IPV4))).toBe('01005e000012');
  expect(toHex(multicastMac(VRRP_GROUP_IPV6))).toBe('333300000012');
});

test('multicastMac keeps 23 bits of an IPv4 group and 32 of an IPv6 group', () => {
  expect(toHex(multicastMac(fromHex('efffffff')))).toBe('01005e7fffff');
  expect(toHex(multicastMac(fromHex('ff0200000000000000000001ffaa6ea7')))).toBe('3333ffaa6ea7');
});

describe('formatMac and parseMac', () => {
  test('read what they write, with colons or dashes and in either case', () => {
    const mac = Uint8Array.of(0, 0, 0x5e, 0, 1, 0xfe);
    expect(formatMac(mac)).toBe('00:00:5e:00:01:fe');
    for (const text of ['00:00:5e:00:01:fe', '00-00-5E-00-01-FE']) {
      expect(parseMac(text)).toEqual(mac);
    }
  });

  test('refuse other text', () => {
    for (const text of [
      '',
      '00:00:5e:00:01',
      '00:00-5e:00:01:fe',
      '0:0:5e:0:1:fe',
      'x0:00:5e:00:01:fe',
    ]) {
      expect(parseMac(text), text).toBeNull();
    }
  });
});
