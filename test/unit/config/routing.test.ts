/**
 * Routes, rules and `static` in the configuration: what short forms become, and what is refused,
 * with its place.
 */
import { describe, expect, test } from 'vitest';
import { defaultAttributes } from '../../../src/core/config/defaults.ts';
import { configOf, errorLines } from './read.ts';

const BASE = 'interface: eth0, vrid: 1, addresses: [192.0.2.1/24]';
const instance = (fields: string, more = '') => `vrrp: {w: {${BASE}, ${fields}}}${more}`;
const routeOf = (fields: string) => configOf(instance(`routes: [{${fields}}]`)).vrrp[0]?.routes[0];
const rulesOf = (rules: string, more = '') =>
  configOf(instance(`rules: [${rules}]`, more)).vrrp[0]?.rules ?? [];

describe('a route', () => {
  test('on the link of the instance has the kernel’s values', () => {
    expect(routeOf('to: 10.0.0.0/8')).toEqual({
      family: 'ipv4',
      type: 'unicast',
      to: { address: '10.0.0.0', prefixLength: 8 },
      table: 254,
      metric: 0,
      tos: 0,
      scope: 253,
      source: null,
      nexthops: [{ via: null, interface: 'eth0', weight: 1, onlink: false }],
      metrics: {},
      congestion: null,
      locked: [],
      realms: { from: 0, to: 0 },
      preference: 'medium',
    });
  });

  test('by a gateway leaves the interface to the kernel, and reaches far', () => {
    const route = routeOf('to: default, via: 192.0.2.9, source: 192.0.2.1, table: 100');
    expect(route).toMatchObject({
      to: { address: '0.0.0.0', prefixLength: 0 },
      scope: 0,
      table: 100,
      source: '192.0.2.1',
      nexthops: [{ via: '192.0.2.9', interface: null }],
    });
  });

  test('of IPv6 has its metric and no scope', () => {
    const route = routeOf('to: "2001:db8::/32", via: "fe80::1", interface: eth1, preference: low');
    expect(route).toMatchObject({ family: 'ipv6', metric: 1024, scope: 0, preference: 'low' });
    expect(routeOf('to: default, via: "2001:db8::1"')?.to.address).toBe('::');
  });

  test('has its metrics in the kernel’s units', () => {
    const fields = 'rtt: 100ms, rttvar: 50ms, rto_min: 1s, ecn: true, mtu: 1400, quickack: false';
    const route = routeOf(`to: 10.0.0.0/8, ${fields}, lock: [mtu]`);
    expect(route?.metrics).toEqual({
      rtt: 800,
      rttvar: 200,
      rto_min: 1000,
      features: 1,
      mtu: 1400,
    });
    expect(route?.locked).toEqual(['mtu']);
  });

  test('of the type local is in the local table, one that leads nowhere has no next hop', () => {
    const local = routeOf('to: 10.0.0.0/8, type: local, interface: lo');
    expect(local).toMatchObject({ table: 255, scope: 254 });
    expect(routeOf('to: 10.0.0.0/8, type: blackhole')).toMatchObject({ nexthops: [], scope: 0 });
  });
});

describe('a rule', () => {
  test('has its parts', () => {
    const [rule] = rulesOf(
      '{priority: 9, from: 10.0.0.0/8, to: all, fwmark: 0x10/0xff, dport: 80-90, uid_range: 5, ' +
        'ip_protocol: tcp, realms: 3/4, not: true, table: main}',
    );
    expect(rule).toMatchObject({
      priority: 9,
      action: { kind: 'table', table: 254 },
      from: { address: '10.0.0.0', prefixLength: 8 },
      to: null,
      fwmark: { mark: 16, mask: 255 },
      dport: [80, 90],
      uidRange: [5, 5],
      ipProtocol: 6,
      realms: { from: 3, to: 4 },
      not: true,
    });
  });

  test('without priority is numbered in the file’s order, each family for itself', () => {
    const more = '\nstatic: {rules: [{from: 10.2.0.0/16, table: 3}]}';
    const text =
      '{from: 10.0.0.0/16, table: 1}, {from: "2001:db8::/32", table: 1}, {priority: 5, table: 2}, {from: 10.1.0.0/16, action: prohibit}';
    expect(rulesOf(text, more).map(({ priority }) => priority)).toEqual([
      16_384, 16_384, 5, 16_385,
    ]);
    const config = configOf(instance(`rules: [${text}]`, more));
    expect(config.static.rules[0]?.priority).toBe(16_386);
  });
});

test('static objects are resolved like others, and tracked by the instances that they name', () => {
  const config = configOf(
    instance(
      'priority: 100',
      '\nstatic: {addresses: [{address: 203.0.113.2/24, interface: eth1}], ' +
        'routes: [{to: 10.0.0.0/8, via: 203.0.113.1, instances: [w]}]}',
    ),
  );
  expect(config.static.addresses).toEqual([
    {
      address: '203.0.113.2',
      prefixLength: 24,
      interface: 'eth1',
      attributes: defaultAttributes('ipv4', 24),
    },
  ]);
  expect(config.static.routes[0]?.nexthops[0]).toMatchObject({ via: '203.0.113.1' });
  expect(config.vrrp[0]?.track).toEqual([
    { tracker: 'static:routes[0]', weight: 0, reverse: false },
  ]);
});

const route = (fields: string) => instance(`routes: [{${fields}}]`);
const rule = (fields: string) => instance(`rules: [{${fields}}]`);
test.each([
  [route('to: 10.0.0.1/8'), 'w.routes[0].to: expected a network: the last 24 bits are 0'],
  [
    route('to: 10.0.0.0/8, via: 192.0.2.9, nexthops: [{via: 10.1.1.1}, {via: 10.1.1.2}]'),
    'nexthops: not allowed beside via',
  ],
  [
    route('to: 10.0.0.0/8, nexthops: [{via: 192.0.2.9}]'),
    'nexthops: expected a list with at least 2 entries, found a list',
  ],
  [
    route('to: 10.0.0.0/8, nexthops: [{via: 192.0.2.9, encap: mpls}, {via: 192.0.2.8}]'),
    'nexthops[0].encap: encapsulation of routes (MPLS, IP, ILA) is not supported',
  ],
  [route('to: 10.0.0.0/8, type: blackhole, via: 192.0.2.9'), 'a blackhole route leads nowhere'],
  [
    route('to: 10.0.0.0/8, source: "2001:db8::1"'),
    'source: expected an ipv4 address, as the route is',
  ],
  [route('to: "2001:db8::/32", via: 192.0.2.9'), 'via: expected an ipv6 address, as the route is'],
  [route('to: "2001:db8::/32", tos: 16'), 'tos: ipv6 routes have no tos'],
  [route('to: 10.0.0.0/8, preference: high'), 'preference: ipv4 routes have no preference'],
  [route('to: 10.0.0.0/8, via: 192.0.2.9, onlink: true'), 'expected via and interface beside it'],
  [route('to: 10.0.0.0/8, lock: [mtu]'), 'lock[0]: expected mtu beside it'],
  [route('to: 10.0.0.0/8, tos: 3'), 'expected a multiple of 4 from 0 to 252, found 3'],
  [
    route('to: 10.0.0.0/8, protocol: static'),
    'vipkeeper marks what it puts there with its own protocol',
  ],
  [
    route('to: 10.0.0.0/8, encap: mpls'),
    'encapsulation of routes (MPLS, IP, ILA) is not supported',
  ],
  [route('to: 10.0.0.0/8, src: 192.0.2.1'), 'unknown key, did you mean source?'],
  [
    instance('routes: [{to: 10.0.0.0/8}, {to: 10.0.0.0/8, via: 192.0.2.9}]'),
    'routes[1]: 10.0.0.0/8 via 192.0.2.9 has the place of vrrp.w.routes[0] in the kernel',
  ],
  [rule('from: 10.0.0.0/8'), 'rules[0]: expected exactly one of table, goto and action'],
  [rule('table: 1, goto: 99999'), 'expected exactly one of table, goto and action'],
  [rule('goto: 5'), 'goto: expected a priority above its own, 16384'],
  [rule('from: 10.0.0.0/8, to: "2001:db8::/32", table: 1'), 'expected an ipv4 network, as from is'],
  [rule('family: ipv6, realms: 3, table: 1'), 'ipv6 rules have no realms'],
  [
    instance('rules: [{table: 1, priority: 5}, {table: 1, priority: 5}]'),
    'has the place of vrrp.w.rules[0] in the kernel',
  ],
  [
    instance('priority: 1', '\nstatic: {routes: [{to: 10.0.0.0/8}]}'),
    'static.routes[0]: expected via or interface',
  ],
  [
    instance('priority: 1', '\nstatic: {addresses: [{address: 192.0.2.1/24, interface: eth0}]}'),
    '192.0.2.1 is carried on eth0 by w already',
  ],
  [
    instance('priority: 1', '\nstatic: {rules: [{table: 1, instances: [x]}]}'),
    'static.rules[0].instances[0]: expected a VRRP instance: w',
  ],
])('%s is refused in its place', (text, message) => {
  const lines = errorLines(text);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain(message);
});
