/** Control packets: bytes of a real peer, and the ladder of refusals in its order. */
import { describe, expect, test } from 'vitest';
import { InternalError } from '../../../../src/core/assert.ts';
import type { BfdControl } from '../../../../src/core/bfd/types.ts';
import {
  BFD_CONTROL_BYTES,
  decodeBfdControl,
  encodeBfdControl,
} from '../../../../src/core/wire/bfd.ts';
import { dirtyBuffer, fromHex, patched, reasonOf, toHex, unwrap } from './frames.ts';

const CONTROL: BfdControl = {
  state: 'up',
  diagnostic: 3,
  poll: true,
  final: false,
  demand: false,
  detectMultiplier: 5,
  myDiscriminator: 0x0102_0304,
  yourDiscriminator: 0xa1a2_a3a4,
  desiredMinTxUs: 10_000,
  requiredMinRxUs: 0xffff_ffff,
};
const HEX = '23e0051801020304a1a2a3a400002710ffffffff00000000';

function verdict(changes: Readonly<Record<number, number>>, lengthBytes = 24): string {
  return reasonOf(decodeBfdControl(patched(fromHex(HEX), changes), lengthBytes));
}

describe('encodeBfdControl', () => {
  test('writes the layout of RFC 5880 section 4.1 over whatever was there', () => {
    const target = dirtyBuffer(30);
    expect(encodeBfdControl(target, CONTROL)).toBe(BFD_CONTROL_BYTES);
    expect(toHex(target)).toBe(`${HEX}${'a5'.repeat(6)}`);
  });

  test.each<Partial<BfdControl>>([
    { detectMultiplier: 0 },
    { detectMultiplier: 256 },
    { myDiscriminator: 0 },
    { myDiscriminator: 2 ** 32 },
    { desiredMinTxUs: 0.5 },
    { diagnostic: 32 },
    { final: true },
  ])('takes %j for a defect', (change) =>
    expect(() => encodeBfdControl(dirtyBuffer(24), { ...CONTROL, ...change })).toThrow(
      InternalError,
    ),
  );
});

describe('decodeBfdControl', () => {
  test('reads what was written', () => {
    const decoded = unwrap(decodeBfdControl(fromHex(HEX), 24));
    expect(decoded).toEqual({ ...CONTROL, authenticated: false, controlPlaneIndependent: false });
  });

  test.each([
    ['version', { 0: 0x43 }],
    ['version', { 0: 0x03 }],
    ['length', { 3: 23 }],
    ['truncated', { 3: 25 }],
    ['multiplier', { 2: 0 }],
    ['multipoint', { 1: 0xe1 }],
    ['discriminator', { 4: 0, 5: 0, 6: 0, 7: 0 }],
    ['state', { 8: 0, 9: 0, 10: 0, 11: 0 }],
  ])('refuses by %s for %j', (reason, changes) => expect(verdict(changes)).toBe(reason));

  test('names the first of several reasons, in the order of RFC 5880 section 6.8.6', () => {
    const changes: Record<number, number> = {
      ...{ 8: 0, 9: 0, 10: 0, 11: 0 },
      ...{ 4: 0, 5: 0, 6: 0, 7: 0 },
      ...{ 0: 0x43, 1: 0xe1, 2: 0, 3: 23 },
    };
    const cures: [string, Record<number, number>][] = [
      ['version', { 0: 0x23 }],
      ['length', { 3: 25 }],
      ['truncated', { 3: 24 }],
      ['multiplier', { 2: 5 }],
      ['multipoint', { 1: 0xe0 }],
      ['discriminator', { 4: 1 }],
      ['state', { 8: 1 }],
    ];
    for (const [reason, cure] of cures) {
      expect(verdict(changes)).toBe(reason);
      Object.assign(changes, cure);
    }
    expect(verdict(changes)).toBe('accepted');
  });

  test('wants two bytes more of a packet with an authentication section, and tells of it', () => {
    expect(verdict({ 1: 0xe4, 3: 25 })).toBe('length');
    expect(verdict({ 1: 0xe4, 3: 26 })).toBe('truncated');
    const long = new Uint8Array(26);
    long.set(patched(fromHex(HEX), { 1: 0xe4, 3: 26 }));
    expect(unwrap(decodeBfdControl(long, 26)).authenticated).toBe(true);
  });

  test('ignores what follows the length, and trusts no byte that was not received', () => {
    const padded = new Uint8Array(60);
    padded.set(fromHex(HEX));
    expect(reasonOf(decodeBfdControl(padded, 60))).toBe('accepted');
    for (let lengthBytes = 0; lengthBytes < 24; lengthBytes++) {
      expect(reasonOf(decodeBfdControl(padded, lengthBytes))).toBe('truncated');
    }
  });

  test('lets a system that does not know us be down only', () => {
    const unknown = { 8: 0, 9: 0, 10: 0, 11: 0 };
    const states = [0x00, 0x40, 0x80, 0xc0];
    expect(states.map((state) => verdict({ ...unknown, 1: state }))).toEqual([
      'accepted',
      'accepted',
      'state',
      'state',
    ]);
  });
});
