/** Byte helpers: order, width and bounds. */
import { expect, test } from 'vitest';
import { equalBytes, formatU16, readU16, writeU16 } from '../../../../src/core/wire/bytes.ts';
import { dirtyBuffer, fromHex, toHex } from './frames.ts';

test('readU16 and writeU16 use network order at the offset', () => {
  const bytes = dirtyBuffer(4);
  writeU16(bytes, 1, 0xfedc);
  expect(toHex(bytes)).toBe('a5fedca5');
  expect(readU16(bytes, 1)).toBe(0xfedc);
});

test('writeU16 takes the low 16 bits', () => {
  const bytes = dirtyBuffer(2);
  writeU16(bytes, 0, 0x1_0203);
  expect(toHex(bytes)).toBe('0203');
});

test('equalBytes compares content and length', () => {
  expect(equalBytes(fromHex('0102'), fromHex('0102'))).toBe(true);
  expect(equalBytes(fromHex('0102'), fromHex('0103'))).toBe(false);
  expect(equalBytes(fromHex('0102'), fromHex('010200'))).toBe(false);
  expect(equalBytes(fromHex('010200'), fromHex('0102'))).toBe(false);
});

test('formatU16 keeps leading zeros', () => {
  expect(formatU16(0x2a)).toBe('0x002a');
});
