/** The section bfd: defaults, values, and the rules between values. */
import { describe, expect, test } from 'vitest';
import type { ConfigError } from '../../../src/config/errors.ts';
import { readConfigText } from '../../../src/config/yaml.ts';
import type { BfdConfig } from '../../../src/core/config/config.ts';
import { configOf, errorLines } from './read.ts';

const VRRP = 'vrrp: {w: {interface: eth0, vrid: 1, addresses: [192.0.2.9/24]}}';

function file(sessions: string): string {
  return `${VRRP}\nbfd: {${sessions}}\n`;
}

function session(text: string): BfdConfig {
  return configOf(file(`peer: {${text}}`)).bfd[0] as BfdConfig;
}

function errors(sessions: string): string {
  return errorLines(file(sessions)).join('\n');
}

describe('bfd', () => {
  test('needs a neighbor only: the rest is keepalived’s', () => {
    expect(session('neighbor: 192.0.2.2')).toEqual({
      name: 'peer',
      neighbor: '192.0.2.2',
      source: null,
      interface: null,
      minRxUs: 10_000,
      minTxUs: 10_000,
      idleTxUs: 1_000_000,
      multiplier: 5,
      passive: false,
      multihop: false,
      ttl: 255,
      maxHops: 0,
    });
  });

  test('takes every option, intervals to the microsecond', () => {
    const text =
      'neighbor: "2001:DB8::2", source: "2001:db8::1", interface: eth1, min_rx: 1500us, ' +
      'min_tx: 12.345ms, idle_tx: 2s, multiplier: 3, passive: true, multihop: true, ttl: 64, ' +
      'max_hops: 2';
    expect(session(text)).toEqual({
      name: 'peer',
      neighbor: '2001:db8::2',
      source: '2001:db8::1',
      interface: 'eth1',
      minRxUs: 1_500,
      minTxUs: 12_345,
      idleTxUs: 2_000_000,
      multiplier: 3,
      passive: true,
      multihop: true,
      ttl: 64,
      maxHops: 2,
    });
  });

  test('does not check the hops of a multihop session unless told', () => {
    expect(session('neighbor: 192.0.2.2, multihop: true').maxHops).toBe(255);
  });

  test('may have values per director', () => {
    const text = file('peer: {neighbor: {dir-a: 192.0.2.2, dir-b: 192.0.2.1}}');
    expect(configOf(text, 'dir-a').bfd[0]?.neighbor).toBe('192.0.2.2');
    expect(configOf(text, 'dir-b').bfd[0]?.neighbor).toBe('192.0.2.1');
  });

  test.each([
    ['peer: {}', 'neighbor'],
    ['peer: {neighbor: 192.0.2.2/24}', 'an IP address'],
    ['peer: {neighbor: 224.0.0.1}', 'an IP address'],
    ['peer: {neighbor: 192.0.2.2, min_rx: 999us}', 'a duration from 1ms to 1m'],
    ['peer: {neighbor: 192.0.2.2, min_tx: 61s}', 'a duration from 1ms to 1m'],
    ['peer: {neighbor: 192.0.2.2, idle_tx: 999ms}', 'a duration from 1s to 1m'],
    ['peer: {neighbor: 192.0.2.2, multiplier: 0}', 'a whole number from 1 to 255'],
    ['peer: {neighbor: 192.0.2.2, ttl: 0}', 'a whole number from 1 to 255'],
    ['peer: {neighbor: 192.0.2.2, source: "2001:db8::1"}', 'an ipv4 address'],
    ['peer: {neighbor: 192.0.2.2, source: 192.0.2.2}', 'another address than the neighbor'],
    ['peer: {neighbor: "fe80::1"}', 'needs an interface'],
    ['a: {neighbor: 192.0.2.2}, b: {neighbor: 192.0.2.2}', 'bfd.a has the same neighbor'],
    ['a: {neighbor: 192.0.2.2}, b: {neighbor: 192.0.2.2, interface: e1}', 'bfd.a has the same'],
  ])('refuses %s', (sessions, message) => expect(errors(sessions)).toContain(message));

  test.each([
    ['ttl: 64', 'ttl'],
    ['max_hops: 1', 'max_hops'],
    ['ttl: 64, multihop: true', ''],
    ['ttl: 255, max_hops: 0', ''],
  ])('warns of a single hop with %s: %s', (text, key) => {
    const warned: string[] = [];
    const options = { file: 'f.yaml', director: 'dir-a', hostname: 'host' };
    const onWarning = ({ path }: ConfigError) => void warned.push(path);
    const content = file(`peer: {neighbor: 192.0.2.2, ${text}}`);
    expect(readConfigText(content, { ...options, onWarning }).ok).toBe(true);
    expect(warned).toEqual(key === '' ? [] : [`bfd.peer.${key}`]);
  });

  test.each([
    'a: {neighbor: 192.0.2.2}, b: {neighbor: 192.0.2.2, multihop: true}',
    'a: {neighbor: "fe80::1", interface: e0}, b: {neighbor: "fe80::1", interface: e1}',
    'a: {neighbor: 192.0.2.2, source: 192.0.2.1}, b: {neighbor: 192.0.2.2, source: 192.0.2.3}',
  ])('takes %s', (sessions) => expect(errors(sessions)).toBe(''));
});
