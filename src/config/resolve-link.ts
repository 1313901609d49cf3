/**
 * Virtual links of VRRP instances from their parsed form: names and hardware addresses by
 * default, and what cannot go together: two kinds on one instance or one interface, one name
 * for two links, a link where an interface of the configuration is.
 */
import type { AddressFamily, VirtualLinkConfig, VrrpConfig } from '../core/config/config.ts';
import { DEFAULTS } from '../core/config/defaults.ts';
import { formatMac, virtualRouterMac } from '../core/wire/ethernet.ts';
import type { Path } from './document.ts';
import type { Report } from './report.ts';
import type { VrrpInput } from './schema.ts';

/** The link that an instance asks for, or null. */
export function resolveVirtualLink(
  input: VrrpInput,
  family: AddressFamily,
  path: Path,
  report: Report,
): VirtualLinkConfig | null {
  const vmac = input.vmac ?? null;
  const { ipvlan, vrid } = input;
  const name = family === 'ipv4' ? `vrrp.${vrid}` : `vrrp6.${vrid}`;
  if (vmac !== null && ipvlan !== undefined) {
    const message = 'an instance has a vmac or an ipvlan, not both';
    report.error([...path, 'ipvlan'], message, 'bare');
  }
  if (vmac !== null) {
    return {
      kind: 'macvlan',
      name: vmac.name ?? name,
      mac: vmac.mac ?? formatMac(virtualRouterMac(family, vrid)),
      xmitBase: vmac.xmit_base ?? DEFAULTS.vrrp.vmac.xmitBase,
      group: vmac.group ?? null,
    };
  }
  if (ipvlan === undefined) return null;
  return {
    kind: 'ipvlan',
    name: ipvlan.name ?? name,
    mode: ipvlan.mode ?? DEFAULTS.vrrp.ipvlan.mode,
    group: ipvlan.group ?? null,
  };
}

const KEYS: Readonly<Record<VirtualLinkConfig['kind'], 'vmac' | 'ipvlan'>> = {
  macvlan: 'vmac',
  ipvlan: 'ipvlan',
};

/** What is wrong with the links of all instances together. */
export function reportVirtualLinks(instances: readonly VrrpConfig[], report: Report): void {
  const bases = new Set(instances.map((instance) => instance.interface));
  const names = new Map<string, string>();
  const kinds = new Map<string, { readonly kind: string; readonly name: string }>();
  const macs = new Map<string, string>();
  for (const { name, interface: base, virtualLink: link } of instances) {
    if (link === null) continue;
    const path = ['vrrp', name, KEYS[link.kind]];
    const complain = (message: string): void => report.error(path, message, 'bare');
    const other = names.get(link.name);
    if (other !== undefined) {
      complain(`the link name ${link.name} is taken by vrrp.${other}, expected another \`name\``);
    }
    if (bases.has(link.name)) complain(`the link name ${link.name} is that of an interface`);
    const first = kinds.get(base);
    if (first !== undefined && first.kind !== link.kind) {
      complain(`${base} bears the ${first.kind} of vrrp.${first.name}, and only one kind fits`);
    }
    if (link.kind === 'macvlan') {
      const taken = macs.get(`${base} ${link.mac}`);
      if (taken !== undefined) complain(`${link.mac} is taken on ${base} by vrrp.${taken}`);
      macs.set(`${base} ${link.mac}`, name);
    }
    names.set(link.name, name);
    kinds.set(base, { kind: link.kind, name });
  }
}
