/** The choice of the address that advertisements come from. */
import { describe, expect, it } from 'vitest';
import {
  IFA_F_DADFAILED,
  IFA_F_DEPRECATED,
  IFA_F_SECONDARY,
  IFA_F_TENTATIVE,
  type InterfaceAddress,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
} from '../../../../src/linux/netlink/route-messages.ts';
import {
  chooseSourceAddress,
  chooseUnicastSource,
} from '../../../../src/linux/netlink/source-address.ts';

function entry(address: string, fields: Partial<InterfaceAddress> = {}): InterfaceAddress {
  const family = address.includes(':') ? 'ipv6' : 'ipv4';
  const scope = family === 'ipv6' ? RT_SCOPE_LINK : 0;
  const common = { interfaceIndex: 2, prefixLength: 24, flags: 0x80, protocol: null };
  return { ...common, family, address, scope, ...fields };
}

describe('chooseSourceAddress', () => {
  const choose = (addresses: InterfaceAddress[], family: 'ipv4' | 'ipv6', exclude: string[] = []) =>
    chooseSourceAddress(addresses, 2, family, new Set(exclude));

  it('takes the first primary IPv4 address that is no VIP', () => {
    const addresses = [
      entry('192.0.2.9', { interfaceIndex: 3 }),
      entry('192.0.2.8', { scope: RT_SCOPE_HOST }),
      entry('192.0.2.10'),
      entry('192.0.2.2', { flags: IFA_F_SECONDARY }),
      entry('192.0.2.3'),
    ];
    expect(choose(addresses, 'ipv4', ['192.0.2.10'])).toBe('192.0.2.3');
  });

  it('takes a secondary address rather than none, as when the VIP came first', () => {
    const addresses = [entry('192.0.2.10'), entry('192.0.2.2', { flags: IFA_F_SECONDARY })];
    expect(choose(addresses, 'ipv4', ['192.0.2.10'])).toBe('192.0.2.2');
  });

  it('takes an IPv6 link-local address that is neither tentative nor a duplicate', () => {
    const addresses = [
      entry('fe80::1', { flags: IFA_F_TENTATIVE }),
      entry('fe80::2', { flags: IFA_F_DADFAILED }),
      entry('2001:db8::1', { scope: 0 }),
      entry('fe80::10'),
      entry('fe80::3'),
    ];
    expect(choose(addresses, 'ipv6', ['fe80::10'])).toBe('fe80::3');
  });

  it('answers null when only VIPs are there', () => {
    expect(choose([entry('192.0.2.10')], 'ipv4', ['192.0.2.10'])).toBeNull();
  });
});

describe('chooseUnicastSource', () => {
  const choose = (addresses: InterfaceAddress[], peers: string[], exclude: string[] = []) =>
    chooseUnicastSource(addresses, 2, peers, new Set(exclude));
  const global = (address: string, fields: Partial<InterfaceAddress> = {}) =>
    entry(address, { scope: 0, prefixLength: 64, ...fields });

  it('takes the address that is in the list of peers, whatever else there is', () => {
    const addresses = [
      entry('192.0.2.2'),
      entry('192.0.2.9', { flags: IFA_F_SECONDARY }),
      entry('198.51.100.2'),
    ];
    expect(choose(addresses, ['198.51.100.3', '192.0.2.9'])).toBe('192.0.2.9');
  });

  it('takes the address in the network of the first peer that shares one', () => {
    const addresses = [entry('192.0.2.2'), entry('198.51.100.2'), entry('203.0.113.2')];
    expect(choose(addresses, ['10.0.0.3', '203.0.113.9', '198.51.100.3'])).toBe('203.0.113.2');
    const narrow = [entry('192.0.2.2', { prefixLength: 26 }), entry('192.0.2.70')];
    expect(choose(narrow, ['192.0.2.65'])).toBe('192.0.2.70');
  });

  it('takes the first address for peers behind routers', () => {
    expect(choose([entry('192.0.2.2'), entry('198.51.100.2')], ['10.0.0.3'])).toBe('192.0.2.2');
  });

  it('takes a lasting global IPv6 address for global peers, and no VIP', () => {
    const addresses = [
      entry('fe80::2'),
      global('2001:db8::10'),
      global('2001:db8::a', { flags: IFA_F_SECONDARY }),
      global('2001:db8::b', { flags: IFA_F_DEPRECATED }),
      global('2001:db8::c', { flags: IFA_F_TENTATIVE }),
      global('2001:db8::2'),
    ];
    expect(choose(addresses, ['2001:db8::3'], ['2001:db8::10'])).toBe('2001:db8::2');
    expect(choose(addresses, ['fe80::3'])).toBe('fe80::2');
  });

  it('answers null without an address of the needed scope, or on another interface', () => {
    expect(choose([entry('fe80::2')], ['2001:db8::3'])).toBeNull();
    expect(choose([entry('192.0.2.2', { interfaceIndex: 3 })], ['192.0.2.3'])).toBeNull();
  });
});
