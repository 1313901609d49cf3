/**
 * rtnetlink messages that make, mark, raise and remove virtual links (macvlan and ipvlan) on top
 * of another interface. Pure: links.ts sends them.
 * Standard: include/uapi/linux/if_link.h, rtnetlink.h; net/core/rtnetlink.c.
 */
import { assert } from '../../core/assert.ts';
import { MAC_BYTES } from '../../core/wire/ethernet.ts';
import { AF_UNSPEC } from '../constants.ts';
import type { AttributeWriter } from './attributes.ts';
import {
  IFF_UP,
  IFLA_ADDRESS,
  IFLA_EXT_MASK,
  IFLA_IFALIAS,
  IFLA_IFNAME,
  IFLA_INFO_KIND,
  IFLA_LINK,
  IFLA_LINKINFO,
  IFLA_MASTER,
  RTEXT_FILTER_SKIP_STATS,
} from './route-messages.ts';

/** include/uapi/linux/if_link.h */
const IFLA_GROUP = 27;
const IFLA_INFO_DATA = 2;
const IFLA_MACVLAN_MODE = 1;
const IFLA_IPVLAN_MODE = 1;
const IFLA_IPVLAN_FLAGS = 2;
const MACVLAN_MODE_BRIDGE = 4;
const IPVLAN_MODE_L2 = 0;
const IPVLAN_F_PRIVATE = 0x01;
const IPVLAN_F_VEPA = 0x02;

/** Whom an ipvlan talks to: its siblings too, nobody but the network, or through the network. */
export type IpvlanMode = 'bridge' | 'private' | 'vepa';

const IPVLAN_FLAGS: Readonly<Record<IpvlanMode, number>> = {
  bridge: 0,
  private: IPVLAN_F_PRIVATE,
  vepa: IPVLAN_F_VEPA,
};

/** A link to make. It comes up when asked, not by being made. */
export type NewLink = {
  readonly name: string;
  /** Index of the interface below it. */
  readonly baseIndex: number;
  /** Interface group (`ip link … group`); null for the kernel's, 0. */
  readonly group: number | null;
  /** Index of the VRF that it is in; 0 or nothing for none. */
  readonly vrfIndex?: number;
} & (
  | { readonly kind: 'macvlan'; readonly mac: Uint8Array }
  | { readonly kind: 'ipvlan'; readonly mode: IpvlanMode }
);

/** struct ifinfomsg */
function putHeader(writer: AttributeWriter, index: number, flags: number, change: number): void {
  writer.reset().putU8(AF_UNSPEC).putU8(0).putU16(0).putU32(index).putU32(flags).putU32(change);
}

/**
 * The payload of RTM_NEWLINK that makes a link. A macvlan is in bridge mode: in the private one
 * the kernel takes multicast from its own hardware address, which is what the other directors
 * send, away from the interface below.
 */
export function encodeNewLink(writer: AttributeWriter, link: NewLink): Uint8Array {
  putHeader(writer, 0, 0, 0);
  if (link.kind === 'macvlan') {
    assert(link.mac.length === MAC_BYTES, `hardware address of ${link.mac.length} bytes`);
    writer.bytes(IFLA_ADDRESS, link.mac);
  }
  writer.u32(IFLA_LINK, link.baseIndex).string0(IFLA_IFNAME, link.name);
  if (link.group !== null) writer.u32(IFLA_GROUP, link.group);
  if ((link.vrfIndex ?? 0) > 0) writer.u32(IFLA_MASTER, link.vrfIndex as number);
  writer.nested(IFLA_LINKINFO, (info) => {
    info.bytes(IFLA_INFO_KIND, new TextEncoder().encode(link.kind));
    info.nested(IFLA_INFO_DATA, (data) => {
      if (link.kind === 'macvlan') data.u32(IFLA_MACVLAN_MODE, MACVLAN_MODE_BRIDGE);
      else {
        data.u16(IFLA_IPVLAN_MODE, IPVLAN_MODE_L2);
        data.u16(IFLA_IPVLAN_FLAGS, IPVLAN_FLAGS[link.mode]);
      }
    });
  });
  return writer.copy();
}

/** The payload of RTM_SETLINK that gives the link of this name an alias. */
export function encodeLinkAlias(writer: AttributeWriter, name: string, alias: string): Uint8Array {
  putHeader(writer, 0, 0, 0);
  // The alias without a terminating zero: the kernel takes the length of the attribute.
  const text = new TextEncoder().encode(alias);
  return writer.string0(IFLA_IFNAME, name).bytes(IFLA_IFALIAS, text).copy();
}

/** The payload of RTM_SETLINK that brings a link up or takes it down. */
export function encodeLinkState(writer: AttributeWriter, index: number, up: boolean): Uint8Array {
  putHeader(writer, index, up ? IFF_UP : 0, IFF_UP);
  return writer.copy();
}

/** The payload of RTM_DELLINK. */
export function encodeDeleteLink(writer: AttributeWriter, index: number): Uint8Array {
  putHeader(writer, index, 0, 0);
  return writer.copy();
}

/** The payload of RTM_GETLINK for the one link of this name. */
export function encodeGetLink(writer: AttributeWriter, name: string): Uint8Array {
  putHeader(writer, 0, 0, 0);
  return writer.u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS).string0(IFLA_IFNAME, name).copy();
}
