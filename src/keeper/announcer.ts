/**
 * Sends gratuitous ARP and unsolicited NA for VIPs: on each VIP's own interface, from that
 * interface's hardware address. Frames are built into one buffer, nothing is kept.
 */
import { readFileSync } from 'node:fs';
import { parseIp } from '../core/ip.ts';
import { ARP_FRAME_BYTES, encodeGratuitousArp } from '../core/wire/arp.ts';
import { BROADCAST_MAC } from '../core/wire/ethernet.ts';
import { encodeUnsolicitedNa, NA_FRAME_BYTES } from '../core/wire/ndisc.ts';
import { LinkSender } from '../linux/packet-socket.ts';
import type { Network } from './network.ts';

export interface AnnouncedVip {
  readonly interface: string;
  readonly address: string;
}

export class Announcer {
  readonly #network: Network;
  readonly #frame = new Uint8Array(Math.max(ARP_FRAME_BYTES, NA_FRAME_BYTES));
  readonly #senders = new Map<number, LinkSender>();

  constructor(network: Network) {
    this.#network = network;
  }

  /**
   * Sends `repeat` rounds, each with one packet for every VIP, so that the first packets of all
   * VIPs go out before any second one.
   * @returns packets sent, and how many sends failed.
   */
  burst(
    vips: readonly AnnouncedVip[],
    repeat: number,
  ): { readonly sent: number; readonly failed: number } {
    let sent = 0;
    let failed = 0;
    const packets = vips.flatMap((vip) => this.#prepare(vip));
    for (let round = 0; round < repeat; round++) {
      for (const packet of packets) {
        const length = this.#encode(packet);
        if (packet.sender.send(this.#frame, length) < 0) failed++;
        else sent++;
      }
    }
    return { sent, failed };
  }

  close(): void {
    for (const sender of this.#senders.values()) sender.close();
    this.#senders.clear();
  }

  #prepare(vip: AnnouncedVip): readonly Packet[] {
    const link = this.#network.link(vip.interface);
    const address = parseIp(vip.address);
    // Loopback and tunnels have no hardware address and no neighbours to tell.
    if (link === null || link.loopback || link.address.length !== 6 || address === null) return [];
    const router = address.length === 16 && forwardsIpv6(link.name);
    return [{ address, router, mac: link.address, sender: this.#sender(link.index) }];
  }

  #encode(packet: Packet): number {
    const { address, mac, router } = packet;
    if (address.length === 4) {
      return encodeGratuitousArp(this.#frame, {
        senderMac: mac,
        vip: address,
        targetMac: BROADCAST_MAC,
      });
    }
    return encodeUnsolicitedNa(this.#frame, {
      senderMac: mac,
      vip: address,
      router,
      override: true,
    });
  }

  #sender(interfaceIndex: number): LinkSender {
    let sender = this.#senders.get(interfaceIndex);
    if (sender === undefined) {
      sender = new LinkSender(interfaceIndex);
      this.#senders.set(interfaceIndex, sender);
    }
    return sender;
  }
}

interface Packet {
  readonly address: Uint8Array;
  readonly router: boolean;
  readonly mac: Uint8Array;
  readonly sender: LinkSender;
}

/** RFC 4861 section 4.4: the Router flag says that the sender is a router. */
function forwardsIpv6(interfaceName: string): boolean {
  try {
    return (
      readFileSync(`/proc/sys/net/ipv6/conf/${interfaceName}/forwarding`, 'utf8').trim() !== '0'
    );
  } catch {
    return false;
  }
}
