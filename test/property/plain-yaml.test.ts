/**
 * The fast reader of YAML against the library: what it reads is the same value with the same
 * entries, and everything else it leaves alone. Texts are made of the pieces that make YAML
 * difficult, and of good ones that were damaged.
 */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ConfigDocument } from '../../src/config/document.ts';
import { readPlainYaml } from '../../src/config/plain-yaml.ts';
import { threadCpuMs } from '../lab/thread-cpu.ts';

/** Keys, values and signs with which a text can mean something else than it looks like. */
const PIECES = [
  ...['a', 'b', 'key', 'a.b', 'x-1', '1', '0', '010', '0x1f', '0o17', '1e3', '1.5', '.5', '-1'],
  ...['-0', '+1', '1.', '.inf', '.nan', '~', 'null', 'Null', 'true', 'TRUE', 'yes', 'on', 'no'],
  ...['10.0.0.1:80', '::1', 'fe80::1', '[::1]:80', '2001:db8::/32', '12:30', '5s', '<<', '=', ''],
  ...[
    '"q"',
    "'q'",
    "'it''s'",
    '"a\\n"',
    '"\\"\\x"',
    '-g',
    '"',
    "'",
    '"a: b"',
    "'a # b'",
    '""',
    "''",
    'a b',
    'ü',
  ],
  ...[': ', ':', ':\n', '\n', '\n  ', '\n    ', '\n- ', '\n  - ', '- ', '-', '  ', ' ', ' # c\n'],
  ...['#c', '{', '}', '[', ']', ', ', ',', '{ ', ' }', '[a, b]', '{ a: 1, b: [2] }', '{}', '[]'],
  ...['---\n', '...\n', '&a ', '*a', '!t ', '|\n', '>\n', '? ', '%YAML 1.1\n', '@', '`', '\t'],
  ...['\r\n', '\\', '__proto__', '"__proto__"', '\u{1f600}', '\ufeff', '\u2028', '\u0085', '\0'],
];

const piece = fc.constantFrom(...PIECES);
/** Mostly lines, so that some of it can be read. */
const line = fc
  .tuple(
    fc.constantFrom('', '', '  ', '  ', '    '),
    fc.constantFrom('', '', '', '- '),
    fc.constantFrom('a: ', 'b: ', 'c:', 'd: ', ''),
    piece,
    fc.constantFrom('\n', '\n', ' # c\n', ''),
  )
  .map((parts) => parts.join(''));
const jumble = fc
  .array(fc.oneof({ weight: 3, arbitrary: line }, { weight: 1, arbitrary: piece }), {
    maxLength: 6,
  })
  .map((parts) => parts.join(''));

type Value =
  | null
  | boolean
  | number
  | string
  | readonly Value[]
  | { readonly [key: string]: Value };

const word = fc.constantFrom(
  'web',
  '10.0.0.1:80',
  'a b',
  "it's",
  'x: y',
  'a #b',
  '5s',
  '- x',
  '',
  '"',
  'a\\b\n',
);
const scalar: fc.Arbitrary<Value> = fc.oneof(
  word,
  fc.constantFrom(null, true, false),
  fc.integer({ min: -9999, max: 9999 }),
);
const key = fc.constantFrom('a', 'b', 'c', 'dir-a', 'x.y', '7', 'address', 'On');
const { tree } = fc.letrec<{ tree: Value }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    scalar,
    fc.array(tie('tree'), { maxLength: 3 }),
    fc.dictionary(key, tie('tree'), { maxKeys: 3, noNullPrototype: true }),
  ),
}));
const mapping = fc.dictionary(key, tree, { minKeys: 1, maxKeys: 4, noNullPrototype: true });

/** As people write it: in lines, or in braces where the random choice says so. */
function written(value: Value, indent: number, choose: () => number): string {
  const pad = ' '.repeat(indent);
  const comment = choose() % 5 === 0 ? ' # why: "so"' : '';
  if (value === null) return ` ~${comment}\n`;
  if (typeof value === 'string') {
    const plain = /^[\w.:]+[^:]$/.test(value) && choose() % 3 !== 0;
    return ` ${plain ? value : JSON.stringify(value)}${comment}\n`;
  }
  if (typeof value !== 'object') return ` ${value}${comment}\n`;
  const empty = Object.keys(value).length === 0;
  if (empty || choose() % 4 === 0) return ` ${braces(value)}${comment}\n`;
  if (Array.isArray(value)) {
    const items = value.map((item: Value) => {
      if (item === null || typeof item !== 'object' || Object.keys(item).length === 0) {
        return `${pad}-${written(item, indent + 2, choose)}`;
      }
      if (Array.isArray(item) || choose() % 3 === 0) return `${pad}- ${braces(item)}\n`;
      return `${pad}- ${written(item, indent + 2, () => 1).slice(1 + indent + 2)}`;
    });
    return `${comment}\n${items.join('')}`;
  }
  const blank = choose() % 6 === 0 ? '\n  # alone\n' : '';
  const lines = Object.entries(value).map(
    ([name, inner]) => `${pad}${name}:${written(inner, indent + 2, choose)}`,
  );
  return `${comment}\n${blank}${lines.join('')}`;
}

function braces(value: Value): string {
  if (Array.isArray(value)) return `[${value.map(braces).join(', ')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const pairs = Object.entries(value).map(([name, inner]) => `${name}: ${braces(inner)}`);
  return `{ ${pairs.join(', ')} }`;
}

const document = fc
  .tuple(mapping, fc.infiniteStream(fc.nat({ max: 59 })))
  .map(([value, stream]) => {
    const choose = (): number => stream.next().value ?? 0;
    const lines = Object.entries(value).map(
      ([name, inner]) => `${name}:${written(inner, 2, choose)}`,
    );
    return { value, text: lines.join('') };
  });

/** What it reads is what the library reads; whether it reads it. */
function expectSame(text: string): boolean {
  const plain = readPlainYaml(text);
  if (plain === null) return false;
  const library = ConfigDocument.parseByLibrary(text);
  if (!(library instanceof ConfigDocument)) throw new Error(`${library.message}: ${text}`);
  expect(library.faults, text).toEqual([]);
  expect(plain.value, text).toEqual(library.value);
  for (const name of Object.keys(plain.value as object)) {
    expect(plain.sections.get(name) ?? null, text).toEqual(library.entriesOf(name));
  }
  return true;
}

/** Of every value, and beside each mapping one that is not there. */
function pathsOf(value: unknown, before: readonly PropertyKey[] = []): readonly PropertyKey[][] {
  const own = [...before];
  if (Array.isArray(value)) {
    return [own, ...value.flatMap((item, index) => pathsOf(item, [...before, index]))];
  }
  if (value === null || typeof value !== 'object') return [own];
  const inner = Object.entries(value).flatMap(([name, one]) => pathsOf(one, [...before, name]));
  return [own, [...before, 'missing'], ...inner];
}

describe('the fast reader of YAML', () => {
  test('a jumble of difficult pieces is read as by the library, or not at all', () => {
    let read = 0;
    const property = fc.property(jumble, (text) => {
      if (expectSame(text)) read++;
    });
    fc.assert(property, { numRuns: 20_000 });
    // Else it would say nothing.
    expect(read).toBeGreaterThan(100);
  });

  test('a document that was damaged anywhere is read as by the library, or not at all', () => {
    const damaged = fc.tuple(document, fc.nat(), fc.nat({ max: 8 }), fc.constantFrom(...PIECES));
    const property = fc.property(damaged, ([{ text }, at, cut, piece]) => {
      const place = at % (text.length + 1);
      if (expectSame(`${text.slice(0, place)}${piece}${text.slice(place + cut)}`)) read++;
    });
    let read = 0;
    fc.assert(property, { numRuns: 5_000 });
    expect(read).toBeGreaterThan(500);
  });

  test('documents as people write them are read, and are what was written', () => {
    const property = fc.property(document, ({ value, text }) => {
      expectSame(text);
      const json = JSON.stringify(value, null, 2);
      expectSame(json);
      expect(readPlainYaml(text)?.value, text).toEqual(value);
      expect(readPlainYaml(json)?.value, json).toEqual(value);
    });
    fc.assert(property, { numRuns: 2_000 });
  });

  test('places of all there is, and of what is missing, are those that the library finds', () => {
    const property = fc.property(document, fc.constantFrom('dir-a', 'b'), ({ text }, director) => {
      const whole = ConfigDocument.parseByLibrary(text) as ConfigDocument;
      for (const path of pathsOf(whole.value)) {
        for (const atKey of [true, false]) {
          // Each is the first place that is asked for.
          const part = ConfigDocument.parse(text) as ConfigDocument;
          const located = part.locate(path, { director, atKey });
          expect(located, text).toEqual(whole.locate(path, { director, atKey }));
        }
      }
    });
    fc.assert(property, { numRuns: 500 });
  });

  test('many places are those that the library finds', () => {
    const property = fc.property(document, ({ text }) => {
      const whole = ConfigDocument.parseByLibrary(text) as ConfigDocument;
      const part = ConfigDocument.parse(text) as ConfigDocument;
      const options = { director: 'dir-a', atKey: false };
      for (const path of pathsOf(whole.value)) {
        expect(part.locate(path, options), text).toEqual(whole.locate(path, options));
      }
    });
    fc.assert(property, { numRuns: 200 });
  });

  test('one place in a large text takes a small part of reading it by the library', () => {
    const service = (index: number) => `  s${index}:\n    address: 192.0.2.1:${index}\n`;
    const services = Array.from({ length: 5_000 }, (_, index) => service(index));
    const text = `vrrp:\n  web: {vrid: 1}\nservices:\n${services.join('')}log: { level: info }\n`;
    const path = ['services', 's4000', 'address'];
    const options = { director: 'a', atKey: false };
    let whole = threadCpuMs();
    const byLibrary = (ConfigDocument.parseByLibrary(text) as ConfigDocument).locate(path, options);
    whole = threadCpuMs() - whole;
    let part = threadCpuMs();
    const located = (ConfigDocument.parse(text) as ConfigDocument).locate(path, options);
    part = threadCpuMs() - part;
    expect(located).toEqual(byLibrary);
    expect(located).toMatchObject({ line: 8_005, column: 14, found: '192.0.2.1:4000' });
    expect(part).toBeLessThan(whole / 4);
  });

  test('the configurations that come with vipkeeper are read by it', () => {
    for (const name of ['minimal', 'vipkeeper']) {
      const text = readFileSync(new URL(`../../conf/${name}.yaml`, import.meta.url), 'utf8');
      expectSame(text);
      expect(readPlainYaml(text), name).not.toBeNull();
    }
  });
});
