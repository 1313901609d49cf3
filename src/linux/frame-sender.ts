/**
 * VrrpFrameSender: advertisements whose Ethernet source is the virtual router's hardware address
 * (RFC 9568 section 7.2), sent as whole frames on the interface itself. So they need no address
 * and no state of the link that bears the virtual IPs, and a takeover's first packet, from which
 * switches learn where that hardware address now is, waits for nothing.
 *
 * Invariant: what is sent differs from what VrrpSender sends in the source of the frame only.
 */
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  encodeEthernetHeader,
  multicastMac,
} from '../core/wire/ethernet.ts';
import { encodeIpv4Header } from '../core/wire/ipv4.ts';
import { encodeIpv6Header, IPV6_HEADER_BYTES } from '../core/wire/ipv6.ts';
import {
  MAX_ADVERTISEMENT_BYTES,
  VRRP_GROUP_IPV4,
  VRRP_GROUP_IPV6,
  VRRP_PROTOCOL,
  VRRP_TTL,
} from '../core/wire/vrrp.ts';
import { HMAC_TRAILER_BYTES } from '../core/wire/vrrp-hmac.ts';
import { EMSGSIZE } from './netlink/error.ts';
import { LinkSender } from './packet-socket.ts';
import { TRAFFIC_CLASS, type VrrpSenderOptions } from './vrrp-socket.ts';

const FRAME_BYTES_MAX =
  ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES + MAX_ADVERTISEMENT_BYTES + HMAC_TRAILER_BYTES;

export interface VrrpFrameSenderOptions extends VrrpSenderOptions {
  /** 6 bytes: the Ethernet source. `destinations` is one multicast group, or VRRP's own. */
  readonly sourceMac: Uint8Array;
}

export class VrrpFrameSender {
  readonly #options: VrrpFrameSenderOptions;
  readonly #link: LinkSender;
  readonly #group: Uint8Array;
  readonly #frame = new Uint8Array(FRAME_BYTES_MAX);
  /** RFC 791: differs between packets that may be under way at the same time. */
  #identification = 0;

  /** Throws SystemError (EPERM without CAP_NET_RAW). */
  constructor(options: VrrpFrameSenderOptions) {
    this.#options = options;
    this.#link = new LinkSender(options.interfaceIndex);
    const ipv4 = options.family === 'ipv4';
    const [group = ipv4 ? VRRP_GROUP_IPV4 : VRRP_GROUP_IPV6] = options.destinations ?? [];
    this.#group = group;
    const etherType = ipv4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6;
    encodeEthernetHeader(this.#frame, multicastMac(group), options.sourceMac, etherType);
  }

  /**
   * Sends the first `lengthBytes` of `message`, checksum included, to the multicast group.
   * Returns the bytes of the frame or -errno. Never throws.
   */
  send(message: Uint8Array, lengthBytes: number): number {
    const start = ETHERNET_HEADER_BYTES + this.#encodeIpHeader(lengthBytes);
    if (start + lengthBytes > FRAME_BYTES_MAX) return -EMSGSIZE;
    for (let index = 0; index < lengthBytes; index++) {
      this.#frame[start + index] = message[index] as number;
    }
    return this.#link.send(this.#frame, start + lengthBytes);
  }

  /** May be called again. */
  close(): void {
    this.#link.close();
  }

  #encodeIpHeader(payloadBytes: number): number {
    const { family, sourceAddress } = this.#options;
    const trafficClass = TRAFFIC_CLASS;
    if (family === 'ipv6') {
      return encodeIpv6Header(this.#frame, ETHERNET_HEADER_BYTES, {
        source: sourceAddress,
        destination: this.#group,
        nextHeader: VRRP_PROTOCOL,
        hopLimit: VRRP_TTL,
        trafficClass,
        flowLabel: 0,
        payloadBytes,
      });
    }
    this.#identification = (this.#identification + 1) & 0xffff;
    return encodeIpv4Header(this.#frame, ETHERNET_HEADER_BYTES, {
      source: sourceAddress,
      destination: this.#group,
      protocol: VRRP_PROTOCOL,
      ttl: VRRP_TTL,
      trafficClass,
      identification: this.#identification,
      payloadBytes,
    });
  }
}
