/**
 * The neighbour tables (ARP and neighbour discovery) over rtnetlink: which IP addresses of an
 * interface have which hardware address, as the kernel has learnt them.
 * Standard: include/uapi/linux/neighbour.h, rtnetlink.h.
 */
import type { IpText } from '../../core/config/config.ts';
import { formatIp } from '../../core/ip.ts';
import { err, ok, type Result } from '../../core/result.ts';
import { formatMac, MAC_BYTES } from '../../core/wire/ethernet.ts';
import { AF_INET, AF_INET6, AF_UNSPEC } from '../constants.ts';
import { AttributeWriter } from './attributes.ts';
import type { NetlinkError } from './error.ts';
import type { MessageCursor } from './message.ts';
import type { NetlinkSocket } from './socket.ts';

/** include/uapi/linux/rtnetlink.h */
const RTM_GETNEIGH = 30;
/** include/uapi/linux/neighbour.h */
const NDMSG_BYTES = 12;
const NDA_DST = 1;
const NDA_LLADDR = 2;

export interface Neighbor {
  readonly interfaceIndex: number;
  readonly address: IpText;
  /** '52:54:00:00:00:01' */
  readonly mac: string;
}

const writer = new AttributeWriter();

/** Those among the neighbours of all interfaces that `wanted` takes. */
export function listNeighbors(
  socket: NetlinkSocket,
  wanted: (neighbor: Neighbor) => boolean,
): Result<Neighbor[], NetlinkError> {
  // struct ndmsg: family, padding, interface, state, flags, type.
  const payload = writer.reset().putU8(AF_UNSPEC).putU8(0).putU16(0).putU32(0).putU32(0).view();
  const request = { type: RTM_GETNEIGH, flags: 0, payload, call: 'RTM_GETNEIGH' };
  const listed = socket.dumpSync<Neighbor>(request, (message, neighbors) => {
    const neighbor = decodeNeighbor(message);
    if (neighbor === null) return false;
    if (neighbor !== 'other' && wanted(neighbor)) neighbors.push(neighbor);
    return true;
  });
  return listed.ok ? ok(listed.value) : err(listed.error);
}

/**
 * RTM_NEWNEIGH to a value; null when damaged, 'other' when it has no IP address or no hardware
 * address of Ethernet (as while it is being asked for).
 */
export function decodeNeighbor(message: MessageCursor): Neighbor | 'other' | null {
  const { reader, payloadStart, payloadEnd, bytes } = message;
  if (payloadEnd - payloadStart < NDMSG_BYTES) return null;
  const family = reader.u8(payloadStart, payloadEnd);
  const interfaceIndex = reader.u32(payloadStart + 4, payloadEnd);
  const addressBytes = family === AF_INET ? 4 : 16;
  let address: IpText | null = null;
  let mac: string | null = null;
  reader.forEach(payloadStart + NDMSG_BYTES, payloadEnd, (type, start, end) => {
    if (type === NDA_DST && end - start === addressBytes) {
      address = formatIp(bytes, family === AF_INET ? 'ipv4' : 'ipv6', start);
    } else if (type === NDA_LLADDR && end - start === MAC_BYTES) {
      mac = formatMac(reader.copy(start, end));
    }
  });
  if (reader.error !== null) return null;
  if (family !== AF_INET && family !== AF_INET6) return 'other';
  return address === null || mac === null ? 'other' : { interfaceIndex, address, mac };
}
