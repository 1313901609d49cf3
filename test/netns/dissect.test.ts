/**
 * Independent witnesses: tshark and tcpdump dissect the packets that the codecs write, and must
 * find their checksums right and nothing malformed. Damaged packets in the same file must be
 * reported, which shows that both do look. The capture file is written by hand; nothing is sent.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseIp } from '../../src/core/ip.ts';
import { encodeGratuitousArp } from '../../src/core/wire/arp.ts';
import {
  BROADCAST_MAC,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  encodeEthernetHeader,
  multicastMac,
  virtualRouterMac,
} from '../../src/core/wire/ethernet.ts';
import { encodeIpv4Header } from '../../src/core/wire/ipv4.ts';
import { encodeIpv6Header } from '../../src/core/wire/ipv6.ts';
import { encodeUnsolicitedNa } from '../../src/core/wire/ndisc.ts';
import {
  encodeAdvertisement,
  MAX_ADVERTISEMENT_BYTES,
  type OutgoingAdvertisement,
  VRRP_GROUP_IPV4,
  VRRP_GROUP_IPV6,
  VRRP_PROTOCOL,
  VRRP_TTL,
} from '../../src/core/wire/vrrp.ts';
import { patched } from '../unit/core/wire/frames.ts';

const run = promisify(execFile);
/** Both programs need well under a second for a dozen packets; a loaded machine gets more. */
const PROGRAM_TIMEOUT_MS = 60_000;

const ip = (text: string): Uint8Array => parseIp(text) as Uint8Array;

const V2: OutgoingAdvertisement = {
  version: 2,
  family: 'ipv4',
  vrid: 51,
  priority: 150,
  advertIntervalUs: 1_000_000,
  addresses: [ip('192.0.2.10'), ip('192.0.2.11')],
  checksum: 'message',
  password: null,
  source: ip('192.0.2.1'),
  destination: VRRP_GROUP_IPV4,
};
const V3: OutgoingAdvertisement = { ...V2, version: 3, advertIntervalUs: 40_950_000 };
const V6: OutgoingAdvertisement = {
  ...V3,
  family: 'ipv6',
  addresses: [ip('fe80::10'), ip('2001:db8::10')],
  source: ip('fe80::1'),
  destination: VRRP_GROUP_IPV6,
};

/** Ethernet, IP and the advertisement, as a director sends them. */
function advertFrame(advert: OutgoingAdvertisement): Uint8Array {
  const message = new Uint8Array(MAX_ADVERTISEMENT_BYTES);
  const payloadBytes = encodeAdvertisement(message, advert);
  const { family, source, destination } = advert;
  const frame = new Uint8Array((family === 'ipv4' ? 34 : 54) + payloadBytes);
  const etherType = family === 'ipv4' ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6;
  const senderMac = virtualRouterMac(family, advert.vrid);
  const start = encodeEthernetHeader(frame, multicastMac(destination), senderMac, etherType);
  const header = { source, destination, trafficClass: 0xc0, payloadBytes };
  const headerBytes =
    family === 'ipv4'
      ? encodeIpv4Header(frame, start, {
          ...header,
          protocol: VRRP_PROTOCOL,
          ttl: VRRP_TTL,
          identification: 7,
        })
      : encodeIpv6Header(frame, start, {
          ...header,
          nextHeader: VRRP_PROTOCOL,
          hopLimit: VRRP_TTL,
          flowLabel: 0,
        });
  frame.set(message.subarray(0, payloadBytes), start + headerBytes);
  return frame;
}

function arpFrame(): Uint8Array {
  const frame = new Uint8Array(42);
  const senderMac = virtualRouterMac('ipv4', 51);
  encodeGratuitousArp(frame, { senderMac, vip: ip('192.0.2.10'), targetMac: BROADCAST_MAC });
  return frame;
}

function naFrame(): Uint8Array {
  const frame = new Uint8Array(86);
  const senderMac = virtualRouterMac('ipv6', 51);
  encodeUnsolicitedNa(frame, { senderMac, vip: ip('2001:db8::10'), router: true, override: true });
  return frame;
}

const PASSWORD = new TextEncoder().encode('secret\0\0');
const FRAMES = {
  v2: advertFrame(V2),
  v2Password: advertFrame({ ...V2, password: PASSWORD }),
  v2Resigning: advertFrame({ ...V2, priority: 0 }),
  v3Message: advertFrame(V3),
  v3PseudoHeader: advertFrame({ ...V3, checksum: 'pseudo-header' }),
  v3Ipv6: advertFrame(V6),
  arp: arpFrame(),
  na: naFrame(),
  v2BadPriority: patched(advertFrame(V2), { 36: 151 }),
  v3BadPriority: patched(advertFrame({ ...V3, checksum: 'pseudo-header' }), { 36: 151 }),
  v3Ipv6BadPriority: patched(advertFrame(V6), { 56: 151 }),
  v2BadTtl: patched(advertFrame(V2), { 22: 254 }),
  naBadFlags: patched(naFrame(), { 58: 0x20 }),
  v3CutShort: patched(advertFrame(V3).subarray(0, 44), { 17: 30 }),
} as const;
type FrameName = keyof typeof FRAMES;
const NAMES = Object.keys(FRAMES) as FrameName[];

/** A capture file: the classic pcap header, then each frame with its own 16-byte header. */
function pcapOf(frames: readonly Uint8Array[]): Uint8Array {
  const LINKTYPE_ETHERNET = 1;
  const header = Uint32Array.of(0xa1b2c3d4, 2 | (4 << 16), 0, 0, 65_535, LINKTYPE_ETHERNET);
  const parts: Uint8Array[] = [new Uint8Array(header.buffer)];
  for (const [index, frame] of frames.entries()) {
    const lengths = Uint32Array.of(index, 0, frame.length, frame.length);
    parts.push(new Uint8Array(lengths.buffer), frame);
  }
  return Buffer.concat(parts);
}

const FIELDS = [
  'vrrp.checksum.status',
  'ip.checksum.status',
  'icmpv6.checksum.status',
  '_ws.malformed',
  'vrrp.version',
  'vrrp.virt_rtr_id',
  'vrrp.prio',
  'vrrp.adver_int',
  'vrrp.short_adver_int',
  'vrrp.auth_string',
  'vrrp.ip_addr',
  'vrrp.ipv6_addr',
  'arp.isgratuitous',
  'icmpv6.nd.na.flag',
  '_ws.expert.message',
] as const;
type Dissection = Record<(typeof FIELDS)[number], string>;

let directory: string;
let file: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'vipkeeper-dissect-'));
  file = join(directory, 'frames.pcap');
  await writeFile(file, pcapOf(NAMES.map((name) => FRAMES[name])));
});

afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

/** What tshark finds, by frame; `options` are its preferences. */
async function tshark(...options: string[]): Promise<Record<FrameName, Dissection>> {
  const preferences = ['ip.check_checksum:TRUE', ...options].flatMap((option) => ['-o', option]);
  const fields = FIELDS.flatMap((field) => ['-e', field]);
  const { stdout } = await run(
    'tshark',
    ['-n', '-r', file, ...preferences, '-T', 'fields', '-E', 'separator=|', ...fields],
    { timeout: PROGRAM_TIMEOUT_MS },
  );
  const lines = stdout.trimEnd().split('\n');
  expect(lines.length).toBe(NAMES.length);
  const rows = lines.map((line) => {
    const values = line.split('|');
    return Object.fromEntries(FIELDS.map((field, index) => [field, values[index] ?? '']));
  });
  return Object.fromEntries(NAMES.map((name, index) => [name, rows[index]])) as Record<
    FrameName,
    Dissection
  >;
}

const GOOD = '1';
const BAD = '0';

describe('tshark', () => {
  let found: Record<FrameName, Dissection>;
  beforeAll(async () => {
    found = await tshark();
  }, PROGRAM_TIMEOUT_MS);

  test.each<FrameName>(['v2', 'v2Password', 'v2Resigning', 'v3PseudoHeader'])(
    'finds both checksums of %s right and nothing to remark',
    (name) => {
      expect(found[name]['vrrp.checksum.status']).toBe(GOOD);
      expect(found[name]['ip.checksum.status']).toBe(GOOD);
      expect(found[name]['_ws.malformed']).toBe('');
      expect(found[name]['_ws.expert.message']).toBe('');
    },
  );

  test('finds the checksum of version 3 over IPv6 right and nothing to remark', () => {
    expect(found.v3Ipv6['vrrp.checksum.status']).toBe(GOOD);
    expect(found.v3Ipv6['_ws.expert.message']).toBe('');
  });

  test(
    'expects a pseudo-header in version 3 over IPv4 unless told otherwise',
    async () => {
      expect(found.v3Message['vrrp.checksum.status']).toBe(BAD);
      const asInRfc9568 = await tshark('vrrp.v3_checksum_as_in_v2:TRUE');
      expect(asInRfc9568.v3Message['vrrp.checksum.status']).toBe(GOOD);
      expect(asInRfc9568.v3PseudoHeader['vrrp.checksum.status']).toBe(BAD);
      expect(asInRfc9568.v3Ipv6['vrrp.checksum.status']).toBe(GOOD);
    },
    PROGRAM_TIMEOUT_MS,
  );

  test('reads the content that was written', () => {
    const { v2, v2Password, v2Resigning, v3PseudoHeader, v3Ipv6 } = found;
    expect(v2).toMatchObject({
      'vrrp.version': '2',
      'vrrp.virt_rtr_id': '51',
      'vrrp.prio': '150',
      'vrrp.adver_int': '1',
      'vrrp.ip_addr': '192.0.2.10,192.0.2.11',
    });
    expect(v2Password['vrrp.auth_string']).toBe('secret');
    expect(v2Resigning['vrrp.prio']).toBe('0');
    expect(v3PseudoHeader).toMatchObject({
      'vrrp.version': '3',
      'vrrp.short_adver_int': '4095',
      'vrrp.ip_addr': '192.0.2.10,192.0.2.11',
    });
    expect(v3Ipv6['vrrp.ipv6_addr']).toBe('fe80::10,2001:db8::10');
  });

  test('takes the ARP request for gratuitous', () => {
    expect(found.arp['arp.isgratuitous']).toMatch(/^(1|True)$/);
    expect(found.arp['_ws.malformed']).toBe('');
  });

  test('finds the neighbour advertisement right, with router and override', () => {
    expect(found.na['icmpv6.checksum.status']).toBe(GOOD);
    expect(found.na['icmpv6.nd.na.flag']).toBe('0xa0000000');
    expect(found.na['_ws.expert.message']).toBe('');
  });

  test.each<[FrameName, keyof Dissection]>([
    ['v2BadPriority', 'vrrp.checksum.status'],
    ['v3BadPriority', 'vrrp.checksum.status'],
    ['v3Ipv6BadPriority', 'vrrp.checksum.status'],
    ['v2BadTtl', 'ip.checksum.status'],
    ['naBadFlags', 'icmpv6.checksum.status'],
  ])('reports the damage in %s', (name, field) => {
    expect(found[name][field]).toBe(BAD);
  });

  test('reports an advertisement that was cut short as malformed', () => {
    expect(found.v3CutShort['_ws.malformed']).not.toBe('');
  });
});

describe('tcpdump', () => {
  let found: Record<FrameName, string>;
  beforeAll(async () => {
    const { stdout } = await run('tcpdump', ['-n', '-tt', '-vvv', '-r', file], {
      timeout: PROGRAM_TIMEOUT_MS,
    });
    // Frames carry their index as the time in seconds; continuation lines start with white space.
    const texts = stdout.split(/^(?=\d+\.\d{6} )/m);
    expect(texts.length).toBe(NAMES.length);
    found = Object.fromEntries(NAMES.map((name, index) => [name, texts[index]])) as typeof found;
  }, PROGRAM_TIMEOUT_MS);

  test.each<[FrameName, string]>([
    ['v2', 'VRRPv2, Advertisement, vrid 51, prio 150, authtype none, intvl 1s'],
    ['v2', 'addrs(2): 192.0.2.10,192.0.2.11'],
    ['v2Password', 'auth "secret"'],
    ['v3PseudoHeader', 'VRRPv3, Advertisement, vrid 51, prio 150, intvl 4095cs'],
    ['v3Ipv6', 'addrs(2): fe80::10,2001:db8::10'],
    ['arp', 'Request who-has 192.0.2.10 (ff:ff:ff:ff:ff:ff) tell 192.0.2.10'],
    ['na', '[icmp6 sum ok] ICMP6, neighbor advertisement'],
    ['na', 'Flags [router, override]'],
  ])('reads %s as it was meant: %s', (name, text) => {
    expect(found[name]).toContain(text);
    expect(found[name]).not.toMatch(/bad|wrong|\[\||invalid/);
  });

  test('expects a pseudo-header in version 3 over IPv4', () => {
    expect(found.v3PseudoHeader).not.toContain('bad vrrp cksum');
    expect(found.v3Message).toContain('bad vrrp cksum');
  });

  test.each<[FrameName, string]>([
    ['v2BadPriority', 'bad vrrp cksum'],
    ['v3BadPriority', 'bad vrrp cksum'],
    ['v3Ipv6BadPriority', 'bad vrrp cksum'],
    ['v2BadTtl', 'bad cksum'],
    ['naBadFlags', 'bad icmp6 cksum'],
  ])('reports the damage in %s', (name, text) => {
    expect(found[name]).toContain(text);
  });
});
