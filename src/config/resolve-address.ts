/**
 * The attributes of addresses from their parsed form: defaults applied, and what one family does
 * not have refused with its place. The same for VIPs and for the addresses of `static`.
 */
import type { AddressAttributes } from '../core/config/address.ts';
import { defaultAttributes } from '../core/config/defaults.ts';
import { ipFamily } from '../core/ip.ts';
import type { Path } from './document.ts';
import type { Report } from './report.ts';
import type { AddressInput } from './schema-address.ts';
import { familyBits } from './values.ts';

const ONLY_IPV4 = ['broadcast', 'scope', 'label'] as const;
const ONLY_IPV6 = ['home', 'dad', 'manage_temporary'] as const;

/** Attributes of the address at `path`; errors are reported. */
export function resolveAttributes(
  input: AddressInput,
  path: Path,
  report: Report,
): AddressAttributes {
  const { address } = input.address;
  const prefixLength = prefixLengthOf(input);
  const family = ipFamily(address);
  const defaults = defaultAttributes(family, prefixLength);
  for (const key of family === 'ipv4' ? ONLY_IPV6 : ONLY_IPV4) {
    if (input[key] === undefined) continue;
    report.error([...path, key], `${family} addresses have no ${key}`, 'bare');
  }
  reportPeer(input, path, report);
  if (family === 'ipv4' && (input.preferred_lifetime?.seconds ?? 0) > 0) {
    const message = 'expected forever or 0s: the kernel counts no other time for an IPv4 address';
    report.error([...path, 'preferred_lifetime'], message);
  }
  if (input.manage_temporary === true && prefixLength !== 64) {
    const message = 'expected an address with prefix length 64, as temporary addresses have';
    report.error([...path, 'address'], message);
  }
  return {
    broadcast: broadcastOf(input),
    scope: input.scope ?? defaults.scope,
    label: input.label ?? null,
    peer: input.peer?.address ?? null,
    home: input.home ?? defaults.home,
    dad: input.dad ?? defaults.dad,
    prefixRoute: input.prefix_route ?? defaults.prefixRoute,
    manageTemporary: input.manage_temporary ?? defaults.manageTemporary,
    preferredSeconds:
      input.preferred_lifetime === undefined
        ? defaults.preferredSeconds
        : input.preferred_lifetime.seconds,
    metric: input.metric ?? defaults.metric,
  };
}

/** With a peer, the prefix length is that of the peer. */
export function prefixLengthOf(input: AddressInput): number {
  return input.peer?.prefixLength ?? input.address.prefixLength;
}

function reportPeer(input: AddressInput, path: Path, report: Report): void {
  const { peer, address } = input;
  if (peer === undefined) return;
  const family = ipFamily(address.address);
  if (ipFamily(peer.address) !== family) {
    report.error([...path, 'peer'], `expected an ${family} address, as the address is`);
  } else if (address.prefixLength !== familyBits(family)) {
    const message = 'expected no prefix length: with a peer it belongs to that';
    report.error([...path, 'address'], message);
  }
}

/** The address itself, or the last one of the network; null for none. */
function broadcastOf(input: AddressInput): string | null {
  const { broadcast } = input;
  if (broadcast === undefined || broadcast === 'none') return null;
  if (broadcast !== 'auto') return broadcast;
  const { address } = input.address;
  const bits = 32 - prefixLengthOf(input);
  // The kernel has none for networks of two addresses or one (RFC 3021).
  if (bits < 2) return null;
  const hosts = 2 ** bits - 1;
  const number = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const last = number - (number % (hosts + 1)) + hosts;
  return [24, 16, 8, 0].map((shift) => Math.floor(last / 2 ** shift) % 256).join('.');
}
