/**
 * Sends gratuitous ARP and unsolicited NA for VIPs: on each VIP's own interface, from that
 * interface's hardware address. Bursts wait in a queue (core/vrrp/announce-queue.ts) and are sent
 * in the keeper's turns: the first packets at once, the others as their pace allows, a bounded
 * number in one turn. Frames are built into one buffer, nothing is kept.
 *
 * Invariant: a VIP that is not on its interface at the moment of sending is not announced.
 */
import type { AnnounceConfig, AnnounceGroupConfig } from '../core/config/config.ts';
import { parseIp } from '../core/ip.ts';
import { AnnounceQueue, type QueuedPacket } from '../core/vrrp/announce-queue.ts';
import { ARP_FRAME_BYTES, encodeGratuitousArp } from '../core/wire/arp.ts';
import { BROADCAST_MAC } from '../core/wire/ethernet.ts';
import { encodeUnsolicitedNa, NA_FRAME_BYTES } from '../core/wire/ndisc.ts';
import { monotonicUs } from '../linux/clock.ts';
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
  readonly bytes: Uint8Array;
  readonly counters: AnnounceCounters;
}

export class Announcer {
  readonly #network: Network;
  readonly #onWaiting: () => void;
  readonly #queue = new AnnounceQueue<Packet>();
  readonly #frame = new Uint8Array(Math.max(ARP_FRAME_BYTES, NA_FRAME_BYTES));
  readonly #senders = new Map<number, LinkSender>();
  /** The switch of each interface that shares one with others. */
  readonly #groups = new Map<string, AnnounceGroupConfig>();
  readonly #forwarding = new Map<string, { readonly value: boolean; readonly readAtUs: number }>();
  #gathering = false;

  /** `onWaiting` is called when a burst has left something for flush(): deadlineUs has changed. */
  constructor(network: Network, onWaiting: () => void) {
    this.#network = network;
    this.#onWaiting = onWaiting;
  }

  /** Takes over which interfaces share a switch; bursts that wait keep their pace. */
  configure(groups: readonly AnnounceGroupConfig[]): void {
    this.#groups.clear();
    for (const group of groups) {
      for (const name of group.interfaces) this.#groups.set(name, group);
    }
  }

  /**
   * Announces VIPs that were just added, or again: the first packet of each at once where the
   * pace allows it, everything else in later turns. See deadlineUs.
   */
  burst(request: BurstRequest): void {
    const packets = request.vips.flatMap((vip) => this.#prepare(vip, request));
    this.#queue.put(request.owner, packets, request.repeat);
    if (!this.#gathering) this.#sendFirst();
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

  #prepare(vip: AnnouncedVip, { pace, counters }: BurstRequest): readonly QueuedPacket<Packet>[] {
    const bytes = parseIp(vip.address);
    if (bytes === null) return [];
    const group = this.#groups.get(vip.interface);
    const { intervalUs, naIntervalUs } = group ?? pace;
    const place = group === undefined ? `interface ${vip.interface}` : `switch ${group.name}`;
    const isArp = bytes.length === 4;
    return [
      {
        lane: `${place} ${isArp ? 'arp' : 'na'}`,
        intervalUs: isArp ? intervalUs : naIntervalUs,
        item: { vip, bytes, counters },
      },
    ];
  }

  #send({ vip, bytes, counters }: Packet, nowUs: number): void {
    const link = this.#network.link(vip.interface);
    // Loopback and tunnels have no hardware address and no neighbours to tell.
    if (link === null || link.loopback || link.address.length !== 6) return;
    if (!this.#network.hasAddress(vip.interface, vip.address)) return;
    const senderMac = link.address;
    const length =
      bytes.length === 4
        ? encodeGratuitousArp(this.#frame, { senderMac, vip: bytes, targetMac: BROADCAST_MAC })
        : encodeUnsolicitedNa(this.#frame, {
            senderMac,
            vip: bytes,
            router: this.#forwards(link.name, nowUs),
            override: true,
          });
    if (this.#sender(link.index).send(this.#frame, length) < 0) counters.sendErrors++;
    else counters.announcementsSent++;
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
