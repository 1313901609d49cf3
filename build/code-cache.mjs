/**
 * Compiles files of dist/start for good: V8's code of their functions, kept beside them, spares
 * every start the parsing and compiling. bundle.mjs runs it once for each set of Node's flags,
 * because V8 takes only what was compiled by the same version under the same flags.
 *
 * Usage: node FLAGS code-cache.mjs DIRECTORY [--as DIRECTORY] [--used FUNCTION --with JSON] NAME...
 *
 * All functions of a file are compiled; with --used only those that run when the module is loaded
 * and its FUNCTION called with this argument: of a large library that is a small part. --as is where
 * the files will be, which V8 keeps for stack traces.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { Script } from 'node:vm';
import { cacheFile, cacheHeader, codeFile, keyOf } from './start-files.mjs';

const { values, positionals } = parseArgs({
  options: { as: { type: 'string' }, used: { type: 'string' }, with: { type: 'string' } },
  allowPositionals: true,
});
const [directory, ...names] = positionals;

function compileAll(text, shown) {
  setFlagsFromString('--no-lazy');
  const script = new Script(text, { filename: shown });
  // The flags that it is accepted with are those of the moment in which it is written.
  setFlagsFromString('--lazy');
  return script;
}

function compileUsed(text, shown, filename) {
  const script = new Script(text, { filename: shown });
  const module = { exports: {} };
  const require = createRequire(filename);
  const names = [module.exports, require, module, filename, dirname(filename)];
  script.runInThisContext()(...names, (specifier) => import(specifier));
  module.exports[values.used](JSON.parse(values.with));
  return script;
}

for (const name of names) {
  const text = readFileSync(join(directory, codeFile(name)), 'latin1');
  const filename = join(directory, name);
  const compile = values.used === undefined ? compileAll : compileUsed;
  const shown = join(values.as ?? directory, name);
  const data = compile(text, shown, filename).createCachedData();
  writeFileSync(
    join(directory, cacheFile(name)),
    Buffer.concat([cacheHeader(keyOf(text)), data]),
  );
}
