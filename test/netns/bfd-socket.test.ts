/**
 * BFD sockets and the runner on a real LAN: what a receiver tells of a packet, what a sender puts
 * on the wire, and which packets the runner refuses for which session. Needs root.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import type { BfdControl } from '../../src/core/bfd/types.ts';
import type { BfdConfig } from '../../src/core/config/config.ts';
import { DEFAULTS } from '../../src/core/config/defaults.ts';
import { formatIp, parseIp } from '../../src/core/ip.ts';
import {
  BFD_PORT_SINGLE_HOP,
  decodeBfdControl,
  encodeBfdControl,
} from '../../src/core/wire/bfd.ts';
import { BfdRunner } from '../../src/keeper/bfd.ts';
import { BfdReceiver, BfdSender, type BfdSenderOptions } from '../../src/linux/bfd-socket.ts';
import { monotonicUs } from '../../src/linux/clock.ts';
import { ifIndex, SystemError } from '../../src/linux/libc.ts';
import { inNetworkNamespace } from '../../src/linux/namespace.ts';
import { localMachine } from '../lab/host.ts';
import { type LabNode, Topology } from '../lab/topology.ts';

type Family = 'ipv4' | 'ipv6';
const FAMILIES: Family[] = ['ipv4', 'ipv6'];
const PATIENCE = { timeout: 10_000, interval: 5 };
const BUILD_TIMEOUT_MS = 60_000;

let topology: Topology;
let here: LabNode;
let there: LabNode;
const resources: { close(): void }[] = [];

beforeAll(async () => {
  topology = await Topology.create(localMachine, { directors: 2, realServers: 0, clients: 0 });
  [here, there] = topology.directors as unknown as [LabNode, LabNode];
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

const PACKET: BfdControl = {
  state: 'down',
  diagnostic: 0,
  poll: false,
  final: false,
  demand: false,
  detectMultiplier: 3,
  myDiscriminator: 77,
  yourDiscriminator: 0,
  desiredMinTxUs: 1_000_000,
  requiredMinRxUs: 10_000,
};

function encoded(control: Partial<BfdControl> = {}): Uint8Array {
  const target = new Uint8Array(24);
  encodeBfdControl(target, { ...PACKET, ...control });
  return target;
}

interface Seen {
  readonly bytes: number[];
  readonly source: string;
  readonly destination: string;
  readonly ttl: number;
  readonly interfaceIndex: number;
  readonly receivedAtUs: number;
}

function listen(node: LabNode, family: Family): { seen: Seen[]; receiver: BfdReceiver } {
  const seen: Seen[] = [];
  const receiver: BfdReceiver = inside(node, () =>
    owned(
      new BfdReceiver(family, BFD_PORT_SINGLE_HOP, () => {
        receiver.drain(({ payload, lengthBytes, source, destination, ...rest }) => {
          const bytes = [...payload.subarray(0, lengthBytes)];
          const [from, to] = [formatIp(source, family), formatIp(destination, family)];
          const { ttl, interfaceIndex, receivedAtUs } = rest;
          seen.push({ bytes, source: from, destination: to, ttl, interfaceIndex, receivedAtUs });
        });
      }),
    ),
  );
  return { seen, receiver };
}

function sender(family: Family, more: Partial<BfdSenderOptions> = {}): BfdSender {
  return inside(there, () =>
    owned(
      new BfdSender({
        family,
        neighbor: bytesOf(here.on('front')[family]),
        port: BFD_PORT_SINGLE_HOP,
        source: bytesOf(there.on('front')[family]),
        interfaceName: 'eth0',
        ttl: 255,
        chance: 0.5,
        ...more,
      }),
    ),
  );
}

describe.each(FAMILIES)('BfdSender and BfdReceiver over %s', (family) => {
  test('carry a packet with its addresses, TTL, interface and time of arrival', async () => {
    const { seen } = listen(here, family);
    const sentAtUs = monotonicUs();
    expect(sender(family).send(encoded(), 24)).toBe(24);
    await vi.waitFor(() => expect(seen).toHaveLength(1), PATIENCE);
    const [packet] = seen as [Seen];
    expect(packet).toMatchObject({
      bytes: [...encoded()],
      source: there.on('front')[family],
      destination: here.on('front')[family],
      ttl: 255,
      interfaceIndex: inside(here, () => ifIndex('eth0')),
    });
    expect(packet.receivedAtUs).toBeGreaterThanOrEqual(sentAtUs - 1);
    expect(packet.receivedAtUs).toBeLessThanOrEqual(monotonicUs());
  });

  test('a sender has the TTL that it was given, and a source port of its own in the range', async () => {
    const { seen } = listen(here, family);
    const first = sender(family, { ttl: 7 });
    const second = sender(family, { ttl: 7 });
    for (const { sourcePort } of [first, second]) {
      expect(sourcePort).toBeGreaterThanOrEqual(49_152);
      expect(sourcePort).toBeLessThanOrEqual(65_535);
    }
    expect(first.sourcePort).not.toBe(second.sourcePort);
    first.send(encoded(), 24);
    await vi.waitFor(() => expect(seen).toHaveLength(1), PATIENCE);
    expect(seen[0]?.ttl).toBe(7);
  });

  test('a receiver tells the time of arrival, however late it is read', () => {
    const { receiver } = inside(here, () => ({
      receiver: owned(new BfdReceiver(family, BFD_PORT_SINGLE_HOP, () => {})),
    }));
    const one = sender(family);
    // The kernel begins to stamp some milliseconds after the first socket asked for it.
    const warmedUpUs = monotonicUs() + 50_000;
    const arrivals: number[] = [];
    const count = () => receiver.drain(({ receivedAtUs }) => void arrivals.push(receivedAtUs));
    while (monotonicUs() < warmedUpUs) count();
    one.send(encoded(), 24);
    const sentAtUs = monotonicUs();
    while (monotonicUs() < sentAtUs + 30_000);
    const deadlineUs = monotonicUs() + 5_000_000;
    while (arrivals.length === 0 && monotonicUs() < deadlineUs) count();
    expect(arrivals).toHaveLength(1);
    expect(monotonicUs() - (arrivals[0] as number)).toBeGreaterThan(20_000);
  });

  test('a second receiver on the port fails, and another family’s does not', () => {
    listen(here, family);
    expect(() => listen(here, family)).toThrow(expect.objectContaining({ code: 'EADDRINUSE' }));
    expect(() => listen(here, family === 'ipv4' ? 'ipv6' : 'ipv4')).not.toThrow();
  });

  test('a sender without its source address or interface fails', () => {
    const absent = bytesOf(family === 'ipv4' ? '192.0.2.99' : '2001:db8:1::99');
    expect(() => sender(family, { source: absent })).toThrow(
      expect.objectContaining({ code: 'EADDRNOTAVAIL' }),
    );
    expect(() => sender(family, { interfaceName: 'none0' })).toThrow(SystemError);
  });
});

describe('BfdRunner', () => {
  const config = (): BfdConfig => ({
    ...DEFAULTS.bfd,
    name: 'peer',
    neighbor: there.on('front').ipv4,
    source: here.on('front').ipv4,
    interface: 'eth0',
  });

  function start(): BfdRunner {
    const runner = new BfdRunner({
      report: () => {},
      onStateChanged: () => {},
      onHandled: () => {},
    });
    owned({ close: () => inside(here, () => runner.stop()) });
    expect(inside(here, () => runner.configure([config()]))).toEqual([]);
    return runner;
  }

  const sessionOf = (runner: BfdRunner) => {
    const [status] = runner.status();
    if (status === undefined) throw new Error('There is no session');
    return status;
  };

  test('takes the neighbor’s first packet by its address, later ones by discriminator', async () => {
    const runner = start();
    const one = sender('ipv4');
    one.send(encoded(), 24);
    await vi.waitFor(() => expect(sessionOf(runner).state).toBe('init'), PATIENCE);
    const yourDiscriminator = sessionOf(runner).localDiscriminator;
    one.send(encoded({ state: 'up', yourDiscriminator }), 24);
    await vi.waitFor(() => expect(runner.isUp('peer')).toBe(true), PATIENCE);
    expect(runner.deadlineUs).not.toBeNull();
    expect(sessionOf(runner).remoteDiscriminator).toBe(77);
  });

  test('answers the neighbor’s address and port with its own discriminator', async () => {
    const { seen } = listen(there, 'ipv4');
    const runner = start();
    await vi.waitFor(() => expect(seen.length).toBeGreaterThan(0), PATIENCE);
    const [packet] = seen as [Seen];
    const decoded = decodeBfdControl(Uint8Array.from(packet.bytes), packet.bytes.length);
    expect(decoded).toMatchObject({ ok: true, value: { state: 'down', yourDiscriminator: 0 } });
    if (decoded.ok) {
      expect(decoded.value.myDiscriminator).toBe(sessionOf(runner).localDiscriminator);
    }
    expect([packet.source, packet.ttl]).toEqual([here.on('front').ipv4, 255]);
  });

  test.each<[string, 'session' | 'unassigned', Partial<BfdSenderOptions>, Uint8Array]>([
    ['ttl', 'session', { ttl: 254 }, encoded()],
    ['unknown-session', 'unassigned', {}, encoded({ yourDiscriminator: 1 })],
    ['multiplier', 'session', {}, encoded().fill(0, 2, 3)],
    ['truncated', 'session', {}, encoded().subarray(0, 20)],
  ])('counts a packet refused by %s for the %s', async (reason, whose, more, bytes) => {
    const runner = start();
    sender('ipv4', more).send(bytes, bytes.length);
    const refused = () =>
      whose === 'session' ? sessionOf(runner).counters.refused : runner.refusedUnassigned;
    const key = reason as keyof typeof runner.refusedUnassigned;
    await vi.waitFor(() => expect(refused()[key]).toBe(1), PATIENCE);
    expect(sessionOf(runner).state).toBe('down');
    expect(sessionOf(runner).counters.packetsReceived).toBe(0);
  });

  test('refuses a packet that came to another address of this host, by another interface', async () => {
    const runner = start();
    const back = { neighbor: bytesOf(here.on('back').ipv4), interfaceName: 'eth1' };
    // The neighbor's address, by the other LAN, to the address that this host has there.
    sender('ipv4', back).send(encoded(), 24);
    await vi.waitFor(() => expect(sessionOf(runner).counters.refused.source).toBe(1), PATIENCE);
    expect(sessionOf(runner).state).toBe('down');
  });

  test('a session that is configured away says AdminDown, and its port is free again', async () => {
    const runner = start();
    const { seen } = listen(there, 'ipv4');
    inside(here, () => runner.configure([]));
    await vi.waitFor(() => {
      const states = seen.map(({ bytes }) => (bytes[1] as number) >> 6);
      expect(states).toContain(0);
    }, PATIENCE);
    expect(runner.status()).toEqual([]);
    expect(runner.deadlineUs).toBeNull();
    expect(() => listen(here, 'ipv4')).not.toThrow();
  });

  test('a changed multiplier keeps the session, a changed neighbor does not', () => {
    const runner = start();
    const before = sessionOf(runner).localDiscriminator;
    inside(here, () => runner.configure([{ ...config(), multiplier: 9 }]));
    expect(sessionOf(runner).localDiscriminator).toBe(before);
    inside(here, () => runner.configure([{ ...config(), neighbor: '192.0.2.55' }]));
    expect(sessionOf(runner).localDiscriminator).not.toBe(before);
  });

  test('a taken port is a problem, and the session stays down', () => {
    listen(here, 'ipv4');
    const runner = new BfdRunner({
      report: () => {},
      onStateChanged: () => {},
      onHandled: () => {},
    });
    owned({ close: () => inside(here, () => runner.stop()) });
    const problems = inside(here, () => runner.configure([config()]));
    expect(problems).toMatchObject([{ code: 'VK-PORT-IN-USE' }]);
    expect(sessionOf(runner).state).toBe('down');
  });
});
