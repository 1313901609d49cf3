/**
 * The part of Config that describes addresses, routes and rules, as an instance carries them
 * while active and as the section `static` keeps them all the time. Everything is resolved:
 * families known, words turned into the kernel's numbers. Addresses are canonical texts, as
 * everywhere in Config.
 */

/** What an address has beside itself, its prefix length and its interface: ip-address(8). */
export interface AddressAttributes {
  /** IPv4; null for none. */
  readonly broadcast: string | null;
  /** IPv4: RT_SCOPE_*, 0 (global) to 255. */
  readonly scope: number;
  /** IPv4: name of the address as an alias, at most 15 bytes; null for the interface's. */
  readonly label: string | null;
  /** The other end of a point-to-point link; the prefix length is then the peer's. */
  readonly peer: string | null;
  /** IPv6: home address of a mobile node (RFC 6275). */
  readonly home: boolean;
  /** IPv6: detect duplicates before the address is used. */
  readonly dad: boolean;
  /** Whether the kernel makes a route to the prefix. */
  readonly prefixRoute: boolean;
  /** IPv6: template of temporary addresses (RFC 8981). */
  readonly manageTemporary: boolean;
  /** Whole seconds; null for ever. 0: never a source address of its own accord. */
  readonly preferredSeconds: number | null;
  /** Metric of the prefix route; 0 for the kernel's. */
  readonly metric: number;
}

export interface IpPrefix {
  readonly address: string;
  readonly prefixLength: number;
}

/** What a route does with packets: RTN_*. */
export type RouteType = 'unicast' | 'local' | 'blackhole' | 'unreachable' | 'prohibit' | 'throw';

/** Metrics of a route that are numbers: RTAX_*, in the kernel's units. */
export const ROUTE_METRICS = [
  'mtu',
  'window',
  'rtt',
  'rttvar',
  'ssthresh',
  'cwnd',
  'advmss',
  'reordering',
  'hoplimit',
  'initcwnd',
  'features',
  'rto_min',
  'initrwnd',
  'quickack',
  'fastopen_no_cookie',
] as const;
export type RouteMetric = (typeof ROUTE_METRICS)[number];

/** Where packets go next; `I` says what an interface is: its name here, its index in the kernel. */
export interface Nexthop<I> {
  /** Of the route's family, or IPv6 for an IPv4 route; null for none. */
  readonly via: string | null;
  /** null: the one by which `via` is reached. */
  readonly interface: I | null;
  /** 1 to 256. */
  readonly weight: number;
  /** `via` is taken to be on the link, whatever the interface's prefixes. */
  readonly onlink: boolean;
}

export interface Realms {
  /** 0 for none. */
  readonly from: number;
  readonly to: number;
}

export interface RouteOf<I> {
  readonly family: 'ipv4' | 'ipv6';
  readonly type: RouteType;
  readonly to: IpPrefix;
  /** 1 to 4294967295. */
  readonly table: number;
  /** Of routes to one destination the least counts; IPv6: 1 or more. */
  readonly metric: number;
  /** IPv4; 0 for any. */
  readonly tos: number;
  /** IPv4: RT_SCOPE_*; always 0 in IPv6. */
  readonly scope: number;
  /** Source address that the kernel prefers with this route. */
  readonly source: string | null;
  /** None for types that have no next hop; one; or several that share the traffic. */
  readonly nexthops: readonly Nexthop<I>[];
  readonly metrics: Readonly<Partial<Record<RouteMetric, number>>>;
  /** Congestion control of connections that use it. */
  readonly congestion: string | null;
  /** Metrics that path discovery must not change. */
  readonly locked: readonly (RouteMetric | 'congestion')[];
  /** IPv4. */
  readonly realms: Realms;
  /** IPv6: RFC 4191. */
  readonly preference: 'low' | 'medium' | 'high';
}
export type RouteConfig = RouteOf<string>;

export type RuleAction =
  | { readonly kind: 'table'; readonly table: number }
  /** Goes on at the rule of this priority. */
  | { readonly kind: 'goto'; readonly priority: number }
  /** The table of the packet's VRF (l3mdev). */
  | { readonly kind: 'vrf' }
  | { readonly kind: 'nop' | 'blackhole' | 'unreachable' | 'prohibit' };

/** Inclusive. */
export type NumberRange = readonly [number, number];

export interface RuleConfig {
  readonly family: 'ipv4' | 'ipv6';
  /** Rules are looked at from the least to the greatest. */
  readonly priority: number;
  readonly action: RuleAction;
  /** It applies to packets that do not match. */
  readonly not: boolean;
  readonly from: IpPrefix | null;
  readonly to: IpPrefix | null;
  readonly iif: string | null;
  readonly oif: string | null;
  /** 0 for any. */
  readonly tos: number;
  readonly fwmark: { readonly mark: number; readonly mask: number } | null;
  readonly realms: Realms;
  readonly uidRange: NumberRange | null;
  /** Number of the IP protocol; 0 for any. */
  readonly ipProtocol: number;
  readonly sport: NumberRange | null;
  readonly dport: NumberRange | null;
  /** Results of prefixes up to this length do not count; null for all do. */
  readonly suppressPrefixLength: number | null;
  /** Results with interfaces of this group do not count. */
  readonly suppressInterfaceGroup: number | null;
}

/** An address of `static`. */
export interface StaticAddressConfig extends IpPrefix {
  readonly interface: string;
  readonly attributes: AddressAttributes;
}

/** What is there as long as vipkeeper runs, whatever the instances' states. */
export interface StaticConfig {
  readonly addresses: readonly StaticAddressConfig[];
  readonly routes: readonly RouteConfig[];
  readonly rules: readonly RuleConfig[];
}

/**
 * Name of the tracker that stands for a static object: names of the configuration's own trackers
 * have no colon.
 */
export function staticTracker(kind: keyof StaticConfig, index: number): string {
  return `static:${kind}[${index}]`;
}
