/**
 * The wire during a failover, as tcpdump writes it down with the kernel's receive times in
 * nanoseconds. It belongs to neither contestant and stamps both alike. The pcap stream is read
 * while it grows, so that nobody has to guess when an advertisement has come.
 * Format: https://www.tcpdump.org/manpages/pcap-savefile.5.html
 */
import { type Child, LabError, waitFor } from '../lab/host.ts';
import type { LabNode } from '../lab/topology.ts';

const PCAP_MAGIC_NANOSECONDS = 0xa1b2_3c4d;
const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const ETHERNET_HEADER_BYTES = 14;
const ETHERTYPE_OFFSET = 12;
const ETHERTYPE_ARP = 0x0806;
/** Sender and target protocol address of an ARP packet for IPv4 (RFC 826). */
const ARP_SENDER = ETHERNET_HEADER_BYTES + 14;
const ARP_TARGET = ETHERNET_HEADER_BYTES + 24;
/** Behind an IPv4 header without options, as both contestants send it. */
const VRID_OFFSET = ETHERNET_HEADER_BYTES + 20 + 1;
const IPV4_SOURCE = ETHERNET_HEADER_BYTES + 12;
/** Far above any benchmark's rate times its length; a stream that grows beyond it is lost. */
const PACKETS_MAX = 1_000_000;
const START_TIMEOUT_MS = 20_000;

export interface WireAdvert {
  /** Wall clock, with the fraction that nanosecond stamps give. */
  readonly atMs: number;
  readonly source: string;
  readonly vrid: number;
}

/** A gratuitous ARP: somebody says where this address is. */
export interface WireAnnouncement {
  readonly atMs: number;
  readonly address: string;
}

export class Wire {
  readonly adverts: WireAdvert[] = [];
  readonly announcements: WireAnnouncement[] = [];
  readonly #child: Child;

  private constructor(child: Child) {
    this.#child = child;
  }

  /**
   * Captures advertisements and announcements on an interface of the node; without a name, on its
   * front LAN.
   */
  static async open(node: LabNode, interfaceName = node.on('front').name): Promise<Wire> {
    let stream: Uint8Array = new Uint8Array(0);
    let errors = '';
    let wire: Wire | null = null;
    const argv = ['tcpdump', '-i', interfaceName, '-n', '-p', '-U', '--immediate-mode'];
    // Its ring has as many places as packets of the greatest length fit: bursts need many.
    const ring = ['-s', '128', '-B', '4096'];
    const format = [...ring, '--time-stamp-precision', 'nano', '-w', '-', 'ip proto 112 or arp'];
    const child = await node.spawn([...argv, ...format], {
      onStdout: (chunk) => {
        stream = Buffer.concat([stream, chunk]);
        if (wire !== null) stream = wire.#read(stream);
      },
      onStderr: (chunk) => {
        errors += chunk.toString('utf8');
      },
    });
    await waitFor('tcpdump', () => stream.length >= FILE_HEADER_BYTES, START_TIMEOUT_MS);
    const magic = Buffer.from(stream).readUInt32LE(0);
    if (magic !== PCAP_MAGIC_NANOSECONDS) {
      child.kill('SIGKILL');
      throw new LabError(`tcpdump does not write nanoseconds in this byte order: ${errors}`);
    }
    stream = stream.subarray(FILE_HEADER_BYTES);
    wire = new Wire(child);
    return wire;
  }

  /** Forgets what was seen. */
  clear(): void {
    this.adverts.length = 0;
    this.announcements.length = 0;
  }

  from(source: string): WireAdvert[] {
    return this.adverts.filter((advert) => advert.source === source);
  }

  close(): void {
    this.#child.kill('SIGKILL');
  }

  /** Takes whole records; returns what is left. */
  #read(stream: Uint8Array): Uint8Array {
    const bytes = Buffer.from(stream.buffer, stream.byteOffset, stream.byteLength);
    let offset = 0;
    while (bytes.length - offset >= RECORD_HEADER_BYTES) {
      const capturedBytes = bytes.readUInt32LE(offset + 8);
      const end = offset + RECORD_HEADER_BYTES + capturedBytes;
      if (end > bytes.length) break;
      const seconds = bytes.readUInt32LE(offset);
      const nanoseconds = bytes.readUInt32LE(offset + 4);
      const frame = bytes.subarray(offset + RECORD_HEADER_BYTES, end);
      this.#note(seconds * 1e3 + nanoseconds / 1e6, frame);
      offset = end;
    }
    if (this.adverts.length + this.announcements.length > PACKETS_MAX)
      throw new LabError('Too many packets');
    return stream.subarray(offset);
  }

  #note(atMs: number, frame: Buffer): void {
    const ipv4 = (offset: number) => [...frame.subarray(offset, offset + 4)].join('.');
    if (frame.readUInt16BE(ETHERTYPE_OFFSET) !== ETHERTYPE_ARP) {
      const vrid = frame[VRID_OFFSET] as number;
      this.adverts.push({ atMs, source: ipv4(IPV4_SOURCE), vrid });
    } else if (ipv4(ARP_SENDER) === ipv4(ARP_TARGET)) {
      this.announcements.push({ atMs, address: ipv4(ARP_SENDER) });
    }
  }
}
