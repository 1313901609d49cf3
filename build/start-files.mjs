/**
 * The files of one bundle NAME.js in dist/start: its code (NAME.code), what V8 compiled of it
 * (NAME.cache), and NAME.js itself, a few lines that run the code with the cache. Without a cache
 * that fits, as with another version of Node, V8 compiles the code as it does any other.
 */
import { createHash } from 'node:crypto';
import { existsSync, renameSync, rmSync } from 'node:fs';

/** The header's length keeps what follows it aligned, so that V8 need not copy it. */
const HEADER_BYTES = 128;

export const codeFile = (name) => name.replace(/\.js$/, '.code');
export const cacheFile = (name) => name.replace(/\.js$/, '.cache');

/** Which code a cache is of: V8 compares nothing but the length. */
export function keyOf(text) {
  return createHash('sha256').update(text).digest('hex');
}

/** What a cache begins with, so that no other Node and no other code takes it. */
export function cacheHeader(key) {
  return Buffer.from(`${key} ${process.version} ${process.arch}`.padEnd(HEADER_BYTES));
}

/**
 * A module as a function of Node's CommonJS names, all in ASCII: read and kept at a byte a
 * character. What it imports while it runs is imported by NAME.js for it: code that comes from a
 * cache has lost who may import (ERR_VM_DYNAMIC_IMPORT_CALLBACK_MISSING).
 */
export function codeOf(moduleText) {
  const importing = moduleText.replace(/(?<![\w$.])import\(/g, 'importModule(');
  const escaped = importing.replace(
    /[^\0-\x7f]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return `(function (exports, require, module, __filename, __dirname, importModule) {${escaped}\n})`;
}

/** NAME.js: runs the code. */
export function loaderOf(key) {
  return `'use strict';
// Runs the code beside it with what V8 compiled of it when it was built (build/start-files.mjs).
const { readFileSync } = require('node:fs');
const { Script } = require('node:vm');
const base = __filename.slice(0, -'.js'.length);
const header = \`${key} \${process.version} \${process.arch}\`.padEnd(${HEADER_BYTES});
let cachedData;
try {
  const cache = readFileSync(\`\${base}.cache\`);
  if (cache.latin1Slice(0, ${HEADER_BYTES}) === header) cachedData = cache.subarray(${HEADER_BYTES});
} catch {
  // It is compiled as any other.
}
const script = new Script(readFileSync(\`\${base}.code\`, 'latin1'), {
  filename: __filename,
  cachedData,
});
const importModule = (specifier) => import(specifier);
script.runInThisContext()(exports, require, module, __filename, __dirname, importModule);
`;
}

/** Puts a directory in another one's place within two renames, whatever an earlier try left. */
export function replaceDirectory(installed, next) {
  const before = `${installed}.before`;
  rmSync(before, { recursive: true, force: true });
  if (existsSync(installed)) renameSync(installed, before);
  renameSync(next, installed);
  rmSync(before, { recursive: true, force: true });
}
