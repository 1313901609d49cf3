/**
 * Adding and removing VIPs, many in one batch. An address that was there before and is not ours
 * (an address owner's own) is used as it is and never removed.
 */
import {
  type AddressOperation,
  type AddressSpec,
  type ObservedAddress,
  planAddresses,
} from '../core/address/plan-addresses.ts';
import type { VipConfig } from '../core/config/config.ts';
import { ipFamily } from '../core/ip.ts';
import type { Problem } from '../core/problem.ts';
import { attributeFields, attributesOf } from '../linux/netlink/address-attributes.ts';
import type { NetlinkError } from '../linux/netlink/error.ts';
import type { AddressChange } from '../linux/netlink/route-messages.ts';
import { type Network, VIP_PROTOCOL } from './network.ts';

type Vip = Pick<VipConfig, 'address' | 'prefixLength' | 'interface'>;
export type WantedVip = Vip & Pick<VipConfig, 'attributes'>;

export interface AddResult {
  /** Those that were not there before, or not as wanted. */
  readonly added: readonly WantedVip[];
  readonly problems: readonly Problem[];
  /** Why those that the kernel did not take are not there, in its words. */
  readonly refused: ReadonlyMap<WantedVip, string>;
}

/** Adds the VIPs that are missing, and changes those that are ours and differ. */
export function addVips(network: Network, vips: readonly WantedVip[]): AddResult {
  return addVipsTogether(network, [vips])[0] as AddResult;
}

/** The same for several lists in one batch of the kernel's; one result for each list. */
export function addVipsTogether(
  network: Network,
  lists: readonly (readonly WantedVip[])[],
): readonly AddResult[] {
  const plans = lists.map((vips) => planVips(network, vips));
  const changes = plans.flatMap(({ operations }) => operations.map(changeOf));
  const errors = changes.length === 0 ? [] : network.change(changes);
  let done = 0;
  return plans.map((plan) => {
    const from = done;
    done += plan.operations.length;
    return resultOf(network, plan, errors.slice(from, done));
  });
}

interface VipPlan {
  readonly present: readonly WantedVip[];
  readonly operations: readonly AddressOperation[];
  readonly problems: readonly Problem[];
}

function planVips(network: Network, vips: readonly WantedVip[]): VipPlan {
  const present: WantedVip[] = [];
  const problems: Problem[] = [];
  const wanted: AddressSpec[] = [];
  for (const vip of vips) {
    const link = network.link(vip.interface);
    if (link === null) problems.push(noInterface(vip));
    else {
      present.push(vip);
      wanted.push({
        interfaceIndex: link.index,
        address: vip.address,
        prefixLength: vip.prefixLength,
        attributes: vip.attributes,
      });
    }
  }
  const operations = planAddresses(wanted, (address) => observed(network, address));
  return { present, operations, problems };
}

const NOTHING_REFUSED: ReadonlyMap<WantedVip, string> = new Map();

function resultOf(
  network: Network,
  { present, operations, problems: before }: VipPlan,
  errors: readonly (NetlinkError | null)[],
): AddResult {
  const problems = [...before];
  const added: WantedVip[] = [];
  let refusals = NOTHING_REFUSED;
  for (let index = 0; index < operations.length; index++) {
    const operation = operations[index] as AddressOperation;
    const vip = present[operation.wanted] as WantedVip;
    const error = errors[index] ?? null;
    if (error === null) {
      // The operations of one address follow each other.
      if (added.at(-1) !== vip) added.push(vip);
    }
    // Somebody added it since we looked: it is there, which is what counts.
    else if (error.code === 'EEXIST') network.noteExisting(operation.address);
    else if (error.code === 'ENODEV') problems.push(noInterface(vip));
    else {
      problems.push(refused(operation.kind === 'delete' ? 'remove' : 'add', vip, error));
      refusals = new Map(refusals).set(vip, error.message);
    }
  }
  return { added, problems, refused: refusals };
}

function observed(network: Network, wanted: AddressSpec): ObservedAddress | null {
  const name = network.nameOf(wanted.interfaceIndex);
  const info = name === null ? null : network.addressInfo(name, wanted.address);
  if (name === null || info === null) return null;
  const { interfaceIndex, address, prefixLength } = info;
  const ours = network.isOurs(name, address);
  return { interfaceIndex, address, prefixLength, ours, attributes: attributesOf(info, name) };
}

function changeOf({ kind, address: spec }: AddressOperation): AddressChange {
  const { interfaceIndex, address, prefixLength, attributes } = spec;
  if (kind === 'delete') {
    return { kind, interfaceIndex, address, prefixLength, peer: attributes.peer ?? undefined };
  }
  // Duplicate address detection would keep a VIP unusable for a second after takeover.
  const fields = attributeFields(attributes, ipFamily(address));
  return { kind, interfaceIndex, address, prefixLength, protocol: VIP_PROTOCOL, ...fields };
}

function noInterface(vip: Vip): Problem {
  return {
    code: 'VK-NO-INTERFACE',
    message: `VIP ${vip.address} cannot be added: interface ${vip.interface} does not exist`,
    cure: 'Create the interface, or correct its name in the configuration',
  };
}

/** Removes those of the VIPs that are there and ours. */
export function removeVips(network: Network, vips: readonly Vip[]): readonly Problem[] {
  const present: Vip[] = [];
  const operations: AddressChange[] = [];
  for (const vip of vips) {
    const info = network.addressInfo(vip.interface, vip.address);
    if (info === null || !network.isOurs(vip.interface, vip.address)) continue;
    present.push(vip);
    operations.push({
      kind: 'delete',
      interfaceIndex: info.interfaceIndex,
      address: info.address,
      prefixLength: info.prefixLength,
      ...(info.peer === undefined ? {} : { peer: info.peer }),
    });
  }
  const errors = operations.length === 0 ? [] : network.change(operations);
  const problems: Problem[] = [];
  for (const [index, vip] of present.entries()) {
    const error = errors[index] ?? null;
    // Gone already, with or without its interface: nothing is left to remove.
    const gone = error?.code === 'EADDRNOTAVAIL' || error?.code === 'ENODEV';
    if (error !== null && !gone) problems.push(refused('remove', vip, error));
  }
  return problems;
}

function refused(action: string, vip: Vip, error: NetlinkError): Problem {
  return {
    code: 'VK-ADDRESS',
    message: `The kernel refused to ${action} VIP ${vip.address}/${vip.prefixLength} on ${vip.interface}: ${error.message}`,
    cure: refusalCure(vip, error),
  };
}

function refusalCure(vip: Vip, { code }: NetlinkError): string {
  if (code === 'EACCES' && ipFamily(vip.address) === 'ipv6') {
    return `Enable IPv6 there: sysctl net.ipv6.conf.${vip.interface}.disable_ipv6=0, and in what sets it at boot`;
  }
  return `Look at the interface with: ip address show dev ${vip.interface}`;
}
