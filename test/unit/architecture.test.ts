/** The house: which room may import which, no cycles, one importer of koffi, no Node in the core. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const SOURCE = fileURLToPath(new URL('../../src', import.meta.url));

/** Rooms that a room may import besides itself. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  core: [],
  linux: ['core'],
  config: ['core'],
  probes: ['core', 'linux'],
  keeper: ['core', 'linux'],
  http: ['core'],
  cli: ['core', 'linux', 'config'],
  controller: ['core', 'linux', 'config', 'probes', 'keeper'],
  entry: ['core', 'linux', 'config', 'probes', 'keeper', 'http', 'cli', 'controller'],
};

const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((path) =>
  path.endsWith('.ts'),
);

function importsOf(file: string): string[] {
  const text = readFileSync(join(SOURCE, file), 'utf8');
  const statements = text.matchAll(/^(?:import|export)\b[^;']*?\bfrom\s+'([^']+)'/gm);
  const calls = text.matchAll(/\bimport\(\s*'([^']+)'/g);
  return [...statements, ...calls].map((match) => match[1] as string);
}

function resolveImport(file: string, target: string): string {
  return normalize(join(dirname(file), target));
}

function roomOf(file: string): string {
  const [room, ...rest] = file.split('/');
  return rest.length === 0 ? 'entry' : (room as string);
}

/** A text without its comments. */
function codeOf(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/\/\/.*$/gm, '');
}

test('nothing is exported that nobody uses', () => {
  const folders = [SOURCE, join(SOURCE, '../test'), join(SOURCE, '../build')];
  const texts = new Map(
    folders.flatMap((folder) =>
      readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .filter((path) => /\.(ts|mjs|cjs)$/.test(path))
        .map((path) => join(folder, path))
        .map((path) => [path, codeOf(readFileSync(path, 'utf8'))] as const),
    ),
  );
  const counts = new Map<string, number>();
  for (const word of [...texts.values()].flatMap((text) => text.match(/\w+/g) ?? [])) {
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const unused = files.flatMap((file) => {
    const exported = (texts.get(join(SOURCE, file)) ?? '').matchAll(
      /^export (?:async )?(?:function|const|class|interface|type) (\w+)/gm,
    );
    return [...exported]
      .map(([, name = '']) => name)
      .filter((name) => counts.get(name) === 1)
      .map((name) => `${file}: ${name}`);
  });
  expect(counts.size).toBeGreaterThan(1000);
  expect(unused).toEqual([]);
});

describe('imports', () => {
  test('every room imports only rooms below it', () => {
    const wrong: string[] = [];
    for (const file of files) {
      const room = roomOf(file);
      const allowed = [room, ...(ALLOWED[room] ?? [])];
      for (const target of importsOf(file).filter((name) => name.startsWith('.'))) {
        const targetRoom = roomOf(resolveImport(file, target));
        if (!allowed.includes(targetRoom)) wrong.push(`${file} imports ${target}`);
      }
    }
    expect(files.length).toBeGreaterThan(40);
    expect(wrong).toEqual([]);
  });

  test('there are no cycles', () => {
    const edges = new Map(
      files.map((file) => [
        file,
        importsOf(file)
          .filter((name) => name.startsWith('.'))
          .map((target) => resolveImport(file, target)),
      ]),
    );
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) {
        cycles.push([...path.slice(path.indexOf(file)), file].join(' -> '));
        return;
      }
      if (done.has(file)) return;
      for (const target of edges.get(file) ?? []) visit(target, [...path, file]);
      done.add(file);
    };
    for (const file of files) visit(file, []);
    expect(cycles).toEqual([]);
  });

  test('core imports nothing from outside itself', () => {
    const outside = files
      .filter((file) => roomOf(file) === 'core')
      .flatMap((file) =>
        importsOf(file)
          .filter((name) => !name.startsWith('.'))
          .map((name) => `${file} imports ${name}`),
      );
    expect(outside).toEqual([]);
  });

  test('only linux/libc.ts imports koffi', () => {
    const importers = files.filter((file) => importsOf(file).includes('koffi'));
    expect(importers).toEqual([relative('.', 'linux/libc.ts')]);
  });

  test('the keeper process loads nothing but core and linux', () => {
    const reached = new Set<string>();
    const visit = (file: string): void => {
      if (reached.has(file)) return;
      reached.add(file);
      for (const target of importsOf(file).filter((name) => name.startsWith('.'))) {
        visit(resolveImport(file, target));
      }
    };
    visit('keeper-main.ts');
    const rooms = new Set([...reached].map(roomOf));
    expect([...rooms].sort()).toEqual(['core', 'entry', 'keeper', 'linux']);
  });
});
