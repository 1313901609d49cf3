/**
 * Watching a lab from outside its directors, with sockets inside their namespaces: advertisements
 * on the wire with the kernel's time of their arrival, and additions and removals of addresses.
 * What a director says of itself is never its own witness.
 */
import { formatIp } from '../../src/core/ip.ts';
import { decodeAdvertisement } from '../../src/core/wire/vrrp.ts';
import { monotonicUs } from '../../src/linux/clock.ts';
import { ifIndex } from '../../src/linux/libc.ts';
import { inNetworkNamespace } from '../../src/linux/namespace.ts';
import { RouteMonitor, RouteSocket } from '../../src/linux/netlink/route.ts';
import { VrrpReceiver } from '../../src/linux/vrrp-socket.ts';
import { LabError, waitFor } from './host.ts';
import type { LabNode } from './topology.ts';

const WAIT_TIMEOUT_MS = 10_000;

/** Calls `fn`, which must be synchronous, inside the node's network namespace. */
export function inside<T>(node: LabNode, fn: () => T): T {
  return inNetworkNamespace(`/run/netns/${node.namespace}`, fn);
}

export interface SeenAdvert {
  /** Arrival by the monotonic clock. */
  readonly atUs: number;
  readonly source: string;
  readonly version: 2 | 3;
  readonly vrid: number;
  readonly priority: number;
  readonly checksum: 'message' | 'pseudo-header';
}

/** The advertisements that reach a node's front LAN: for a client those of all directors. */
export class AdvertWatch {
  readonly adverts: SeenAdvert[] = [];
  readonly #receiver: VrrpReceiver;

  constructor(node: LabNode, family: 'ipv4' | 'ipv6' = 'ipv4') {
    const interfaceName = node.on('front').name;
    const options = { interfaceName, family };
    this.#receiver = inside(node, () => {
      const interfaceIndex = ifIndex(interfaceName);
      return new VrrpReceiver({ ...options, interfaceIndex }, () => this.#drain(family));
    });
  }

  #drain(family: 'ipv4' | 'ipv6'): void {
    this.#receiver.drain((packet) => {
      const decoded = decodeAdvertisement({
        bytes: packet.payload,
        lengthBytes: packet.lengthBytes,
        truncated: packet.truncated,
        ttl: packet.ttl,
        source: packet.source,
        destination: packet.destination,
        family,
      });
      if (!decoded.ok) return;
      const { version, vrid, priority, checksum } = decoded.value;
      const source = formatIp(packet.source, family);
      const atUs = packet.receivedAtUs;
      this.adverts.push({ atUs, source, version, vrid, priority, checksum });
    });
  }

  /** Those of one sender and virtual router that came at `sinceUs` or later. */
  from(source: string, vrid: number, sinceUs = 0): SeenAdvert[] {
    return this.adverts.filter(
      (advert) => advert.source === source && advert.vrid === vrid && advert.atUs >= sinceUs,
    );
  }

  /** Waits for the `count`-th of from(), and returns it. */
  async waitFrom(
    source: string,
    vrid: number,
    sinceUs: number,
    count = 1,
    timeoutMs = WAIT_TIMEOUT_MS,
  ): Promise<SeenAdvert> {
    await waitFor(
      `${count} adverts of ${vrid} from ${source}`,
      () => this.from(source, vrid, sinceUs).length >= count,
      timeoutMs,
      5,
    );
    return this.from(source, vrid, sinceUs)[count - 1] as SeenAdvert;
  }

  close(): void {
    this.#receiver.close();
  }
}

export interface AddressEvent {
  readonly atUs: number;
  readonly kind: 'added' | 'removed';
  readonly address: string;
}

/** Addresses of a node: what the kernel says now, and its notifications since the start. */
export class AddressWatch {
  readonly events: AddressEvent[] = [];
  readonly #monitor: RouteMonitor;
  readonly #socket: RouteSocket;

  constructor(node: LabNode) {
    const note = (kind: AddressEvent['kind'], address: string) =>
      void this.events.push({ atUs: monotonicUs(), kind, address });
    const opened = inside(node, () => ({
      socket: RouteSocket.open(),
      monitor: RouteMonitor.open({
        linkChanged: () => {},
        linkRemoved: () => {},
        addressAdded: ({ address }) => note('added', address),
        addressRemoved: ({ address }) => note('removed', address),
        overrun: () => note('removed', 'notifications were lost'),
      }),
    }));
    if (!opened.socket.ok || !opened.monitor.ok) throw new LabError('No netlink socket');
    this.#socket = opened.socket.value;
    this.#monitor = opened.monitor.value;
  }

  /** Whether the node has the address at this moment. */
  holds(address: string): boolean {
    const listed = this.#socket.listAddresses();
    if (!listed.ok) throw new LabError(`Addresses: ${listed.error.message}`);
    return listed.value.some((candidate) => candidate.address === address);
  }

  /** Times that the address was added, by whomever. */
  additions(address: string): AddressEvent[] {
    return this.events.filter((event) => event.kind === 'added' && event.address === address);
  }

  /** Removals of the address, whoever did them. */
  removals(address: string, sinceUs = 0): AddressEvent[] {
    return this.events.filter(
      (event) => event.kind === 'removed' && event.address === address && event.atUs >= sinceUs,
    );
  }

  close(): void {
    this.#monitor.close();
    this.#socket.close();
  }
}
