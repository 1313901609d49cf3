/**
 * The attribute layer: byte-exact against what ipvsadm sends, round trips, and hostile bytes.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  AttributeReader,
  AttributeWriter,
  align4,
  NLA_F_NESTED,
  WRITER_BYTES_MAX,
} from '../../../../src/linux/netlink/attributes.ts';

const bytesOf = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));
const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** Attributes of `ipvsadm -A -t 10.0.0.100:80 -s wrr`, captured from the kernel's side. */
const NEW_SERVICE =
  '5400018006000100020000000600020006000000140003000a000064000000000000000000000000' +
  '06000400005000000800060077727200' +
  '0c00070000000000ffffffff080008000000000008000900ffffffff';
/** Attributes of `ipvsadm -a -t 10.0.0.100:80 -r 10.0.0.2:8080 -m -w 3 -x 1000 -y 500`. */
const NEW_DESTINATION =
  '5400018006000100020000000600020006000000140003000a000064000000000000000000000000' +
  '060004000050000005000600000000000c00070000000000ffffffff080008000000000008000900ffffffff' +
  '6000028006000b0002000000140001000a000002000000000000000000000000060002001f900000' +
  '0800030000000000080004000300000005000d000000000006000e000000000006000f0000000000' +
  '08000500e803000008000600f4010000';
/** Reply to the family's information request: version 1.2.1 and the hash size 4096. */
const INFO_REPLY = '08000100010201000800020000100000';

function address(...bytes: number[]): Uint8Array {
  const padded = new Uint8Array(16);
  padded.set(bytes);
  return padded;
}

function writeService(writer: AttributeWriter, scheduler: string): void {
  writer.nested(1, (service) => {
    service
      .u16(1, 2)
      .u16(2, 6)
      .bytes(3, address(10, 0, 0, 100))
      .be16(4, 80);
    service.string0(6, scheduler).bytes(7, bytesOf('00000000ffffffff'));
    service.u32(8, 0).be32(9, 0xffffffff);
  });
}

describe('AttributeWriter', () => {
  it('writes a new virtual service byte for byte as ipvsadm does', () => {
    const writer = new AttributeWriter();
    writeService(writer, 'wrr');
    expect(hexOf(writer.view())).toBe(NEW_SERVICE);
  });

  it('writes a new real server byte for byte as ipvsadm does', () => {
    const writer = new AttributeWriter();
    writeService(writer, '');
    writer.nested(2, (server) => {
      server
        .u16(11, 2)
        .bytes(1, address(10, 0, 0, 2))
        .be16(2, 8080)
        .u32(3, 0)
        .u32(4, 3);
      server.u8(13, 0).be16(14, 0).u16(15, 0).u32(5, 1000).u32(6, 500);
    });
    expect(hexOf(writer.view())).toBe(NEW_DESTINATION);
  });

  it('clears its padding although the buffer is reused', () => {
    const writer = new AttributeWriter();
    writer.putBytes(new Uint8Array(64).fill(0xff)).reset().u8(1, 7);
    expect(hexOf(writer.view())).toBe('0500010007000000');
  });

  it('keeps what was written when the buffer grows inside a nested attribute', () => {
    const writer = new AttributeWriter();
    const long = new Uint8Array(5_000).fill(0xab);
    writer.putU32(0x01020304).nested(3, (inner) => inner.u8(1, 1).bytes(2, long));
    const reader = new AttributeReader(writer.copy());
    let seen = new Uint8Array(0) as Uint8Array;
    reader.forEach(4, writer.lengthBytes, (type, start, end) => {
      expect(type).toBe(3);
      reader.forEach(start, end, (inner, from, to) => {
        if (inner === 2) seen = reader.copy(from, to);
      });
    });
    expect(reader.error).toBeNull();
    expect(seen).toEqual(long);
  });

  it('asserts on a payload longer than one send', () => {
    const writer = new AttributeWriter();
    writer.putBytes(new Uint8Array(WRITER_BYTES_MAX));
    expect(() => writer.putU8(0)).toThrow('too long');
  });

  it('writes text in UTF-8, whatever stood in the buffer', () => {
    const writer = new AttributeWriter();
    writer.putBytes(new Uint8Array(64).fill(0xff)).reset().string0(1, 'aé').string0(2, 'rr');
    expect(hexOf(writer.view())).toBe('0800010061c3a9000700020072720000');
  });

  it('grows in the middle of anything', () => {
    const pieces: readonly ((writer: AttributeWriter) => unknown)[] = [
      (writer) => writer.putU8(1),
      (writer) => writer.putU16(0x0202),
      (writer) => writer.putU32(0x03030303),
      (writer) => writer.putBytes(new Uint8Array([4, 4, 4])),
      (writer) => writer.u8(5, 5),
      (writer) => writer.u16(6, 6),
      (writer) => writer.u32(7, 7),
      (writer) => writer.u64(8, 8),
      (writer) => writer.be16(9, 9),
      (writer) => writer.be32(10, 10),
      (writer) => writer.u32Pair(11, 11, 11),
      (writer) => writer.zeros(12, 16),
      (writer) => writer.string0(13, 'rr'),
      (writer) => writer.string0(14, 'é'),
      (writer) => writer.nested(15, (inner) => inner.u8(16, 16)),
    ];
    // The first buffer ends at every place of every piece.
    for (const piece of pieces) {
      const expected = new AttributeWriter();
      piece(expected);
      for (let filled = 1_000; filled <= 1_024; filled++) {
        const writer = new AttributeWriter().putBytes(new Uint8Array(filled));
        piece(writer);
        expect(hexOf(writer.view().subarray(filled))).toBe(hexOf(expected.view()));
      }
    }
  });

  it('goes on behind what it is told to keep, and skips nothing', () => {
    const writer = new AttributeWriter().u8(1, 7);
    writer.u8(2, 8).reset(8).zeros(3, 4);
    expect(hexOf(writer.view())).toBe('05000100070000000800030000000000');
    expect(() => writer.reset(17)).toThrow('skip');
  });

  it('asserts on a NUL inside of a string, which the kernel would cut off', () => {
    expect(() => new AttributeWriter().string0(1, 'wrr\0x')).toThrow('NUL');
  });
});

describe('AttributeReader', () => {
  it('reads the captured information reply', () => {
    const bytes = bytesOf(INFO_REPLY);
    const reader = new AttributeReader(bytes);
    const seen: [number, number][] = [];
    reader.forEach(0, bytes.length, (type, start, end) => {
      seen.push([type, reader.u32(start, end)]);
    });
    expect(reader.error).toBeNull();
    expect(seen).toEqual([
      [1, 0x010201],
      [2, 4096],
    ]);
  });

  it('hides the flag bits of a type', () => {
    const writer = new AttributeWriter().flag(NLA_F_NESTED | 5);
    const types: number[] = [];
    new AttributeReader(writer.view()).forEach(0, 4, (type) => types.push(type));
    expect(types).toEqual([5]);
  });

  it('walks through the same without a function, whatever the bytes are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(70), (bytes, end) => {
        const visiting = new AttributeReader(bytes);
        const visited: number[][] = [];
        visiting.forEach(0, end, (type, from, to) => visited.push([type, from, to]));
        const walking = new AttributeReader(bytes);
        const walked: number[][] = [];
        walking.begin(0, end);
        while (walking.next()) walked.push([walking.type, walking.valueStart, walking.valueEnd]);
        expect([walked, walking.error]).toEqual([visited, visiting.error]);
      }),
    );
  });

  it('reads short names, long ones and such that are not ASCII alike', () => {
    for (const text of [
      '',
      'eth0',
      'a-name-of-15-ch',
      'a-name-of-16-cha',
      'é',
      'wän0',
      'x'.repeat(99),
    ]) {
      const bytes = new TextEncoder().encode(text);
      const reader = new AttributeReader(new Uint8Array([...bytes, 0, 65]));
      expect(reader.string0(0, bytes.length + 2)).toBe(text);
      expect(reader.string0(0, bytes.length)).toBe(text);
    }
  });

  it.each([
    ['a header that is cut', '0800', 'attribute-header-truncated'],
    ['a length below its header', '03000100', 'attribute-length-invalid'],
    ['a length of zero, which would never end', '00000000', 'attribute-length-invalid'],
    ['a length beyond the range', '0900010000000000', 'attribute-length-invalid'],
  ])('refuses %s', (_what, hex, error) => {
    const bytes = bytesOf(hex);
    const reader = new AttributeReader(bytes);
    reader.forEach(0, bytes.length, () => {});
    expect(reader.error).toBe(error);
  });

  it('answers 0 and an error for a value that is too short, and keeps the first error', () => {
    const reader = new AttributeReader(bytesOf('06000100ffff0000'));
    expect(reader.u32(4, 6)).toBe(0);
    expect(reader.error).toBe('attribute-value-short');
    reader.forEach(0, 3, () => {});
    expect(reader.error).toBe('attribute-value-short');
    reader.clearError();
    expect(reader.u16(4, 6)).toBe(0xffff);
    expect(reader.error).toBeNull();
  });

  it('accepts a last attribute without its padding, as the kernel does', () => {
    const reader = new AttributeReader(bytesOf('0500010007'));
    let value = 0;
    reader.forEach(0, 5, (_type, start, end) => {
      value = reader.u8(start, end);
    });
    expect([value, reader.error]).toEqual([7, null]);
  });
});

type Value =
  | { readonly kind: 'u8' | 'u16' | 'u32' | 'u64' | 'be16' | 'be32'; readonly value: number }
  | { readonly kind: 'string0'; readonly value: string }
  | { readonly kind: 'copy'; readonly value: Uint8Array };

const values: fc.Arbitrary<Value> = fc.oneof(
  fc.record({ kind: fc.constant('u8' as const), value: fc.nat(0xff) }),
  fc.record({ kind: fc.constantFrom('u16', 'be16'), value: fc.nat(0xffff) }),
  fc.record({ kind: fc.constantFrom('u32', 'be32'), value: fc.nat(0xffffffff) }),
  fc.record({ kind: fc.constant('u64' as const), value: fc.maxSafeNat() }),
  fc.record({
    kind: fc.constant('string0' as const),
    value: fc.string({ unit: 'binary' }).filter((text) => !text.includes('\0')),
  }),
  fc.record({ kind: fc.constant('copy' as const), value: fc.uint8Array({ maxLength: 300 }) }),
) as fc.Arbitrary<Value>;

function write(writer: AttributeWriter, type: number, value: Value): void {
  if (value.kind === 'string0') writer.string0(type, value.value);
  else if (value.kind === 'copy') writer.bytes(type, value.value);
  else writer[value.kind](type, value.value);
}

describe('attribute properties', () => {
  it('what was written is read back, nested or not, and aligned', () => {
    const list = fc.array(fc.tuple(fc.integer({ min: 1, max: 0x3fff }), values), { maxLength: 20 });
    fc.assert(
      fc.property(list, fc.boolean(), (attributes, nest) => {
        const writer = new AttributeWriter();
        const fill = (target: AttributeWriter) => {
          for (const [type, value] of attributes) write(target, type, value);
        };
        if (nest) writer.nested(9, fill);
        else fill(writer);
        expect(writer.lengthBytes).toBe(align4(writer.lengthBytes));
        const reader = new AttributeReader(writer.view());
        const read: [number, unknown][] = [];
        const visit = (type: number, start: number, end: number) => {
          const kind = attributes[read.length]?.[1].kind ?? 'u8';
          read.push([type, reader[kind](start, end)]);
        };
        reader.forEach(0, writer.lengthBytes, (type, start, end) => {
          if (nest) reader.forEach(start, end, visit);
          else visit(type, start, end);
        });
        expect(reader.error).toBeNull();
        expect(read).toEqual(attributes.map(([type, { value }]) => [type, value]));
      }),
    );
  });

  it('any bytes are read without a throw and never past the end of the range', () => {
    const range = fc.tuple(fc.uint8Array({ maxLength: 200 }), fc.nat(220), fc.nat(220));
    fc.assert(
      fc.property(range, ([bytes, start, end]) => {
        const reader = new AttributeReader(bytes);
        reader.forEach(start, end, (_type, from, to) => {
          expect(from).toBeGreaterThanOrEqual(start + 4);
          expect(to).toBeGreaterThanOrEqual(from);
          expect(to).toBeLessThanOrEqual(Math.min(end, bytes.length));
          for (const kind of ['u8', 'u16', 'u32', 'i32', 'u64', 'be16', 'be32'] as const) {
            expect(Number.isFinite(reader[kind](from, to))).toBe(true);
          }
          expect(reader.copy(from, to).length).toBe(to - from);
          reader.string0(from, to);
          reader.clearError();
        });
      }),
      { numRuns: 500 },
    );
  });
});
