/**
 * Routes and rules in the kernel: which of them are the same, how people write them, and
 * planRouting(): what to do so that those wanted are there and none of ours is left over. Pure.
 * Standard: net/ipv4/fib_trie.c (fib_table_insert, fib_table_delete), net/ipv6/ip6_fib.c
 * (fib6_add_rt2node), net/core/fib_rules.c: what may stand beside what.
 */
import type { NumberRange, RouteOf, RuleConfig } from '../config/address.ts';

/** A route with indexes of interfaces, as the kernel has it. */
export type KernelRoute = RouteOf<number>;
export type ObservedRoute = KernelRoute & { readonly ours: boolean };
export type ObservedRule = RuleConfig & { readonly ours: boolean };

export interface RoutingTable {
  readonly routes: readonly KernelRoute[];
  readonly rules: readonly RuleConfig[];
}

export interface ObservedRouting {
  readonly routes: readonly ObservedRoute[];
  readonly rules: readonly ObservedRule[];
}

export type RoutingOperation =
  | { readonly kind: 'add-route' | 'delete-route'; readonly route: KernelRoute }
  | { readonly kind: 'add-rule' | 'delete-rule'; readonly rule: RuleConfig };

/**
 * In an order in which none fails: routes before the rules that lead to them, rules before the
 * routes that they led to. A route or rule that changes is there in its new form before the old
 * one goes, but for an IPv6 route, of which the kernel keeps one for each destination and metric.
 */
export function planRouting(
  desired: RoutingTable,
  observed: ObservedRouting,
): readonly RoutingOperation[] {
  const routes = difference(desired.routes, ownOf(observed.routes), sameRoute, routeKey);
  const rules = difference(desired.rules, ownOf(observed.rules), sameRule, ruleKey);
  const operations: RoutingOperation[] = [];
  const gone = new Set<ObservedRoute>();
  for (const route of routes.missing) {
    for (const old of routes.surplus) {
      if (route.family !== 'ipv6' || gone.has(old) || routeKey(old) !== routeKey(route)) continue;
      gone.add(old);
      operations.push({ kind: 'delete-route', route: old });
    }
    operations.push({ kind: 'add-route', route });
  }
  for (const rule of rules.missing) operations.push({ kind: 'add-rule', rule });
  for (const rule of rules.surplus.reverse()) operations.push({ kind: 'delete-rule', rule });
  for (const route of routes.surplus.reverse()) {
    if (!gone.has(route)) operations.push({ kind: 'delete-route', route });
  }
  return operations;
}

function ownOf<T extends { readonly ours: boolean }>(observed: readonly T[]): readonly T[] {
  return observed.filter(({ ours }) => ours);
}

/** What is wanted and not there, and what is there and not wanted; each counts once. */
function difference<T, O extends T>(
  desired: readonly T[],
  observed: readonly O[],
  same: (wanted: T, there: T) => boolean,
  keyOf: (entry: T) => string,
): { readonly missing: readonly T[]; readonly surplus: O[] } {
  const byKey = new Map<string, O[]>();
  for (const entry of observed) {
    const key = keyOf(entry);
    const entries = byKey.get(key);
    if (entries === undefined) byKey.set(key, [entry]);
    else entries.push(entry);
  }
  const used = new Set<O>();
  const missing = desired.filter((wanted) => {
    const entries = byKey.get(keyOf(wanted)) ?? [];
    const there = entries.find((entry) => !used.has(entry) && same(wanted, entry));
    if (there === undefined) return true;
    used.add(there);
    return false;
  });
  return { missing, surplus: observed.filter((entry) => !used.has(entry)) };
}

/** What the kernel finds a route by: of equal ones it keeps one (IPv6), or uses the first. */
export function routeKey({ family, table, to, metric, tos }: RouteOf<unknown>): string {
  return `${family} ${table} ${to.address}/${to.prefixLength} ${metric} ${tos}`;
}

function ruleKey({ family, priority }: RuleConfig): string {
  return `${family} ${priority}`;
}

/** The route that is there is the one wanted: an interface that was not named may be any. */
export function sameRoute(wanted: KernelRoute, there: KernelRoute): boolean {
  return (
    routeKey(wanted) === routeKey(there) &&
    wanted.type === there.type &&
    wanted.scope === there.scope &&
    wanted.source === there.source &&
    wanted.congestion === there.congestion &&
    wanted.preference === there.preference &&
    wanted.realms.from === there.realms.from &&
    wanted.realms.to === there.realms.to &&
    sameNumbers(wanted.metrics, there.metrics) &&
    [...wanted.locked].sort().join() === [...there.locked].sort().join() &&
    sameNexthops(wanted, there)
  );
}

function sameNumbers(left: KernelRoute['metrics'], right: KernelRoute['metrics']): boolean {
  const names = Object.keys({ ...left, ...right }) as (keyof typeof left)[];
  return names.every((name) => (left[name] ?? 0) === (right[name] ?? 0));
}

function sameNexthops(wanted: KernelRoute, there: KernelRoute): boolean {
  // The kernel puts an interface of its own choice to routes that lead nowhere.
  if (wanted.type !== 'unicast' && wanted.type !== 'local') return true;
  if (wanted.nexthops.length !== there.nexthops.length) return false;
  return wanted.nexthops.every((hop, index) => {
    const other = there.nexthops[index] as (typeof there.nexthops)[number];
    const single = wanted.nexthops.length === 1;
    return (
      hop.via === other.via &&
      hop.onlink === other.onlink &&
      (single || hop.weight === other.weight) &&
      (hop.interface === null || other.interface === null || hop.interface === other.interface)
    );
  });
}

export function sameRule(left: RuleConfig, right: RuleConfig): boolean {
  return left.family === right.family && ruleText(left) === ruleText(right);
}

/** 'default via 192.0.2.1 dev eth0 table 100 metric 5', as ip-route(8) would say it. */
export function routeText(route: RouteOf<string | number>): string {
  const { type, to, table, metric, tos, source, nexthops } = route;
  const words = [
    type === 'unicast' ? '' : type,
    to.prefixLength === 0 ? 'default' : `${to.address}/${to.prefixLength}`,
    ...(nexthops.length === 1 ? [hopText(nexthops[0] as (typeof nexthops)[number])] : []),
    source === null ? '' : `src ${source}`,
    table === MAIN_TABLE ? '' : `table ${table}`,
    metric === 0 || (route.family === 'ipv6' && metric === 1024) ? '' : `metric ${metric}`,
    tos === 0 ? '' : `tos ${tos}`,
    ...(nexthops.length > 1 ? nexthops.map((hop) => `nexthop ${hopText(hop)}`) : []),
  ];
  return words.filter((word) => word !== '').join(' ');
}

/** RT_TABLE_MAIN (include/uapi/linux/rtnetlink.h). */
const MAIN_TABLE = 254;

function hopText(hop: RouteOf<string | number>['nexthops'][number]): string {
  const via = hop.via === null ? '' : `via ${hop.via}`;
  const dev = hop.interface === null ? '' : `dev ${hop.interface}`;
  const weight = hop.weight === 1 ? '' : `weight ${hop.weight}`;
  return [via, dev, weight, hop.onlink ? 'onlink' : ''].filter((word) => word !== '').join(' ');
}

/** '100: from 192.0.2.10/32 iif eth0 lookup 100', as ip-rule(8) would say it. */
export function ruleText(rule: RuleConfig): string {
  const prefix = (name: string, value: RuleConfig['from']) =>
    value === null ? '' : `${name} ${value.address}/${value.prefixLength}`;
  const range = (name: string, value: NumberRange | null) =>
    value === null ? '' : `${name} ${value[0] === value[1] ? value[0] : value.join('-')}`;
  const { fwmark, realms, action } = rule;
  const words = [
    `${rule.priority}:`,
    rule.not ? 'not' : '',
    rule.from === null && rule.to === null
      ? `from all${rule.family === 'ipv6' ? ' (IPv6)' : ''}`
      : '',
    prefix('from', rule.from),
    prefix('to', rule.to),
    rule.iif === null ? '' : `iif ${rule.iif}`,
    rule.oif === null ? '' : `oif ${rule.oif}`,
    rule.tos === 0 ? '' : `tos ${rule.tos}`,
    fwmark === null ? '' : `fwmark ${fwmark.mark}/${fwmark.mask}`,
    range('uidrange', rule.uidRange),
    rule.ipProtocol === 0 ? '' : `ipproto ${rule.ipProtocol}`,
    range('sport', rule.sport),
    range('dport', rule.dport),
    realms.from + realms.to === 0 ? '' : `realms ${realms.from}/${realms.to}`,
    rule.suppressPrefixLength === null ? '' : `suppress_prefixlength ${rule.suppressPrefixLength}`,
    rule.suppressInterfaceGroup === null ? '' : `suppress_ifgroup ${rule.suppressInterfaceGroup}`,
    actionText(action),
  ];
  return words.filter((word) => word !== '').join(' ');
}

function actionText(action: RuleConfig['action']): string {
  if (action.kind === 'table') return `lookup ${action.table}`;
  if (action.kind === 'goto') return `goto ${action.priority}`;
  return action.kind === 'vrf' ? 'lookup [vrf]' : action.kind;
}
