/** The files of an installation's bundles: code, what V8 compiled of it, and what loads both. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { REPOSITORY } from '../../lab/host.ts';

interface StartFiles {
  keyOf(text: string): string;
  cacheHeader(key: string): Buffer;
  codeOf(moduleText: string): string;
  loaderOf(key: string): string;
  replaceDirectory(installed: string, next: string): void;
}

const BUILD = join(REPOSITORY, 'build');
const files = (await import(pathToFileURL(join(BUILD, 'start-files.mjs')).href)) as StartFiles;

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vk-build-'));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** Writes NAME.js and NAME.code. */
function write(name: string, moduleText: string): void {
  const code = files.codeOf(moduleText);
  writeFileSync(join(directory, `${name}.code`), code);
  writeFileSync(join(directory, `${name}.js`), files.loaderOf(files.keyOf(code)));
}

function compile(...names: string[]): void {
  const maker = join(BUILD, 'code-cache.mjs');
  execFileSync(process.execPath, [maker, directory, ...names.map((name) => `${name}.js`)]);
}

function run(name: string, flags: readonly string[] = []): string {
  const file = join(directory, `${name}.js`);
  return execFileSync(process.execPath, [...flags, file], { encoding: 'utf8' });
}

describe('a bundle', () => {
  const text = "const { sep } = require('node:path'); console.log('a–é😀', sep, /^–$/u.test('–'));";

  test('runs from its code, with a cache or without', () => {
    write('whole', text);
    const expected = 'a–é😀 / true\n';
    expect(run('whole')).toBe(expected);
    compile('whole');
    expect(run('whole')).toBe(expected);
    // V8 refuses what was compiled under other flags.
    expect(run('whole', ['--no-opt'])).toBe(expected);
  });

  test('imports while it runs, with a cache or without, by its own place too', () => {
    writeFileSync(join(directory, 'other.mjs'), 'export const name = await "another";');
    write(
      'importing',
      "(async () => console.log((await import('node:os')).EOL.length," +
        "(await import('./other.mjs')).name))();",
    );
    expect(run('importing')).toBe('1 another\n');
    compile('importing');
    expect(run('importing')).toBe('1 another\n');
  });

  test('runs what was compiled, and never what was compiled of another code', () => {
    const one = "console.log('one');";
    const two = "console.log('two');";
    write('one', one);
    write('two', two);
    compile('one');
    const cache = join(directory, 'two.cache');
    const copy = (header: Buffer) =>
      `const fs = require('fs'); const cache = fs.readFileSync(${JSON.stringify(join(directory, 'one.cache'))});` +
      `Buffer.from('${header.toString('hex')}', 'hex').copy(cache); fs.writeFileSync(${JSON.stringify(cache)}, cache);`;
    const headerOf = (module: string) => files.cacheHeader(files.keyOf(files.codeOf(module)));
    execFileSync(process.execPath, ['-e', copy(headerOf(one))]);
    expect(run('two')).toBe('two\n');
    // The header is all that tells them apart: V8 takes any code of the same length.
    execFileSync(process.execPath, ['-e', copy(headerOf(two))]);
    expect(run('two')).toBe('one\n');
  });
});

describe('a build takes the place of the one before', () => {
  function make(name: string, text: string): string {
    const path = join(directory, name);
    mkdirSync(path);
    writeFileSync(join(path, text), text);
    return path;
  }
  const contents = (path: string): string[] =>
    readdirSync(path).map((name) => readFileSync(join(path, name), 'utf8'));

  test.each([
    ['the first one', []],
    ['another one', ['start']],
    ['one that was broken off between its renames', ['start.before']],
    ['one that left both', ['start', 'start.before']],
  ])('%s', (_, present) => {
    for (const name of present) make(name, 'old');
    const installed = join(directory, 'start');
    files.replaceDirectory(installed, make('start.next', 'new'));
    expect(contents(installed)).toEqual(['new']);
    expect(readdirSync(directory)).toEqual(['start']);
  });
});
