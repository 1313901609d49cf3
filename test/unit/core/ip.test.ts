/**
 * IP addresses as text and bytes. The oracle for IPv6 is Node's own inet_pton and inet_ntop,
 * which know nothing of our parser.
 */
import { isIP, SocketAddress } from 'node:net';
import { describe, expect, test } from 'vitest';
import {
  canonicalIp,
  compareIp,
  formatIp,
  ipFamily,
  parseIp,
  parseIpv4,
  parseIpv6,
} from '../../../src/core/ip.ts';
import { fromHex, toHex } from './wire/frames.ts';

describe('parseIpv4', () => {
  test.each([
    ['0.0.0.0', '00000000'],
    ['192.0.2.1', 'c0000201'],
    ['255.255.255.255', 'ffffffff'],
    ['1.20.100.9', '01146409'],
  ])('reads %s', (text, hex) => {
    expect(toHex(parseIpv4(text) as Uint8Array)).toBe(hex);
  });

  test.each([
    '',
    '1',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.',
    '.1.2.3',
    '1..2.3',
    '256.1.1.1',
    '1.1.1.999',
    '01.1.1.1',
    '1.1.1.00',
    '0x1.1.1.1',
    '1.1.1.-1',
    '+1.1.1.1',
    ' 1.1.1.1',
    '1.1.1.1 ',
    '1.1.1.1\n',
    '1.1.1.1/24',
    '1.1.1.1e0',
    '١.1.1.1',
    'localhost',
  ])('refuses %j', (text) => {
    expect(parseIpv4(text)).toBeNull();
    expect(parseIp(text)).toBeNull();
  });
});

describe('parseIpv6', () => {
  test.each([
    ['::', '00000000000000000000000000000000'],
    ['::1', '00000000000000000000000000000001'],
    ['1::', '00010000000000000000000000000000'],
    ['fe80::1', 'fe800000000000000000000000000001'],
    ['2001:DB8::A', '20010db800000000000000000000000a'],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
    ['::2:3:4:5:6:7:8', '00000002000300040005000600070008'],
    ['1:2:3:4:5:6:7::', '00010002000300040005000600070000'],
    ['1:2:3::5:6:7:8', '00010002000300000005000600070008'],
    ['0001:0002::0', '00010002000000000000000000000000'],
    ['::ffff:192.0.2.1', '00000000000000000000ffffc0000201'],
    ['64:ff9b::192.0.2.33', '0064ff9b0000000000000000c0000221'],
    ['1:2:3:4:5:6:192.0.2.1', '000100020003000400050006c0000201'],
    ['::1:2:3:4:5:192.0.2.1', '000000010002000300040005c0000201'],
  ])('reads %s', (text, hex) => {
    expect(toHex(parseIpv6(text) as Uint8Array)).toBe(hex);
    expect(isIP(text)).toBe(6);
  });

  test.each([
    ':',
    ':::',
    '::1::',
    '1::2::3',
    ':1',
    '1:',
    ':1::',
    '::1:',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    '::1:2:3:4:5:6:7:8',
    '1:2:3:4::5:6:7:8',
    '12345::',
    'g::1',
    '::-1',
    '::1%eth0',
    'fe80::1/64',
    '[::1]',
    '1.2.3.4::',
    '::1.2.3.4:5',
    '::1.2.3',
    '::1.2.3.256',
    '::01.2.3.4',
    '1:2:3:4:5:6:7:1.2.3.4',
    '1:2:3:4:5:1.2.3.4',
    '::1\n',
    ' ::1',
  ])('refuses %j', (text) => {
    expect(parseIpv6(text)).toBeNull();
    expect(parseIp(text)).toBeNull();
  });
});

describe('formatIp', () => {
  test.each([
    // RFC 5952 sections 4.1 to 4.3.
    ['20010db8000000000001000000000001', '2001:db8::1:0:0:1'],
    ['20010db8000000010001000100010001', '2001:db8:0:1:1:1:1:1'],
    ['20010000000000010000000000000001', '2001:0:0:1::1'],
    ['20010db80000000000010000000000aa', '2001:db8::1:0:0:aa'],
    ['00000000000000000000000000000000', '::'],
    ['00000000000000000000000000000001', '::1'],
    ['00010000000000000000000000000000', '1::'],
    ['00010002000300040005000600070000', '1:2:3:4:5:6:7:0'],
    ['00000002000300040005000600070008', '0:2:3:4:5:6:7:8'],
    ['00000000000300040005000600070008', '::3:4:5:6:7:8'],
    ['00010002000300040005000600000000', '1:2:3:4:5:6::'],
    ['abcdef01000000000000000000000000', 'abcd:ef01::'],
    // RFC 5952 section 5.
    ['00000000000000000000ffffc0000201', '::ffff:192.0.2.1'],
    ['00000000000000000001ffffc0000201', '::1:ffff:c000:201'],
    ['ffffffffffffffffffffffffffffffff', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ])('writes %s canonically', (hex, text) => {
    expect(formatIp(fromHex(hex), 'ipv6')).toBe(text);
    expect(new SocketAddress({ address: text, family: 'ipv6' }).address).toBe(text);
  });

  test('writes dotted quads, and reads at the offset it is given', () => {
    const bytes = fromHex('ffc0000201ff20010db800000000000000000000000aff');
    expect(formatIp(bytes, 'ipv4', 1)).toBe('192.0.2.1');
    expect(formatIp(bytes, 'ipv6', 6)).toBe('2001:db8::a');
  });

  test('agrees with inet_ntop for every pattern of zero groups', () => {
    for (let pattern = 0; pattern < 256; pattern++) {
      const groups = Array.from({ length: 8 }, (_, index) => ((pattern >> index) & 1) * 0xab0c);
      const text = groups.map((group) => group.toString(16)).join(':');
      const ours = formatIp(parseIpv6(text) as Uint8Array, 'ipv6');
      const canonical = new SocketAddress({ address: text, family: 'ipv6' }).address;
      // inet_ntop also writes the obsolete IPv4-compatible form (::a.b.c.d), which we do not.
      if (!canonical.includes('.')) expect(ours).toBe(canonical);
      expect(toHex(parseIpv6(ours) as Uint8Array)).toBe(toHex(parseIpv6(text) as Uint8Array));
    }
  });
});

describe('canonicalIp', () => {
  test('gives equal texts for equal addresses and null for no address', () => {
    expect(canonicalIp('2001:0DB8:0:0:0:0:0:1')).toBe('2001:db8::1');
    expect(canonicalIp('::FFFF:c000:201')).toBe('::ffff:192.0.2.1');
    expect(canonicalIp('192.0.2.1')).toBe('192.0.2.1');
    expect(canonicalIp('192.0.2.01')).toBeNull();
    expect(canonicalIp('web.example')).toBeNull();
  });
});

describe('ipFamily', () => {
  test('tells IPv6 from IPv4, mapped addresses included', () => {
    expect(ipFamily('192.0.2.1')).toBe('ipv4');
    expect(ipFamily('::1')).toBe('ipv6');
    expect(ipFamily('::ffff:192.0.2.1')).toBe('ipv6');
  });
});

describe('compareIp', () => {
  test.each([
    ['192.0.2.1', '192.0.2.1', 0],
    ['192.0.2.1', '192.0.2.2', -1],
    ['192.0.2.200', '192.0.2.100', 1],
    ['9.255.255.255', '10.0.0.0', -1],
    ['128.0.0.0', '127.255.255.255', 1],
    ['fe80::1', 'fe80::ffff', -1],
    ['fe80::8000:0:0:0', 'fe80::7fff:ffff:ffff:ffff', 1],
  ])('compares %s with %s as unsigned integers in network order', (left, right, sign) => {
    const [a, b] = [parseIp(left) as Uint8Array, parseIp(right) as Uint8Array];
    expect(Math.sign(compareIp(a, b))).toBe(sign);
    expect(Math.sign(compareIp(b, a))).toBe(sign === 0 ? 0 : -sign);
  });
});
