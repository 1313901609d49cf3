/** Each kind of YAML value takes what its JSON Schema takes, by another program's judgement. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import * as yaml from '../../../src/config/yaml-values.ts';

const KINDS: readonly (readonly [string, yaml.YamlValue<unknown>])[] = [
  ['text', yaml.string()],
  ['text of some length', yaml.string({ min: 2, max: 4 })],
  ['text with a pattern', yaml.string({ pattern: /^[a-c]+$/ })],
  ['truth', yaml.boolean()],
  ['whole number', yaml.int()],
  ['whole number within bounds', yaml.int(-3, 5)],
  ['whole number from a bound on', yaml.int(1)],
  ['number', yaml.number()],
  ['constant text', yaml.constant('none')],
  ['constant number', yaml.constant(2)],
  ['words', yaml.words(['a', 'bb', '2'])],
  ['one of two kinds', yaml.either(yaml.words(['a']), yaml.int(0, 3))],
  ['list', yaml.listOf(yaml.string({ min: 1 }), 1)],
  ['list of two', yaml.listOf(yaml.int(0, 9), 2, 2)],
];

/** Often near the bounds above. */
const scalars = fc.oneof(
  fc.integer({ min: -5, max: 11 }),
  fc.double(),
  fc.constantFrom('', 'a', 'b', 'bb', 'none', '2', 'abc', 'abcabc', null, true, false, undefined),
  fc.constantFrom(2 ** 53, 2 ** 53 - 1, -(2 ** 53), 0.5),
  fc.string({ maxLength: 6 }),
);
const values = fc.oneof(
  { weight: 3, arbitrary: scalars },
  { weight: 1, arbitrary: fc.array(scalars, { maxLength: 3 }) },
  { weight: 1, arbitrary: fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 3 }) },
  fc.dictionary(fc.string(), scalars, { maxKeys: 2 }),
);

describe.each(KINDS)('%s', (_, kind) => {
  test('takes what its JSON Schema takes', () => {
    const schema = z.fromJSONSchema(kind.schema() as Parameters<typeof z.fromJSONSchema>[0]);
    const property = fc.property(values, (value) => {
      expect(kind.is(value)).toBe(schema.safeParse(value).success);
    });
    fc.assert(property, { numRuns: 500 });
  });
});
