/**
 * VRRP sockets and LinkSender on a real LAN: two directors joined by two switches, the sockets of
 * this process inside their namespaces. A packet socket on the other side witnesses what is on
 * the wire. Needs root.
 */
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { parseIp } from '../../src/core/ip.ts';
import { VRRP_GROUP_IPV4, VRRP_GROUP_IPV6 } from '../../src/core/wire/vrrp.ts';
import { monotonicUs } from '../../src/linux/clock.ts';
import {
  AF_INET,
  AF_INET6,
  AF_PACKET,
  ETH_P_ARP,
  ETH_P_IP,
  ETH_P_IPV6,
  IP_MULTICAST_IF,
  IP_MULTICAST_TTL,
  IP_TTL,
  IPV6_MULTICAST_HOPS,
  IPV6_MULTICAST_IF,
  SOCK_RAW,
  SOL_IP,
  SOL_IPV6,
} from '../../src/linux/constants.ts';
import {
  bind,
  close,
  ifIndex,
  recv,
  SystemError,
  sendto,
  setsockopt,
  socket,
} from '../../src/linux/libc.ts';
import { inNetworkNamespace } from '../../src/linux/namespace.ts';
import { LinkSender } from '../../src/linux/packet-socket.ts';
import { encodeSockaddrIn, encodeSockaddrIn6, encodeSockaddrLl } from '../../src/linux/sockaddr.ts';
import {
  DRAIN_PACKETS_MAX,
  type ReceivedAdvert,
  VrrpReceiver,
  VrrpSender,
} from '../../src/linux/vrrp-socket.ts';
import { localMachine } from '../lab/host.ts';
import { type LabNode, type LanName, Topology } from '../lab/topology.ts';

type Family = 'ipv4' | 'ipv6';

const FAMILIES: Family[] = ['ipv4', 'ipv6'];
const PATIENCE = { timeout: 10_000, interval: 5 };
const BUILD_TIMEOUT_MS = 60_000;
const VRRP = 112;
/** Room for the whole packet of any of these tests. */
const FRAME_BYTES = 2048;

let topology: Topology;
let sending: LabNode;
let receiving: LabNode;
const resources: { close(): void }[] = [];

beforeAll(async () => {
  topology = await Topology.create(localMachine, { directors: 2, realServers: 0, clients: 0 });
  sending = topology.directors[0] as LabNode;
  receiving = topology.directors[1] as LabNode;
  for (const lan of ['front', 'back'] as const) await carried(lan);
}, BUILD_TIMEOUT_MS);

afterAll(() => topology?.dispose());

afterEach(() => {
  for (const resource of resources.splice(0)) resource.close();
});

function inside<T>(node: LabNode, fn: () => T): T {
  return inNetworkNamespace(`/run/netns/${node.namespace}`, fn);
}

function owned<T extends { close(): void }>(resource: T): T {
  resources.push(resource);
  return resource;
}

function bytesOf(address: string): Uint8Array {
  return parseIp(address) as Uint8Array;
}

function sourceOf(node: LabNode, family: Family, lan: LanName): Uint8Array {
  const { ipv4, linkLocal } = node.on(lan);
  return bytesOf(family === 'ipv4' ? ipv4 : linkLocal);
}

function openSender(family: Family, lan: LanName = 'front'): VrrpSender {
  const interfaceName = sending.on(lan).name;
  const sourceAddress = sourceOf(sending, family, lan);
  return inside(sending, () => {
    const interfaceIndex = ifIndex(interfaceName);
    return owned(new VrrpSender({ interfaceName, interfaceIndex, family, sourceAddress }));
  });
}

interface Seen {
  readonly message: number[];
  readonly ttl: number;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly truncated: boolean;
  readonly receivedAtUs: number;
}

function copy(packet: ReceivedAdvert): Seen {
  return {
    message: [...packet.payload.subarray(0, packet.lengthBytes)],
    ttl: packet.ttl,
    source: packet.source.slice(),
    destination: packet.destination.slice(),
    truncated: packet.truncated,
    receivedAtUs: packet.receivedAtUs,
  };
}

function openReceiver(
  family: Family,
  onReadable: () => void,
  node = receiving,
  lan: LanName = 'front',
): VrrpReceiver {
  return inside(node, () => {
    const interfaceName = node.on(lan).name;
    const interfaceIndex = ifIndex(interfaceName);
    return owned(new VrrpReceiver({ interfaceName, interfaceIndex, family }, onReadable));
  });
}

/** A receiver on the front LAN that collects what it is told of by the event loop. */
function collect(family: Family, node = receiving): { receiver: VrrpReceiver; seen: Seen[] } {
  const seen: Seen[] = [];
  const receiver = openReceiver(
    family,
    () => receiver.drain((packet) => seen.push(copy(packet))),
    node,
  );
  return { receiver, seen };
}

/** New links drop packets until the kernel has noticed the carrier of all of them. */
async function carried(lan: LanName): Promise<void> {
  const receiver = openReceiver('ipv4', () => {}, receiving, lan);
  const sender = openSender('ipv4', lan);
  await vi.waitFor(() => {
    sender.send(Uint8Array.of(0), 1);
    expect(receiver.drain(() => {})).toBeGreaterThan(0);
  }, PATIENCE);
  receiver.close();
  sender.close();
}

/** Of this process, as the kernel names them. */
function openSockets(): Set<string> {
  const links = readdirSync('/proc/self/fd').flatMap((fd) => {
    const path = `/proc/self/fd/${fd}`;
    // The directory's own descriptor is gone by now.
    return existsSync(`/proc/self/fdinfo/${fd}`) ? [readlinkSync(path)] : [];
  });
  return new Set(links.filter((link) => link.startsWith('socket:')));
}

function durationUs(fn: () => void): number {
  const startUs = monotonicUs();
  fn();
  return monotonicUs() - startUs;
}

/** Keeps the thread, and so the event loop, busy. */
function spin(durationUs: number): void {
  const untilUs = monotonicUs() + durationUs;
  while (monotonicUs() < untilUs);
}

/** The kernel begins to stamp packets a moment after the first socket has asked for it. */
async function stampingStarted(sender: VrrpSender, receiver: VrrpReceiver): Promise<void> {
  await vi.waitFor(() => {
    sender.send(Uint8Array.of(0), 1);
    spin(1_000);
    const drainedAtUs = monotonicUs();
    const arrivals: number[] = [];
    receiver.drain(({ receivedAtUs }) => arrivals.push(receivedAtUs));
    expect(arrivals).toHaveLength(1);
    expect(arrivals[0]).toBeLessThan(drainedAtUs - 500);
  }, PATIENCE);
}

/** A plain raw socket that sends from the front LAN with a TTL and to a destination of choice. */
function sendPlain(family: Family, options: { ttl: number; destination: Uint8Array }): void {
  const ipv4 = family === 'ipv4';
  inside(sending, () => {
    const index = ifIndex(sending.on('front').name);
    const fd = socket(ipv4 ? AF_INET : AF_INET6, SOCK_RAW, VRRP);
    try {
      if (ipv4) {
        const mreqn = new Uint8Array(12);
        new DataView(mreqn.buffer).setInt32(8, index, true);
        setsockopt(fd, SOL_IP, IP_MULTICAST_IF, mreqn);
        setsockopt(fd, SOL_IP, IP_MULTICAST_TTL, options.ttl);
        setsockopt(fd, SOL_IP, IP_TTL, options.ttl);
      } else {
        setsockopt(fd, SOL_IPV6, IPV6_MULTICAST_IF, index);
        setsockopt(fd, SOL_IPV6, IPV6_MULTICAST_HOPS, options.ttl);
      }
      const { destination } = options;
      const address = ipv4
        ? encodeSockaddrIn(destination, 0)
        : encodeSockaddrIn6(destination, 0, index);
      expect(sendto(fd, Uint8Array.of(0xee), 1, address)).toBe(1);
    } finally {
      close(fd);
    }
  });
}

/** Frames of one EtherType that arrive at the receiving director's front interface. */
function openWitness(etherType: number): { next(): number[] | null; close(): void } {
  return inside(receiving, () => {
    const fd = socket(AF_PACKET, SOCK_RAW, 0);
    const interfaceIndex = ifIndex(receiving.on('front').name);
    const address = new Uint8Array(0);
    bind(fd, encodeSockaddrLl({ protocol: etherType, interfaceIndex, address }));
    const frame = new Uint8Array(FRAME_BYTES);
    const next = () => {
      const length = recv(fd, frame);
      return length < 0 ? null : [...frame.subarray(0, length)];
    };
    return owned({ next, close: () => close(fd) });
  });
}

describe.each(FAMILIES)('VrrpSender and VrrpReceiver over %s', (family) => {
  const group = family === 'ipv4' ? VRRP_GROUP_IPV4 : VRRP_GROUP_IPV6;

  test('carry the message, TTL 255, both addresses and the time of arrival', async () => {
    const { seen } = collect(family);
    const sender = openSender(family);
    const message = Uint8Array.from({ length: 40 }, (_, index) => index);
    const beforeUs = monotonicUs();
    expect(sender.send(message, 32)).toBe(32);
    await vi.waitFor(() => expect(seen).toHaveLength(1), PATIENCE);
    expect(seen[0]).toMatchObject({
      message: [...message.subarray(0, 32)],
      ttl: 255,
      truncated: false,
      source: sourceOf(sending, family, 'front'),
      destination: group,
    });
    // The stamp and the reading round to microseconds on two clocks.
    expect(seen[0]?.receivedAtUs).toBeGreaterThanOrEqual(beforeUs - 2);
    expect(seen[0]?.receivedAtUs).toBeLessThanOrEqual(monotonicUs());
  });

  test('mark the packet as routing traffic on the wire', async () => {
    const witness = openWitness(family === 'ipv4' ? ETH_P_IP : ETH_P_IPV6);
    const sender = openSender(family);
    sender.send(Uint8Array.of(0x31, 1, 100), 3);
    const isAdvert = (frame: number[]) => frame[family === 'ipv4' ? 23 : 20] === VRRP;
    let frame: number[] | null = null;
    await vi.waitFor(() => {
      const next = witness.next();
      if (next !== null && isAdvert(next)) frame = next;
      expect(frame).not.toBeNull();
    }, PATIENCE);
    const bytes = frame as unknown as number[];
    if (family === 'ipv4') {
      expect(bytes.slice(0, 6)).toEqual([0x01, 0x00, 0x5e, 0x00, 0x00, 0x12]);
      expect(bytes[15]).toBe(0xc0);
      expect(bytes[22]).toBe(255);
      expect(bytes.slice(34, 37)).toEqual([0x31, 1, 100]);
    } else {
      expect(bytes.slice(0, 6)).toEqual([0x33, 0x33, 0x00, 0x00, 0x00, 0x12]);
      // Version 6 and traffic class 0xc0 share the first two bytes.
      expect([bytes[14], (bytes[15] as number) & 0xf0]).toEqual([0x6c, 0x00]);
      expect(bytes[21]).toBe(255);
      expect(bytes.slice(54, 57)).toEqual([0x31, 1, 100]);
    }
  });

  test('another interface of the director is not heard', async () => {
    const { seen } = collect(family);
    // With the group joined there too, only the binding to the interface keeps them apart.
    openReceiver(family, () => {}, receiving, 'back');
    const back = openSender(family, 'back');
    const front = openSender(family);
    for (let count = 0; count < 3; count++) back.send(Uint8Array.of(0xbb), 1);
    front.send(Uint8Array.of(0xff), 1);
    await vi.waitFor(() => expect(seen.length).toBeGreaterThan(0), PATIENCE);
    expect(seen.map(({ message }) => message)).toEqual([[0xff]]);
  });

  test('another multicast group and unicast are not heard', async () => {
    const other = bytesOf(family === 'ipv4' ? '224.0.0.1' : 'ff02::1');
    const { seen } = collect(family);
    sendPlain(family, { ttl: 255, destination: other });
    sendPlain(family, { ttl: 255, destination: sourceOf(receiving, family, 'front') });
    openSender(family).send(Uint8Array.of(0xff), 1);
    await vi.waitFor(() => expect(seen.length).toBeGreaterThan(0), PATIENCE);
    expect(seen.map(({ message }) => message)).toEqual([[0xff]]);
  });

  test('a packet with a wrong TTL is delivered with its TTL', async () => {
    const { seen } = collect(family);
    sendPlain(family, { ttl: 254, destination: group });
    await vi.waitFor(() => expect(seen).toHaveLength(1), PATIENCE);
    expect(seen[0]).toMatchObject({ ttl: 254, message: [0xee] });
  });

  test('the sender is not heard by its own host', async () => {
    const own = collect(family, sending);
    const { seen } = collect(family);
    openSender(family).send(Uint8Array.of(1), 1);
    await vi.waitFor(() => expect(seen).toHaveLength(1), PATIENCE);
    own.receiver.drain((packet) => own.seen.push(copy(packet)));
    expect(own.seen).toEqual([]);
  });

  test('adverts that waited keep the times of their arrival', async () => {
    const seen: Seen[] = [];
    const receiver = openReceiver(family, () => {});
    const sender = openSender(family);
    await stampingStarted(sender, receiver);
    // From here to the drain the event loop does not run: the process is stalled.
    const sentAtUs: number[] = [];
    for (let count = 0; count < 5; count++) {
      sentAtUs.push(monotonicUs());
      sender.send(Uint8Array.of(count), 1);
      spin(20_000);
    }
    sentAtUs.push(monotonicUs());
    expect(receiver.drain((packet) => seen.push(copy(packet)))).toBe(5);
    for (const [index, { message, receivedAtUs }] of seen.entries()) {
      expect(message).toEqual([index]);
      expect(receivedAtUs).toBeGreaterThanOrEqual((sentAtUs[index] as number) - 2);
      // Without the kernel's stamp all five would have the time of the drain.
      expect(receivedAtUs).toBeLessThan(sentAtUs[index + 1] as number);
    }
  });

  test('drain takes a bounded number and is called again for the rest', async () => {
    const drained: number[] = [];
    const receiver = openReceiver(family, () => drained.push(receiver.drain(() => {})));
    const sender = openSender(family);
    const total = DRAIN_PACKETS_MAX + 10;
    for (let count = 0; count < total; count++) sender.send(Uint8Array.of(1), 1);
    await vi.waitFor(() => expect(drained.reduce((sum, n) => sum + n, 0)).toBe(total), PATIENCE);
    expect(Math.max(...drained)).toBeLessThanOrEqual(DRAIN_PACKETS_MAX);
    expect(drained.length).toBeGreaterThan(1);
  });

  test('a packet longer than any advertisement is marked as truncated', async () => {
    const { seen } = collect(family);
    expect(openSender(family).send(new Uint8Array(5000), 5000)).toBe(5000);
    await vi.waitFor(() => expect(seen).toHaveLength(1), PATIENCE);
    expect(seen[0]?.truncated).toBe(true);
    expect(seen[0]?.message.length).toBeGreaterThan(4088);
  });

  test('close within the handler ends the drain, and may be repeated', async () => {
    const receiver = openReceiver(family, () => {});
    const sender = openSender(family);
    for (let count = 0; count < 3; count++) sender.send(Uint8Array.of(1), 1);
    await vi.waitFor(() => expect(receiver.drain(() => receiver.close())).toBe(1), PATIENCE);
    expect(receiver.drain(() => {})).toBe(0);
    receiver.close();
  });

  test('a sender from an address that is not there is refused by name', () => {
    const sourceAddress = bytesOf(family === 'ipv4' ? '192.0.2.250' : 'fe80::250');
    const open = () =>
      inside(sending, () => {
        const interfaceName = sending.on('front').name;
        const interfaceIndex = ifIndex(interfaceName);
        return new VrrpSender({ interfaceName, interfaceIndex, family, sourceAddress });
      });
    expect(open).toThrow(/EADDRNOTAVAIL/);
  });

  test('a receiver on an interface that is not there is refused by name', () => {
    const options = { interfaceName: 'nosuch0', interfaceIndex: 9999, family };
    expect(() => inside(receiving, () => new VrrpReceiver(options, () => {}))).toThrow(/ENODEV/);
  });
});

test('closing a packet socket does not wait until the kernel is done with it', async () => {
  const count = 20;
  const opened = new Set<string>();
  const [waitedUs, asideUs]: [number[], number[]] = [[], []];
  // In some rounds, since the machine may stand still in one.
  for (let round = 0; round < 5; round++) {
    const waiting = Array.from({ length: count }, () => socket(AF_PACKET, SOCK_RAW, 0));
    const others = openSockets();
    const senders = Array.from({ length: count }, () => new LinkSender(1));
    for (const link of openSockets()) if (!others.has(link)) opened.add(link);
    expect(opened.size).toBe((round + 1) * count);
    waitedUs.push(
      durationUs(() => {
        for (const fd of waiting) close(fd);
      }),
    );
    asideUs.push(
      durationUs(() => {
        for (const sender of senders) sender.close();
      }),
    );
  }
  // Of the kernel's grace periods, which are some milliseconds each, none is waited for.
  expect(Math.min(...asideUs) * 4).toBeLessThan(Math.max(...waitedUs));
  const isOpen = (link: string) => openSockets().has(link);
  await vi.waitFor(() => expect([...opened].filter(isOpen)).toEqual([]), PATIENCE);
});

test('VrrpSender returns -errno while its interface is down', async () => {
  const name = sending.on('back').name;
  const sender = openSender('ipv4', 'back');
  expect(sender.send(Uint8Array.of(1), 1)).toBe(1);
  await sending.run(['ip', 'link', 'set', name, 'down']);
  try {
    expect(sender.send(Uint8Array.of(1), 1)).toBeLessThan(0);
  } finally {
    await sending.run(['ip', 'link', 'set', name, 'up']);
  }
});

test('LinkSender puts the frame on the wire as it is', async () => {
  const witness = openWitness(ETH_P_ARP);
  const sender = inside(sending, () => owned(new LinkSender(ifIndex(sending.on('front').name))));
  const frame = new Uint8Array(60);
  frame.set([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x5e, 0x00, 0x01, 0x33]);
  frame.set([ETH_P_ARP >> 8, ETH_P_ARP & 0xff], 12);
  frame.set([0, 1, 8, 0, 6, 4, 0, 1], 14);
  expect(sender.send(frame, 42)).toBe(42);
  let seen: number[] | null = null;
  await vi.waitFor(() => {
    seen ??= witness.next();
    expect(seen).toEqual([...frame.subarray(0, 42)]);
  }, PATIENCE);
});

test('LinkSender returns -errno for an interface that is not there and a frame too short', () => {
  const lost = inside(sending, () => owned(new LinkSender(9999)));
  expect(lost.send(new Uint8Array(60), 60)).toBeLessThan(0);
  const sender = inside(sending, () => owned(new LinkSender(ifIndex(sending.on('front').name))));
  expect(sender.send(new Uint8Array(60), 13)).toBeLessThan(0);
});

describe('inNetworkNamespace', () => {
  test('works in the other namespace and returns, also after an exception', () => {
    const current = () => readlinkSync('/proc/thread-self/ns/net');
    const before = current();
    expect(inside(receiving, current)).not.toBe(before);
    expect(current()).toBe(before);
    const failing = () =>
      inside(receiving, () => {
        throw new RangeError('inside');
      });
    expect(failing).toThrow(RangeError);
    expect(current()).toBe(before);
  });

  test('names the namespace that does not exist', () => {
    expect(() => inNetworkNamespace('/run/netns/nosuch', () => {})).toThrow(SystemError);
    expect(() => inNetworkNamespace('/run/netns/nosuch', () => {})).toThrow(/nosuch.*ENOENT/);
  });
});

test('a socket without our options hears what the tests of silence send', async () => {
  const fd = inside(receiving, () => socket(AF_INET, SOCK_RAW, VRRP));
  owned({ close: () => close(fd) });
  openReceiver('ipv4', () => {});
  openReceiver('ipv4', () => {}, receiving, 'back');
  openSender('ipv4').send(Uint8Array.of(1), 1);
  openSender('ipv4', 'back').send(Uint8Array.of(2), 1);
  sendPlain('ipv4', { ttl: 255, destination: bytesOf('224.0.0.1') });
  sendPlain('ipv4', { ttl: 255, destination: sourceOf(receiving, 'ipv4', 'front') });
  const heard: number[] = [];
  await vi.waitFor(() => {
    const packet = new Uint8Array(64);
    while (recv(fd, packet) >= 0) heard.push(packet[20] as number);
    expect(heard.toSorted((left, right) => left - right)).toEqual([1, 2, 0xee, 0xee]);
  }, PATIENCE);
});

test('VrrpSender and LinkSender never queue what they could hear', async () => {
  openReceiver('ipv4', () => {});
  const name = receiving.on('front').name;
  inside(receiving, () => {
    const sourceAddress = sourceOf(receiving, 'ipv4', 'front');
    const options = { interfaceName: name, interfaceIndex: ifIndex(name), sourceAddress };
    owned(new VrrpSender({ ...options, family: 'ipv4' }));
    owned(new LinkSender(ifIndex(name)));
  });
  sendPlain('ipv4', { ttl: 255, destination: sourceOf(receiving, 'ipv4', 'front') });
  openSender('ipv4').send(Uint8Array.of(1), 1);
  // /proc/net/raw: slot, local address, remote address, state, tx_queue:rx_queue ...
  const queued = async () => {
    const { stdout } = await receiving.run(['cat', '/proc/net/raw']);
    const rows = stdout.trim().split('\n').slice(1);
    return rows.map((row) => Number.parseInt(row.trim().split(/\s+/)[4]?.split(':')[1] ?? '', 16));
  };
  await vi.waitFor(async () => {
    const sizes = (await queued()).toSorted((left, right) => left - right);
    // The sender's, and the receiver's, which nobody drains.
    expect(sizes).toEqual([0, expect.any(Number)]);
    expect(sizes[1]).toBeGreaterThan(0);
  }, PATIENCE);
  // /proc/net/packet: address, references, type, protocol, interface, running, receive memory ...
  const { stdout } = await receiving.run(['cat', '/proc/net/packet']);
  const rows = stdout.trim().split('\n').slice(1);
  expect(rows.map((row) => row.trim().split(/\s+/)[6])).toEqual(['0']);
});
