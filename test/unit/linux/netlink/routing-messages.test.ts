/**
 * rtnetlink messages about routes and rules: exact bytes, reading back what was written, hostile
 * bytes, and the filter that keeps a router's own changes away.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { KernelRoute } from '../../../../src/core/address/routing.ts';
import type { RuleConfig } from '../../../../src/core/config/address.ts';
import { AttributeWriter } from '../../../../src/linux/netlink/attributes.ts';
import { MessageCursor, putMessage } from '../../../../src/linux/netlink/message.ts';
import { routingFilter } from '../../../../src/linux/netlink/routing.ts';
import {
  decodeRoute,
  decodeRule,
  encodeRoute,
  encodeRule,
} from '../../../../src/linux/netlink/routing-messages.ts';

const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const writer = new AttributeWriter();

function cursorOn(payload: Uint8Array): MessageCursor {
  const bytes = new Uint8Array(16 + ((payload.length + 3) & ~3));
  putMessage(bytes, 0, { type: 24, flags: 0, sequence: 1, portId: 1 }, payload);
  const cursor = new MessageCursor(bytes);
  cursor.start(bytes.length);
  expect(cursor.next()).toBe(true);
  return cursor;
}

const ROUTE: KernelRoute = {
  family: 'ipv4',
  type: 'unicast',
  to: { address: '10.0.0.0', prefixLength: 8 },
  table: 254,
  metric: 0,
  tos: 0,
  scope: 0,
  source: null,
  nexthops: [{ via: '192.0.2.1', interface: 3, weight: 1, onlink: false }],
  metrics: {},
  congestion: null,
  locked: [],
  realms: { from: 0, to: 0 },
  preference: 'medium',
};
const RULE: RuleConfig = {
  family: 'ipv4',
  priority: 100,
  action: { kind: 'table', table: 100 },
  not: false,
  from: { address: '192.0.2.10', prefixLength: 32 },
  to: null,
  iif: null,
  oif: null,
  tos: 0,
  fwmark: null,
  realms: { from: 0, to: 0 },
  uidRange: null,
  ipProtocol: 0,
  sport: null,
  dport: null,
  suppressPrefixLength: null,
  suppressInterfaceGroup: null,
};
const FULL_RULE: RuleConfig = {
  ...RULE,
  family: 'ipv6',
  action: { kind: 'goto', priority: 200 },
  not: true,
  from: { address: '2001:db8::', prefixLength: 32 },
  to: { address: '2001:db8:1::', prefixLength: 48 },
  iif: 'eth0',
  oif: 'eth1',
  tos: 16,
  fwmark: { mark: 5, mask: 255 },
  uidRange: [1000, 2000],
  ipProtocol: 6,
  sport: [1024, 65_535],
  dport: [80, 90],
  suppressPrefixLength: 0,
  suppressInterfaceGroup: 7,
};

describe('encodeRoute', () => {
  it('writes the bytes of ip route add 10.0.0.0/8 via 192.0.2.1 dev IF proto 118', () => {
    expect(hexOf(encodeRoute(writer, ROUTE))).toBe(
      '02080000fe76000100000000' +
        '080001000a000000' +
        '08000f00fe000000' +
        '08000500c0000201' +
        '0800040003000000',
    );
  });

  it('writes metrics with their lock, nested', () => {
    const route = { ...ROUTE, nexthops: [], metrics: { mtu: 1400 }, locked: ['mtu' as const] };
    expect(hexOf(encodeRoute(writer, { ...route, type: 'blackhole' }))).toBe(
      '02080000fe76000600000000080001000a00000008000f00fe000000' +
        '14000880' +
        '0800010004000000' +
        '0800020078050000',
    );
  });

  it('writes several next hops with their lengths', () => {
    const nexthops = [
      { via: '192.0.2.1', interface: null, weight: 3, onlink: false },
      { via: null, interface: 4, weight: 1, onlink: false },
    ];
    expect(hexOf(encodeRoute(writer, { ...ROUTE, nexthops })).slice(28 * 2)).toBe(
      '1c000980' + '1000000200000000' + '08000500c0000201' + '0800000004000000',
    );
  });
});

describe('decodeRoute', () => {
  it.each<[string, KernelRoute]>([
    ['a gateway', ROUTE],
    [
      'everything of IPv4',
      {
        ...ROUTE,
        table: 100_000,
        metric: 5,
        tos: 16,
        scope: 253,
        source: '192.0.2.9',
        metrics: { mtu: 1400, rtt: 800 },
        congestion: 'reno',
        locked: ['mtu', 'congestion'],
        realms: { from: 3, to: 4 },
        nexthops: [{ via: '2001:db8::1', interface: 3, weight: 1, onlink: true }],
      },
    ],
    [
      'IPv6 with several next hops',
      {
        ...ROUTE,
        family: 'ipv6',
        to: { address: '::', prefixLength: 0 },
        metric: 1024,
        preference: 'low',
        nexthops: [
          { via: '2001:db8::1', interface: 3, weight: 1, onlink: false },
          { via: 'fe80::2', interface: 4, weight: 256, onlink: true },
        ],
      },
    ],
  ])('reads back %s', (_what, route) => {
    const decoded = decodeRoute(cursorOn(encodeRoute(writer, route)));
    expect(decoded).toEqual({ ...route, ours: true });
  });

  it('says of multicast routes and other families that they are other', () => {
    const bytes = encodeRoute(writer, ROUTE);
    expect(decodeRoute(cursorOn(bytes.with(7, 5)))).toBe('other');
    expect(decodeRoute(cursorOn(bytes.with(0, 28)))).toBe('other');
    expect(decodeRoute(cursorOn(bytes.with(5, 4)))).toMatchObject({ ours: false });
  });
});

describe('encodeRule and decodeRule', () => {
  it('write the bytes of ip rule add from 192.0.2.10 lookup 100 priority 100 protocol 118', () => {
    expect(hexOf(encodeRule(writer, RULE))).toBe(
      '020020006400000100000000' +
        '08000200c000020a' +
        '0800060064000000' +
        '0500150076000000' +
        '08000f0064000000',
    );
  });

  it.each([
    ['table', RULE],
    ['everything', FULL_RULE],
    ['vrf', { ...RULE, action: { kind: 'vrf' as const }, realms: { from: 3, to: 4 } }],
    ['prohibit', { ...RULE, action: { kind: 'prohibit' as const }, from: null }],
  ])('read back a rule of %s', (_what, rule) => {
    expect(decodeRule(cursorOn(encodeRule(writer, rule)))).toEqual({ ...rule, ours: true });
  });
});

it('any bytes, and any truncation of good ones, are a value or null and never a throw', () => {
  const good = [encodeRoute(writer, ROUTE), encodeRule(writer, FULL_RULE)];
  const cut = fc
    .tuple(fc.constantFrom(...good), fc.integer({ min: 1, max: 120 }), fc.nat(120), fc.nat(255))
    .map(([bytes, length, at, byte]) => {
      const part = bytes.slice(0, length);
      part[at % part.length] = byte;
      return part;
    });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ minLength: 1, maxLength: 160 }), cut), (payload) => {
      for (const decode of [decodeRoute, decodeRule]) {
        const value = decode(cursorOn(payload));
        if (value !== null && value !== 'other') expect(value.family).toMatch(/^ipv[46]$/);
      }
    }),
    { numRuns: 500 },
  );
});

/** Runs the filter on a message as the kernel does; true when it lets it through. */
function passes(filter: Uint8Array, message: Uint8Array): boolean {
  const program = new DataView(filter.buffer);
  const bytes = new DataView(message.buffer);
  let accumulator = 0;
  for (let pc = 0; ; pc++) {
    const code = program.getUint16(pc * 8, true);
    const [yes, no] = [program.getUint8(pc * 8 + 2), program.getUint8(pc * 8 + 3)];
    const k = program.getUint32(pc * 8 + 4, true);
    if (code === 0x28) accumulator = bytes.getUint16(k, false);
    else if (code === 0x30) accumulator = bytes.getUint8(k);
    else if (code === 0x15) pc += accumulator === k ? yes : no;
    else if (code === 0x45) pc += (accumulator & k) !== 0 ? yes : no;
    else if (code === 0x06) return k !== 0;
    else throw new Error(`code ${code}`);
  }
}

describe('routingFilter', () => {
  const message = (type: number, flags: number, payload: Uint8Array) => {
    const bytes = new Uint8Array(16 + payload.length);
    putMessage(bytes, 0, { type, flags, sequence: 0, portId: 7 }, payload);
    return bytes;
  };
  const [NEWROUTE, DELROUTE, NEWRULE, DELRULE, REPLACE] = [24, 25, 32, 33, 0x100];
  const ours = encodeRoute(writer, ROUTE);
  const foreign = ours.with(5, 186);
  const lengths = Array.from({ length: 129 }, (_, length) => length);

  it.each([[[]], [[8]], [[0, 24, 8]], [lengths]])(
    'with %j lets through what it should',
    (watched) => {
      const filter = routingFilter(watched);
      const through = (type: number, flags: number, payload: Uint8Array = foreign) =>
        passes(filter, message(type, flags, payload));
      expect(through(DELRULE, 0)).toBe(true);
      expect(through(NEWRULE, 0)).toBe(false);
      expect(through(DELROUTE, 0, ours)).toBe(true);
      expect(through(DELROUTE, 0)).toBe(false);
      expect(through(NEWROUTE, 0, ours)).toBe(false);
      expect(through(NEWROUTE, REPLACE)).toBe((watched as number[]).includes(8));
      expect(through(NEWROUTE, REPLACE, foreign.with(1, 9))).toBe(watched.length > 100);
    },
  );
});
