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
import { type AddressChange, encodedAhead } from '../linux/netlink/route-messages.ts';
import { readInterfaceSetting } from '../linux/sysctl.ts';
import { aheadOf, type Network, VIP_PROTOCOL, type VipChange } from './network.ts';

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
  const batch: Batch = { changes: [], vips: [], ends: [], problems: [] };
  for (let index = 0; index < lists.length; index++) {
    plan(network, lists[index] as readonly WantedVip[], batch);
  }
  const errors = batch.changes.length === 0 ? [] : network.change(batch.changes);
  const results: AddResult[] = [];
  for (let index = 0; index < lists.length; index++) {
    const list = lists[index] as readonly WantedVip[];
    results.push(allAdded(list, batch, errors, index) ?? resultOf(network, batch, errors, index));
  }
  return results;
}

/** The changes of several lists of VIPs, one after the other. */
interface Batch {
  readonly changes: VipChange[];
  /** The VIP that each change is for; changes of one VIP follow each other. */
  readonly vips: WantedVip[];
  /** Where each list's changes end. */
  readonly ends: number[];
  /** What hinders each list already. */
  readonly problems: (readonly Problem[])[];
}

const NO_PROBLEMS: readonly Problem[] = [];

/** Adds to `batch` what a list of VIPs needs. */
function plan(network: Network, vips: readonly WantedVip[], batch: Batch): void {
  let problems = NO_PROBLEMS;
  for (let index = 0; index < vips.length; index++) {
    const vip = vips[index] as WantedVip;
    const link = network.link(vip.interface);
    if (link === null) problems = [...problems, noInterface(vip)];
    else if (!network.hasAddressOn(link, vip.address)) {
      batch.changes.push(additionOf(vip, link.index));
      batch.vips.push(vip);
    } else planChange(network, vip, link.index, batch);
  }
  batch.ends.push(batch.changes.length);
  batch.problems.push(problems);
}

/** For a VIP that is there. */
function planChange(network: Network, vip: WantedVip, interfaceIndex: number, batch: Batch): void {
  const { address, prefixLength, attributes } = vip;
  const wanted = { interfaceIndex, address, prefixLength, attributes };
  for (const operation of planAddresses([wanted], (spec) => observed(network, spec))) {
    batch.changes.push(changeOf(operation));
    batch.vips.push(vip);
  }
}

/**
 * The additions of VIPs, for the interface that each was on last: a takeover finds its own here, as
 * a VIP is the same object as long as its configuration is.
 */
const additions = new WeakMap<WantedVip, VipChange>();

function additionOf(vip: WantedVip, interfaceIndex: number): VipChange {
  const known = additions.get(vip);
  if (known?.interfaceIndex === interfaceIndex) return known;
  const { address, prefixLength, attributes } = vip;
  const spec = { interfaceIndex, address, prefixLength, attributes };
  const addition = encodedAhead(changeOf({ kind: 'add', address: spec }));
  const change = { ...addition, ahead: aheadOf(addition) };
  additions.set(vip, change);
  return change;
}

/** Makes ready what addVips() sends if none of these is there. */
export function prepareVips(network: Network, vips: readonly WantedVip[]): void {
  for (const vip of vips) {
    const link = network.link(vip.interface);
    if (link !== null) additionOf(vip, link.index);
  }
}

const NOTHING_REFUSED: ReadonlyMap<WantedVip, string> = new Map();

/** The usual result of a takeover, for which no list is made: all were added. Else null. */
function allAdded(
  vips: readonly WantedVip[],
  batch: Batch,
  errors: readonly (NetlinkError | null)[],
  list: number,
): AddResult | null {
  const start = startOf(batch, list);
  if ((batch.ends[list] as number) - start !== vips.length) return null;
  for (let index = 0; index < vips.length; index++) {
    if (batch.vips[start + index] !== vips[index] || errors[start + index] !== null) return null;
  }
  return { added: vips, problems: batch.problems[list] ?? NO_PROBLEMS, refused: NOTHING_REFUSED };
}

/** Where the changes of a list begin. */
function startOf(batch: Batch, list: number): number {
  return list === 0 ? 0 : (batch.ends[list - 1] as number);
}

function resultOf(
  network: Network,
  batch: Batch,
  errors: readonly (NetlinkError | null)[],
  list: number,
): AddResult {
  let problems = batch.problems[list] as readonly Problem[];
  let refusals = NOTHING_REFUSED;
  const added: WantedVip[] = [];
  const end = batch.ends[list] as number;
  for (let index = startOf(batch, list); index < end; index++) {
    const change = batch.changes[index] as AddressChange;
    const vip = batch.vips[index] as WantedVip;
    const error = errors[index] ?? null;
    if (error === null) {
      if (added.at(-1) !== vip) added.push(vip);
    }
    // Somebody added it since we looked: it is there, which is what counts.
    else if (error.code === 'EEXIST') network.noteExisting(change);
    else if (error.code === 'ENODEV') problems = [...problems, noInterface(vip)];
    else {
      const problem = refused(change.kind === 'delete' ? 'remove' : 'add', vip, error);
      problems = [...problems, problem];
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

function changeOf({
  kind,
  address: spec,
}: Pick<AddressOperation, 'kind' | 'address'>): AddressChange {
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

/**
 * Whether the kernel would take this VIP, of an instance that is not active: adds it and removes it
 * at once. 'taken' also when it is there already; null when it has no interface. It is tried with
 * duplicate address detection, which keeps the kernel from using or announcing an IPv6 address
 * before it has begun.
 */
export function tryVip(network: Network, vip: WantedVip): 'taken' | NetlinkError | null {
  const link = network.link(vip.interface);
  if (link === null) return null;
  if (network.hasAddress(vip.interface, vip.address)) return 'taken';
  const { address, prefixLength, attributes } = vip;
  const spec = { interfaceIndex: link.index, address, prefixLength, attributes };
  const addition = { ...changeOf({ kind: 'add', address: spec }), noDad: false };
  const [error = null] = network.change([addition]);
  removeVips(network, [vip]);
  // Somebody added it since we looked.
  if (error?.code === 'EEXIST') network.noteExisting(addition);
  return error === null || error.code === 'EEXIST' ? 'taken' : error;
}

/** What the kernel says to an IPv6 address on an interface that it has no IPv6 on. */
const IPV6_DISABLED = { code: 'EACCES', message: 'IPv6 is disabled on this interface' };
const MTU_TOO_SMALL = { code: 'EINVAL', message: 'IPv6 needs an MTU of 1280 (RFC 8200)' };
const IPV6_MTU_MIN = 1280;

/**
 * Why the kernel is going to refuse a VIP, as far as that can be known beforehand: its words, and
 * the problem that it is; null when nothing is known.
 */
export function foreseeRefusal(
  network: Network,
  vip: WantedVip,
): { readonly words: string; readonly problem: Problem } | null {
  const link = network.link(vip.interface);
  if (link === null || ipFamily(vip.address) === 'ipv4') return null;
  if (network.hasAddress(vip.interface, vip.address)) return null;
  const disabled = readInterfaceSetting('ipv6', vip.interface, 'disable_ipv6') === '1';
  if (!disabled && link.mtu >= IPV6_MTU_MIN) return null;
  const error = disabled ? IPV6_DISABLED : MTU_TOO_SMALL;
  return { words: error.message, problem: refused('add', vip, error) };
}

type Refusing = Pick<NetlinkError, 'code' | 'message'>;

function refused(action: string, vip: Vip, error: Refusing): Problem {
  return {
    code: 'VK-ADDRESS',
    message: `The kernel refused to ${action} VIP ${vip.address}/${vip.prefixLength} on ${vip.interface}: ${error.message}`,
    cure: refusalCure(vip, error),
  };
}

function refusalCure(vip: Vip, { code }: Refusing): string {
  if (code === 'EACCES' && ipFamily(vip.address) === 'ipv6') {
    return `Enable IPv6 there: sysctl net.ipv6.conf.${vip.interface}.disable_ipv6=0, and in what sets it at boot`;
  }
  // The kernel has neither family on an interface whose MTU is too small for it.
  if (code === 'EINVAL' || code === 'ENOBUFS') {
    const least = ipFamily(vip.address) === 'ipv6' ? 1280 : 68;
    return `Look at the interface, whose mtu must be ${least} or more, and at the attributes of this address, with: ip address show dev ${vip.interface}`;
  }
  if (code === 'EPERM') return 'Run vipkeeper as root, or give it CAP_NET_ADMIN';
  return `Look at the interface with: ip address show dev ${vip.interface}`;
}
