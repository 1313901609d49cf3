/**
 * The sockets that hear who has an address: what the kernel lets through to them, with one address
 * and with thousands, over IPv4 and IPv6; and the watch above them: how it names a machine, and
 * what it says without the capability that it needs. Needs root and a build.
 */
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { formatIp, parseIp } from '../../src/core/ip.ts';
import { ARP_FRAME_BYTES, encodeArpProbe, encodeGratuitousArp } from '../../src/core/wire/arp.ts';
import { BROADCAST_MAC, formatMac, parseMac } from '../../src/core/wire/ethernet.ts';
import { encodeUnsolicitedNa, NA_FRAME_BYTES } from '../../src/core/wire/ndisc.ts';
import {
  ArpConflictSocket,
  type ConflictSocket,
  NdiscConflictSocket,
} from '../../src/linux/conflict-socket.ts';
import { ifIndex } from '../../src/linux/libc.ts';
import { LinkSender } from '../../src/linux/packet-socket.ts';
import { check, exitWithin, LabError, localMachine, REPOSITORY, waitFor } from '../lab/host.ts';
import { ensurePackages, NETWORK_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';
import { inside } from '../lab/watch.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 60_000;
const VIP = virtualIp(1);
const OTHER = virtualIp(2);
/** From one that the kernel picks out easily to more than it does. */
const COUNTS = [1, 250, 1_000, 2_000, 5_000];

let topology: Topology;
let director: LabNode;
let client: LabNode;
const closing: { close(): void }[] = [];

beforeAll(async () => {
  await ensurePackages([...NETWORK_PACKAGES]);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  topology = await Topology.create(localMachine, { directors: 1, realServers: 0 });
  [director] = topology.directors as [LabNode];
  [client] = topology.clients as [LabNode];
}, SETUP_TIMEOUT_MS);

afterEach(() => {
  for (const one of closing.splice(0)) one.close();
});

afterAll(() => topology?.dispose());

function bytes(text: string): Uint8Array {
  return parseIp(text) as Uint8Array;
}

function mac(node: LabNode): Uint8Array {
  return parseMac(node.on('front').mac) as Uint8Array;
}

function arpSocket(): ConflictSocket {
  const socket = inside(director, () => new ArpConflictSocket(ifIndex('eth0'), mac(director)));
  closing.push(socket);
  return socket;
}

function ndiscSocket(): ConflictSocket {
  const from = bytes(director.on('front').linkLocal);
  const make = () => new NdiscConflictSocket(ifIndex('eth0'), mac(director), from);
  const socket = inside(director, make);
  closing.push(socket);
  return socket;
}

function sender(): LinkSender {
  const made = inside(client, () => new LinkSender(ifIndex('eth0')));
  closing.push(made);
  return made;
}

function announceArp(link: LinkSender, vip: string): void {
  const frame = new Uint8Array(ARP_FRAME_BYTES);
  const arp = { senderMac: mac(client), vip: bytes(vip), targetMac: BROADCAST_MAC };
  link.send(frame, encodeGratuitousArp(frame, arp));
}

/** What a socket has heard by now, as text. */
function heard(socket: ConflictSocket): string[] {
  const claims: string[] = [];
  socket.read(({ address, mac: from, answer }) => {
    const family = address.length === 4 ? 'ipv4' : 'ipv6';
    claims.push(`${formatIp(address, family)} ${formatMac(from)} ${answer ? 'answer' : 'claim'}`);
  });
  return claims;
}

/** What it hears until something comes; [] where nothing does in time is a failure. */
async function hears(socket: ConflictSocket): Promise<string[]> {
  let claims: string[] = [];
  const some = () => {
    claims = [...claims, ...heard(socket)];
    return claims.length > 0;
  };
  await waitFor('a claim to be heard', some, 5_000);
  return claims;
}

/** As many addresses that nobody has, and this one among them. */
function among(count: number, address: string, make: (index: number) => string): string[] {
  const others = Array.from({ length: count - 1 }, (_, index) => make(index));
  return [...others.slice(0, count / 2), address, ...others.slice(count / 2)];
}

describe('ArpConflictSocket', { timeout: TEST_TIMEOUT_MS }, () => {
  it.each(COUNTS)('hears who answers for one of %i addresses', async (count) => {
    const has = client.on('front');
    const socket = arpSocket();
    socket.watch(among(count, has.ipv4, (index) => `10.${index >> 8}.${index & 255}.200`));
    expect(socket.ask(has.ipv4)).toBe(ARP_FRAME_BYTES);
    expect(await hears(socket)).toEqual([`${has.ipv4} ${has.mac} answer`]);
  });

  it('hears nothing of what others say of addresses that are not watched, nor of probes', async () => {
    const socket = arpSocket();
    const link = sender();
    const frame = new Uint8Array(ARP_FRAME_BYTES);
    socket.watch([VIP.ipv4]);
    for (let count = 0; count < 1_000; count++) {
      announceArp(link, OTHER.ipv4);
      link.send(frame, encodeArpProbe(frame, mac(client), bytes(VIP.ipv4)));
    }
    announceArp(link, VIP.ipv4);
    expect(await hears(socket)).toEqual([`${VIP.ipv4} ${client.on('front').mac} claim`]);
    // Nor of the first while it is watched no more.
    socket.watch([OTHER.ipv4]);
    announceArp(link, VIP.ipv4);
    announceArp(link, OTHER.ipv4);
    expect(await hears(socket)).toEqual([`${OTHER.ipv4} ${client.on('front').mac} claim`]);
  });

  it('leaves the caches of those that it asks as they are', async () => {
    await check(client, ['ip', 'neigh', 'flush', 'all']);
    const socket = arpSocket();
    socket.watch([client.on('front').ipv4]);
    socket.ask(client.on('front').ipv4);
    await hears(socket);
    const { stdout } = await check(client, ['ip', '-4', 'neigh', 'show', 'dev', 'eth0']);
    expect(stdout).not.toContain(director.on('front').mac);
  });
});

describe('NdiscConflictSocket', { timeout: TEST_TIMEOUT_MS }, () => {
  it.each(COUNTS)('hears who answers for one of %i addresses', async (count) => {
    const has = client.on('front');
    const socket = ndiscSocket();
    socket.watch(among(count, has.ipv6, (index) => `2001:db8:9::1:${index.toString(16)}`));
    expect(socket.ask(has.ipv6)).toBe(32);
    expect(await hears(socket)).toEqual([`${has.ipv6} ${has.mac} answer`]);
  });

  it('hears nothing of addresses that are not watched, nor what came through a router', async () => {
    const socket = ndiscSocket();
    socket.watch([VIP.ipv6]);
    const link = sender();
    const announce = (vip: string, hopLimit: number) => {
      const frame = new Uint8Array(NA_FRAME_BYTES);
      const na = { senderMac: mac(client), vip: bytes(vip), router: false, override: true };
      const lengthBytes = encodeUnsolicitedNa(frame, na);
      // Ethernet, then the hop limit at 7 of the IPv6 header, which no checksum covers.
      frame[14 + 7] = hopLimit;
      link.send(frame, lengthBytes);
    };
    announce(OTHER.ipv6, 255);
    announce(VIP.ipv6, 254);
    announce(VIP.ipv6, 255);
    expect(await hears(socket)).toEqual([`${VIP.ipv6} ${client.on('front').mac} claim`]);
    expect(heard(socket)).toEqual([]);
  });
});

describe('ConflictWatch', { timeout: TEST_TIMEOUT_MS }, () => {
  const instance = (addresses: readonly string[]) => ({
    ...{ name: 'web', family: 'ipv4', state: 'active', resigning: false, interface: 'eth0' },
    ...{ sourceAddress: director.on('front').ipv4, link: null },
    addresses: addresses.map((address) => ({ address, interface: 'eth0', present: true })),
  });

  /** Its events until `until` is among them, or it has run for `forMs`. */
  async function watching(
    addresses: readonly string[],
    until: string,
    prefix: readonly string[] = [],
  ): Promise<Record<string, unknown>[]> {
    const has = client.on('front').ipv4;
    const servers = { [has]: ['web/192.0.2.101:80', 'mail/192.0.2.101:25'] };
    const watched = { instances: [instance(addresses)], intervalUs: 10_000_000, servers };
    const program = join(REPOSITORY, 'dist', 'test', 'lab', 'conflict-watch.js');
    let output = '';
    const argv = [...prefix, process.execPath, program, JSON.stringify(watched)];
    const child = await director.spawn(argv, {
      onStdout: (chunk) => {
        output += chunk.toString('utf8');
      },
      onStderr: (chunk) => {
        output += chunk.toString('utf8');
      },
    });
    try {
      await waitFor(`${until} in the output`, () => output.includes(until), 30_000);
      child.end();
      await exitWithin(child, 10_000);
    } finally {
      child.kill('SIGKILL');
    }
    return output
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  it('names a machine by its other addresses and the real servers there', async () => {
    await check(director, ['ping', '-c', '1', client.on('front').ipv4]);
    await check(client, ['ip', 'address', 'add', `${VIP.ipv4}/32`, 'dev', 'lo']);
    try {
      const events = await watching([VIP.ipv4], 'conflicts');
      const { ipv4, mac: from } = client.on('front');
      const servers = ['web/192.0.2.101:80', 'mail/192.0.2.101:25'];
      const holders = [{ mac: from, how: 'answers', addresses: [ipv4], servers }];
      expect(events[0]).toMatchObject({
        conflicts: [{ address: VIP.ipv4, interface: 'eth0', of: 'vip', holders }],
      });
    } finally {
      await check(client, ['ip', 'address', 'del', `${VIP.ipv4}/32`, 'dev', 'lo']);
    }
  });

  it('says once what it lacks without CAP_NET_RAW', async () => {
    const without = ['setpriv', '--bounding-set', '-net_raw', '--inh-caps', '-net_raw'];
    // Both families fail in the same turn.
    const events = await watching([VIP.ipv4, VIP.ipv6], 'problem', without);
    const problems = events.flatMap(({ problem }) => problem ?? []);
    expect(problems).toMatchObject([{ code: 'VK-NOT-ROOT' }]);
    expect(JSON.stringify(problems)).toContain('CAP_NET_RAW');
  });
});
