/** The choice of the address that advertisements come from. */
import { describe, expect, it } from 'vitest';
import {
  IFA_F_DADFAILED,
  IFA_F_SECONDARY,
  IFA_F_TENTATIVE,
  type InterfaceAddress,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
} from '../../../../src/linux/netlink/route-messages.ts';
import { chooseSourceAddress } from '../../../../src/linux/netlink/source-address.ts';

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
