/**
 * Messages that make and change virtual links: byte for byte what iproute2 sends for the same
 * (as strace shows it), but for the flag of nested attributes, which iproute2 leaves out.
 */
import { describe, expect, it } from 'vitest';
import { AttributeWriter } from '../../../../src/linux/netlink/attributes.ts';
import {
  encodeDeleteLink,
  encodeGetLink,
  encodeLinkAlias,
  encodeLinkState,
  encodeNewLink,
  type NewLink,
} from '../../../../src/linux/netlink/link-messages.ts';

const writer = new AttributeWriter();
const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const HEADER = '00000000000000000000000000000000';
const MAC = Uint8Array.of(0, 0, 0x5e, 0, 1, 0x34);

describe('encodeNewLink', () => {
  it('makes a macvlan in bridge mode with its hardware address and group', () => {
    const link = { kind: 'macvlan', name: 'mv1', baseIndex: 3, mac: MAC, group: null } as const;
    const address = '0a00010000005e0001340000';
    const base = '0800050003000000';
    const name = '080003006d763100';
    const info = '1c001280' + '0b000100' + '6d6163766c616e00' + '0c000280' + '0800010004000000';
    expect(hexOf(encodeNewLink(writer, link))).toBe(HEADER + address + base + name + info);
    const grouped = hexOf(encodeNewLink(writer, { ...link, group: 7 }));
    expect(grouped).toBe(`${HEADER}${address}${base}${name}08001b0007000000${info}`);
    const inVrf = hexOf(encodeNewLink(writer, { ...link, vrfIndex: 9 }));
    expect(inVrf).toBe(`${HEADER}${address}${base}${name}08000a0009000000${info}`);
  });

  it.each([
    ['bridge', '0000'],
    ['private', '0100'],
    ['vepa', '0200'],
  ] as const)(
    'makes an ipvlan in layer 2 and mode %s, with the hardware address of its base',
    (mode, flags) => {
      const link: NewLink = { kind: 'ipvlan', name: 'iv', baseIndex: 3, mode, group: null };
      const name = '070003006976' + '0000';
      const kind = '0a000100' + '6970766c616e' + '0000';
      const data = `14000280${'06000100'}${'0000'}0000${'06000200'}${flags}0000`;
      expect(hexOf(encodeNewLink(writer, link))).toBe(
        `${HEADER}0800050003000000${name}24001280${kind}${data}`,
      );
    },
  );
});

describe('changes of a link', () => {
  it('an alias goes to the link of a name, without a terminating zero', () => {
    const bytes = hexOf(encodeLinkAlias(writer, 'mv1', 'ours'));
    expect(bytes).toBe(`${HEADER}080003006d763100080014006f757273`);
  });

  it('up and down change that flag alone', () => {
    const index = '0000000005000000';
    expect(hexOf(encodeLinkState(writer, 5, true))).toBe(`${index}0100000001000000`);
    expect(hexOf(encodeLinkState(writer, 5, false))).toBe(`${index}0000000001000000`);
  });

  it('removal is by index, and a question by name', () => {
    expect(hexOf(encodeDeleteLink(writer, 5))).toBe('00000000050000000000000000000000');
    expect(hexOf(encodeGetLink(writer, 'mv1'))).toBe(`${HEADER}08001d0008000000080003006d763100`);
  });
});
