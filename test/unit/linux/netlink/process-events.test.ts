/** Messages of the process connector, as a Linux 6.18 kernel sent them. */
import { describe, expect, test } from 'vitest';
import { decodeProcessEvent, encodeListen } from '../../../../src/linux/netlink/process-events.ts';
import { HOST_LITTLE_ENDIAN } from '../../../../src/linux/sockaddr.ts';

/** A message with the event's number, and the words of its data. */
function message(what: number, ...words: number[]): Uint8Array {
  const bytes = new Uint8Array(20 + 40);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 1, HOST_LITTLE_ENDIAN);
  view.setUint32(4, 1, HOST_LITTLE_ENDIAN);
  view.setUint16(16, 40, HOST_LITTLE_ENDIAN);
  view.setUint32(20, what, HOST_LITTLE_ENDIAN);
  for (const [index, word] of words.entries()) {
    view.setUint32(36 + 4 * index, word, HOST_LITTLE_ENDIAN);
  }
  return bytes;
}

const decode = (bytes: Uint8Array) => decodeProcessEvent(bytes, 0, bytes.length);

describe('decodeProcessEvent', () => {
  test('reads the confirmation that a kernel sent', () => {
    const hex =
      '0100000001000000000000000100000028000000' +
      '00000000010000009fcb0a6ed90a00000000000000000000000000000000000000000000';
    const bytes = new Uint8Array(Buffer.from(hex, 'hex'));
    if (!HOST_LITTLE_ENDIAN) return expect(decode(bytes).ok).toBe(true);
    expect(decode(bytes)).toEqual({ ok: true, value: { kind: 'confirmed', errno: 0 } });
  });

  test.each([
    ['a fork', message(1, 10, 10, 20, 20), { kind: 'forked', parent: 10, pid: 20 }],
    ['a new thread', message(1, 10, 10, 21, 20), null],
    ['a program', message(2, 20, 20), { kind: 'changed', pid: 20 }],
    ['a name', message(0x200, 20, 20), { kind: 'changed', pid: 20 }],
    ["a thread's name", message(0x200, 21, 20), null],
    ['an end', message(0x8000_0000, 20, 20, 0, 17), { kind: 'ended', pid: 20 }],
    ['the end of a thread', message(0x8000_0000, 21, 20), null],
    ['another kind', message(4, 20, 20), null],
  ])('reads %s', (_what, bytes, value) => {
    expect(decode(bytes)).toEqual({ ok: true, value });
  });

  test('refuses what is too short for what it says', () => {
    expect(decode(message(1, 1, 1, 2, 2).subarray(0, 51))).toEqual({
      ok: false,
      error: 'truncated',
    });
    expect(decode(new Uint8Array(19))).toEqual({ ok: false, error: 'truncated' });
  });
});

describe('encodeListen', () => {
  test('makes the bytes that a kernel has confirmed', () => {
    if (!HOST_LITTLE_ENDIAN) return expect(encodeListen(true)).toHaveLength(40);
    expect(Buffer.from(encodeListen(true)).toString('hex')).toBe(
      `${'2800000003000000'}${'0000000000000000'}${'0100000001000000'}${'0000000000000000'}${'04000000'}${'01000000'}`,
    );
    expect(encodeListen(false)[36]).toBe(2);
  });
});
