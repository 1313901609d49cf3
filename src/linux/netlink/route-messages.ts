/**
 * rtnetlink messages about links and addresses: kernel bytes to values and back. Pure: the sockets
 * are in route.ts. A decoder answers null for a damaged message and never reads beyond it.
 * Standard: include/uapi/linux/rtnetlink.h, if_link.h, if_addr.h, if.h; RFC 3549 section 3.
 */
import { InternalError } from '../../core/assert.ts';
import type { AddressFamily, IpText } from '../../core/config/config.ts';
import { formatIp, ipFamily } from '../../core/ip.ts';
import { AF_INET, AF_INET6, AF_UNSPEC } from '../constants.ts';
import { AttributeWriter } from './attributes.ts';
import type { MessageCursor } from './message.ts';

/** include/uapi/linux/rtnetlink.h */
export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const RTM_GETADDR = 22;
export const RTMGRP_LINK = 0x1;
export const RTMGRP_IPV4_IFADDR = 0x10;
export const RTMGRP_IPV6_IFADDR = 0x100;
export const RT_SCOPE_UNIVERSE = 0;
export const RT_SCOPE_LINK = 253;
export const RT_SCOPE_HOST = 254;
export const RTEXT_FILTER_SKIP_STATS = 1 << 3;

/** include/uapi/linux/if.h: enum net_device_flags */
export const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;
const IFF_RUNNING = 0x40;

/** include/uapi/linux/if_link.h */
const IFINFOMSG_BYTES = 16;
export const IFLA_ADDRESS = 1;
export const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
export const IFLA_LINK = 5;
export const IFLA_MASTER = 10;
export const IFLA_LINKINFO = 18;
export const IFLA_IFALIAS = 20;
export const IFLA_EXT_MASK = 29;
export const IFLA_INFO_KIND = 1;
const IFLA_INFO_SLAVE_KIND = 4;
const IFLA_CARRIER_UP_COUNT = 47;

/** include/uapi/linux/if_addr.h */
const IFADDRMSG_BYTES = 8;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_LABEL = 3;
const IFA_BROADCAST = 4;
const IFA_CACHEINFO = 6;
const IFA_FLAGS = 8;
const IFA_RT_PRIORITY = 9;
const IFA_PROTO = 11;
export const IFA_F_SECONDARY = 0x01;
export const IFA_F_NODAD = 0x02;
export const IFA_F_DADFAILED = 0x08;
export const IFA_F_HOMEADDRESS = 0x10;
export const IFA_F_DEPRECATED = 0x20;
export const IFA_F_TENTATIVE = 0x40;
export const IFA_F_MANAGETEMPADDR = 0x100;
export const IFA_F_NOPREFIXROUTE = 0x200;
/** A lifetime without end, in seconds. */
export const INFINITY_LIFE_TIME = 0xffff_ffff;

export interface Link {
  readonly index: number;
  readonly name: string;
  /** Administratively up (IFF_UP). */
  readonly up: boolean;
  /** Operational: up and with carrier (IFF_RUNNING, which the kernel derives from operstate). */
  readonly running: boolean;
  /** The hardware address, 6 bytes on Ethernet; empty where there is none. */
  readonly address: Uint8Array;
  readonly mtu: number;
  readonly loopback: boolean;
  /** What drives a virtual link: 'macvlan', 'bridge'; null for a device of its own. */
  readonly kind: string | null;
  /** Index of the interface below it (of a veth: its other end), or null. */
  readonly baseIndex: number | null;
  /** Text that an administrator, or we, gave it; null for none. */
  readonly alias: string | null;
  /** How often it got carrier (modulo 2^32); 0 where the kernel does not tell, before 4.16. */
  readonly carrierUps: number;
  /** Index of the VRF that it is in; nothing for none. */
  readonly vrfIndex?: number;
}

export interface InterfaceAddress {
  readonly interfaceIndex: number;
  readonly family: AddressFamily;
  /** The local address, also on a point-to-point link. */
  readonly address: IpText;
  readonly prefixLength: number;
  /** RT_SCOPE_*. */
  readonly scope: number;
  /** IFA_F_*. */
  readonly flags: number;
  /** IFA_PROTO: who put it there; null when nobody said so, or before Linux 5.18. */
  readonly protocol: number | null;
  /** The other end of a point-to-point link. */
  readonly peer?: IpText | undefined;
  readonly broadcast?: IpText | undefined;
  /** IPv4: the interface's name unless another label was given. */
  readonly label?: string | undefined;
  /** Metric of the prefix route, where one was given. */
  readonly metric?: number | undefined;
  /** What is left of it, in seconds; absent for ever. */
  readonly preferredSeconds?: number | undefined;
}

/** One address to put on an interface or to take off it. */
export interface AddressChange {
  /** 'replace': change what the kernel can change in place of an address that is there. */
  readonly kind: 'add' | 'replace' | 'delete';
  readonly interfaceIndex: number;
  /** Canonical. */
  readonly address: IpText;
  readonly prefixLength: number;
  /** IFA_PROTO, 1 to 255: the tag by which a VIP of ours is recognised. Add only. */
  readonly protocol?: number | undefined;
  /** IPv6, add only: usable at once, without duplicate address detection. */
  readonly noDad?: boolean;
  /** Add only: no route to the prefix. */
  readonly noPrefixRoute?: boolean;
  /** The other end of a point-to-point link, whose prefix length `prefixLength` then is. */
  readonly peer?: IpText | undefined;
  /** IPv4, add only. */
  readonly broadcast?: IpText | undefined;
  /** IPv4, add only: RT_SCOPE_*. */
  readonly scope?: number | undefined;
  /** IPv4: at most 15 bytes. A deletion that has one takes only the address with it. */
  readonly label?: string | undefined;
  /** Add only: IFA_F_HOMEADDRESS, IFA_F_MANAGETEMPADDR. */
  readonly flags?: number | undefined;
  /** Add only: how long it is preferred; absent for ever, and for an IPv6 /128 not at all. */
  readonly preferredSeconds?: number | undefined;
  /** Add only: metric of the prefix route. */
  readonly metric?: number | undefined;
  /** What putAddressChange() appends, if it was encoded before: encodedAhead(). */
  readonly payload?: Uint8Array | undefined;
}

/** The same change with its payload, for who is in a hurry later. */
export function encodedAhead(change: AddressChange): AddressChange {
  const writer = new AttributeWriter();
  putAddressChange(writer, change);
  return { ...change, payload: writer.copy() };
}

/** What a link message says, and of which side of the link. */
export interface LinkMessage {
  /** AF_UNSPEC for the link itself; AF_BRIDGE where a bridge tells of its port. */
  readonly family: number;
  readonly link: Link;
}

/** The payload that asks for all links, without their counters. */
export function encodeLinkDump(writer: AttributeWriter): Uint8Array {
  writer.reset().putU8(AF_UNSPEC).putU8(0).putU16(0).putU32(0).putU32(0).putU32(0);
  return writer.u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS).view();
}

/** The payload that asks for all addresses of all families. */
export function encodeAddressDump(writer: AttributeWriter): Uint8Array {
  return writer.reset().putU8(AF_UNSPEC).putU8(0).putU8(0).putU8(0).putU32(0).view();
}

/**
 * Appends the payload of RTM_NEWADDR or RTM_DELADDR. An IPv6 VIP of /128 has no preferred lifetime,
 * so that it answers but is never chosen as source (RFC 6724 section 5, rule 3), unless one is
 * given.
 */
export function putAddressChange(writer: AttributeWriter, change: AddressChange): void {
  if (change.payload !== undefined) {
    writer.putBytes(change.payload);
    return;
  }
  const { address } = change;
  const family = ipFamily(address) === 'ipv4' ? AF_INET : AF_INET6;
  const fits = change.prefixLength <= (family === AF_INET ? 32 : 128);
  if (!fits) throw new InternalError(`prefix length ${change.prefixLength} of ${address}`);
  const linkLocal = family === AF_INET6 && LINK_LOCAL.test(address);
  const scope = change.scope ?? (linkLocal ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE);
  writer.putU8(family).putU8(change.prefixLength).putU8(0).putU8(scope);
  writer.putU32(change.interfaceIndex).ip(IFA_LOCAL, address);
  writer.ip(IFA_ADDRESS, change.peer ?? address);
  if (change.label !== undefined) writer.string0(IFA_LABEL, change.label);
  if (change.kind === 'delete') return;
  if (change.broadcast !== undefined) writer.ip(IFA_BROADCAST, change.broadcast);
  const noDad = family === AF_INET6 && change.noDad === true ? IFA_F_NODAD : 0;
  const noRoute = change.noPrefixRoute === true ? IFA_F_NOPREFIXROUTE : 0;
  const flags = (change.flags ?? 0) | noDad | noRoute;
  if (flags !== 0) writer.u32(IFA_FLAGS, flags);
  if (change.metric !== undefined) writer.u32(IFA_RT_PRIORITY, change.metric);
  if (change.protocol !== undefined) writer.u8(IFA_PROTO, change.protocol);
  const cacheInfo = cacheInfoOf(change, family);
  if (cacheInfo !== null) writer.bytes(IFA_CACHEINFO, cacheInfo);
}

/**
 * struct ifa_cacheinfo: preferred and valid lifetime, two stamps that the kernel sets; null where
 * both are for ever and that is what the kernel assumes. A VIP of a single IPv6 address is
 * deprecated unless said otherwise: the kernel would prefer its longer prefix as a source.
 */
function cacheInfoOf(change: AddressChange, family: number): Uint8Array | null {
  const single = family === AF_INET6 && change.prefixLength === 128;
  const preferred = change.preferredSeconds ?? (single ? 0 : INFINITY_LIFE_TIME);
  const usual = preferred === INFINITY_LIFE_TIME && change.kind === 'add' && !single;
  if (usual) return null;
  return new Uint8Array(new Uint32Array([preferred, INFINITY_LIFE_TIME, 0, 0]).buffer);
}

/** fe80::/10, whose canonical text begins with all four digits of its first group. */
const LINK_LOCAL = /^fe[89ab][0-9a-f]:/;

/** RTM_NEWLINK or RTM_DELLINK to a value; null when damaged. */
export function decodeLink(message: MessageCursor): LinkMessage | null {
  const { reader, payloadStart, payloadEnd } = message;
  if (payloadEnd - payloadStart < IFINFOMSG_BYTES) return null;
  const family = reader.u8(payloadStart, payloadEnd);
  const index = reader.i32(payloadStart + 4, payloadEnd);
  const flags = reader.u32(payloadStart + 8, payloadEnd);
  let name = '';
  let address: Uint8Array = new Uint8Array(0);
  let mtu = 0;
  let kind: string | null = null;
  let baseIndex: number | null = null;
  let master = 0;
  let slaveKind = '';
  let alias: string | null = null;
  let carrierUps = 0;
  reader.forEach(payloadStart + IFINFOMSG_BYTES, payloadEnd, (type, start, end) => {
    if (type === IFLA_IFNAME) name = reader.string0(start, end);
    else if (type === IFLA_ADDRESS) address = reader.copy(start, end);
    else if (type === IFLA_MTU) mtu = reader.u32(start, end);
    else if (type === IFLA_CARRIER_UP_COUNT) carrierUps = reader.u32(start, end);
    else if (type === IFLA_MASTER) master = reader.u32(start, end);
    else if (type === IFLA_LINK) baseIndex = reader.u32(start, end);
    else if (type === IFLA_IFALIAS) alias = reader.string0(start, end);
    else if (type === IFLA_LINKINFO) {
      reader.forEach(start, end, (infoType, infoStart, infoEnd) => {
        if (infoType === IFLA_INFO_KIND) kind = reader.string0(infoStart, infoEnd);
        if (infoType === IFLA_INFO_SLAVE_KIND) slaveKind = reader.string0(infoStart, infoEnd);
      });
    }
  });
  if (reader.error !== null || index <= 0 || name === '') return null;
  const up = (flags & IFF_UP) !== 0;
  const running = up && (flags & IFF_RUNNING) !== 0;
  const loopback = (flags & IFF_LOOPBACK) !== 0;
  const state = { up, running, loopback, carrierUps };
  const vrf = slaveKind === 'vrf' ? { vrfIndex: master } : {};
  return { family, link: { index, name, ...state, address, mtu, kind, baseIndex, alias, ...vrf } };
}

/** The link itself is meant, and not its part as a port of a bridge. */
export function isWholeLink(message: LinkMessage): boolean {
  return message.family === AF_UNSPEC;
}

/**
 * RTM_NEWADDR or RTM_DELADDR to a value; null when damaged, 'other-family' when it is about
 * neither IPv4 nor IPv6.
 */
export function decodeAddress(message: MessageCursor): InterfaceAddress | 'other-family' | null {
  const { reader, payloadStart, payloadEnd } = message;
  if (payloadEnd - payloadStart < IFADDRMSG_BYTES) return null;
  const familyNumber = reader.u8(payloadStart, payloadEnd);
  if (familyNumber !== AF_INET && familyNumber !== AF_INET6) return 'other-family';
  const family = familyNumber === AF_INET ? 'ipv4' : 'ipv6';
  const addressBytes = familyNumber === AF_INET ? 4 : 16;
  const prefixLength = reader.u8(payloadStart + 1, payloadEnd);
  const scope = reader.u8(payloadStart + 3, payloadEnd);
  const interfaceIndex = reader.u32(payloadStart + 4, payloadEnd);
  let local = -1;
  let prefix = -1;
  let broadcast = -1;
  let flags = reader.u8(payloadStart + 2, payloadEnd);
  let protocol: number | null = null;
  let label: string | undefined;
  let metric: number | undefined;
  let preferredSeconds: number | undefined;
  reader.begin(payloadStart + IFADDRMSG_BYTES, payloadEnd);
  while (reader.next()) {
    const { type, valueStart: start, valueEnd: end } = reader;
    const isAddress = end - start === addressBytes;
    if (type === IFA_LOCAL && isAddress) local = start;
    else if (type === IFA_ADDRESS && isAddress) prefix = start;
    else if (type === IFA_FLAGS) flags = reader.u32(start, end);
    else if (type === IFA_PROTO) protocol = reader.u8(start, end);
    else if (type === IFA_BROADCAST && isAddress && family === 'ipv4') broadcast = start;
    else if (type === IFA_LABEL) label = reader.string0(start, end);
    else if (type === IFA_RT_PRIORITY) metric = reader.u32(start, end);
    else if (type === IFA_CACHEINFO) {
      const seconds = reader.u32(start, end);
      preferredSeconds = seconds === INFINITY_LIFE_TIME ? undefined : seconds;
    }
  }
  // On a point-to-point link IFA_ADDRESS is the peer's, and IFA_LOCAL is ours.
  const offset = local !== -1 ? local : prefix;
  if (reader.error !== null || offset === -1 || prefixLength > addressBytes * 8) return null;
  const { bytes } = message;
  const hasPeer = prefix !== -1 && !sameBytes(bytes, prefix, offset, addressBytes);
  return {
    interfaceIndex,
    family,
    address: formatIp(bytes, family, offset),
    prefixLength,
    scope,
    flags,
    protocol,
    peer: hasPeer ? formatIp(bytes, family, prefix) : undefined,
    broadcast: broadcast === -1 ? undefined : formatIp(bytes, family, broadcast),
    label,
    metric,
    preferredSeconds,
  };
}

function sameBytes(bytes: Uint8Array, left: number, right: number, count: number): boolean {
  for (let index = 0; index < count; index++) {
    if (bytes[left + index] !== bytes[right + index]) return false;
  }
  return true;
}

/** Whether the kernel kept the tag (IFA_PROTO) of an address: Linux before 5.18 drops it. */
export function addressProtocolKept(
  listed: readonly InterfaceAddress[],
  added: Pick<InterfaceAddress, 'interfaceIndex' | 'address' | 'protocol'>,
): boolean {
  return listed.some(
    (entry) =>
      entry.interfaceIndex === added.interfaceIndex &&
      entry.address === added.address &&
      entry.protocol === added.protocol,
  );
}
