/**
 * rtnetlink messages about links and addresses: kernel bytes to values and back. Pure: the sockets
 * are in route.ts. A decoder answers null for a damaged message and never reads beyond it.
 * Standard: include/uapi/linux/rtnetlink.h, if_link.h, if_addr.h, if.h; RFC 3549 section 3.
 */
import { assert } from '../../core/assert.js';
import { formatIp, ipFamily, parseIp } from '../../core/ip.js';
import { AF_INET, AF_INET6, AF_UNSPEC } from '../constants.js';
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
const RTEXT_FILTER_SKIP_STATS = 1 << 3;
/** include/uapi/linux/if.h: enum net_device_flags */
const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;
const IFF_RUNNING = 0x40;
/** include/uapi/linux/if_link.h */
const IFINFOMSG_BYTES = 16;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_EXT_MASK = 29;
/** include/uapi/linux/if_addr.h */
const IFADDRMSG_BYTES = 8;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_CACHEINFO = 6;
const IFA_FLAGS = 8;
const IFA_PROTO = 11;
export const IFA_F_SECONDARY = 0x01;
export const IFA_F_NODAD = 0x02;
export const IFA_F_DADFAILED = 0x08;
export const IFA_F_DEPRECATED = 0x20;
export const IFA_F_TENTATIVE = 0x40;
export const IFA_F_PERMANENT = 0x80;
export const IFA_F_NOPREFIXROUTE = 0x200;
const INFINITY_LIFE_TIME = 0xffff_ffff;
/** The payload that asks for all links, without their counters. */
export function encodeLinkDump(writer) {
  writer.reset().putU8(AF_UNSPEC).putU8(0).putU16(0).putU32(0).putU32(0).putU32(0);
  return writer.u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS).view();
}
/** The payload that asks for all addresses of all families. */
export function encodeAddressDump(writer) {
  return writer.reset().putU8(AF_UNSPEC).putU8(0).putU8(0).putU8(0).putU32(0).view();
}
/**
 * The payload of RTM_NEWADDR or RTM_DELADDR, copied out of the writer. An IPv6 VIP of /128 has no
 * preferred lifetime, so that it answers but is never chosen as source (RFC 6724 section 5, rule
 * 3). No broadcast address is set.
 */
export function encodeAddressChange(writer, change) {
  const bytes = parseIp(change.address);
  assert(bytes !== null, `not an address: ${change.address}`);
  assert(change.prefixLength <= bytes.length * 8, `prefix length ${change.prefixLength}`);
  const family = ipFamily(change.address) === 'ipv4' ? AF_INET : AF_INET6;
  const scope = isLinkLocal(bytes) ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  writer.reset().putU8(family).putU8(change.prefixLength).putU8(0).putU8(scope);
  writer.putU32(change.interfaceIndex).bytes(IFA_LOCAL, bytes).bytes(IFA_ADDRESS, bytes);
  if (change.kind === 'delete') return writer.copy();
  const noDad = family === AF_INET6 && change.noDad === true ? IFA_F_NODAD : 0;
  const flags = noDad | (change.noPrefixRoute === true ? IFA_F_NOPREFIXROUTE : 0);
  if (flags !== 0) writer.u32(IFA_FLAGS, flags);
  if (change.protocol !== undefined) writer.u8(IFA_PROTO, change.protocol);
  if (family === AF_INET6 && change.prefixLength === 128) {
    writer.bytes(IFA_CACHEINFO, CACHEINFO_DEPRECATED);
  }
  return writer.copy();
}
/** struct ifa_cacheinfo: preferred 0, valid for ever, two stamps that the kernel sets. */
const CACHEINFO_DEPRECATED = new Uint8Array(new Uint32Array([0, INFINITY_LIFE_TIME, 0, 0]).buffer);
function isLinkLocal(bytes) {
  return bytes.length === 16 && bytes[0] === 0xfe && (bytes[1] & 0xc0) === 0x80;
}
/** RTM_NEWLINK or RTM_DELLINK to a value; null when damaged. */
export function decodeLink(message) {
  const { reader, payloadStart, payloadEnd } = message;
  if (payloadEnd - payloadStart < IFINFOMSG_BYTES) return null;
  const family = reader.u8(payloadStart, payloadEnd);
  const index = reader.i32(payloadStart + 4, payloadEnd);
  const flags = reader.u32(payloadStart + 8, payloadEnd);
  let name = '';
  let address = new Uint8Array(0);
  let mtu = 0;
  reader.forEach(payloadStart + IFINFOMSG_BYTES, payloadEnd, (type, start, end) => {
    if (type === IFLA_IFNAME) name = reader.string0(start, end);
    else if (type === IFLA_ADDRESS) address = reader.copy(start, end);
    else if (type === IFLA_MTU) mtu = reader.u32(start, end);
  });
  if (reader.error !== null || index <= 0 || name === '') return null;
  const up = (flags & IFF_UP) !== 0;
  const running = up && (flags & IFF_RUNNING) !== 0;
  const loopback = (flags & IFF_LOOPBACK) !== 0;
  return { family, link: { index, name, up, running, address, mtu, loopback } };
}
/** The link itself is meant, and not its part as a port of a bridge. */
export function isWholeLink(message) {
  return message.family === AF_UNSPEC;
}
/**
 * RTM_NEWADDR or RTM_DELADDR to a value; null when damaged, 'other-family' when it is about
 * neither IPv4 nor IPv6.
 */
export function decodeAddress(message) {
  const { reader, payloadStart, payloadEnd } = message;
  if (payloadEnd - payloadStart < IFADDRMSG_BYTES) return null;
  const familyNumber = reader.u8(payloadStart, payloadEnd);
  if (familyNumber !== AF_INET && familyNumber !== AF_INET6) return 'other-family';
  const family = familyNumber === AF_INET ? 'ipv4' : 'ipv6';
  const addressBytes = familyNumber === AF_INET ? 4 : 16;
  const prefixLength = reader.u8(payloadStart + 1, payloadEnd);
  let flags = reader.u8(payloadStart + 2, payloadEnd);
  const scope = reader.u8(payloadStart + 3, payloadEnd);
  const interfaceIndex = reader.u32(payloadStart + 4, payloadEnd);
  let local = -1;
  let prefix = -1;
  let protocol = null;
  reader.forEach(payloadStart + IFADDRMSG_BYTES, payloadEnd, (type, start, end) => {
    if (type === IFA_LOCAL && end - start === addressBytes) local = start;
    else if (type === IFA_ADDRESS && end - start === addressBytes) prefix = start;
    else if (type === IFA_FLAGS) flags = reader.u32(start, end);
    else if (type === IFA_PROTO) protocol = reader.u8(start, end);
  });
  // On a point-to-point link IFA_ADDRESS is the peer's, and IFA_LOCAL is ours.
  const offset = local !== -1 ? local : prefix;
  if (reader.error !== null || offset === -1 || prefixLength > addressBytes * 8) return null;
  const address = formatIp(message.bytes, family, offset);
  return { interfaceIndex, family, address, prefixLength, scope, flags, protocol };
}
/** Whether the kernel kept the tag (IFA_PROTO) of an address: Linux before 5.18 drops it. */
export function addressProtocolKept(listed, added) {
  return listed.some(
    (entry) =>
      entry.interfaceIndex === added.interfaceIndex &&
      entry.address === added.address &&
      entry.protocol === added.protocol,
  );
}
//# sourceMappingURL=route-messages.js.map
