/**
 * Answers of the kernel that are lost because the receive buffer is full (ENOBUFS), from a real
 * socket: of changes it is then not known whether they were made, and a dump is begun anew. What
 * NetlinkSocket does about it is the same for addresses and for IPVS; addresses need no module.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { EEXIST } from '../../src/linux/constants.ts';
import { ifIndex } from '../../src/linux/libc.ts';
import { AttributeWriter } from '../../src/linux/netlink/attributes.ts';
import { ENOBUFS } from '../../src/linux/netlink/error.ts';
import { NETLINK_ROUTE, RouteSocket } from '../../src/linux/netlink/route.ts';
import {
  type AddressChange,
  decodeAddress,
  encodeAddressDump,
  type InterfaceAddress,
  RTM_GETADDR,
  RTMGRP_IPV4_IFADDR,
} from '../../src/linux/netlink/route-messages.ts';
import { NetlinkSocket, openNetlink } from '../../src/linux/netlink/socket.ts';
import { check } from '../lab/host.ts';
import { makeTopology } from '../lab/namespaces.ts';
import type { LabNode, Topology } from '../lab/topology.ts';
import { inside } from '../lab/watch.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
/** The kernel makes it as small as it can: a few acknowledgements. */
const LITTLE_BYTES = 1;
/** More than fits into one part of a dump (32 KiB). */
const COUNT = 2000;

let topology: Topology;
let node: LabNode;
let interfaceIndex: number;
const sockets: { close(): void }[] = [];

beforeAll(async () => {
  topology = await makeTopology({ directors: 1, realServers: 0, clients: 0 });
  node = topology.directors[0] as LabNode;
  interfaceIndex = inside(node, () => ifIndex('lo'));
}, SETUP_TIMEOUT_MS);

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.close();
  await check(node, ['ip', 'address', 'flush', 'to', '10.0.0.0/8', 'dev', 'lo']);
});

afterAll(() => topology?.dispose());

/** A socket of the namespace with the least receive buffer there is, which does not know of that. */
function little(groups = 0): NetlinkSocket {
  const opened = inside(node, () =>
    openNetlink(NETLINK_ROUTE, { groups, receiveBufferBytes: LITTLE_BYTES }),
  );
  if (!opened.ok) throw new Error(opened.error.message);
  const socket = new NetlinkSocket({ ...opened.value, receiveBufferBytes: 1_048_576 });
  sockets.push(socket);
  return socket;
}

function usual(): RouteSocket {
  const opened = inside(node, () => RouteSocket.open());
  if (!opened.ok) throw new Error(opened.error.message);
  sockets.push(opened.value);
  return opened.value;
}

function addressOf(host: number): Omit<AddressChange, 'kind'> {
  return { interfaceIndex, address: `10.7.${host >> 8}.${host & 255}`, prefixLength: 32 };
}

const adding = (count: number): AddressChange[] =>
  Array.from({ length: count }, (_, host) => ({ ...addressOf(host), kind: 'add' }));

/** Those that the test has made, by their text. */
function ours(addresses: readonly InterfaceAddress[]): string[] {
  return addresses.map(({ address }) => address).filter((address) => address.startsWith('10.7.'));
}

test('of changes whose refusals are lost it is not known what became of them', () => {
  const socket = new RouteSocket(little());
  // What succeeds is not answered one by one, so there is nothing to be lost.
  expect(socket.changeAddresses(adding(200)).every(({ ok }) => ok)).toBe(true);
  const results = socket.changeAddresses(adding(200));
  const errnos = results.map((result) => (result.ok ? 0 : result.error.errno));
  // The first answers came through.
  expect(errnos[0]).toBe(EEXIST);
  expect(errnos.filter((errno) => errno === ENOBUFS).length).toBeGreaterThan(100);
  expect(new Set(errnos)).toEqual(new Set([EEXIST, ENOBUFS]));
  expect(socket.socket.statistics.overruns).toBeGreaterThan(0);
  // The socket goes on as if nothing had happened.
  const listed = socket.listAddresses();
  expect(listed.ok ? ours(listed.value) : []).toHaveLength(200);
  expect(socket.deleteAddress(addressOf(7))).toEqual({ ok: true, value: undefined });
});

/** Dumps with a socket that hears of changes too, which `disturb` makes after each part. */
async function dumpDisturbed(disturb: (part: number) => void) {
  const socket = little(RTMGRP_IPV4_IFADDR);
  const payload = encodeAddressDump(new AttributeWriter());
  const request = { type: RTM_GETADDR, flags: 0, payload, call: 'RTM_GETADDR' };
  let done = false;
  const dumping = socket.dump<InterfaceAddress>(request, (message, found) => {
    const address = decodeAddress(message);
    if (address !== null && address !== 'other-family') found.push(address);
    return address !== null;
  });
  const ended = dumping.finally(() => {
    done = true;
  });
  for (let part = 0; !done; part++) {
    disturb(part);
    await turn();
  }
  return { result: await ended, statistics: socket.statistics };
}

test('a dump of which an answer is lost is begun anew, and whole', async () => {
  const other = usual();
  expect(other.changeAddresses(adding(COUNT)).every(({ ok }) => ok)).toBe(true);
  const { result, statistics } = await dumpDisturbed((part) => {
    if (part > 2) return;
    other.deleteAddress(addressOf(COUNT + 1));
    other.addAddress(addressOf(COUNT + 1));
  });
  expect(statistics.overruns).toBeGreaterThan(0);
  expect(statistics.dumpRetries).toBeGreaterThan(0);
  const found = result.ok ? ours(result.value) : [];
  expect(found).toHaveLength(COUNT + 1);
  expect(new Set(found).size).toBe(COUNT + 1);
});

test('a dump of which answers are lost every time ends, and says so', async () => {
  const other = usual();
  expect(other.changeAddresses(adding(COUNT)).every(({ ok }) => ok)).toBe(true);
  const { result, statistics } = await dumpDisturbed(() => {
    other.addAddress(addressOf(COUNT + 1));
    other.deleteAddress(addressOf(COUNT + 1));
  });
  expect(result).toMatchObject({ ok: false, error: { errno: ENOBUFS, call: 'RTM_GETADDR' } });
  expect(statistics.dumpRetries).toBe(4);
});
