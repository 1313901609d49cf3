/** Control messages of recvmsg(2): found in their order, and never read past the end. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readTimespecUs, walkControlMessages } from '../../../src/linux/control-messages.ts';
import { HOST_LITTLE_ENDIAN } from '../../../src/linux/sockaddr.ts';

type Message = readonly [level: number, type: number, data: readonly number[]];

function laidOut(messages: readonly Message[]): Uint8Array {
  const parts = messages.map(([level, type, data]) => {
    const bytes = new Uint8Array((16 + data.length + 7) & ~7);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, BigInt(16 + data.length), HOST_LITTLE_ENDIAN);
    view.setInt32(8, level, HOST_LITTLE_ENDIAN);
    view.setInt32(12, type, HOST_LITTLE_ENDIAN);
    bytes.set(data, 16);
    return [...bytes];
  });
  return Uint8Array.from(parts.flat());
}

function walked(bytes: Uint8Array, lengthBytes = bytes.length): Message[] {
  const found: Message[] = [];
  walkControlMessages(new DataView(bytes.buffer), lengthBytes, (level, type, offset, size) => {
    found.push([level, type, [...bytes.subarray(offset, offset + size)]]);
  });
  return found;
}

const message: fc.Arbitrary<Message> = fc.tuple(
  fc.integer({ min: 0, max: 300 }),
  fc.integer({ min: 0, max: 300 }),
  fc.array(fc.nat(255), { maxLength: 40 }),
);

describe('walkControlMessages', () => {
  test('finds every message with its data, whatever their lengths', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 5 }), (messages) => {
        expect(walked(laidOut(messages))).toEqual(messages);
      }),
    );
  });

  test('ends at a message that does not fit, and gives nothing of it', () => {
    const messages: Message[] = [
      [1, 35, [1, 2, 3, 4, 5, 6, 7, 8]],
      [0, 2, [9, 9, 9, 9]],
    ];
    const bytes = laidOut(messages);
    for (let length = 0; length < bytes.length - 4; length++) {
      expect(walked(bytes, length)).toEqual(length < 24 ? [] : messages.slice(0, 1));
    }
  });

  test('takes any bytes without an error, and stays within them', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(200), (bytes, lengthBytes) => {
        const copy = bytes.slice();
        walkControlMessages(new DataView(copy.buffer), lengthBytes, (_l, _t, offset, size) => {
          expect(offset + size).toBeLessThanOrEqual(copy.length);
        });
      }),
    );
  });
});

test('readTimespecUs rounds down to microseconds, and wants all 16 bytes', () => {
  const view = new DataView(new ArrayBuffer(16));
  view.setBigInt64(0, 1_700_000_000n, HOST_LITTLE_ENDIAN);
  view.setBigInt64(8, 123_456_999n, HOST_LITTLE_ENDIAN);
  expect(readTimespecUs(view, 0, 16)).toBe(1_700_000_000_123_456);
  expect(readTimespecUs(view, 0, 15)).toBeNull();
});
