/** Addresses, ranges, networks and ports of one virtual service. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ENTRIES_MAX, parseAddressSet } from '../../../src/config/address-set.ts';
import { configOf } from './read.ts';

function texts(text: string): string | readonly string[] {
  const parsed = parseAddressSet(text);
  return parsed.ok ? parsed.value.map(({ address, port }) => `${address} ${port}`) : parsed.error;
}

describe('parseAddressSet', () => {
  test.each([
    ['192.0.2.10:80', ['192.0.2.10 80']],
    ['[2001:DB8:0::10]:80', ['2001:db8::10 80']],
    ['192.0.2.10:0', ['192.0.2.10 0']],
    ['192.0.2.254-255:80', ['192.0.2.254 80', '192.0.2.255 80']],
    ['192.0.2.255-192.0.3.1:80', ['192.0.2.255 80', '192.0.3.0 80', '192.0.3.1 80']],
    ['[2001:db8::e-10]:80', ['2001:db8::e 80', '2001:db8::f 80', '2001:db8::10 80']],
    ['[2001:db8::ffff-2001:db8::1:0]:80', ['2001:db8::ffff 80', '2001:db8::1:0 80']],
    ['192.0.2.4/31:80', ['192.0.2.4 80', '192.0.2.5 80']],
    ['[2001:db8::/127]:80', ['2001:db8:: 80', '2001:db8::1 80']],
    ['192.0.2.1:80,443,80', ['192.0.2.1 80', '192.0.2.1 443']],
    ['192.0.2.1-2:80-81', ['192.0.2.1 80', '192.0.2.1 81', '192.0.2.2 80', '192.0.2.2 81']],
  ])('%s', (text, expected) => {
    expect(texts(text)).toEqual(expected);
  });

  test.each([
    ['192.0.2.10', /^expected an IP address with port/],
    ['2001:db8::1:80', /^expected an IP address with port/],
    ['[192.0.2.1]:80', /^expected an IP address with port/],
    ['192.0.2.1:65536', /^expected an IP address with port/],
    ['192.0.2.1:0-5', /^expected an IP address with port/],
    ['192.0.2.1:81-80', /^expected an IP address with port/],
    ['192.0.2.1:80,', /^expected an IP address with port/],
    ['192.0.2.1-2-3:80', /^expected an IP address with port/],
    ['192.0.2.1-2001:80', /^expected an IP address with port/],
    ['192.0.2.0/33:80', /^expected an IP address with port/],
    ['192.0.2.9-8:80', /lower address to the higher/],
    ['192.0.2.9/30:80', /^expected 192\.0\.2\.8\/30/],
    ['223.255.255.250-224.0.0.1:80', /unicast/],
    ['0.0.0.0/0:80', /at most 4096 .* not 4294967296/],
    ['192.0.2.0/24:1-17', /at most 4096 .* not 4352/],
  ])('refuses %s', (text, expected) => {
    expect(texts(text)).toMatch(expected);
  });

  test('never throws, and never makes more than it may', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'0129af.:[]/-,') }), (text) => {
        const parsed = parseAddressSet(text);
        expect(!parsed.ok || parsed.value.length <= ENTRIES_MAX).toBe(true);
      }),
      { numRuns: 3_000 },
    );
  });
});

describe('a service of several entries', () => {
  const serviceOf = (text: string) => {
    const [service] = configOf(`services: {s: {${text}}}`).services;
    if (service === undefined) throw new Error('no service');
    return service;
  };

  test('has addresses in the order of the file, then marks in their families', () => {
    const { entries } = serviceOf(
      'address: ["192.0.2.2:80", "192.0.2.1:80"], fwmark: [7, 5], family: both, check: none, servers: []',
    );
    const names = entries.map(({ identity }) =>
      identity.kind === 'address' ? identity.address : `${identity.mark} ${identity.family}`,
    );
    expect(names).toEqual(['192.0.2.2', '192.0.2.1', '7 ipv4', '7 ipv6', '5 ipv4', '5 ipv6']);
  });

  test('gives servers its port where all entries have the same, and no port else', () => {
    const ports = (text: string) => serviceOf(text).servers.map(({ port }) => port);
    const servers = 'check: none, servers: [10.0.0.1, "10.0.0.2:81"]';
    expect(ports(`address: "192.0.2.1-5:80", ${servers}`)).toEqual([80, 81]);
    expect(ports(`address: "192.0.2.1:80,443", ${servers}`)).toEqual([0, 81]);
    expect(ports(`address: "192.0.2.1:80", fwmark: 5, ${servers}`)).toEqual([0, 81]);
  });

  test('with several ports takes direct routing without a port of the server', () => {
    const text = 'address: "192.0.2.1:80,443", forwarding: dr, check: {tcp: {}, port: 80}';
    expect(serviceOf(`${text}, servers: [10.0.0.1]`).servers[0]?.port).toBe(0);
  });

  test('follows the instance of each address', () => {
    const { services } = configOf(`vrrp:
  a: {interface: eth0, vrid: 1, addresses: [192.0.2.1/24]}
  b: {interface: eth0, vrid: 2, addresses: [192.0.2.2/24]}
services: {s: {address: "192.0.2.1-2:80", only_on_active: true, servers: ["10.0.0.1:80"]}}`);
    expect(services[0]?.entries.map(({ follow }) => follow)).toEqual(['a', 'b']);
  });
});
