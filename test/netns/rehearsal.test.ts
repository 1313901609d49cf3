/**
 * The rehearsal of a takeover at the keeper's start: it goes all the way, and nothing of it is
 * seen. In a namespace of its own, watched from inside and outside. Needs root.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Network } from '../../src/keeper/network.ts';
import { rehearseTakeover } from '../../src/keeper/rehearsal.ts';
import type { AddressChange } from '../../src/linux/netlink/route-messages.ts';
import { LabError, localMachine } from '../lab/host.ts';
import { type LabNode, Topology } from '../lab/topology.ts';
import { AddressWatch, AdvertWatch, inside } from '../lab/watch.ts';

const SETUP_TIMEOUT_MS = 60_000;

let topology: Topology;
let node: LabNode;
let network: Network;

beforeAll(async () => {
  topology = await Topology.create(localMachine, { directors: 1, realServers: 0, clients: 1 });
  node = topology.directors[0] as LabNode;
  const handlers = { onChanged: () => {}, onCarrier: () => {}, onAddressLost: () => {} };
  const opened = inside(node, () => Network.open(handlers));
  if (!opened.ok) throw new LabError(opened.error.message);
  network = opened.value;
}, SETUP_TIMEOUT_MS);

afterAll(async () => {
  network?.close();
  await topology?.dispose();
}, SETUP_TIMEOUT_MS);

describe('rehearseTakeover', () => {
  it('asks the kernel for the addresses of both families, and is refused each time', () => {
    const asked: AddressChange[] = [];
    const refusals: (string | null)[] = [];
    const change = network.change.bind(network);
    network.change = (operations) => {
      const errors = change(operations);
      asked.push(...operations);
      refusals.push(...errors.map((error) => error?.code ?? null));
      return errors;
    };
    inside(node, () => Array.from(rehearseTakeover(network)));
    expect(new Set(asked.map(({ kind, address }) => `${kind} ${address}`))).toEqual(
      new Set(['add', 'delete'].flatMap((kind) => [`${kind} 192.0.2.1`, `${kind} 2001:db8::1`])),
    );
    expect(new Set(refusals)).toEqual(new Set(['ENODEV']));
  });

  it('opens one packet socket for all of its steps, since closing one waits for the kernel', async () => {
    const steps = inside(node, () => rehearseTakeover(network));
    const sockets = async (): Promise<string[]> => {
      const { stdout } = await node.run(['cat', '/proc/net/packet']);
      return stdout.split('\n').slice(1, -1);
    };
    const before = await sockets();
    const inodes = new Set<string>();
    let count = 0;
    while (inside(node, () => steps.next()).done !== true) {
      const opened = (await sockets()).filter((line) => !before.includes(line));
      for (const line of opened) inodes.add(line.trim().split(/\s+/).at(-1) as string);
      count++;
    }
    expect(count).toBeGreaterThan(10);
    expect(inodes.size).toBe(1);
    expect(await sockets()).toEqual(before);
  });

  it('sends no advertisement and changes no address', async () => {
    const client = topology.clients[0] as LabNode;
    const adverts = new AdvertWatch(client);
    const addresses = new AddressWatch(node);
    try {
      inside(node, () => Array.from(rehearseTakeover(network)));
      // Anything that was sent comes before the answer to this.
      await client.run(['ping', '-c', '1', '-W', '2', node.on('front').ipv4]);
      expect(adverts.adverts).toEqual([]);
      expect(addresses.events).toEqual([]);
    } finally {
      adverts.close();
      addresses.close();
    }
  });
});
