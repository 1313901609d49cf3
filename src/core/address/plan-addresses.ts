/**
 * planAddresses: what to do so that addresses are on their interfaces as wanted. An address that
 * is there and not ours is used as it is; one of ours that differs is changed without a moment in
 * which the machine does not have it, as far as the kernel can. Pure.
 * Standard: net/ipv4/devinet.c, net/ipv6/addrconf.c: what NLM_F_REPLACE changes, and which
 * addresses can be on one interface beside each other.
 */
import type { AddressAttributes } from '../config/address.ts';
import { ipFamily } from '../ip.ts';

export interface AddressSpec {
  readonly interfaceIndex: number;
  readonly address: string;
  readonly prefixLength: number;
  readonly attributes: AddressAttributes;
}

export interface ObservedAddress extends AddressSpec {
  /** Put there by vipkeeper, this process or an earlier one. */
  readonly ours: boolean;
}

/** In this order; the index of the wanted address that it is for. */
export interface AddressOperation {
  readonly kind: 'add' | 'replace' | 'delete';
  readonly address: AddressSpec;
  readonly wanted: number;
}

/** `find` answers what the interface has of an address. */
export function planAddresses(
  wanted: readonly AddressSpec[],
  find: (wanted: AddressSpec) => ObservedAddress | null,
): AddressOperation[] {
  const operations: AddressOperation[] = [];
  for (let index = 0; index < wanted.length; index++) {
    const address = wanted[index] as AddressSpec;
    const observed = find(address);
    if (observed === null) operations.push({ kind: 'add', address, wanted: index });
    else {
      for (const step of changes(address, observed)) operations.push({ ...step, wanted: index });
    }
  }
  return operations;
}

type Step = Omit<AddressOperation, 'wanted'>;
const add = (address: AddressSpec): Step => ({ kind: 'add', address });
const remove = (address: AddressSpec): Step => ({ kind: 'delete', address });

function changes(wanted: AddressSpec, observed: ObservedAddress): Step[] {
  if (!observed.ours || sameAddress(wanted, observed)) return [];
  const { ours: _, ...old } = observed;
  const samePrefix = wanted.prefixLength === old.prefixLength;
  const samePeer = wanted.attributes.peer === old.attributes.peer;
  if (ipFamily(wanted.address) === 'ipv6') {
    // An interface has an IPv6 address once, whatever its prefix length.
    return samePrefix && samePeer
      ? [{ kind: 'replace', address: wanted }]
      : [remove(old), add(wanted)];
  }
  if (!samePrefix) return [add(wanted), remove(old)];
  const renewed = {
    ...old,
    attributes: {
      ...old.attributes,
      preferredSeconds: wanted.attributes.preferredSeconds,
      metric: wanted.attributes.metric,
    },
  };
  if (sameAddress(wanted, renewed)) return [{ kind: 'replace', address: wanted }];
  // With another prefix length the address is there twice, so that it never goes.
  const bridge: AddressSpec = {
    interfaceIndex: wanted.interfaceIndex,
    address: wanted.address,
    prefixLength: wanted.prefixLength === 32 ? 31 : 32,
    attributes: PLAIN_ADDRESS,
  };
  return [add(bridge), remove(old), add(wanted), remove(bridge)];
}

/** Nothing but an address: no prefix route, so that nothing is routed by it. */
const PLAIN_ADDRESS: AddressAttributes = {
  broadcast: null,
  scope: 0,
  label: null,
  peer: null,
  home: false,
  dad: false,
  prefixRoute: false,
  manageTemporary: false,
  preferredSeconds: null,
  metric: 0,
};

/** The settings that have a meaning for the family are equal; `dad` has none once it is there. */
function sameAddress(wanted: AddressSpec, observed: AddressSpec): boolean {
  const [left, right] = [wanted.attributes, observed.attributes];
  const ofFamily =
    ipFamily(wanted.address) === 'ipv4'
      ? left.broadcast === right.broadcast &&
        left.scope === right.scope &&
        left.label === right.label
      : left.home === right.home && left.manageTemporary === right.manageTemporary;
  return (
    ofFamily &&
    wanted.prefixLength === observed.prefixLength &&
    left.peer === right.peer &&
    left.prefixRoute === right.prefixRoute &&
    left.metric === right.metric &&
    samePreference(left.preferredSeconds, right.preferredSeconds)
  );
}

/** A lifetime that runs is less than what it was set to: that is no difference. */
function samePreference(wanted: number | null, observed: number | null): boolean {
  if (wanted === null || wanted === 0) return wanted === observed;
  return observed !== null && observed <= wanted;
}
