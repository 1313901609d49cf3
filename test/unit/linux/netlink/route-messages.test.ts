/**
 * rtnetlink messages: exact bytes of a change, and decoding of links and
 * addresses.
 */
import { describe, expect, it } from 'vitest';
import { ipFamily } from '../../../../src/core/ip.ts';
import { attributeFields, attributesOf } from '../../../../src/linux/netlink/address-attributes.ts';
import { AttributeWriter } from '../../../../src/linux/netlink/attributes.ts';
import { MessageCursor, putMessage } from '../../../../src/linux/netlink/message.ts';
import {
  type AddressChange,
  addressProtocolKept,
  decodeAddress,
  decodeLink,
  type InterfaceAddress,
  isWholeLink,
  putAddressChange,
  RT_SCOPE_LINK,
} from '../../../../src/linux/netlink/route-messages.ts';

const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

function payloadOf(change: AddressChange): Uint8Array {
  const writer = new AttributeWriter();
  putAddressChange(writer, change);
  return writer.copy();
}

function cursorOn(payload: Uint8Array): MessageCursor {
  const bytes = new Uint8Array(16 + ((payload.length + 3) & ~3));
  putMessage(bytes, 0, { type: 20, flags: 0, sequence: 1, portId: 1 }, payload);
  const cursor = new MessageCursor(bytes);
  cursor.start(bytes.length);
  expect(cursor.next()).toBe(true);
  return cursor;
}

describe('putAddressChange', () => {
  it('adds an IPv4 VIP with its tag and without a broadcast address', () => {
    const change = { interfaceIndex: 3, address: '192.0.2.10', prefixLength: 24 };
    const bytes = payloadOf({ kind: 'add', ...change, protocol: 112 });
    expect(hexOf(bytes)).toBe(
      '0218000003000000' + '08000200c000020a' + '08000100c000020a' + '05000b0070000000',
    );
  });

  it('adds an IPv6 /128 without duplicate address detection and with no preferred lifetime', () => {
    const change = { interfaceIndex: 3, address: '2001:db8::10', prefixLength: 128, noDad: true };
    const bytes = payloadOf({ kind: 'add', ...change });
    expect(hexOf(bytes)).toBe(
      '0a80000003000000' +
        '1400020020010db8000000000000000000000010' +
        '1400010020010db8000000000000000000000010' +
        '0800080002000000' +
        '1400060000000000ffffffff0000000000000000',
    );
  });

  it('leaves the lifetime of a shorter IPv6 prefix alone', () => {
    const change = { interfaceIndex: 3, address: '2001:db8::10', prefixLength: 64 };
    const bytes = payloadOf({ kind: 'add', ...change });
    expect(bytes.length).toBe(8 + 20 + 20);
  });

  it('adds an IPv4 VIP with every attribute that it can have', () => {
    const bytes = payloadOf({
      kind: 'add',
      interfaceIndex: 3,
      address: '192.0.2.10',
      prefixLength: 30,
      peer: '192.0.2.9',
      broadcast: '192.0.2.11',
      label: 'e:1',
      scope: 254,
      noPrefixRoute: true,
      metric: 7,
      preferredSeconds: 60,
    });
    expect(hexOf(bytes)).toBe(
      '021e00fe03000000' +
        '08000200c000020a' +
        '08000100c0000209' +
        '08000300653a3100' +
        '08000400c000020b' +
        '0800080000020000' +
        '0800090007000000' +
        '140006003c000000ffffffff0000000000000000',
    );
  });

  it('deletes by address, prefix length and interface only', () => {
    const change = { interfaceIndex: 3, address: '192.0.2.10', prefixLength: 24, protocol: 112 };
    const bytes = payloadOf({ kind: 'delete', ...change });
    expect(hexOf(bytes)).toBe('0218000003000000' + '08000200c000020a' + '08000100c000020a');
  });

  it('gives an IPv6 link-local VIP link scope', () => {
    const change = { interfaceIndex: 3, address: 'fe80::10', prefixLength: 64 };
    expect(payloadOf({ kind: 'add', ...change })[3]).toBe(RT_SCOPE_LINK);
  });

  it('asserts on what the plan can never hold', () => {
    const change = { kind: 'add', interfaceIndex: 3, address: '192.0.2.10' } as const;
    expect(() => payloadOf({ ...change, prefixLength: 33 })).toThrow('prefix');
    const text = { ...change, address: 'web', prefixLength: 32 };
    expect(() => payloadOf(text)).toThrow('not an address');
  });
});

function addressPayload(fill: (writer: AttributeWriter) => void, family = 2): Uint8Array {
  const writer = new AttributeWriter();
  writer.putU8(family).putU8(24).putU8(0x80).putU8(0).putU32(7);
  fill(writer);
  return writer.copy();
}

describe('decodeAddress', () => {
  const ours = new Uint8Array([192, 0, 2, 1]);
  const theirs = new Uint8Array([192, 0, 2, 2]);

  it('reads back what putAddressChange wrote', () => {
    const change = { interfaceIndex: 9, address: '2001:db8::1', prefixLength: 128, noDad: true };
    const payload = payloadOf({
      kind: 'add',
      ...change,
      noPrefixRoute: true,
      protocol: 112,
    });
    expect(decodeAddress(cursorOn(payload))).toEqual({
      interfaceIndex: 9,
      family: 'ipv6',
      address: '2001:db8::1',
      prefixLength: 128,
      scope: 0,
      flags: 0x202,
      protocol: 112,
      preferredSeconds: 0,
    });
  });

  it('reads the attributes back that attributeFields wrote, for either family', () => {
    const base = { kind: 'add', interfaceIndex: 9, prefixLength: 24 } as const;
    const attributes = {
      broadcast: '192.0.2.255',
      scope: 253,
      label: 'eth0:a',
      peer: '192.0.2.9',
      home: false,
      dad: false,
      prefixRoute: false,
      manageTemporary: false,
      preferredSeconds: null,
      metric: 7,
    };
    const ipv6 = { broadcast: null, scope: 0, label: null, peer: '2001:db8::9', home: true };
    const cases = [
      { address: '192.0.2.1', attributes },
      {
        address: '2001:db8::1',
        attributes: { ...attributes, ...ipv6, manageTemporary: true, preferredSeconds: 60 },
      },
    ];
    for (const { address, attributes } of cases) {
      const fields = attributeFields(attributes, ipFamily(address));
      const change = { ...base, address, ...fields };
      const decoded = decodeAddress(cursorOn(payloadOf(change))) as InterfaceAddress;
      expect(decoded.address).toBe(address);
      expect(attributesOf(decoded, 'eth0')).toEqual(attributes);
    }
  });

  it('takes the local address and not the peer of a point-to-point link', () => {
    const payload = addressPayload((writer) => writer.bytes(1, theirs).bytes(2, ours));
    expect(decodeAddress(cursorOn(payload))).toMatchObject({ address: '192.0.2.1' });
  });

  it('prefers the long flags over the short ones, and has no tag where there is none', () => {
    const short = addressPayload((writer) => writer.bytes(2, ours));
    expect(decodeAddress(cursorOn(short))).toMatchObject({ flags: 0x80, protocol: null });
    const long = addressPayload((writer) => writer.bytes(2, ours).u32(8, 0x280));
    expect(decodeAddress(cursorOn(long))).toMatchObject({ flags: 0x280 });
  });

  it('says of another family that it is one', () => {
    expect(decodeAddress(cursorOn(addressPayload(() => {}, 45)))).toBe('other-family');
  });

  it('refuses an address that is missing or of a wrong length', () => {
    expect(decodeAddress(cursorOn(addressPayload(() => {})))).toBeNull();
    const long = addressPayload((writer) => writer.bytes(2, new Uint8Array(16)));
    expect(decodeAddress(cursorOn(long))).toBeNull();
  });
});

function linkPayload(flags: number, family = 0): Uint8Array {
  const writer = new AttributeWriter();
  writer.putU8(family).putU8(0).putU16(1).putU32(4).putU32(flags).putU32(0);
  writer
    .string0(3, 'eth0')
    .u32(4, 1500)
    .u32(47, 7)
    .bytes(1, new Uint8Array([2, 0, 0, 0, 0, 1]));
  return writer.copy();
}

describe('decodeLink', () => {
  it.each([
    ['up with carrier', 0x41, { up: true, running: true, loopback: false }],
    ['up without carrier', 0x1, { up: true, running: false, loopback: false }],
    ['down', 0x0, { up: false, running: false, loopback: false }],
    ['loopback', 0x49, { up: true, running: true, loopback: true }],
  ])('reads a link that is %s', (_what, flags, expected) => {
    expect(decodeLink(cursorOn(linkPayload(flags)))).toEqual({
      family: 0,
      link: {
        index: 4,
        name: 'eth0',
        mtu: 1500,
        address: new Uint8Array([2, 0, 0, 0, 0, 1]),
        kind: null,
        baseIndex: null,
        alias: null,
        carrierUps: 7,
        ...expected,
      },
    });
  });

  it('reads kind, base and alias of a virtual link', () => {
    const writer = new AttributeWriter();
    writer.putU8(0).putU8(0).putU16(1).putU32(9).putU32(0).putU32(0);
    writer.string0(3, 'vrrp.51').u32(5, 4).string0(20, 'vipkeeper: web');
    writer.nested(18, (info) => info.string0(1, 'macvlan').nested(2, (data) => data.u32(1, 4)));
    expect(decodeLink(cursorOn(writer.copy()))?.link).toMatchObject({
      kind: 'macvlan',
      baseIndex: 4,
      alias: 'vipkeeper: web',
    });
  });

  it('tells a bridge port from the link itself', () => {
    const [whole, port] = [linkPayload(1), linkPayload(1, 7)].map((payload) =>
      decodeLink(cursorOn(payload)),
    );
    expect(whole && isWholeLink(whole)).toBe(true);
    expect(port && isWholeLink(port)).toBe(false);
  });
});

function entry(address: string, fields: Partial<InterfaceAddress> = {}): InterfaceAddress {
  const family = address.includes(':') ? 'ipv6' : 'ipv4';
  const scope = family === 'ipv6' ? RT_SCOPE_LINK : 0;
  const common = { interfaceIndex: 2, prefixLength: 24, flags: 0x80, protocol: null };
  return { ...common, family, address, scope, ...fields };
}

describe('addressProtocolKept', () => {
  it('is true only when the very address came back with the tag', () => {
    const added = { interfaceIndex: 2, address: '192.0.2.10', protocol: 112 };
    expect(addressProtocolKept([entry('192.0.2.10', { protocol: 112 })], added)).toBe(true);
    expect(addressProtocolKept([entry('192.0.2.10')], added)).toBe(false);
    expect(addressProtocolKept([entry('192.0.2.11', { protocol: 112 })], added)).toBe(false);
  });
});
