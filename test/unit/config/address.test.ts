/**
 * Attributes of addresses in the configuration: what each key means in Config, what one family
 * does not have, and words of other programs.
 */
import { describe, expect, test } from 'vitest';
import { configOf, errorLines } from './read.ts';

function vip(fields: string, more = ''): string {
  return `vrrp: {w: {interface: eth0, vrid: 1, addresses: [${fields}${more}]}}`;
}
const attributesOf = (fields: string) => {
  const { addresses } = configOf(vip(`{${fields}}`, ', 192.0.2.99/24')).vrrp[0] ?? {};
  return addresses?.[0]?.attributes;
};

describe('attributes of an address', () => {
  test('have the kernel’s values when they are left out', () => {
    expect(attributesOf('address: 192.0.2.1/24')).toEqual({
      broadcast: null,
      scope: 0,
      label: null,
      peer: null,
      home: false,
      dad: false,
      prefixRoute: true,
      manageTemporary: false,
      preferredSeconds: null,
      metric: 0,
    });
  });

  test('are read from every key', () => {
    const ipv4 =
      'address: 192.0.2.1/24, broadcast: 192.0.2.7, scope: link, label: "eth0:a", ' +
      'prefix_route: false, metric: 7, preferred_lifetime: 0s';
    expect(attributesOf(ipv4)).toMatchObject({
      broadcast: '192.0.2.7',
      scope: 253,
      label: 'eth0:a',
      prefixRoute: false,
      metric: 7,
      preferredSeconds: 0,
    });
    const ipv6 =
      'address: "2001:db8::1/64", home: true, dad: true, manage_temporary: true, ' +
      'preferred_lifetime: 1h';
    const expected = { home: true, dad: true, manageTemporary: true, preferredSeconds: 3600 };
    expect(attributesOf(ipv6)).toMatchObject(expected);
  });

  test.each([
    ['192.0.2.1/24', '192.0.2.255'],
    ['10.1.2.3/20', '10.1.15.255'],
    ['192.0.2.1/30', '192.0.2.3'],
    ['192.0.2.1/31', null],
    ['192.0.2.1/32', null],
  ])('broadcast auto of %s is %s', (address, broadcast) => {
    expect(attributesOf(`address: ${address}, broadcast: auto`)).toMatchObject({ broadcast });
  });

  test('a peer has the prefix length', () => {
    const text = vip('{address: 192.0.2.1, peer: 198.51.100.1/30}');
    const address = configOf(text).vrrp[0]?.addresses[0];
    expect(address).toMatchObject({ address: '192.0.2.1', prefixLength: 30 });
    expect(address?.attributes.peer).toBe('198.51.100.1');
  });

  test('a single IPv6 address is no source of its own accord unless told to be', () => {
    expect(attributesOf('address: "2001:db8::1"')?.preferredSeconds).toBe(0);
    expect(attributesOf('address: "2001:db8::1/64"')?.preferredSeconds).toBeNull();
    const told = attributesOf('address: "2001:db8::1", preferred_lifetime: forever');
    expect(told?.preferredSeconds).toBeNull();
  });

  test('an address that is not advertised, or does not track its interface, says so', () => {
    const text = vip('{address: 192.0.2.2/24, advertised: false, track: false}, 192.0.2.1/24');
    expect(configOf(text).vrrp[0]?.addresses).toMatchObject([
      { advertised: false, track: false },
      { advertised: true, track: true },
    ]);
  });
});

const AT = 'f.yaml:1:';
test.each([
  ['{address: 192.0.2.1/24, dad: true}', 'vrrp.w.addresses[0].dad: ipv4 addresses have no dad'],
  [
    '{address: "2001:db8::1/64", label: "eth0:a"}',
    'vrrp.w.addresses[0].label: ipv6 addresses have no label',
  ],
  [
    '{address: 192.0.2.1/24, peer: 192.0.2.2/32}',
    'expected no prefix length: with a peer it belongs to that, found 192.0.2.1/24',
  ],
  [
    '{address: 192.0.2.1, peer: "2001:db8::2/128"}',
    'expected an ipv4 address, as the address is, found "2001:db8::2/128"',
  ],
  [
    '{address: "2001:db8::1/56", manage_temporary: true}',
    'expected an address with prefix length 64',
  ],
  ['{address: 192.0.2.1/24, label: a-very-long-label}', 'a name of at most 15 characters'],
  ['{address: 192.0.2.1/24, scope: galaxy}', 'expected global, site, link, host or a whole'],
  ['{address: 192.0.2.1/24, autojoin: true}', 'autojoin is for multicast addresses'],
  ['{address: 192.0.2.1/24, brd: +}', 'unknown key, did you mean broadcast?'],
  [
    '{address: 192.0.2.1/24, preferred_lifetime: 1h}',
    'expected forever or 0s: the kernel counts no other time for an IPv4 address, found 1h',
  ],
  ['{address: 192.0.2.1/24, preferred_lifetime: 1500ms}', 'expected forever, or whole seconds'],
])('%s is refused in its place', (fields, message) => {
  const [line = '', ...more] = errorLines(vip(fields));
  expect(more).toEqual([]);
  expect(line).toContain(AT);
  expect(line).toContain(message);
});

test('more addresses than an advertisement holds are refused with the way out', () => {
  const many = (count: number, more: string) =>
    Array.from(
      { length: count },
      (_, index) => `{address: 10.0.${index >> 8}.${index & 255}/16${more}}`,
    ).join(', ');
  expect(errorLines(vip(many(256, '')))[0]).toContain(
    'expected at most 255 ipv4 addresses, which is what an advertisement holds: ' +
      'give the others advertised: false',
  );
  expect(errorLines(vip(`192.0.2.1/24, ${many(256, ', advertised: false')}`))).toEqual([]);
});
