/**
 * rtnetlink messages about routes and rules: kernel bytes to values and back. Pure; the sockets
 * are in routing.ts. Everything that we add bears ROUTING_PROTOCOL, by which it is recognised.
 * A decoder answers null for a damaged message and 'other' for what is none of ours to know.
 * Standard: include/uapi/linux/rtnetlink.h, fib_rules.h; RFC 3549 section 3.
 */

import type { KernelRoute, ObservedRoute, ObservedRule } from '../../core/address/routing.ts';
import { assert } from '../../core/assert.ts';
import {
  type IpPrefix,
  type NumberRange,
  ROUTE_METRICS,
  type RouteMetric,
  type RouteType,
  type RuleAction,
  type RuleConfig,
} from '../../core/config/address.ts';
import { formatIp, parseIp } from '../../core/ip.ts';
import { AF_INET, AF_INET6 } from '../constants.ts';
import type { AttributeReader, AttributeWriter } from './attributes.ts';
import type { MessageCursor } from './message.ts';

/** rtm_protocol and FRA_PROTOCOL of what vipkeeper adds ('v'), as VIP_PROTOCOL for addresses. */
export const ROUTING_PROTOCOL = 0x76;

/** include/uapi/linux/rtnetlink.h */
export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
export const RTM_GETROUTE = 26;
export const RTM_NEWRULE = 32;
export const RTM_DELRULE = 33;
export const RTM_GETRULE = 34;
export const RTNLGRP_IPV4_ROUTE = 7;
export const RTNLGRP_IPV4_RULE = 8;
export const RTNLGRP_IPV6_ROUTE = 11;
export const RTNLGRP_IPV6_RULE = 19;
const RTMSG_BYTES = 12;
const RTNEXTHOP_BYTES = 8;
const RT_TABLE_UNSPEC = 0;
const RT_TABLE_COMPAT = 252;
const RTNH_F_ONLINK = 4;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_METRICS = 8;
const RTA_MULTIPATH = 9;
const RTA_FLOW = 11;
const RTA_TABLE = 15;
const RTA_VIA = 18;
const RTA_PREF = 20;
const RTAX_LOCK = 1;
const RTAX_CC_ALGO = 16;
const RTAX: Readonly<Record<RouteMetric, number>> = {
  mtu: 2,
  window: 3,
  rtt: 4,
  rttvar: 5,
  ssthresh: 6,
  cwnd: 7,
  advmss: 8,
  reordering: 9,
  hoplimit: 10,
  initcwnd: 11,
  features: 12,
  rto_min: 13,
  initrwnd: 14,
  quickack: 15,
  fastopen_no_cookie: 17,
};
const RTN: Readonly<Record<RouteType, number>> = {
  unicast: 1,
  local: 2,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
};
/** include/uapi/linux/icmpv6.h: ICMPV6_ROUTER_PREF_* */
const PREFERENCES = { medium: 0, high: 1, low: 3 } as const;

/** include/uapi/linux/fib_rules.h */
const FIB_RULE_HDR_BYTES = 12;
const FIB_RULE_INVERT = 0x2;
const FRA_DST = 1;
const FRA_SRC = 2;
const FRA_IIFNAME = 3;
const FRA_GOTO = 4;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_FLOW = 11;
const FRA_SUPPRESS_IFGROUP = 13;
const FRA_SUPPRESS_PREFIXLEN = 14;
const FRA_TABLE = 15;
const FRA_FWMASK = 16;
const FRA_OIFNAME = 17;
const FRA_L3MDEV = 19;
const FRA_UID_RANGE = 20;
const FRA_PROTOCOL = 21;
const FRA_IP_PROTO = 22;
const FRA_SPORT_RANGE = 23;
const FRA_DPORT_RANGE = 24;
const FR_ACT_TO_TBL = 1;
const FR_ACT_GOTO = 2;
const FR_ACT_NOP = 3;
const FR_ACT_BLACKHOLE = 6;
const FR_ACT_UNREACHABLE = 7;
const FR_ACT_PROHIBIT = 8;
const NO_SUPPRESSION = 0xffff_ffff;

type Family = 'ipv4' | 'ipv6';
const FAMILIES: Readonly<Record<Family, number>> = { ipv4: AF_INET, ipv6: AF_INET6 };

function familyOf(number: number): Family | null {
  return number === AF_INET ? 'ipv4' : number === AF_INET6 ? 'ipv6' : null;
}

function bytesOf(address: string): Uint8Array {
  const bytes = parseIp(address);
  assert(bytes !== null, `not an address: ${address}`);
  return bytes;
}

/** The old header has eight bits for the table; the attribute has the number. */
function shortTable(table: number): number {
  return table < 256 ? table : RT_TABLE_COMPAT;
}

/** Payload that asks for our routes of one family; needs NETLINK_GET_STRICT_CHK to filter. */
export function encodeRouteDump(writer: AttributeWriter, family: Family): Uint8Array {
  writer.reset().putU8(FAMILIES[family]).putU8(0).putU8(0).putU8(0);
  return writer.putU8(RT_TABLE_UNSPEC).putU8(ROUTING_PROTOCOL).putU16(0).putU32(0).view();
}

/** Payload that asks for all rules of one family. */
export function encodeRuleDump(writer: AttributeWriter, family: Family): Uint8Array {
  return writer.reset().putU8(FAMILIES[family]).putU8(0).putU16(0).putU32(0).putU32(0).view();
}

/** The payload of RTM_NEWROUTE or RTM_DELROUTE, copied out of the writer. */
export function encodeRoute(writer: AttributeWriter, route: KernelRoute): Uint8Array {
  const { to, table, type, nexthops, realms } = route;
  const [single] = nexthops.length === 1 ? nexthops : [];
  const flags = single?.onlink === true ? RTNH_F_ONLINK : 0;
  writer.reset().putU8(FAMILIES[route.family]).putU8(to.prefixLength).putU8(0).putU8(route.tos);
  writer.putU8(shortTable(table)).putU8(ROUTING_PROTOCOL).putU8(route.scope).putU8(RTN[type]);
  writer.putU32(flags);
  if (to.prefixLength > 0) writer.bytes(RTA_DST, bytesOf(to.address));
  writer.u32(RTA_TABLE, table);
  if (route.metric !== 0) writer.u32(RTA_PRIORITY, route.metric);
  if (route.source !== null) writer.bytes(RTA_PREFSRC, bytesOf(route.source));
  if (realms.from + realms.to > 0) writer.u32(RTA_FLOW, flowOf(realms));
  if (route.preference !== 'medium') writer.u8(RTA_PREF, PREFERENCES[route.preference]);
  writeMetrics(writer, route);
  if (single !== undefined) {
    if (single.via !== null) writeGateway(writer, route.family, single.via);
    if (single.interface !== null) writer.u32(RTA_OIF, single.interface);
  } else if (nexthops.length > 1) writeNexthops(writer, route);
  return writer.copy();
}

function flowOf({ from, to }: KernelRoute['realms']): number {
  return from * 0x1_0000 + to;
}

function realmsOf(flow: number): KernelRoute['realms'] {
  return { from: flow >>> 16, to: flow & 0xffff };
}

function writeGateway(writer: AttributeWriter, family: Family, via: string): void {
  const bytes = bytesOf(via);
  const viaFamily = bytes.length === 4 ? 'ipv4' : 'ipv6';
  if (viaFamily === family) {
    writer.bytes(RTA_GATEWAY, bytes);
    return;
  }
  // struct rtvia: the family in host byte order, then the address.
  const rtvia = new Uint8Array(2 + bytes.length);
  rtvia.set(new Uint8Array(Uint16Array.of(FAMILIES[viaFamily]).buffer));
  rtvia.set(bytes, 2);
  writer.bytes(RTA_VIA, rtvia);
}

function writeMetrics(writer: AttributeWriter, route: KernelRoute): void {
  const { metrics, congestion, locked } = route;
  const given = ROUTE_METRICS.filter((name) => metrics[name] !== undefined);
  if (given.length === 0 && congestion === null) return;
  const numberOf = (name: (typeof locked)[number]) =>
    name === 'congestion' ? RTAX_CC_ALGO : RTAX[name];
  const lock = locked.reduce((bits, name) => bits | (1 << numberOf(name)), 0);
  writer.nested(RTA_METRICS, (inner) => {
    if (lock !== 0) inner.u32(RTAX_LOCK, lock);
    for (const name of given) inner.u32(RTAX[name], metrics[name] as number);
    if (congestion !== null) inner.string0(RTAX_CC_ALGO, congestion);
  });
}

/** struct rtnexthop: its length, flags, weight less one and interface, then its attributes. */
function writeNexthops(writer: AttributeWriter, route: KernelRoute): void {
  writer.nested(RTA_MULTIPATH, (inner) => {
    for (const hop of route.nexthops) {
      const same =
        hop.via !== null && bytesOf(hop.via).length === (route.family === 'ipv4' ? 4 : 16);
      const attributeBytes = hop.via === null ? 0 : same ? (route.family === 'ipv4' ? 8 : 20) : 24;
      inner.putU16(RTNEXTHOP_BYTES + attributeBytes).putU8(hop.onlink ? RTNH_F_ONLINK : 0);
      inner.putU8(hop.weight - 1).putU32(hop.interface ?? 0);
      if (hop.via !== null) writeGateway(inner, route.family, hop.via);
    }
  });
}

/** RTM_NEWROUTE or RTM_DELROUTE to a value. */
export function decodeRoute(message: MessageCursor): ObservedRoute | 'other' | null {
  const { reader, payloadStart: start, payloadEnd: end } = message;
  if (end - start < RTMSG_BYTES) return null;
  const family = familyOf(reader.u8(start, end));
  if (family === null) return 'other';
  const prefixLength = reader.u8(start + 1, end);
  const typeNumber = reader.u8(start + 7, end);
  const type = (Object.keys(RTN) as RouteType[]).find((name) => RTN[name] === typeNumber);
  if (type === undefined) return 'other';
  const parts = new RouteParts(reader, family);
  parts.flags = reader.u32(start + 8, end);
  parts.table = reader.u8(start + 4, end);
  reader.forEach(start + RTMSG_BYTES, end, (kind, from, to) => parts.read(kind, from, to));
  if (reader.error !== null || prefixLength > (family === 'ipv4' ? 32 : 128)) return null;
  const any = family === 'ipv4' ? '0.0.0.0' : '::';
  return {
    family,
    type,
    to: { address: parts.destination ?? any, prefixLength },
    table: parts.table,
    metric: parts.metric,
    tos: family === 'ipv4' ? reader.u8(start + 3, end) : 0,
    scope: family === 'ipv4' ? reader.u8(start + 6, end) : 0,
    source: parts.source,
    nexthops: parts.nexthops(),
    metrics: parts.metrics,
    congestion: parts.congestion,
    locked: parts.locked(),
    realms: parts.realms,
    preference: parts.preference,
    ours: reader.u8(start + 5, end) === ROUTING_PROTOCOL,
  };
}

type Hop = KernelRoute['nexthops'][number];

/** Collects the attributes of one route. */
class RouteParts {
  readonly metrics: Partial<Record<RouteMetric, number>> = {};
  flags = 0;
  table = 0;
  metric = 0;
  destination: string | null = null;
  source: string | null = null;
  congestion: string | null = null;
  realms: KernelRoute['realms'] = { from: 0, to: 0 };
  preference: KernelRoute['preference'] = 'medium';
  readonly #reader: AttributeReader;
  readonly #family: Family;
  readonly #hops: Hop[] = [];
  #lock = 0;
  #via: string | null = null;
  #interface: number | null = null;

  constructor(reader: AttributeReader, family: Family) {
    this.#reader = reader;
    this.#family = family;
  }

  read(kind: number, start: number, end: number): void {
    const reader = this.#reader;
    if (kind === RTA_DST) this.destination = this.#address(start, end);
    else if (kind === RTA_TABLE) this.table = reader.u32(start, end);
    else if (kind === RTA_PRIORITY) this.metric = reader.u32(start, end);
    else if (kind === RTA_PREFSRC) this.source = this.#address(start, end);
    else if (kind === RTA_FLOW) this.realms = realmsOf(reader.u32(start, end));
    else if (kind === RTA_OIF) this.#interface = reader.u32(start, end);
    else if (kind === RTA_GATEWAY || kind === RTA_VIA) this.#via = this.#gateway(kind, start, end);
    else if (kind === RTA_PREF) this.#readPreference(reader.u8(start, end));
    else if (kind === RTA_METRICS) {
      reader.forEach(start, end, (type, from, to) => this.#readMetric(type, from, to));
    } else if (kind === RTA_MULTIPATH) this.#readMultipath(start, end);
  }

  nexthops(): readonly Hop[] {
    if (this.#hops.length > 0) return this.#hops;
    if (this.#via === null && this.#interface === null) return [];
    const onlink = (this.flags & RTNH_F_ONLINK) !== 0;
    return [{ via: this.#via, interface: this.#interface, weight: 1, onlink }];
  }

  locked(): KernelRoute['locked'] {
    const names = ROUTE_METRICS.filter((name) => (this.#lock & (1 << RTAX[name])) !== 0);
    return (this.#lock & (1 << RTAX_CC_ALGO)) === 0 ? names : [...names, 'congestion'];
  }

  #address(start: number, end: number): string | null {
    if (end - start !== (this.#family === 'ipv4' ? 4 : 16)) return null;
    return formatIp(this.#reader.bytes, this.#family, start);
  }

  #gateway(kind: number, start: number, end: number): string | null {
    if (kind === RTA_GATEWAY) return this.#address(start, end);
    if (end - start !== 18) return null;
    return formatIp(this.#reader.bytes, 'ipv6', start + 2);
  }

  #readPreference(number: number): void {
    this.preference = number === PREFERENCES.high ? 'high' : number === 3 ? 'low' : 'medium';
  }

  #readMetric(type: number, start: number, end: number): void {
    const reader = this.#reader;
    if (type === RTAX_LOCK) this.#lock = reader.u32(start, end);
    else if (type === RTAX_CC_ALGO) this.congestion = reader.string0(start, end);
    const name = ROUTE_METRICS.find((candidate) => RTAX[candidate] === type);
    if (name !== undefined) this.metrics[name] = reader.u32(start, end);
  }

  #readMultipath(start: number, end: number): void {
    const reader = this.#reader;
    for (let at = start; end - at >= RTNEXTHOP_BYTES; ) {
      const length = reader.u16(at, end);
      if (length < RTNEXTHOP_BYTES || length > end - at) return;
      let via: string | null = null;
      reader.forEach(at + RTNEXTHOP_BYTES, at + length, (kind, from, to) => {
        if (kind === RTA_GATEWAY || kind === RTA_VIA) via = this.#gateway(kind, from, to);
      });
      this.#hops.push({
        via,
        interface: reader.u32(at + 4, end),
        weight: reader.u8(at + 3, end) + 1,
        onlink: (reader.u8(at + 2, end) & RTNH_F_ONLINK) !== 0,
      });
      at += (length + 3) & ~3;
    }
  }
}

/** The payload of RTM_NEWRULE or RTM_DELRULE, copied out of the writer. */
export function encodeRule(writer: AttributeWriter, rule: RuleConfig): Uint8Array {
  const { action, from, to, fwmark, realms } = rule;
  const table = action.kind === 'table' ? action.table : 0;
  writer.reset().putU8(FAMILIES[rule.family]);
  writer
    .putU8(to?.prefixLength ?? 0)
    .putU8(from?.prefixLength ?? 0)
    .putU8(rule.tos);
  writer.putU8(shortTable(table)).putU8(0).putU8(0).putU8(actionNumber(action));
  writer.putU32(rule.not ? FIB_RULE_INVERT : 0);
  if (to !== null && to.prefixLength > 0) writer.bytes(FRA_DST, bytesOf(to.address));
  if (from !== null && from.prefixLength > 0) writer.bytes(FRA_SRC, bytesOf(from.address));
  writer.u32(FRA_PRIORITY, rule.priority).u8(FRA_PROTOCOL, ROUTING_PROTOCOL);
  if (rule.iif !== null) writer.string0(FRA_IIFNAME, rule.iif);
  if (rule.oif !== null) writer.string0(FRA_OIFNAME, rule.oif);
  if (fwmark !== null) writer.u32(FRA_FWMARK, fwmark.mark).u32(FRA_FWMASK, fwmark.mask);
  if (realms.from + realms.to > 0) writer.u32(FRA_FLOW, flowOf(realms));
  if (table !== 0) writer.u32(FRA_TABLE, table);
  if (action.kind === 'goto') writer.u32(FRA_GOTO, action.priority);
  if (action.kind === 'vrf') writer.u8(FRA_L3MDEV, 1);
  if (rule.uidRange !== null) {
    writer.bytes(FRA_UID_RANGE, new Uint8Array(Uint32Array.from(rule.uidRange).buffer));
  }
  if (rule.ipProtocol !== 0) writer.u8(FRA_IP_PROTO, rule.ipProtocol);
  const ports = (range: NumberRange) => new Uint8Array(Uint16Array.from(range).buffer);
  if (rule.sport !== null) writer.bytes(FRA_SPORT_RANGE, ports(rule.sport));
  if (rule.dport !== null) writer.bytes(FRA_DPORT_RANGE, ports(rule.dport));
  if (rule.suppressPrefixLength !== null) {
    writer.u32(FRA_SUPPRESS_PREFIXLEN, rule.suppressPrefixLength);
  }
  if (rule.suppressInterfaceGroup !== null) {
    writer.u32(FRA_SUPPRESS_IFGROUP, rule.suppressInterfaceGroup);
  }
  return writer.copy();
}

const ACTIONS = {
  table: FR_ACT_TO_TBL,
  vrf: FR_ACT_TO_TBL,
  goto: FR_ACT_GOTO,
  nop: FR_ACT_NOP,
  blackhole: FR_ACT_BLACKHOLE,
  unreachable: FR_ACT_UNREACHABLE,
  prohibit: FR_ACT_PROHIBIT,
} as const;

function actionNumber(action: RuleAction): number {
  return ACTIONS[action.kind];
}

/** RTM_NEWRULE or RTM_DELRULE to a value. */
export function decodeRule(message: MessageCursor): ObservedRule | 'other' | null {
  const { reader, payloadStart: start, payloadEnd: end } = message;
  if (end - start < FIB_RULE_HDR_BYTES) return null;
  const family = familyOf(reader.u8(start, end));
  if (family === null) return 'other';
  const bits = family === 'ipv4' ? 32 : 128;
  const values = new Map<number, readonly [number, number]>();
  reader.forEach(start + FIB_RULE_HDR_BYTES, end, (kind, from, to) => {
    values.set(kind, [from, to]);
  });
  const u32 = (kind: number): number | null => {
    const range = values.get(kind);
    return range === undefined ? null : reader.u32(...range);
  };
  const u8 = (kind: number): number => {
    const range = values.get(kind);
    return range === undefined ? 0 : reader.u8(...range);
  };
  const name = (kind: number): string | null => {
    const range = values.get(kind);
    return range === undefined ? null : reader.string0(...range);
  };
  const pair = (kind: number, bytes: 2 | 4): NumberRange | null => {
    const range = values.get(kind);
    if (range === undefined) return null;
    const at = (from: number) =>
      bytes === 2 ? reader.u16(from, range[1]) : reader.u32(from, range[1]);
    return [at(range[0]), at(range[0] + bytes)];
  };
  const prefix = (kind: number, lengthOffset: number): IpPrefix | null => {
    const range = values.get(kind);
    const prefixLength = reader.u8(start + lengthOffset, end);
    if (range === undefined || range[1] - range[0] !== bits / 8) return null;
    return { address: formatIp(reader.bytes, family, range[0]), prefixLength };
  };
  const action = actionOf(reader.u8(start + 7, end), {
    table: u32(FRA_TABLE) ?? reader.u8(start + 4, end),
    priority: u32(FRA_GOTO) ?? 0,
    vrf: u8(FRA_L3MDEV) === 1,
  });
  const suppressPrefixLength = u32(FRA_SUPPRESS_PREFIXLEN);
  const suppressGroup = u32(FRA_SUPPRESS_IFGROUP);
  const mark = u32(FRA_FWMARK);
  const rule: ObservedRule | null = action && {
    family,
    priority: u32(FRA_PRIORITY) ?? 0,
    action,
    not: (reader.u32(start + 8, end) & FIB_RULE_INVERT) !== 0,
    from: prefix(FRA_SRC, 2),
    to: prefix(FRA_DST, 1),
    iif: name(FRA_IIFNAME),
    oif: name(FRA_OIFNAME),
    tos: reader.u8(start + 3, end),
    fwmark:
      mark === null && u32(FRA_FWMASK) === null
        ? null
        : { mark: mark ?? 0, mask: u32(FRA_FWMASK) ?? 0xffff_ffff },
    realms: realmsOf(u32(FRA_FLOW) ?? 0),
    uidRange: pair(FRA_UID_RANGE, 4),
    ipProtocol: u8(FRA_IP_PROTO),
    sport: pair(FRA_SPORT_RANGE, 2),
    dport: pair(FRA_DPORT_RANGE, 2),
    suppressPrefixLength: suppressPrefixLength === NO_SUPPRESSION ? null : suppressPrefixLength,
    suppressInterfaceGroup: suppressGroup === NO_SUPPRESSION ? null : suppressGroup,
    ours: u8(FRA_PROTOCOL) === ROUTING_PROTOCOL,
  };
  if (reader.error !== null) return null;
  return rule ?? 'other';
}

function actionOf(
  number: number,
  more: { readonly table: number; readonly priority: number; readonly vrf: boolean },
): RuleAction | null {
  if (number === FR_ACT_TO_TBL) {
    return more.vrf ? { kind: 'vrf' } : { kind: 'table', table: more.table };
  }
  if (number === FR_ACT_GOTO) return { kind: 'goto', priority: more.priority };
  const kinds = ['nop', 'blackhole', 'unreachable', 'prohibit'] as const;
  const kind = kinds.find((candidate) => ACTIONS[candidate] === number);
  return kind === undefined ? null : { kind };
}
