/**
 * The scalar forms: what they take and refuse, and that printing and reading agree.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatDuration,
  isInterfaceName,
  isUnicast,
  parseDuration,
  parseEndpoint,
  parsePrefix,
  parseStatusRange,
} from '../../../src/config/values.ts';

describe('parseDuration', () => {
  test.each([
    ['10ms', 10_000],
    ['500us', 500],
    ['1500.0us', 1_500],
    ['0s', 0],
    ['1.5s', 1_500_000],
    ['40.95s', 40_950_000],
    ['0.000001s', 1],
    ['5m', 300_000_000],
    ['1h', 3_600_000_000],
    ['31d', 2_678_400_000_000],
  ])('reads %s', (text, durationUs) => expect(parseDuration(text)).toBe(durationUs));

  test.each([
    '',
    '5',
    's',
    '-1s',
    '1.s',
    '.5s',
    '5 s',
    '5S',
    '1e3s',
    '5ns',
    '0.5us',
    '0.0005ms',
    '1m30s',
  ])('refuses %j', (text) => expect(parseDuration(text)).toBeNull());

  test('reads what formatDuration prints, for every whole number of microseconds', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10 ** 13 }), (durationUs) => {
        expect(parseDuration(formatDuration(durationUs))).toBe(durationUs);
      }),
    );
  });
});

describe('parseEndpoint', () => {
  test.each([
    ['192.0.2.10:80', '192.0.2.10', 80],
    ['192.0.2.10', '192.0.2.10', null],
    ['192.0.2.10:0', '192.0.2.10', 0],
    ['[2001:db8:0::10]:80', '2001:db8::10', 80],
    ['[2001:DB8::10]', '2001:db8::10', null],
    ['2001:db8::10', '2001:db8::10', null],
  ])('reads %s', (text, address, port) => expect(parseEndpoint(text)).toEqual({ address, port }));

  test.each([
    '',
    ':80',
    '192.0.2.10:',
    '192.0.2.10:65536',
    '[192.0.2.10]:80',
    '[2001:db8::10',
    'x',
  ])('refuses %j', (text) => expect(parseEndpoint(text)).toBeNull());
});

test('parsePrefix reads addresses with and without length, within the family’s bits', () => {
  expect(parsePrefix('192.0.2.10/24')).toEqual({ address: '192.0.2.10', prefixLength: 24 });
  expect(parsePrefix('192.0.2.10')).toEqual({ address: '192.0.2.10', prefixLength: 32 });
  expect(parsePrefix('2001:db8:0::1/64')).toEqual({ address: '2001:db8::1', prefixLength: 64 });
  for (const text of ['192.0.2.10/33', '192.0.2.10/0', '192.0.2.10/', '2001:db8::1/129', '/24']) {
    expect(parsePrefix(text)).toBeNull();
  }
});

test('isUnicast refuses what no host can own', () => {
  for (const address of ['0.0.0.0', '224.0.0.18', '255.255.255.255', '::', 'ff02::12']) {
    expect(isUnicast(address)).toBe(false);
  }
  for (const address of ['192.0.2.1', '223.255.255.255', 'fe80::1', '2001:db8::1']) {
    expect(isUnicast(address)).toBe(true);
  }
});

test('parseStatusRange takes codes from 100 to 599 in order', () => {
  expect(parseStatusRange(200)).toEqual([200, 200]);
  expect(parseStatusRange('200-299')).toEqual([200, 299]);
  for (const value of [99, 600, '200-', '299-200', '500-600', '2000']) {
    expect(parseStatusRange(value)).toBeNull();
  }
});

test('isInterfaceName takes what the kernel takes', () => {
  for (const name of ['eth0', 'bond0.100', 'a23456789012345']) {
    expect(isInterfaceName(name)).toBe(true);
  }
  for (const name of ['', '.', '..', 'a234567890123456', 'eth0:1', 'eth/0', 'eth 0']) {
    expect(isInterfaceName(name)).toBe(false);
  }
});
