/**
 * The attributes of an address between the words of Config and those of the kernel, both ways.
 * Standard: include/uapi/linux/if_addr.h.
 */
import type { AddressAttributes } from '../../core/config/address.ts';
import {
  type AddressChange,
  IFA_F_DEPRECATED,
  IFA_F_HOMEADDRESS,
  IFA_F_MANAGETEMPADDR,
  IFA_F_NOPREFIXROUTE,
  INFINITY_LIFE_TIME,
  type InterfaceAddress,
} from './route-messages.ts';

/** What a change says so that an address has these attributes. */
export function attributeFields(
  attributes: AddressAttributes,
  family: 'ipv4' | 'ipv6',
): Omit<AddressChange, 'kind' | 'interfaceIndex' | 'address' | 'prefixLength' | 'protocol'> {
  const { broadcast, label, peer, home, manageTemporary, preferredSeconds, metric } = attributes;
  const flags = (home ? IFA_F_HOMEADDRESS : 0) | (manageTemporary ? IFA_F_MANAGETEMPADDR : 0);
  return {
    noDad: !attributes.dad,
    noPrefixRoute: !attributes.prefixRoute,
    peer: peer ?? undefined,
    broadcast: broadcast ?? undefined,
    // The kernel derives the scope of an IPv6 address.
    scope: family === 'ipv6' ? undefined : attributes.scope,
    label: label ?? undefined,
    flags: flags === 0 ? undefined : flags,
    preferredSeconds: preferredSeconds ?? INFINITY_LIFE_TIME,
    metric: metric === 0 ? undefined : metric,
  };
}

/** The attributes of an address on the interface of this name. */
export function attributesOf(address: InterfaceAddress, interfaceName: string): AddressAttributes {
  const has = (flag: number): boolean => (address.flags & flag) !== 0;
  const ipv6 = address.family === 'ipv6';
  return {
    broadcast: address.broadcast ?? null,
    scope: ipv6 ? 0 : address.scope,
    label: address.label === interfaceName ? null : (address.label ?? null),
    peer: address.peer ?? null,
    home: ipv6 && has(IFA_F_HOMEADDRESS),
    dad: false,
    prefixRoute: !has(IFA_F_NOPREFIXROUTE),
    manageTemporary: ipv6 && has(IFA_F_MANAGETEMPADDR),
    // Of an IPv4 address that is valid for ever the kernel only knows whether it is preferred.
    preferredSeconds: ipv6 ? (address.preferredSeconds ?? null) : has(IFA_F_DEPRECATED) ? 0 : null,
    metric: address.metric ?? 0,
  };
}
