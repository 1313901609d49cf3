/** Bodies of long answers: their texts as UTF-8, in memory that is used again. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Body } from '../../../src/http/body.ts';

const PIECE_BYTES = 64 * 1024;

function textOf(body: Body): string {
  return Buffer.concat(body.parts()).toString('utf8');
}

test('any texts are there whole, and as many bytes as are told', () => {
  const long = fc.tuple(fc.constantFrom('a', 'ö', '€', '😀'), fc.nat(100_000));
  const text = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    long.map(([unit, count]) => unit.repeat(count)),
  );
  fc.assert(
    fc.property(fc.array(text, { maxLength: 8 }), (texts) => {
      const body = new Body();
      for (const one of texts) body.add(one);
      expect(textOf(body)).toBe(texts.join(''));
      expect(body.lengthBytes).toBe(Buffer.byteLength(texts.join('')));
      body.release();
    }),
    { numRuns: 50 },
  );
});

test('its memory is used again when the last user has released it, not before', () => {
  const body = new Body();
  body.add('a'.repeat(PIECE_BYTES));
  body.retain();
  body.release();
  const other = new Body();
  other.add('b'.repeat(PIECE_BYTES));
  expect(textOf(body)).toBe('a'.repeat(PIECE_BYTES));
  const [part] = body.parts();
  body.release();
  const third = new Body();
  third.add('c'.repeat(PIECE_BYTES));
  expect(third.parts()[0]?.buffer).toBe(part?.buffer);
  expect(textOf(other)).toBe('b'.repeat(PIECE_BYTES));
});
