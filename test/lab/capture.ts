/**
 * What tcpdump captures on one interface: announcements and advertisements, in their order on
 * the wire and with the kernel's times. The witness of what a director sends unasked.
 */
import { formatIp } from '../../src/core/ip.ts';
import { decodeArp } from '../../src/core/wire/arp.ts';
import { decodeNeighborAdvertisement } from '../../src/core/wire/ndisc.ts';
import { type Child, exitWithin, LabError, waitFor } from './host.ts';
import type { LabNode, LanName } from './topology.ts';

const WAIT_TIMEOUT_MS = 15_000;
const END_TIMEOUT_MS = 10_000;
/** ARP, neighbour advertisements (ICMPv6 type 136) and VRRP. */
const FILTER = 'arp or ip proto 112 or (icmp6 and ip6[40] == 136)';
/** pcap(5): the file's header, and that of each packet. */
const FILE_HEADER_BYTES = 24;
const PACKET_HEADER_BYTES = 16;
const ETHERNET_HEADER_BYTES = 14;
const IPV4_HEADER_BYTES = 20;

export interface SeenAnnouncement {
  readonly kind: 'arp' | 'na';
  readonly atUs: number;
  readonly mac: string;
  readonly vip: string;
  /** NA only. */
  readonly router: boolean;
}

export interface CapturedAdvert {
  readonly kind: 'advert';
  readonly atUs: number;
  readonly source: string;
  readonly vrid: number;
  readonly priority: number;
}

export class Capture {
  readonly packets: (SeenAnnouncement | CapturedAdvert)[] = [];
  #child: Child | null = null;
  #stderr = '';
  #bytes: Buffer = Buffer.alloc(0);
  #headerSeen = false;

  /** Listens on the node's interface of a LAN; when it resolves, nothing is missed any more. */
  static async start(node: LabNode, lan: LanName): Promise<Capture> {
    const capture = new Capture();
    const argv = ['tcpdump', '-n', '-U', '--immediate-mode', '-w', '-', '-i', node.on(lan).name];
    capture.#child = await node.spawn([...argv, FILTER], {
      onStdout: (chunk) => capture.#collect(chunk),
      onStderr: (chunk) => {
        capture.#stderr += chunk.toString('utf8');
      },
    });
    await capture.waitFor('tcpdump to listen', () => capture.#stderr.includes('listening on'));
    return capture;
  }

  /** Number of packets so far: a place for `since`. */
  get mark(): number {
    return this.packets.length;
  }

  /** Announcements of these VIPs, or of all without any, from the packet `since` on. */
  announcements(vips: readonly string[] = [], since = 0): SeenAnnouncement[] {
    return this.packets.slice(since).filter((packet): packet is SeenAnnouncement => {
      return packet.kind !== 'advert' && (vips.length === 0 || vips.includes(packet.vip));
    });
  }

  /** Advertisements of one sender, from the packet `since` on. */
  adverts(source: string, since = 0): CapturedAdvert[] {
    return this.packets.slice(since).filter((packet): packet is CapturedAdvert => {
      return packet.kind === 'advert' && packet.source === source;
    });
  }

  async waitFor(what: string, condition: () => boolean): Promise<void> {
    try {
      await waitFor(what, condition, WAIT_TIMEOUT_MS, 5);
    } catch (error) {
      const seen = this.packets.slice(-20).map((packet) => JSON.stringify(packet));
      throw new LabError([(error as Error).message, this.#stderr, ...seen].join('\n'));
    }
  }

  async close(): Promise<void> {
    if (this.#child === null) return;
    this.#child.kill('SIGKILL');
    await exitWithin(this.#child, END_TIMEOUT_MS);
    this.#child = null;
  }

  #collect(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    if (!this.#headerSeen) {
      if (this.#bytes.length < FILE_HEADER_BYTES) return;
      this.#bytes = this.#bytes.subarray(FILE_HEADER_BYTES);
      this.#headerSeen = true;
    }
    while (this.#bytes.length >= PACKET_HEADER_BYTES) {
      const endAt = PACKET_HEADER_BYTES + this.#bytes.readUInt32LE(8);
      if (this.#bytes.length < endAt) return;
      const atUs = this.#bytes.readUInt32LE(0) * 1_000_000 + this.#bytes.readUInt32LE(4);
      this.#note(new Uint8Array(this.#bytes.subarray(PACKET_HEADER_BYTES, endAt)), atUs);
      this.#bytes = this.#bytes.subarray(endAt);
    }
  }

  #note(frame: Uint8Array, atUs: number): void {
    const arp = decodeArp(frame);
    if (arp.ok) {
      const { operation, senderIp, senderMac, targetIp } = arp.value;
      const vip = formatIp(senderIp, 'ipv4');
      if (operation !== 'request' || vip !== formatIp(targetIp, 'ipv4')) return;
      this.packets.push({ kind: 'arp', atUs, mac: macText(senderMac), vip, router: false });
      return;
    }
    const na = decodeNeighborAdvertisement(frame);
    if (na.ok) {
      const { solicited, override, router, target, targetMac } = na.value;
      if (solicited || !override || targetMac === null) return;
      const vip = formatIp(target, 'ipv6');
      this.packets.push({ kind: 'na', atUs, mac: macText(targetMac), vip, router });
      return;
    }
    const start = ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES;
    if (frame.length < start + 8 || frame[ETHERNET_HEADER_BYTES + 9] !== 112) return;
    this.packets.push({
      kind: 'advert',
      atUs,
      source: formatIp(frame, 'ipv4', ETHERNET_HEADER_BYTES + 12),
      vrid: frame[start + 1] as number,
      priority: frame[start + 2] as number,
    });
  }
}

function macText(mac: Uint8Array): string {
  return [...mac].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
