/**
 * Whom an instance's advertisements go to, from its parsed form: defaults applied, and the rules
 * checked that concern several values.
 */
import type { AddressFamily, IpText, UnicastConfig, VipConfig } from '../core/config/config.ts';
import { DEFAULTS } from '../core/config/defaults.ts';
import { ipFamily, isLinkLocal } from '../core/ip.ts';
import type { Path } from './document.ts';
import type { Report } from './report.ts';
import type { VrrpInput } from './schema.ts';

type ReachInput = Pick<VrrpInput, 'peers' | 'unicast' | 'multicast_group'>;

/** Where the family of an instance without `family` comes from, if it has peers. */
export function familyOfPeers(input: ReachInput): AddressFamily | null {
  const first = input.peers?.[0];
  return first === undefined ? null : ipFamily(first.address);
}

export function resolveUnicast(
  input: ReachInput,
  instance: { readonly family: AddressFamily; readonly addresses: readonly VipConfig[] },
  path: Path,
  report: Report,
): UnicastConfig | null {
  const { vrrp } = DEFAULTS;
  if (input.peers === undefined) {
    if (input.unicast !== undefined) {
      const message = 'only an instance with peers uses unicast, expected peers beside it';
      report.error([...path, 'unicast'], message, 'bare');
    }
    return null;
  }
  if (input.multicast_group !== undefined) {
    const message = 'an instance with peers uses unicast, expected peers or multicast_group';
    report.error([...path, 'multicast_group'], message, 'bare');
  }
  const peers = input.peers.map(({ address, min_ttl: minTtl, max_ttl: maxTtl }) => ({
    address,
    minTtl: minTtl ?? vrrp.peer.minTtl,
    maxTtl: maxTtl ?? vrrp.peer.maxTtl,
  }));
  const unicast: UnicastConfig = {
    peers,
    ttl: input.unicast?.ttl ?? vrrp.unicast.ttl,
    checkSource: input.unicast?.check_source ?? vrrp.unicast.checkSource,
    faultWithoutPeers: input.unicast?.fault_without_peers ?? vrrp.unicast.faultWithoutPeers,
  };
  reportPeers(unicast, instance, [...path, 'peers'], report);
  return unicast;
}

function reportPeers(
  { peers }: UnicastConfig,
  { family, addresses }: Parameters<typeof resolveUnicast>[1],
  path: Path,
  report: Report,
): void {
  const seen = new Set<IpText>();
  const first = peers[0];
  for (const [index, { address, minTtl, maxTtl }] of peers.entries()) {
    const at = [...path, index];
    if (ipFamily(address) !== family) {
      report.error(at, `expected an ${family} address, as advertisements are`, 'bare');
    } else if (seen.has(address)) {
      report.error(at, `${address} is listed twice`, 'bare');
    } else if (addresses.some((vip) => vip.address === address)) {
      const message = `${address} is a virtual IP of the instance, expected a director's own address`;
      report.error(at, message, 'bare');
    } else if (first !== undefined && isLinkLocal(address) !== isLinkLocal(first.address)) {
      // One source address serves all peers, and they take adverts from that one only.
      report.error(at, 'expected link-local addresses only, or none', 'bare');
    }
    if (minTtl > maxTtl) report.error(at, `min_ttl ${minTtl} is above max_ttl ${maxTtl}`, 'bare');
    seen.add(address);
  }
}

export function resolveMulticastGroup(
  input: ReachInput,
  family: AddressFamily,
  path: Path,
  report: Report,
): IpText {
  const group = input.multicast_group ?? DEFAULTS.vrrp.multicastGroup[family];
  if (ipFamily(group) !== family) {
    const message = `expected an ${family} address, as advertisements are`;
    report.error([...path, 'multicast_group'], message);
  }
  return group;
}
