/**
 * Adding and removing VIPs, many in one batch. An address that was there before and is not ours
 * (an address owner's own) is used as it is and never removed.
 */
import type { VipConfig } from '../core/config/config.ts';
import type { Problem } from '../core/problem.ts';
import type { NetlinkError } from '../linux/netlink/error.ts';
import type { AddressChange } from '../linux/netlink/route-messages.ts';
import { type Network, VIP_PROTOCOL } from './network.ts';

type Vip = Omit<VipConfig, 'advertised'>;

export interface AddResult {
  /** Those that were not there before. */
  readonly added: readonly VipConfig[];
  readonly problems: readonly Problem[];
}

/** Adds the VIPs that are missing. */
export function addVips(network: Network, vips: readonly VipConfig[]): AddResult {
  const missing: VipConfig[] = [];
  const operations: AddressChange[] = [];
  const problems: Problem[] = [];
  for (const vip of vips) {
    const link = network.link(vip.interface);
    if (link === null) {
      problems.push({
        code: 'VK-NO-INTERFACE',
        message: `VIP ${vip.address} cannot be added: interface ${vip.interface} does not exist`,
        cure: 'Create the interface, or correct its name in the configuration',
      });
    } else if (!network.hasAddress(vip.interface, vip.address)) {
      missing.push(vip);
      operations.push({
        kind: 'add',
        interfaceIndex: link.index,
        address: vip.address,
        prefixLength: vip.prefixLength,
        protocol: VIP_PROTOCOL,
        // Duplicate address detection would keep a VIP unusable for a second after takeover.
        noDad: true,
      });
    }
  }
  const errors = operations.length === 0 ? [] : network.change(operations);
  const added: VipConfig[] = [];
  for (const [index, vip] of missing.entries()) {
    const error = errors[index] ?? null;
    if (error === null) added.push(vip);
    // Somebody added it since we looked: it is there, which is what counts.
    else if (error.code !== 'EEXIST') problems.push(refused('add', vip, error));
  }
  return { added, problems };
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
    cure: `Look at the interface with: ip address show dev ${vip.interface}`,
  };
}
