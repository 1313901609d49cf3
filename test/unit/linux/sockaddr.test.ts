/** Socket addresses: known bytes, round trips, and decoders that refuse instead of overreading. */
import { endianness } from 'node:os';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeSockaddrIn,
  decodeSockaddrIn6,
  decodeSockaddrLl,
  encodeSockaddrIn,
  encodeSockaddrIn6,
  encodeSockaddrLl,
  encodeSockaddrNl,
  encodeSockaddrUn,
} from '../../../src/linux/sockaddr.ts';

/** An unsigned integer in host order, which the kernel's structures have in these fields. */
function host(value: number, lengthBytes: number): number[] {
  const bytes = Array.from({ length: lengthBytes }, (_, index) => (value >>> (8 * index)) & 0xff);
  return endianness() === 'LE' ? bytes : bytes.reverse();
}

const bytesOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const port = fc.integer({ min: 0, max: 0xffff });

describe('sockaddr_in', () => {
  test('encodeSockaddrIn lays out family, port and address as linux/in.h', () => {
    expect([...encodeSockaddrIn(Uint8Array.of(224, 0, 0, 18), 0x1234)]).toEqual([
      ...host(2, 2),
      ...[0x12, 0x34, 224, 0, 0, 18, 0, 0, 0, 0, 0, 0, 0, 0],
    ]);
  });

  test('decodeSockaddrIn returns what was encoded', () => {
    fc.assert(
      fc.property(bytesOf(4), port, (address, number) => {
        const decoded = decodeSockaddrIn(encodeSockaddrIn(address, number));
        expect(decoded).toEqual({ ok: true, value: { address, port: number } });
      }),
    );
  });

  test('decodeSockaddrIn refuses short and foreign addresses', () => {
    const encoded = encodeSockaddrIn(Uint8Array.of(192, 0, 2, 1), 1);
    expect(decodeSockaddrIn(encoded.subarray(0, 15))).toEqual({ ok: false, error: 'too-short' });
    const foreign = encodeSockaddrIn6(new Uint8Array(16), 0, 0);
    expect(decodeSockaddrIn(foreign)).toEqual({ ok: false, error: 'wrong-family' });
  });
});

describe('sockaddr_in6', () => {
  test('encodeSockaddrIn6 lays out port, address and scope id as linux/in6.h', () => {
    const address = Uint8Array.from({ length: 16 }, (_, index) => index + 1);
    expect([...encodeSockaddrIn6(address, 0x1234, 0x01020304)]).toEqual([
      ...host(10, 2),
      ...[0x12, 0x34, 0, 0, 0, 0],
      ...address,
      ...host(0x01020304, 4),
    ]);
  });

  test('decodeSockaddrIn6 returns what was encoded, from any offset of a buffer', () => {
    const scope = fc.integer({ min: 0, max: 0xffffffff });
    fc.assert(
      fc.property(bytesOf(16), port, scope, fc.nat(9), (address, number, scopeId, shift) => {
        const moved = new Uint8Array(40);
        moved.set(encodeSockaddrIn6(address, number, scopeId), shift);
        const decoded = decodeSockaddrIn6(moved.subarray(shift));
        expect(decoded).toEqual({ ok: true, value: { address, port: number, scopeId } });
      }),
    );
  });
});

describe('sockaddr_ll', () => {
  test('encodeSockaddrLl lays out protocol, interface and address as linux/if_packet.h', () => {
    const address = Uint8Array.of(2, 0, 0, 0, 0, 1);
    const encoded = encodeSockaddrLl({ protocol: 0x0806, interfaceIndex: 7, address });
    expect([...encoded]).toEqual([
      ...host(17, 2),
      ...[0x08, 0x06],
      ...host(7, 4),
      ...[0, 0, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0],
    ]);
  });

  test('decodeSockaddrLl returns what was encoded, with the address no longer than it is', () => {
    const address = fc.uint8Array({ maxLength: 8 });
    const index = fc.integer({ min: 0, max: 0x7fffffff });
    fc.assert(
      fc.property(port, index, address, (protocol, interfaceIndex, hardware) => {
        const value = { protocol, interfaceIndex, address: hardware };
        expect(decodeSockaddrLl(encodeSockaddrLl(value))).toEqual({ ok: true, value });
      }),
    );
  });

  test('decodeSockaddrLl refuses an address that is not all there', () => {
    const encoded = encodeSockaddrLl({
      protocol: 0,
      interfaceIndex: 1,
      address: new Uint8Array(6),
    });
    expect(decodeSockaddrLl(encoded.subarray(0, 17))).toEqual({ ok: false, error: 'too-short' });
    expect(decodeSockaddrLl(encoded.subarray(0, 18)).ok).toBe(true);
  });
});

test('encodeSockaddrNl lays out port id and groups as linux/netlink.h', () => {
  expect([...encodeSockaddrNl(0xfffffff0, 0x80000001)]).toEqual([
    ...host(16, 2),
    ...[0, 0],
    ...host(0xfffffff0, 4),
    ...host(0x80000001, 4),
  ]);
});

describe('encodeSockaddrUn', () => {
  test('ends a path with NUL and starts an abstract name with NUL', () => {
    expect([...(encodeSockaddrUn('/r') ?? [])]).toEqual([...host(1, 2), 0x2f, 0x72, 0]);
    expect([...(encodeSockaddrUn('@ab') ?? [])]).toEqual([...host(1, 2), 0, 0x61, 0x62]);
  });

  test('takes 107 bytes and refuses 108, none, and a NUL inside', () => {
    expect(encodeSockaddrUn(`/${'a'.repeat(106)}`)?.length).toBe(110);
    expect(encodeSockaddrUn(`/${'a'.repeat(107)}`)).toBeNull();
    expect(encodeSockaddrUn(`/${'é'.repeat(54)}`)).toBeNull();
    expect(encodeSockaddrUn('')).toBeNull();
    expect(encodeSockaddrUn('/a\0b')).toBeNull();
  });
});

test('no decoder throws, whatever the bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      for (const decode of [decodeSockaddrIn, decodeSockaddrIn6, decodeSockaddrLl]) {
        expect(typeof decode(bytes).ok).toBe('boolean');
      }
    }),
  );
});
