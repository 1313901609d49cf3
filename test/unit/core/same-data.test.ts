/** sameData: agrees with the general comparison on everything that JSON can carry. */
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sameData } from '../../../src/core/same-data.ts';

const data = fc.jsonValue({ maxDepth: 3 });

describe('sameData', () => {
  test('says of two values what their JSON texts say', () => {
    fc.assert(
      fc.property(data, data, (left, right) => {
        const parsed = [left, right].map((value) => JSON.parse(JSON.stringify(value)));
        expect(sameData(parsed[0], parsed[1])).toBe(isDeepStrictEqual(parsed[0], parsed[1]));
        expect(sameData(parsed[0], JSON.parse(JSON.stringify(left)))).toBe(true);
      }),
    );
  });

  test('tells an added, a missing and a changed field, and a list from an object', () => {
    const value = { a: 1, b: { c: [1, 2, null] } };
    expect(sameData(value, { b: { c: [1, 2, null] }, a: 1 })).toBe(true);
    expect(sameData(value, { ...value, d: 0 })).toBe(false);
    expect(sameData(value, { a: 1 })).toBe(false);
    expect(sameData(value, { a: 1, b: { c: [1, 2, 0] } })).toBe(false);
    expect(sameData(value, { a: 1, b: { c: [1, 2] } })).toBe(false);
    expect(sameData([], {})).toBe(false);
    expect(sameData(null, {})).toBe(false);
  });

  test('takes a field without a value for one that is not there', () => {
    expect(sameData({ a: 1, b: undefined }, { a: 1 })).toBe(true);
    expect(sameData({ a: 1 }, { a: 1, b: undefined })).toBe(true);
  });
});
