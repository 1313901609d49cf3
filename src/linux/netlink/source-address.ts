/**
 * Which of an interface's addresses vipkeeper sends from. A VIP is never chosen: it belongs to
 * whoever is active, and this director may not be.
 * Standard: RFC 9568 sections 5.1.1.1 and 5.1.2.1.
 */
import type { AddressFamily, IpText } from '../../core/config/config.ts';
import {
  IFA_F_DADFAILED,
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
