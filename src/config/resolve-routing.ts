/**
 * Routes, rules and the section `static` from their parsed form: families found, the kernel's
 * defaults applied as ip(8) applies them, and what does not fit together refused with its place.
 */

import { routeKey, routeText, ruleText } from '../core/address/routing.ts';
import {
  type IpPrefix,
  type Nexthop,
  ROUTE_METRICS,
  type RouteConfig,
  type RouteMetric,
  type RuleAction,
  type RuleConfig,
  type StaticConfig,
  staticTracker,
} from '../core/config/address.ts';
import type { AddressFamily, VrrpConfig } from '../core/config/config.ts';
import { ipFamily } from '../core/ip.ts';
import { type Path, pathText } from './document.ts';
import type { Report } from './report.ts';
import { prefixLengthOf, resolveAttributes } from './resolve-address.ts';
import type { NamedVrrp } from './resolve-vrrp.ts';
import { SCOPES } from './schema-address.ts';
import type { RouteInput, RuleInput, StaticInput } from './schema-routing.ts';
import { joinWords } from './suggest.ts';

const LOCAL_TABLE = 255;
const MAIN_TABLE = 254;
/** IP6_RT_PRIO_USER (include/uapi/linux/ipv6_route.h). */
const IPV6_METRIC = 1024;
/** RTAX_FEATURE_ECN */
const FEATURE_ECN = 1;
/** Rules without a priority come behind those of other programs that have a low one. */
const AUTOMATIC_PRIORITY = 16_384;
const ANY: Readonly<Record<AddressFamily, IpPrefix>> = {
  ipv4: { address: '0.0.0.0', prefixLength: 0 },
  ipv6: { address: '::', prefixLength: 0 },
};

/** Where a route or rule stands: its path, and what it takes from there. */
export interface Surroundings {
  readonly path: Path;
  /** Interface of the instance; null in `static`. */
  readonly interface: string | null;
  readonly report: Report;
}

export function resolveRoute(input: RouteInput, around: Surroundings): RouteConfig {
  const { path, report } = around;
  const family = routeFamily(input);
  const type = input.type ?? 'unicast';
  const hops = nexthopsOf(input, around);
  const leads = type === 'unicast' || type === 'local';
  if (!leads && hops.given) {
    report.error([...path, 'type'], `a ${type} route leads nowhere, expected no via or interface`);
  }
  reportRouteFamily(input, family, around);
  const gateway = hops.nexthops.length > 1 || hops.nexthops[0]?.via != null;
  const usualScope = type === 'local' ? 'host' : type === 'unicast' && !gateway ? 'link' : 'global';
  return {
    family,
    type,
    to: input.to.prefix ?? ANY[family],
    table: input.table ?? (type === 'local' ? LOCAL_TABLE : MAIN_TABLE),
    metric: input.metric || (family === 'ipv6' ? IPV6_METRIC : 0),
    tos: input.tos ?? 0,
    scope: family === 'ipv6' ? 0 : (input.scope ?? (SCOPES[usualScope] as number)),
    source: input.source ?? null,
    nexthops: leads ? hops.nexthops : [],
    metrics: metricsOf(input),
    congestion: input.congestion ?? null,
    locked: lockedOf(input, around),
    realms: input.realms ?? { from: 0, to: 0 },
    preference: input.preference ?? 'medium',
  };
}

function routeFamily(input: RouteInput): AddressFamily {
  const { to, source, via, nexthops } = input;
  const first = to.prefix?.address ?? source ?? input.family;
  if (first === 'ipv4' || first === 'ipv6') return first;
  const address = first ?? via ?? nexthops?.find((hop) => hop.via !== undefined)?.via;
  return address === undefined ? 'ipv4' : ipFamily(address);
}

function reportRouteFamily(input: RouteInput, family: AddressFamily, around: Surroundings): void {
  const { path, report } = around;
  const check = (key: PropertyKey[], address: string | undefined, gateway: boolean) => {
    if (address === undefined || ipFamily(address) === family) return;
    if (gateway && family === 'ipv4') return;
    report.error([...path, ...key], `expected an ${family} address, as the route is`);
  };
  if (input.family !== undefined && input.family !== family) {
    report.error([...path, 'family'], `the addresses of the route are ${family}`, 'bare');
  }
  check(['source'], input.source, false);
  check(['via'], input.via, true);
  for (const [index, hop] of (input.nexthops ?? []).entries()) {
    check(['nexthops', index, 'via'], hop.via, true);
  }
  const others =
    family === 'ipv4' ? (['preference'] as const) : (['scope', 'tos', 'realms'] as const);
  for (const key of others) {
    if (input[key] === undefined || (key === 'tos' && input.tos === 0)) continue;
    if (key === 'preference' && input.preference === 'medium') continue;
    report.error([...path, key], `${family} routes have no ${key}`, 'bare');
  }
}

interface Hops {
  readonly nexthops: readonly Nexthop<string>[];
  /** The configuration names one. */
  readonly given: boolean;
}

function nexthopsOf(input: RouteInput, around: Surroundings): Hops {
  const { path, report } = around;
  const single = input.via !== undefined || input.interface !== undefined;
  const hops = input.nexthops ?? [];
  if (single && hops.length > 0) {
    report.error([...path, 'nexthops'], 'not allowed beside via or interface', 'bare');
  }
  const type = input.type ?? 'unicast';
  if (hops.length > 0 && type !== 'unicast') {
    report.error([...path, 'nexthops'], `not allowed with the type ${type}`, 'bare');
  }
  const all = hops.length > 0 ? hops : [{ ...input, weight: 1 }];
  const nexthops = all.map((hop, index): Nexthop<string> => {
    const place = hops.length > 0 ? [...path, 'nexthops', index] : path;
    // Without a gateway the destination is on a link, which must be named.
    const here = hop.interface ?? (hop.via === undefined ? around.interface : null);
    if (hop.via === undefined && here === null && (type === 'unicast' || type === 'local')) {
      report.error(place, 'expected via or interface', 'bare');
    }
    if (hop.onlink === true && (hop.via === undefined || hop.interface === undefined)) {
      report.error([...place, 'onlink'], 'expected via and interface beside it', 'bare');
    }
    return {
      via: hop.via ?? null,
      interface: here,
      weight: hop.weight ?? 1,
      onlink: hop.onlink ?? false,
    };
  });
  return { nexthops, given: single || hops.length > 0 };
}

function metricsOf(input: RouteInput): RouteConfig['metrics'] {
  const metrics: Partial<Record<RouteMetric, number>> = {};
  for (const name of ROUTE_METRICS) {
    const value = name === 'features' ? input.ecn : input[name];
    if (value === undefined || value === false || value === 0) continue;
    // The kernel keeps the round-trip time in eighths and its variance in quarters.
    const unit = name === 'rtt' ? 8 : name === 'rttvar' ? 4 : name === 'features' ? FEATURE_ECN : 1;
    metrics[name] = Number(value) * unit;
  }
  return metrics;
}

function lockedOf(input: RouteInput, { path, report }: Surroundings): RouteConfig['locked'] {
  const locked = (input.lock ?? []) as RouteConfig['locked'];
  for (const [index, name] of locked.entries()) {
    const value = name === 'features' ? input.ecn : input[name];
    if (value !== undefined) continue;
    report.error([...path, 'lock', index], `expected ${name} beside it`, 'bare');
  }
  return locked;
}

/** `priority`: of a rule that has none. */
export function resolveRule(
  input: RuleInput,
  priority: number,
  { path, report }: Surroundings,
): RuleConfig {
  const addresses = [input.from?.prefix, input.to?.prefix].flatMap((prefix) => prefix ?? []);
  const first = addresses[0];
  const family = first === undefined ? (input.family ?? 'ipv4') : ipFamily(first.address);
  if (addresses.some(({ address }) => ipFamily(address) !== family)) {
    report.error([...path, 'to'], `expected an ${family} network, as from is`);
  }
  if (input.family !== undefined && input.family !== family) {
    report.error([...path, 'family'], `the networks of the rule are ${family}`, 'bare');
  }
  if (family === 'ipv6' && input.realms !== undefined) {
    report.error([...path, 'realms'], 'ipv6 rules have no realms', 'bare');
  }
  const rule: RuleConfig = {
    family,
    priority: input.priority ?? priority,
    action: actionOf(input, path, report),
    not: input.not ?? false,
    from: input.from?.prefix ?? null,
    to: input.to?.prefix ?? null,
    iif: input.iif ?? null,
    oif: input.oif ?? null,
    tos: input.tos ?? 0,
    fwmark: input.fwmark ?? null,
    realms: input.realms ?? { from: 0, to: 0 },
    uidRange: input.uid_range ?? null,
    ipProtocol: input.ip_protocol ?? 0,
    sport: input.sport ?? null,
    dport: input.dport ?? null,
    suppressPrefixLength: input.suppress_prefix_length ?? null,
    suppressInterfaceGroup: input.suppress_interface_group ?? null,
  };
  if (rule.action.kind === 'goto' && rule.action.priority <= rule.priority) {
    const message = `expected a priority above its own, ${rule.priority}: the kernel goes on only`;
    report.error([...path, 'goto'], message);
  }
  return rule;
}

function actionOf(input: RuleInput, path: Path, report: Report): RuleAction {
  const given = (['table', 'goto', 'action'] as const).filter((key) => input[key] !== undefined);
  if (given.length !== 1) {
    report.error(path, 'expected exactly one of table, goto and action', 'bare');
  }
  if (given[0] === 'table') return { kind: 'table', table: input.table as number };
  if (given[0] === 'goto') return { kind: 'goto', priority: input.goto as number };
  return { kind: input.action ?? 'nop' };
}

export interface RoutingParts {
  readonly static: StaticConfig;
  readonly instances: readonly VrrpConfig[];
}

/**
 * The routes and rules of the instances and of `static`, numbered and checked together; the
 * instances that a static object names track it.
 */
export function resolveRouting(
  instances: readonly VrrpConfig[],
  inputs: { readonly vrrp: readonly NamedVrrp[]; readonly static: StaticInput | null },
  { instanceNames, report }: { readonly instanceNames: readonly string[]; readonly report: Report },
): RoutingParts {
  const objects = new Objects(report);
  const resolved = instances.map((instance): VrrpConfig => {
    const input = inputs.vrrp.find(({ name }) => name === instance.name)?.input;
    const path = ['vrrp', instance.name];
    const around = { interface: instance.interface, report };
    return {
      ...instance,
      routes: objects.routes(input?.routes ?? [], path, around),
      rules: objects.rules(input?.rules ?? [], path, around),
    };
  });
  const input = inputs.static ?? {};
  const around = { interface: null, report };
  const routes = objects.routes(input.routes ?? [], ['static'], around);
  const rules = objects.rules(input.rules ?? [], ['static'], around);
  const carried = new Map(
    resolved.flatMap(({ name, addresses }) =>
      addresses.map((vip): [string, string] => [`${vip.address} ${vip.interface}`, name]),
    ),
  );
  const addresses = (input.addresses ?? []).map((entry, index) => {
    const path = ['static', 'addresses', index];
    const key = `${entry.address.address} ${entry.interface}`;
    const other = carried.get(key);
    if (other !== undefined) {
      const message = `${entry.address.address} is carried on ${entry.interface} by ${other} already`;
      report.error(path, message, 'bare');
    }
    carried.set(key, `static.addresses[${index}]`);
    return {
      address: entry.address.address,
      prefixLength: prefixLengthOf(entry),
      interface: entry.interface,
      attributes: resolveAttributes(entry, path, report),
    };
  });
  const trackers = trackersOf(input, instanceNames, report);
  return {
    static: { addresses, routes, rules },
    instances: resolved.map((instance) => ({
      ...instance,
      track: [...instance.track, ...(trackers.get(instance.name) ?? [])],
    })),
  };
}

/** By instance, the static objects that it depends on. */
function trackersOf(
  input: StaticInput,
  instanceNames: readonly string[],
  report: Report,
): ReadonlyMap<string, VrrpConfig['track']> {
  const found = new Map<string, VrrpConfig['track'][number][]>();
  for (const kind of ['addresses', 'routes', 'rules'] as const) {
    for (const [index, object] of (input[kind] ?? []).entries()) {
      for (const [place, name] of (object.instances ?? []).entries()) {
        if (!instanceNames.includes(name)) {
          const expected = joinWords([...instanceNames], 'or');
          const path = ['static', kind, index, 'instances', place];
          report.error(path, `expected a VRRP instance: ${expected}`);
        }
        const track = { tracker: staticTracker(kind, index), weight: 0, reverse: false };
        found.set(name, [...(found.get(name) ?? []), track]);
      }
    }
  }
  return found;
}

/** All routes and rules of a configuration: no two may be the same for the kernel. */
class Objects {
  readonly #report: Report;
  readonly #seen = new Map<string, string>();
  readonly #automatic = { ipv4: AUTOMATIC_PRIORITY, ipv6: AUTOMATIC_PRIORITY };

  constructor(report: Report) {
    this.#report = report;
  }

  routes(inputs: readonly RouteInput[], path: Path, around: Omit<Surroundings, 'path'>) {
    return inputs.map((input, index): RouteConfig => {
      const place = [...path, 'routes', index];
      const route = resolveRoute(input, { ...around, path: place });
      this.#note(routeKey(route), routeText(route), place);
      return route;
    });
  }

  rules(inputs: readonly RuleInput[], path: Path, around: Omit<Surroundings, 'path'>) {
    return inputs.map((input, index): RuleConfig => {
      const place = [...path, 'rules', index];
      const prefix = input.from?.prefix ?? input.to?.prefix;
      const family = prefix == null ? (input.family ?? 'ipv4') : ipFamily(prefix.address);
      const next = this.#automatic[family];
      if (input.priority === undefined) this.#automatic[family]++;
      const rule = resolveRule(input, next, { ...around, path: place });
      this.#note(ruleText(rule), ruleText(rule), place);
      return rule;
    });
  }

  #note(key: string, text: string, path: Path): void {
    const other = this.#seen.get(key);
    if (other !== undefined) {
      this.#report.error(path, `${text} has the place of ${other} in the kernel`, 'bare');
    }
    this.#seen.set(key, pathText(path));
  }
}
