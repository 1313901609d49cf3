/**
 * Sends gratuitous ARP and unsolicited NA for VIPs: on each VIP's own interface, from that
 * interface's hardware address. Bursts wait in a queue (core/vrrp/announce-queue.ts) and are sent
 * in the keeper's turns: the first packets at once, the others as their pace allows, a bounded
 * number in one turn. The frame of a VIP is built once, and anew when its interface has another
 * hardware address.
 *
 * Invariant: a VIP that is not on its interface at the moment of sending is not announced.
 */
import type { AnnounceConfig, AnnounceGroupConfig } from '../core/config/config.ts';
import { parseIp } from '../core/ip.ts';
import { AnnounceQueue, type QueuedPacket } from '../core/vrrp/announce-queue.ts';
import { ARP_FRAME_BYTES, encodeGratuitousArp } from '../core/wire/arp.ts';
import { BROADCAST_MAC, MAC_BYTES } from '../core/wire/ethernet.ts';
import { encodeUnsolicitedNa, NA_FRAME_BYTES } from '../core/wire/ndisc.ts';
import { monotonicUs } from '../linux/clock.ts';
import type { Link } from '../linux/netlink/route-messages.ts';
import { LinkSender } from '../linux/packet-socket.ts';
import { readInterfaceSetting } from '../linux/sysctl.ts';
import type { Network } from './network.ts';

/** A quarter of a millisecond's work: adverts that are due must not wait for more. */
const TURN_PACKETS_MAX = 64;
/** The Router flag follows its sysctl within a second, and a takeover reads it once. */
const FORWARDING_AGE_US = 1_000_000;

export interface AnnouncedVip {
  readonly interface: string;
  readonly address: string;
}

/** Counts what becomes of the packets, whenever they are sent. */
export interface AnnounceCounters {
  announcementsSent: number;
  sendErrors: number;
}

export interface BurstRequest {
  /** Whose burst it is: the instance's name. A newer one takes its place. */
  readonly owner: string;
  readonly vips: readonly AnnouncedVip[];
  /** Packets for each VIP, 1 or more. */
  readonly repeat: number;
  readonly pace: Pick<AnnounceConfig, 'intervalUs' | 'naIntervalUs'>;
  readonly counters: AnnounceCounters;
}

interface Packet {
  readonly vip: AnnouncedVip;
  readonly frame: Frame;
  readonly counters: AnnounceCounters;
}

/** The packet of a VIP as it was sent last, and what it was made from. */
interface Frame {
  /** The VIP in network byte order. */
  readonly address: Uint8Array;
  readonly bytes: Uint8Array;
  /** The very array of the link, which gets another one when it gets another address. */
  senderMac: Uint8Array | null;
  /** Of a neighbour advertisement. */
  router: boolean;
}

/** What packets of an interface share their pace with: the names of their lanes. */
interface Lanes {
  readonly arp: string;
  readonly na: string;
}

export class Announcer {
  readonly #network: Network;
  readonly #onWaiting: () => void;
  readonly #queue = new AnnounceQueue<Packet>();
  readonly #senders = new Map<number, LinkSender>();
  /** The switch of each interface that shares one with others. */
  readonly #groups = new Map<string, AnnounceGroupConfig>();
  readonly #lanes = new Map<string, Lanes>();
  /** By VIP, which is one object while it is configured. */
  readonly #frames = new WeakMap<AnnouncedVip, Frame>();
  /** What was made of a request; of all others when interfaces share other switches. */
  #made = new WeakMap<BurstRequest, readonly QueuedPacket<Packet>[]>();
  readonly #forwarding = new Map<string, { readonly value: boolean; readonly readAtUs: number }>();
  /** Packets of bursts that have begun and were not asked for yet, by owner. */
  readonly #begun = new Map<string, readonly QueuedPacket<Packet>[]>();
  #gathering = false;

  /** `onWaiting` is called when a burst has left something for flush(): deadlineUs has changed. */
  constructor(network: Network, onWaiting: () => void) {
    this.#network = network;
    this.#onWaiting = onWaiting;
  }

  /** Takes over which interfaces share a switch; bursts that wait keep their pace. */
  configure(groups: readonly AnnounceGroupConfig[]): void {
    this.#groups.clear();
    this.#lanes.clear();
    this.#made = new WeakMap();
    for (const group of groups) {
      for (const name of group.interfaces) this.#groups.set(name, group);
    }
  }

  /**
   * Announces VIPs that were just added, or again: the first packet of each at once where the
   * pace allows it, everything else in later turns. See deadlineUs.
   */
  burst(request: BurstRequest): void {
    const begun = this.#begun.get(request.owner);
    this.#begun.delete(request.owner);
    const packets = begun ?? this.#packets(request);
    this.#queue.put(request.owner, packets, request.repeat, begun !== undefined);
    if (!this.#gathering) this.#sendFirst();
  }

  /**
   * Sends the first packet of each VIP of a burst that is asked for with the same request later,
   * which then is the rest. Nothing, where packets have to keep a distance.
   */
  begin(request: BurstRequest): void {
    const packets = this.#packets(request);
    for (let index = 0; index < packets.length; index++) {
      if (!this.#queue.mayPass(packets[index] as QueuedPacket<Packet>)) return;
    }
    const nowUs = monotonicUs();
    for (let index = 0; index < packets.length; index++) {
      const packet = packets[index] as QueuedPacket<Packet>;
      this.#queue.pass(packet, nowUs);
      this.#send(packet.item, nowUs);
    }
    this.#begun.set(request.owner, packets);
  }

  #packets(request: BurstRequest): readonly QueuedPacket<Packet>[] {
    let packets = this.#made.get(request);
    if (packets === undefined) {
      packets = this.#makePackets(request);
      this.#made.set(request, packets);
    }
    return packets;
  }

  #makePackets(request: BurstRequest): readonly QueuedPacket<Packet>[] {
    // The usual burst of a takeover: an array that grows is three times the size.
    const only = request.vips[0];
    if (only !== undefined && request.vips.length === 1) {
      const packet = this.#packet(only, request);
      return packet === null ? [] : [packet];
    }
    const packets: QueuedPacket<Packet>[] = [];
    for (let index = 0; index < request.vips.length; index++) {
      const packet = this.#packet(request.vips[index] as AnnouncedVip, request);
      if (packet !== null) packets.push(packet);
    }
    return packets;
  }

  /** Bursts that `action` asks for are looked at together when it is over. */
  together(action: () => void): void {
    this.#gathering = true;
    try {
      action();
    } finally {
      this.#gathering = false;
      this.#sendFirst();
    }
  }

  #sendFirst(): void {
    const nowUs = monotonicUs();
    for (;;) {
      const packet = this.#queue.take(nowUs, true);
      if (packet === null) break;
      this.#send(packet, nowUs);
    }
    if (this.#queue.nextAtUs !== null) this.#onWaiting();
  }

  /** The instance lets its VIPs go: what waits of its burst is never sent. */
  cancel(owner: string): void {
    this.#begun.delete(owner);
    this.#queue.cancel(owner);
  }

  /** When flush() has something to send; a moment in the past for at once, null for never. */
  get deadlineUs(): number | null {
    return this.#queue.nextAtUs;
  }

  /** Sends what is due, at most TURN_PACKETS_MAX packets. */
  flush(nowUs: number): void {
    for (let count = 0; count < TURN_PACKETS_MAX; count++) {
      const packet = this.#queue.take(nowUs);
      if (packet === null) return;
      this.#send(packet, nowUs);
    }
  }

  close(): void {
    for (const sender of this.#senders.values()) sender.close();
    this.#senders.clear();
  }

  /** Makes ready what is needed when this very request comes. */
  prepare(request: BurstRequest): void {
    const nowUs = monotonicUs();
    for (const { item } of this.#packets(request)) {
      const link = this.#network.link(item.vip.interface);
      if (link?.address.length === MAC_BYTES) this.#encode(item.frame, link, nowUs);
    }
  }

  #packet(vip: AnnouncedVip, { pace, counters }: BurstRequest): QueuedPacket<Packet> | null {
    const frame = this.#frameOf(vip);
    if (frame === null) return null;
    const lanes = this.#lanesOf(vip.interface);
    const { intervalUs, naIntervalUs } = this.#groups.get(vip.interface) ?? pace;
    const item = { vip, frame, counters };
    return frame.address.length === 4
      ? { lane: lanes.arp, intervalUs, item }
      : { lane: lanes.na, intervalUs: naIntervalUs, item };
  }

  #frameOf(vip: AnnouncedVip): Frame | null {
    const known = this.#frames.get(vip);
    if (known !== undefined) return known;
    const address = parseIp(vip.address);
    if (address === null) return null;
    // A short array of its own would be moved out of V8's heap when it is sent first.
    const lengthBytes = address.length === 4 ? ARP_FRAME_BYTES : NA_FRAME_BYTES;
    const bytes = new Uint8Array(new ArrayBuffer(lengthBytes));
    const frame = { address, bytes, senderMac: null, router: false };
    this.#frames.set(vip, frame);
    return frame;
  }

  #lanesOf(interfaceName: string): Lanes {
    const known = this.#lanes.get(interfaceName);
    if (known !== undefined) return known;
    const group = this.#groups.get(interfaceName);
    const place = group === undefined ? `interface ${interfaceName}` : `switch ${group.name}`;
    const lanes = { arp: `${place} arp`, na: `${place} na` };
    this.#lanes.set(interfaceName, lanes);
    return lanes;
  }

  #send({ vip, frame, counters }: Packet, nowUs: number): void {
    const link = this.#network.link(vip.interface);
    // Loopback and tunnels have no hardware address and no neighbours to tell.
    if (link === null || link.loopback || link.address.length !== MAC_BYTES) return;
    if (!this.#network.hasAddressOn(link, vip.address)) return;
    this.#encode(frame, link, nowUs);
    if (this.#sender(link.index).send(frame.bytes, frame.bytes.length) < 0) counters.sendErrors++;
    else counters.announcementsSent++;
  }

  /** Encodes the frame for this link, unless it is there already. */
  #encode(frame: Frame, link: Link, nowUs: number): void {
    const { address, bytes } = frame;
    const { address: senderMac } = link;
    const router = address.length === 16 && this.#forwards(link.name, nowUs);
    if (frame.senderMac === senderMac && frame.router === router) return;
    frame.senderMac = senderMac;
    frame.router = router;
    if (address.length === 4) {
      encodeGratuitousArp(bytes, { senderMac, vip: address, targetMac: BROADCAST_MAC });
    } else encodeUnsolicitedNa(bytes, { senderMac, vip: address, router, override: true });
  }

  #sender(interfaceIndex: number): LinkSender {
    let sender = this.#senders.get(interfaceIndex);
    if (sender === undefined) {
      sender = new LinkSender(interfaceIndex);
      this.#senders.set(interfaceIndex, sender);
    }
    return sender;
  }

  /** RFC 4861 section 4.4: the Router flag says that the sender is a router. */
  #forwards(interfaceName: string, nowUs: number): boolean {
    const known = this.#forwarding.get(interfaceName);
    if (known !== undefined && nowUs - known.readAtUs < FORWARDING_AGE_US) return known.value;
    const value = forwardsIpv6(interfaceName);
    this.#forwarding.set(interfaceName, { value, readAtUs: nowUs });
    return value;
  }
}

function forwardsIpv6(interfaceName: string): boolean {
  return (readInterfaceSetting('ipv6', interfaceName, 'forwarding') ?? '0') !== '0';
}
