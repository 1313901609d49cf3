/**
 * The documentation of the configuration against the code: the annotated file shows every key
 * and only true defaults, and the JSON Schema takes what the parser takes. That what is generated is
 * current: unit/docs/generated.test.ts.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { type Document, isMap, isScalar, isSeq, parse, parseDocument, visit } from 'yaml';
import { z } from 'zod';
import { configJsonSchemaText } from '../../../src/config/json-schema.ts';
import { configOptions } from '../../../src/config/reference.ts';
import { configOf, errorLines, REPOSITORY } from './read.ts';

function pathOf(name: string): string {
  return fileURLToPath(new URL(name, REPOSITORY));
}

const ANNOTATED = readFileSync(pathOf('conf/vipkeeper.yaml'), 'utf8');
const MINIMAL = readFileSync(pathOf('conf/minimal.yaml'), 'utf8');

/** The annotated file with every commented option in place. */
const UNCOMMENTED = ANNOTATED.replaceAll(/^( *)#(?=[a-z])/gm, '$1');

/** Sections whose keys are names. */
const NAMED = new Set(
  configOptions().flatMap(({ path }) => (/^\w+\.NAME/.test(path) ? [path.split('.')[0]] : [])),
);

/** 'services.NAME.servers[].weight' for each key of a document, with the place of the key. */
function keysOf(document: Document): { pattern: string; path: (string | number)[] }[] {
  const found: { pattern: string; path: (string | number)[] }[] = [];
  visit(document, {
    Pair: (_, pair, ancestors) => {
      const path: (string | number)[] = [];
      for (const [index, node] of [...ancestors, pair].entries()) {
        const next = index + 1 === ancestors.length ? pair : ancestors[index + 1];
        if (isSeq(node)) path.push(node.items.indexOf(next));
        else if ('key' in node && isScalar(node.key)) path.push(String(node.key.value));
      }
      const pattern = path
        .map((part, index) => {
          if (typeof part === 'number') return '[]';
          const named = index === 1 && NAMED.has(String(path[0]));
          return named ? '.NAME' : `.${part}`;
        })
        .join('')
        .slice(1);
      found.push({ pattern, path });
    },
  });
  return found;
}

describe('conf/vipkeeper.yaml', () => {
  const options = configOptions();

  test('is valid', () => expect(errorLines(ANNOTATED)).toEqual([]));

  test('is valid with every commented option in place', () =>
    expect(errorLines(UNCOMMENTED)).toEqual([]));

  test('has no line longer than 100 characters', () =>
    expect(ANNOTATED.split('\n').filter((line) => line.length > 100)).toEqual([]));

  test('explains every key in the line above it, the first time', () => {
    const unexplained = new Set<string>();
    const explained = new Set<string>();
    for (const [index, line] of ANNOTATED.split('\n').entries()) {
      const key = /^ *(?:- )?#?([a-z_]+):/.exec(line)?.[1];
      if (key === undefined || explained.has(key)) continue;
      const above = ANNOTATED.split('\n')[index - 1] ?? '';
      // Names of instances and services are explained by their sections.
      const isName = ['web', 'legacy', 'secure', 'media'].includes(key);
      if (/^ *# /.test(above) || isName) explained.add(key);
      else unexplained.add(key);
    }
    const known = new Set(options.map(({ path }) => path.split('.').at(-1)));
    expect([...unexplained].filter((key) => !explained.has(key) && known.has(key))).toEqual([]);
  });

  test('shows every key of the schema', () => {
    const shown = new Set(keysOf(parseDocument(UNCOMMENTED)).map(({ pattern }) => pattern));
    const same = (path: string) =>
      // Requests have the keys beside them; a check and a tunnel have the same keys on a server as on a service, http as https.
      [
        path,
        path.replace('.servers[].check.', '.check.'),
        // A sorry server's are those of a server.
        path.replace('.sorry_servers[]', '.servers[]'),
        path.replace('.sorry_servers[].check.', '.check.'),
        path.replace('.sorry_servers[].check.https.', '.check.http.'),
        path.replace('.servers[].check.https.', '.check.http.'),
        path.replace('.check.https.', '.check.http.'),
        path.replace(/^.*\.check\.https?\.requests\[\]\./, 'services.NAME.check.http.'),
        path.replace('.NAME.tunnel.', '.NAME.servers[].tunnel.'),
        // What `static` has is the same, beside `instances`.
        path.replace(/^static\./, 'vrrp.NAME.'),
        path.replace(/^static\.(?:routes|rules)\[\]\.instances/, 'static.addresses[].instances'),
      ].some((candidate) => shown.has(candidate));
    expect(options.map(({ path }) => path).filter((path) => !same(path))).toEqual([]);
  });

  test('shows the default of every option that has one', () => {
    const document = parseDocument(ANNOTATED);
    const shown = new Map<string, unknown[]>();
    for (const { pattern, path } of keysOf(document)) {
      const node = document.getIn(path, true);
      const value = isScalar(node) || isSeq(node) ? node.toJS(document) : undefined;
      shown.set(pattern, [...(shown.get(pattern) ?? []), value]);
    }
    // `priority` shows values per director; `default` stands in its explanation.
    const elsewhere = ['vrrp.NAME.priority'];
    const wrong = options.filter(({ path, text }) => {
      // Shown where an instance has the same.
      if (path.startsWith('static.') && !path.includes('instances')) return false;
      if (/^static\.(routes|rules)/.test(path)) return false;
      const own =
        /\.(servers\[\]\.(check|tunnel)|sorry_servers\[\]|check\.https|check\.http\.requests\[\]|NAME\.tunnel)\./.test(
          path,
        );
      if (text.default === undefined || own || elsewhere.includes(path)) return false;
      const expected = JSON.stringify(text.default);
      return !(shown.get(path) ?? []).some((value) => JSON.stringify(value) === expected);
    });
    expect(wrong.map(({ path }) => path)).toEqual([]);
    expect(ANNOTATED).toContain('Default 100.');
  });

  test('means the same without its options that show a default', () => {
    const whole = configOf(ANNOTATED);
    const defaults = new Map(options.map(({ path, text }) => [path, text.default]));
    const original = parseDocument(ANNOTATED);
    const shown = keysOf(original).filter(({ pattern, path }) => {
      const expected = defaults.get(pattern);
      const node = original.getIn(path, true);
      if (expected === undefined || isMap(node) || !(isScalar(node) || isSeq(node))) return false;
      return JSON.stringify(node.toJS(original)) === JSON.stringify(expected);
    });
    // Several at a time, as reading the file so often takes long.
    for (let start = 0; start < shown.length; start += 5) {
      const document = original.clone();
      const removed = shown.slice(start, start + 5);
      for (const { path } of removed) document.deleteIn(path);
      const patterns = removed.map(({ pattern }) => pattern).join(', ');
      expect(configOf(String(document)), patterns).toEqual(whole);
    }
    expect(shown.length).toBeGreaterThan(35);
  });
});

test('conf/minimal.yaml is a valid pair with services in under 30 lines', () => {
  expect(MINIMAL.split('\n').length).toBeLessThan(30);
  const [a, b] = ['dir-a', 'dir-b'].map((director) => configOf(MINIMAL, director));
  expect([a?.vrrp[0]?.priority, b?.vrrp[0]?.priority]).toEqual([150, 100]);
  expect(a?.services[0]?.servers).toHaveLength(2);
  expect(a?.sync).toEqual({ interface: 'eth1', id: 51, follow: 'web' });
});

describe('conf/vipkeeper.schema.json', () => {
  test('accepts our files and refuses wrong ones', () => {
    const schema = z.fromJSONSchema(JSON.parse(configJsonSchemaText()));
    for (const text of [ANNOTATED, UNCOMMENTED, MINIMAL]) {
      expect(schema.safeParse(parse(text)).error?.issues ?? []).toEqual([]);
    }
    const instance = 'interface: eth0, vrid: 1, addresses: [192.0.2.1/24]';
    const base = `vrrp: {w: {${instance}}}`;
    expect(schema.safeParse(parse(base)).success).toBe(true);
    const wrong = [
      `${base}\nx: 1`,
      `vrrp: {w: {${instance}, priority: 300}}`,
      `vrrp: {w: {${instance}, priority: {dir-a: 300}}}`,
      `vrrp: {w: {${instance}, interval: 5}}`,
      `vrrp: {w: {${instance}, checksum: md5}}`,
      'vrrp: {w: {interface: eth0}}',
      `${base}\nhttp: on`,
      'services: {s: {address: "192.0.2.1:80", servers: [{weight: 1}]}}',
    ];
    for (const text of wrong) expect(schema.safeParse(parse(text)).success, text).toBe(false);
  });
});
