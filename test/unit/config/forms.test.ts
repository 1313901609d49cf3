/**
 * The types of the configuration language by themselves: what each reads, where its issues are,
 * and that nothing of a section is made before the section is read.
 */
import { describe, expect, test } from 'vitest';
import {
  anything,
  type Issue,
  list,
  names,
  oneOrList,
  option,
  optional,
  perDirector,
  Refusal,
  readAs,
  required,
  scalar,
  section,
  shortOrLong,
  type Type,
  truth,
  whole,
  word,
} from '../../../src/config/forms.ts';
import * as yaml from '../../../src/config/yaml-values.ts';

const even = () =>
  scalar('an even number', yaml.int(0, 100), (value) => {
    if (value === 50) return new Refusal('50 is not for you');
    return value % 2 === 0 ? value / 2 : undefined;
  });

const named = <T>(value: Type<T>) =>
  names(value, {
    name: yaml.string({ pattern: /^[a-z]+$/ }),
    expects: 'a name',
    takes: 'a mapping from names',
  });

const about = 'For the test.';

function issuesOf(type: Type<unknown>, raw: unknown): readonly Issue[] {
  const read = readAs(type, raw);
  return read.ok ? [] : read.error;
}

/** Path and message of each issue. */
function told(type: Type<unknown>, raw: unknown): string[] {
  return issuesOf(type, raw).map((issue) => {
    const what = issue.kind === 'unknown-keys' ? `unknown: ${issue.keys.join(' ')}` : issue.message;
    return `${issue.path.join('.')}: ${what}`;
  });
}

describe('a scalar', () => {
  test('becomes what its converter makes of it', () => {
    expect(readAs(even(), 8)).toEqual({ ok: true, value: 4 });
  });

  test.each([
    ['a value of another kind', '8', 'expected an even number'],
    ['none at all', undefined, 'expected an even number'],
    ['one that the converter does not take', 7, 'expected an even number'],
    ['one that it refuses with its own words', 50, '50 is not for you'],
  ])('refuses %s', (_, raw, message) => {
    expect(issuesOf(even(), raw)).toEqual([{ kind: 'value', path: [], message, bare: false }]);
  });

  test('a word of another program names ours', () => {
    expect(told(word(['dr', 'nat']), 'gate')).toEqual([': expected dr']);
    expect(told(word(['dr', 'nat']), 'NAT')).toEqual([': expected nat']);
    expect(told(word(['dr', 'nat']), 'x')).toEqual([': expected dr or nat']);
  });
});

describe('a section', () => {
  const inner = section(() => ({ on: option(truth(), { about, without: 'off' }) }));
  const type = section(() => ({
    count: required(whole(1, 9), about),
    inner: optional(inner),
    list: optional(list(even(), 1, { count: 3, what: 'numbers' })),
  }));

  test('has the keys that are given, and only those', () => {
    const read = readAs(type, { count: 3, inner: {} });
    expect(read).toStrictEqual({ ok: true, value: { count: 3, inner: {} } });
  });

  test('tells everything that is wrong below it, by its path', () => {
    const raw = { counts: 1, more: 2, inner: { on: 'yes' }, list: [2, 3, 'x'] };
    expect(told(type, raw)).toEqual([
      'count: expected a whole number from 1 to 9',
      'inner.on: expected true or false',
      'list.1: expected an even number',
      'list.2: expected an even number',
      ': unknown: counts more',
    ]);
  });

  test('lists its keys with unknown ones', () => {
    expect(issuesOf(inner, { no: 1 })).toEqual([
      { kind: 'unknown-keys', path: [], keys: ['no'], valid: ['on'] },
    ]);
  });

  test.each([[null], ['text'], [3], [[]]])('is a mapping, not %j', (raw) => {
    expect(told(inner, raw)).toEqual([': expected a mapping']);
  });

  test('takes no key from what every object has', () => {
    const odd = section(() => ({ toString: optional(truth()) }));
    expect(readAs(odd, {})).toStrictEqual({ ok: true, value: {} });
    expect(told(inner, { constructor: 1 })).toEqual([': unknown: constructor']);
  });

  test('is made when it is first read, and once', () => {
    let made = 0;
    const counted = section(() => {
      made++;
      return { on: optional(truth()) };
    });
    const outer = section(() => ({ here: optional(counted) }));
    readAs(outer, {});
    expect(made).toBe(0);
    readAs(outer, { here: {} });
    readAs(outer, { here: { on: true } });
    expect(made).toBe(1);
  });
});

describe('a list', () => {
  test.each([
    [[], 'expected a list with at least one entry'],
    ['x', 'expected a list with at least one entry'],
    [[1, 2, 3], 'expected at most 2 things'],
  ])('has as many entries as it may: %j', (raw, message) => {
    const type = list(anything(), 1, { count: 2, what: 'things' });
    expect(told(type, raw)).toEqual([`: ${message}`]);
  });

  test('of one may be written without brackets', () => {
    expect(readAs(oneOrList(even()), 4)).toEqual({ ok: true, value: [2] });
    expect(readAs(oneOrList(even()), [4, 6])).toEqual({ ok: true, value: [2, 3] });
    expect(told(oneOrList(even()), [])).toEqual([': expected a list with at least one entry']);
    expect(told(oneOrList(even()), 5)).toEqual([': expected an even number']);
  });
});

describe('names', () => {
  test('are checked, and what is below them', () => {
    expect(readAs(named(even()), { a: 2, b: 4 })).toEqual({ ok: true, value: { a: 1, b: 2 } });
    expect(issuesOf(named(even()), { A: 2, b: 3 })).toEqual([
      { kind: 'key', path: ['A'], message: 'expected a name' },
      { kind: 'value', path: ['b'], message: 'expected an even number', bare: false },
    ]);
    expect(told(named(even()), [])).toEqual([': expected a mapping from names']);
  });
});

describe('a value per director', () => {
  const type = perDirector(even(), 'd1');

  test.each([
    [4, 2],
    [{ d1: 4, default: 6 }, 2],
    [{ d2: 4, default: 6 }, 3],
  ])('%j', (raw, value) => {
    expect(readAs(type, raw)).toEqual({ ok: true, value });
  });

  test('checks those of the others too, and needs one for this', () => {
    expect(told(type, { d1: 4, d2: 5 })).toEqual(['d2: expected an even number']);
    const message =
      'a mapping here has a value for each director, and none for d1 or default: its keys are d2 and d3 (--director says which one to be)';
    expect(issuesOf(type, { d2: 4, d3: 4 })).toEqual([
      { kind: 'value', path: [], message, bare: true },
    ]);
  });
});

test('a short form stands for a mapping', () => {
  const long = section(() => ({ count: required(even(), about) }));
  const short = scalar('an even number, or a mapping', yaml.int(), (count) => ({ count }));
  const type = shortOrLong(short, long);
  expect(readAs(type, 7)).toEqual({ ok: true, value: { count: 7 } });
  expect(readAs(type, { count: 8 })).toEqual({ ok: true, value: { count: 4 } });
  expect(told(type, { count: 7 })).toEqual(['count: expected an even number']);
  expect(told(type, [])).toEqual([': expected an even number, or a mapping']);
});
