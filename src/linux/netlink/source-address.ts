/**
 * Which of an interface's addresses vipkeeper sends from. A VIP is never chosen: it belongs to
 * whoever is active, and this director may not be.
 * Standard: RFC 9568 sections 5.1.1.1 and 5.1.2.1.
 */
import type { AddressFamily, IpText } from '../../core/config/config.ts';
import { isLinkLocal, parseIp } from '../../core/ip.ts';
import {
  IFA_F_DADFAILED,
  IFA_F_DEPRECATED,
  IFA_F_SECONDARY,
  IFA_F_TENTATIVE,
  type InterfaceAddress,
  RT_SCOPE_LINK,
  RT_SCOPE_UNIVERSE,
} from './route-messages.ts';

/**
 * The interface's first primary IPv4 address of global scope (else its first secondary one), or
 * its first usable IPv6 link-local address; null when it has none.
 * @param exclude the VIPs of this director, canonical.
 */
export function chooseSourceAddress(
  addresses: readonly InterfaceAddress[],
  interfaceIndex: number,
  family: AddressFamily,
  exclude: ReadonlySet<IpText>,
): IpText | null {
  const scope = family === 'ipv4' ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
  const candidates = addresses.filter(
    (candidate) =>
      candidate.interfaceIndex === interfaceIndex &&
      candidate.family === family &&
      candidate.scope === scope &&
      (candidate.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) === 0 &&
      !exclude.has(candidate.address),
  );
  // The bit of IFA_F_SECONDARY means "temporary" in IPv6, which no link-local address is.
  const primary = candidates.find(({ flags }) => (flags & IFA_F_SECONDARY) === 0);
  return (primary ?? candidates[0])?.address ?? null;
}

/**
 * The address that a unicast instance sends from: of the scope that its peers need (link-local for
 * link-local peers), in the network of the first peer that shares one with the interface, else the
 * interface's first. Not what the route would prefer: that depends on routes that come and go,
 * and peers know this director by one address. Null when there is none.
 * @param peers canonical, of one family; own addresses may be among them.
 */
export function chooseUnicastSource(
  addresses: readonly InterfaceAddress[],
  interfaceIndex: number,
  peers: readonly IpText[],
  exclude: ReadonlySet<IpText>,
): IpText | null {
  const first = peers[0];
  if (first === undefined) return null;
  const family: AddressFamily = first.includes(':') ? 'ipv6' : 'ipv4';
  const scope = isLinkLocal(first) ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  const unusable = IFA_F_TENTATIVE | IFA_F_DADFAILED;
  const candidates = addresses.filter(
    (candidate) =>
      candidate.interfaceIndex === interfaceIndex &&
      candidate.family === family &&
      candidate.scope === scope &&
      (candidate.flags & unusable) === 0 &&
      !exclude.has(candidate.address),
  );
  // A listed address of ours is the one that the other directors know.
  const listed = candidates.find(({ address }) => peers.includes(address));
  if (listed !== undefined) return listed.address;
  // In IPv6 the bit of IFA_F_SECONDARY means "temporary".
  const lasting = candidates.filter(
    ({ flags }) => (flags & (IFA_F_SECONDARY | IFA_F_DEPRECATED)) === 0,
  );
  const preferred = lasting.length > 0 ? lasting : candidates;
  for (const peer of peers) {
    const near = preferred.find((candidate) => sharesNetwork(candidate, peer));
    if (near !== undefined) return near.address;
  }
  return preferred[0]?.address ?? null;
}

function sharesNetwork({ address, prefixLength }: InterfaceAddress, peer: IpText): boolean {
  const left = parseIp(address);
  const right = parseIp(peer);
  if (left === null || right === null || left.length !== right.length) return false;
  for (let bit = 0; bit < prefixLength; bit += 8) {
    const mask = (0xff00 >> Math.min(8, prefixLength - bit)) & 0xff;
    const index = bit / 8;
    if ((((left[index] as number) ^ (right[index] as number)) & mask) !== 0) return false;
  }
  return true;
}
