/**
 * AdvertReader: IP headers and control messages as the kernel writes them, and as it never would.
 * Every read is checked not to go beyond what was received.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  IPV6_HOPLIMIT,
  IPV6_PKTINFO,
  MSG_TRUNC,
  SO_TIMESTAMPNS_OLD,
  SOL_IPV6,
  SOL_SOCKET,
} from '../../../src/linux/constants.ts';
import { AdvertReader } from '../../../src/linux/received-advert.ts';
import { encodeSockaddrIn6, HOST_LITTLE_ENDIAN } from '../../../src/linux/sockaddr.ts';

const BUFFER_BYTES = 96;
const SOURCE_V4 = [192, 0, 2, 11];
const GROUP_V4 = [224, 0, 0, 18];
const SOURCE_V6 = Uint8Array.from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
const GROUP_V6 = Uint8Array.from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12]);

function memory() {
  return {
    // Nothing that is not received may show up: old bytes are recognizable.
    buffer: new Uint8Array(BUFFER_BYTES).fill(0xa5),
    address: new Uint8Array(128).fill(0xa5),
    control: new Uint8Array(128).fill(0xa5),
  };
}

interface Header {
  readonly words?: number;
  readonly totalBytes?: number;
  readonly ttl?: number;
}

function ipv4Packet(payload: readonly number[], header: Header = {}): Uint8Array {
  const words = header.words ?? 5;
  const headerBytes = words * 4;
  const bytes = new Uint8Array(Math.max(headerBytes, 20) + payload.length);
  const totalBytes = header.totalBytes ?? bytes.length;
  bytes.set([0x40 | words, 0xc0, totalBytes >> 8, totalBytes & 0xff, 0, 0, 0, 0]);
  bytes.set([header.ttl ?? 255, 112, 0, 0, ...SOURCE_V4, ...GROUP_V4], 8);
  bytes.set(payload, Math.max(headerBytes, 20));
  return bytes;
}

function readIpv4(packet: Uint8Array, flags = 0) {
  const parts = memory();
  parts.buffer.set(packet.subarray(0, BUFFER_BYTES));
  const reader = new AdvertReader('ipv4', parts);
  reader.read({ datagramBytes: packet.length, addressBytes: 16, controlBytes: 0, flags });
  return reader;
}

function controlMessage(level: number, type: number, data: Uint8Array): number[] {
  const bytes = new Uint8Array((16 + data.length + 7) & ~7);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(16 + data.length), HOST_LITTLE_ENDIAN);
  view.setInt32(8, level, HOST_LITTLE_ENDIAN);
  view.setInt32(12, type, HOST_LITTLE_ENDIAN);
  bytes.set(data, 16);
  return [...bytes];
}

function integers(...values: readonly bigint[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 8);
  const view = new DataView(bytes.buffer);
  for (const [index, value] of values.entries()) {
    view.setBigInt64(index * 8, value, HOST_LITTLE_ENDIAN);
  }
  return bytes;
}

function readControl(control: readonly number[], controlBytes = control.length) {
  const parts = memory();
  parts.control.set(control);
  parts.address.set(encodeSockaddrIn6(SOURCE_V6, 0, 3));
  parts.buffer.set([1, 2, 3]);
  const reader = new AdvertReader('ipv6', parts);
  reader.read({ datagramBytes: 3, addressBytes: 28, controlBytes, flags: 0 });
  return reader;
}

const HOP_LIMIT = (() => {
  const data = new Uint8Array(4);
  new DataView(data.buffer).setInt32(0, 255, HOST_LITTLE_ENDIAN);
  return controlMessage(SOL_IPV6, IPV6_HOPLIMIT, data);
})();
const PACKET_INFO = controlMessage(SOL_IPV6, IPV6_PKTINFO, Uint8Array.from([...GROUP_V6, 3, 0]));
const STAMP = controlMessage(
  SOL_SOCKET,
  SO_TIMESTAMPNS_OLD,
  integers(1_700_000_000n, 123_456_789n),
);

describe('AdvertReader over IPv4', () => {
  test('gives payload, TTL and addresses of a plain packet', () => {
    const reader = readIpv4(ipv4Packet([1, 2, 3, 4], { ttl: 254 }));
    expect([...reader.payload.subarray(0, reader.lengthBytes)]).toEqual([1, 2, 3, 4]);
    expect(reader.ttl).toBe(254);
    expect([...reader.source]).toEqual(SOURCE_V4);
    expect([...reader.destination]).toEqual(GROUP_V4);
    expect(reader.truncated).toBe(false);
  });

  test('skips header options', () => {
    const reader = readIpv4(ipv4Packet([9, 8], { words: 6 }));
    expect([...reader.payload.subarray(0, reader.lengthBytes)]).toEqual([9, 8]);
  });

  test('leaves out padding behind the total length', () => {
    const reader = readIpv4(ipv4Packet([1, 2, 0, 0, 0], { totalBytes: 22 }));
    expect(reader.lengthBytes).toBe(2);
    expect(reader.truncated).toBe(false);
  });

  test.each([
    ['a total length beyond the packet', ipv4Packet([1, 2], { totalBytes: 400 }), 2],
    ['a total length inside the header', ipv4Packet([1, 2], { totalBytes: 19 }), 0],
    ['a header length below 20', ipv4Packet([1, 2], { words: 4 }), 0],
    ['a header length beyond the packet', ipv4Packet([1], { words: 5 }).fill(0x4f, 0, 1), 0],
    ['half a header', ipv4Packet([]).subarray(0, 15), 0],
    ['nothing', new Uint8Array(0), 0],
  ])('marks %s as truncated', (_, packet, lengthBytes) => {
    const reader = readIpv4(packet);
    expect(reader.lengthBytes).toBe(lengthBytes);
    expect(reader.truncated).toBe(true);
  });

  test('shows nothing of an earlier packet when the header is cut', () => {
    const reader = readIpv4(ipv4Packet([]).subarray(0, 15));
    expect([...reader.source]).toEqual([192, 0, 2, 0]);
    expect([...reader.destination]).toEqual([0, 0, 0, 0]);
    expect(reader.ttl).toBe(0);
  });

  test('tells the full length of a packet that the buffer cuts', () => {
    const reader = readIpv4(ipv4Packet(Array(200).fill(7)), MSG_TRUNC);
    expect(reader.lengthBytes).toBe(200);
    expect(reader.payload.length).toBe(BUFFER_BYTES - 20);
    expect(reader.truncated).toBe(true);
  });
});

describe('AdvertReader over IPv6', () => {
  test('takes hop limit, destination and stamp from control messages in any order', () => {
    for (const control of [
      [...STAMP, ...PACKET_INFO, ...HOP_LIMIT],
      [...HOP_LIMIT, ...STAMP, ...PACKET_INFO],
    ]) {
      const reader = readControl(control);
      expect([...reader.payload.subarray(0, reader.lengthBytes)]).toEqual([1, 2, 3]);
      expect(reader.ttl).toBe(255);
      expect(reader.source).toEqual(SOURCE_V6);
      expect(reader.destination).toEqual(GROUP_V6);
      expect(reader.stampUs).toBe(1_700_000_000_123_456);
    }
  });

  test('forgets the previous packet when control messages are missing', () => {
    const parts = memory();
    parts.control.set([...STAMP, ...HOP_LIMIT, ...PACKET_INFO]);
    parts.address.set(encodeSockaddrIn6(SOURCE_V6, 0, 3));
    const reader = new AdvertReader('ipv6', parts);
    const sizes = { datagramBytes: 3, addressBytes: 28, controlBytes: 128, flags: 0 };
    reader.read(sizes);
    expect(reader.ttl).toBe(255);
    reader.read({ ...sizes, addressBytes: 0, controlBytes: 0 });
    expect(reader.ttl).toBe(0);
    expect(reader.stampUs).toBeNull();
    expect([...reader.destination]).toEqual(Array(16).fill(0));
    expect([...reader.source]).toEqual(Array(16).fill(0));
  });

  test('ignores a control message that is cut', () => {
    const control = [...HOP_LIMIT, ...PACKET_INFO];
    const reader = readControl(control, HOP_LIMIT.length + 20);
    expect(reader.ttl).toBe(255);
    expect([...reader.destination]).toEqual(Array(16).fill(0));
  });

  test('ends with a control message of length 0', () => {
    expect(readControl([...new Array(16).fill(0), ...HOP_LIMIT]).ttl).toBe(0);
  });
});

test('AdvertReader never throws and never gives a payload beyond its buffer', () => {
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  fc.assert(
    fc.property(
      fc.constantFrom('ipv4' as const, 'ipv6' as const),
      fc.record({ buffer: bytes(BUFFER_BYTES), address: bytes(128), control: bytes(128) }),
      fc.record({
        datagramBytes: fc.nat(300),
        addressBytes: fc.nat(128),
        controlBytes: fc.nat(400),
        flags: fc.constantFrom(0, MSG_TRUNC),
      }),
      (family, parts, sizes) => {
        const reader = new AdvertReader(family, parts);
        reader.read(sizes);
        const end = reader.payload.byteOffset + reader.payload.length;
        expect(end).toBe(parts.buffer.byteOffset + BUFFER_BYTES);
        const headerBytes = reader.payload.byteOffset - parts.buffer.byteOffset;
        expect(reader.lengthBytes).toBeGreaterThanOrEqual(0);
        if (reader.lengthBytes > 0) {
          expect(headerBytes + reader.lengthBytes).toBeLessThanOrEqual(sizes.datagramBytes);
        }
        const cut = reader.lengthBytes > reader.payload.length;
        expect(cut && !reader.truncated).toBe(false);
      },
    ),
  );
});
