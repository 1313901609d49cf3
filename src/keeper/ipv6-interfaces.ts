/** On which interfaces a plan needs IPv6, for virtual links, which are quiet without it. Pure. */
import type { RouteConfig } from '../core/config/address.ts';
import { ipFamily } from '../core/ip.ts';
import type { KeeperPlan } from './messages.ts';

/** Names of the interfaces that bear an IPv6 address or route of the plan's, whoever's it is. */
export function ipv6Interfaces(
  plan: Pick<KeeperPlan, 'instances' | 'static'>,
): ReadonlySet<string> {
  const names = new Set<string>();
  for (const { addresses, routes } of [...plan.instances, plan.static]) {
    for (const vip of addresses) {
      if (ipFamily(vip.address) === 'ipv6') names.add(vip.interface);
    }
    for (const route of routes) for (const name of ofRoute(route)) names.add(name);
  }
  return names;
}

function ofRoute({ family, nexthops }: RouteConfig): readonly string[] {
  return nexthops
    .filter(({ via }) => family === 'ipv6' || (via !== null && ipFamily(via) === 'ipv6'))
    .flatMap(({ interface: name }) => name ?? []);
}
