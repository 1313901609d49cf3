/**
 * Every decoder of bytes from outside, on real messages that were damaged: none throws, reads
 * outside its view or changes what it reads. The messages are in corpus/ and wire/frames.ts; the
 * damage is drawn from a seed, so a failure happens again. VIPKEEPER_FUZZ_SEED and
 * VIPKEEPER_FUZZ_COUNT (mutations of each message) take other seeds and more of them.
 *
 * A read outside shows in two ways: decoders without a DataView get a view that fails on it, and
 * all of them must find the same whatever surrounds the message.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Random } from '../../src/core/sim/random.ts';
import { decodeArp } from '../../src/core/wire/arp.ts';
import { decodeBfdControl } from '../../src/core/wire/bfd.ts';
import { decodeDnsAnswer } from '../../src/core/wire/dns.ts';
import { isEchoReply } from '../../src/core/wire/echo.ts';
import { decodeEthernetHeader } from '../../src/core/wire/ethernet.ts';
import { HttpAnswerReader } from '../../src/core/wire/http.ts';
import { decodeIpv4 } from '../../src/core/wire/ipv4.ts';
import { decodeIpv6 } from '../../src/core/wire/ipv6.ts';
import { decodeLdapAnswer } from '../../src/core/wire/ldap.ts';
import {
  checkMysqlGreeting,
  decodeMysqlPacket,
  decodeMysqlReply,
} from '../../src/core/wire/mysql.ts';
import { decodeNaMessage, decodeNeighborAdvertisement } from '../../src/core/wire/ndisc.ts';
import { decodePostgresqlAnswer } from '../../src/core/wire/postgresql.ts';
import { decodeRadiusAnswer } from '../../src/core/wire/radius.ts';
import { decodeSipAnswer } from '../../src/core/wire/sip.ts';
import { decodeSmtpReply } from '../../src/core/wire/smtp.ts';
import { decodeAdvertisement, peekVrid } from '../../src/core/wire/vrrp.ts';
import { HMAC_TRAILER_BYTES } from '../../src/core/wire/vrrp-hmac.ts';
import {
  decodeDaemon,
  decodeInfo,
  decodeServer,
  decodeService,
  decodeTimeouts,
} from '../../src/linux/ipvs/codec.ts';
import { AttributeReader } from '../../src/linux/netlink/attributes.ts';
import { decodeFamilyId } from '../../src/linux/netlink/genl.ts';
import { MessageCursor } from '../../src/linux/netlink/message.ts';
import { decodeNeighbor } from '../../src/linux/netlink/neighbors.ts';
import { decodeProcessEvent } from '../../src/linux/netlink/process-events.ts';
import { decodeAddress, decodeLink } from '../../src/linux/netlink/route-messages.ts';
import { decodeRoute, decodeRule } from '../../src/linux/netlink/routing-messages.ts';
import { decodeGeneration } from '../../src/linux/nftables/messages.ts';
import { decodeSockaddrIn, decodeSockaddrIn6, decodeSockaddrLl } from '../../src/linux/sockaddr.ts';
import { fromHex, KEEPALIVED_FRAMES, toHex } from '../unit/core/wire/frames.ts';

const SEED = Number(process.env.VIPKEEPER_FUZZ_SEED ?? 1) >>> 0;
const COUNT = Number(process.env.VIPKEEPER_FUZZ_COUNT ?? 100);
/** What is around a message: as much as any length field of two bytes could reach into. */
const MARGIN_BYTES = 256;
const POISONS = [0x00, 0xa5, 0xff];
/** Values that fields have their edges at. */
const EDGES = [0x00, 0x01, 0x7f, 0x80, 0xff];

const CORPUS = new URL('corpus/', import.meta.url);
/** That of control-requests.test.ts. */
const REQUESTS = 'control-requests.txt';

function corpus(name: string): Uint8Array[] {
  const lines = readFileSync(new URL(`${name}.hex`, CORPUS), 'utf8').split('\n');
  return lines.filter((line) => /^[0-9a-f]+$/.test(line)).map(fromHex);
}

const FRAMES = Object.values(KEEPALIVED_FRAMES).map(fromHex);
/** Of Ethernet, and what is in it: behind its header, an IPv4 header and an IPv6 one. */
const PACKETS = FRAMES.flatMap((frame) => [0, 14, 34, 54].map((start) => frame.slice(start)));

/** The message with up to four faults: bytes, bits, a length, pieces that moved or are gone. */
function mutate(message: Uint8Array, random: Random): Uint8Array {
  let bytes: number[] = [...message];
  for (let faults = random.below(5); faults > 0; faults--) {
    const at = random.below(Math.max(bytes.length, 1));
    const kind = random.below(6);
    if (kind === 0) bytes = bytes.slice(0, at);
    else if (kind === 1) bytes.splice(at, random.between(1, 8));
    else if (kind === 2) bytes.splice(at, 0, ...bytes.slice(at, at + random.between(1, 8)));
    else if (at < bytes.length) {
      const old = bytes[at] as number;
      if (kind === 3) bytes[at] = random.below(256);
      else if (kind === 4) bytes[at] = old ^ (1 << random.below(8));
      else bytes[at] = random.pick(EDGES);
    }
  }
  return Uint8Array.from(bytes);
}

/** The content in the middle of a larger buffer that is otherwise full of `poison`. */
function surrounded(content: Uint8Array, poison: number): Uint8Array {
  const buffer = new Uint8Array(content.length + 2 * MARGIN_BYTES).fill(poison);
  buffer.set(content, MARGIN_BYTES);
  return buffer.subarray(MARGIN_BYTES, MARGIN_BYTES + content.length);
}

/** A view that fails when anything outside it, or the buffer below it, is used. */
function guarded(view: Uint8Array): Uint8Array {
  const within = (start = 0, end = view.length) => {
    if (start < 0 || start > end || end > view.length) throw new Error(`${start} to ${end} read`);
  };
  return new Proxy(view, {
    get(target, key) {
      if (key === 'buffer') throw new Error('the underlying buffer was used');
      if (typeof key === 'string' && /^-?[0-9.]+$|^NaN$/.test(key) && !(key in target)) {
        throw new Error(`byte ${key} of ${target.length} read`);
      }
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== 'function') return value;
      return (...parameters: number[]) => {
        if (key === 'slice' || key === 'subarray') within(...parameters);
        return Reflect.apply(value, target, parameters);
      };
    },
    set: (_, key) => {
      throw new Error(`byte ${String(key)} written`);
    },
  });
}

type Decode = (bytes: Uint8Array, random: Random) => unknown;

function advertisement(bytes: Uint8Array, random: Random): unknown {
  const family = random.pick(['ipv4', 'ipv6'] as const);
  const source = new Uint8Array(family === 'ipv4' ? 4 : 16);
  // A receive buffer's length and flag are the kernel's word; the decoder trusts neither.
  const lengthBytes = Math.max(
    0,
    bytes.length + (random.chance(200_000) ? random.between(-2, 50) : 0),
  );
  const datagram = { bytes, lengthBytes, truncated: random.chance(50_000), ttl: 255 };
  const trailerBytes = random.pick([0, HMAC_TRAILER_BYTES]);
  const result = decodeAdvertisement(
    { ...datagram, source, destination: source, family },
    trailerBytes,
  );
  if (result.ok) {
    expect(result.value.addresses.length).toBe(result.value.addressCount);
    expect(lengthBytes).toBeLessThanOrEqual(bytes.length);
  }
  return result;
}

function control(bytes: Uint8Array, random: Random): unknown {
  return decodeBfdControl(bytes, bytes.length + (random.chance(200_000) ? random.below(9) : 0));
}

/** The packet, and its payload as everything that a server could mean by it. */
function mysqlPacket(bytes: Uint8Array): unknown {
  const packet = decodeMysqlPacket(bytes);
  if (!packet.ok || packet.value === null) return packet;
  const payload = packet.value.message;
  return [packet, checkMysqlGreeting(payload), decodeMysqlReply(payload)];
}

/** With hashes that are always right, so that what is behind them is reached. */
function radiusAnswer(bytes: Uint8Array): unknown {
  const request = { id: 7, authenticator: new Uint8Array(16), secret: new Uint8Array(4) };
  const md5 = () => bytes.slice(4, Math.min(20, bytes.length));
  return decodeRadiusAnswer(bytes, request, { md5, hmacMd5: () => new Uint8Array(16).fill(1) });
}

/** The answer in two pieces, and the end behind it. */
function httpAnswer(bytes: Uint8Array, random: Random): unknown {
  const found: unknown[] = [];
  const reader = new HttpAnswerReader(random.pick(['GET', 'HEAD']), {
    onStatus: (status) => found.push(status),
    onBody: (body) => found.push([...body.slice(0, body.length)]),
  });
  const at = random.below(bytes.length + 1);
  const results = [reader.push(bytes.subarray(0, at)), reader.push(bytes.subarray(at))];
  return [found, results, reader.end()];
}

/** All messages of a netlink datagram, each by the decoders of its socket. */
function routeMessages(bytes: Uint8Array): unknown {
  const cursor = new MessageCursor(bytes);
  cursor.start(bytes.length + 64);
  const found: unknown[] = [];
  while (cursor.next()) {
    expect(cursor.payloadEnd).toBeLessThanOrEqual(bytes.length);
    found.push(decodeLink(cursor), decodeAddress(cursor), cursor.outcome());
  }
  return [found, cursor.error];
}

/** The same as the messages of a neighbour table. */
function neighborMessages(bytes: Uint8Array): unknown {
  const cursor = new MessageCursor(bytes);
  cursor.start(bytes.length + 64);
  const found: unknown[] = [];
  while (cursor.next()) found.push(decodeNeighbor(cursor));
  return [found, cursor.error];
}

/** The same as the messages of routes and rules. */
function routingMessages(bytes: Uint8Array): unknown {
  const cursor = new MessageCursor(bytes);
  cursor.start(bytes.length + 64);
  const found: unknown[] = [];
  while (cursor.next()) found.push(decodeRoute(cursor), decodeRule(cursor));
  return [found, cursor.error];
}

/** Whether it answers a ping of ours. */
function echoReply(bytes: Uint8Array, random: Random): unknown {
  const token = new TextEncoder().encode('12345678');
  return isEchoReply(random.pick(['ipv4', 'ipv6'] as const), bytes, { id: 7, sequence: 1, token });
}

function ipvsAnswer(bytes: Uint8Array): unknown {
  const each = [
    decodeService,
    decodeDaemon,
    decodeTimeouts,
    decodeInfo,
    (payload: Parameters<typeof decodeService>[0]) => decodeServer(payload, 'ipv4'),
  ];
  return each.map((decode) => {
    const reader = new AttributeReader(bytes);
    return decode({ reader, payloadStart: 0, payloadEnd: bytes.length });
  });
}

/** A decoder of one answer's payload, with what the reader says of it. */
function answer(decode: typeof decodeGeneration): Decode {
  return (bytes) => {
    const reader = new AttributeReader(bytes);
    return [decode({ reader, payloadStart: 0, payloadEnd: bytes.length }), reader.error];
  };
}

/** Pure decoders, which read byte by byte. */
const PURE: readonly [string, Decode, readonly Uint8Array[]][] = [
  ['decodeEthernetHeader', decodeEthernetHeader, FRAMES],
  ['decodeArp', decodeArp, FRAMES],
  ['decodeNeighborAdvertisement', decodeNeighborAdvertisement, FRAMES],
  ['decodeNaMessage', (bytes) => decodeNaMessage(bytes), PACKETS],
  ['decodeIpv4', (bytes, random) => decodeIpv4(bytes, random.pick([0, 14, 200])), PACKETS],
  ['decodeIpv6', (bytes, random) => decodeIpv6(bytes, random.pick([0, 14, 200])), PACKETS],
  ['decodeAdvertisement', advertisement, PACKETS],
  ['peekVrid', (bytes) => peekVrid(bytes, bytes.length), PACKETS],
  ['decodeBfdControl', control, corpus('bfd')],
  ['decodeDnsAnswer', decodeDnsAnswer, corpus('dns')],
  ['isEchoReply', echoReply, corpus('echo')],
  ['HttpAnswerReader', httpAnswer, corpus('http')],
  ['decodeLdapAnswer', decodeLdapAnswer, corpus('ldap')],
  ['the packets of MySQL', mysqlPacket, corpus('mysql')],
  ['decodePostgresqlAnswer', decodePostgresqlAnswer, corpus('postgresql')],
  ['decodeRadiusAnswer', radiusAnswer, corpus('radius')],
  ['decodeSipAnswer', decodeSipAnswer, corpus('sip')],
  ['decodeSmtpReply', decodeSmtpReply, corpus('smtp')],
];

/** Those of the kernel's messages, whose integers are the host's: through a DataView. */
const VIEWED: readonly [string, Decode, readonly Uint8Array[]][] = [
  ['MessageCursor, decodeLink, decodeAddress', routeMessages, corpus('rtnetlink')],
  ['decodeNeighbor', neighborMessages, corpus('rtnetlink')],
  ['decodeRoute, decodeRule', routingMessages, corpus('routing')],
  ['the answers of IPVS', ipvsAnswer, corpus('ipvs')],
  ['decodeFamilyId', answer(decodeFamilyId), corpus('genl')],
  ['decodeGeneration', answer(decodeGeneration), corpus('nftables')],
  [
    'decodeProcessEvent',
    (bytes, random) => decodeProcessEvent(bytes, random.pick([0, 4]), bytes.length),
    corpus('process-events'),
  ],
  ['decodeSockaddrIn', decodeSockaddrIn, PACKETS],
  ['decodeSockaddrIn6', decodeSockaddrIn6, PACKETS],
  ['decodeSockaddrLl', decodeSockaddrLl, PACKETS],
];

/** Calls back with every mutation of the messages, and a number to draw the same chances again. */
function eachMutation(
  messages: readonly Uint8Array[],
  use: (content: Uint8Array, stream: number) => void,
): void {
  for (const [index, message] of messages.entries()) {
    const random = new Random(SEED, index);
    for (let count = 0; count < COUNT; count++) {
      const content = count === 0 ? message : mutate(message, random);
      const stream = random.next();
      try {
        use(content, stream);
      } catch (error) {
        throw new Error(`seed ${SEED}, message ${index}, ${count}: ${toHex(content)}`, {
          cause: error,
        });
      }
    }
  }
}

describe('on damaged messages', () => {
  test.each(PURE)(
    '%s reads nothing outside, writes nothing, and never throws',
    (_, decode, messages) => {
      eachMutation(messages, (content, stream) => {
        decode(guarded(surrounded(content, 0xa5)), new Random(SEED, stream));
      });
    },
  );

  test.each([...PURE, ...VIEWED])('%s finds the same whatever is around', (_, decode, messages) => {
    eachMutation(messages, (content, stream) => {
      const found = POISONS.map((poison) => {
        const view = surrounded(content, poison);
        const before = view.buffer.slice(0);
        const result = JSON.stringify(decode(view, new Random(SEED, stream)), plain);
        expect(Buffer.from(view.buffer).equals(Buffer.from(before))).toBe(true);
        return result;
      });
      expect(new Set(found).size).toBe(1);
    });
  });

  test('the corpus has no file that is not used, and no line that is not hexadecimal', () => {
    const protocols = [
      'dns',
      'echo',
      'http',
      'ldap',
      'mysql',
      'postgresql',
      'radius',
      'sip',
      'smtp',
    ];
    const kernel = ['genl', 'ipvs', 'nftables', 'process-events', 'routing', 'rtnetlink'];
    const used = ['bfd', ...kernel, ...protocols].sort();
    const files = readdirSync(CORPUS).sort();
    expect(files).toEqual([...used.map((name) => `${name}.hex`), REQUESTS].sort());
    for (const file of files.filter((name) => name !== REQUESTS)) {
      const lines = readFileSync(new URL(file, CORPUS), 'utf8').trimEnd().split('\n');
      const wrong = lines.filter((line) => !/^(# .*|([0-9a-f]{2})+)$/.test(line));
      expect(wrong).toEqual([]);
    }
  });

  test('whole messages are understood: damage begins at something', () => {
    const understood = (text: string) =>
      /^true$|^\[\d+,null\]$|"ok":true|"name":"v0"|"mac":"52:|"table":100/.test(text);
    for (const [name, decode, messages] of [...PURE, ...VIEWED]) {
      if (name.startsWith('decodeSockaddr')) continue;
      const found = messages.map((message) => decode(message, new Random(0, 0)));
      const texts = found.map((value) => JSON.stringify(value, plain));
      expect([name, texts.some(understood) || name === 'peekVrid']).toEqual([name, true]);
    }
  });
});

test('the guard catches reads at both ends, and writes', () => {
  const view = guarded(surrounded(fromHex('0102'), 0xa5));
  expect(view[1]).toBe(2);
  expect(toHex(view.slice(0, 2))).toBe('0102');
  expect(() => view[2]).toThrow();
  expect(() => view[-1]).toThrow();
  expect(() => view.slice(1, 3)).toThrow();
  expect(() => view.subarray(3)).toThrow();
  expect(() => view.buffer).toThrow();
  expect(() => {
    view[0] = 1;
  }).toThrow();
});

/** Counters of the kernel are bigints, which JSON has not. */
function plain(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `${value}n` : value;
}
