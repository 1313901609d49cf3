/**
 * Compiles files of dist/start for good: V8's code of all their functions, kept beside them, spares
 * every start the parsing and compiling. bundle.mjs runs it once for each set of Node's flags,
 * because V8 takes only what was compiled by the same version under the same flags.
 *
 * Usage: node FLAGS code-cache.mjs DIRECTORY NAME...
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { Script } from 'node:vm';
import { cacheHeader, codeFile, cacheFile, keyOf } from './start-files.mjs';

const [directory, ...names] = process.argv.slice(2);
for (const name of names) {
  const text = readFileSync(join(directory, codeFile(name)), 'latin1');
  // All functions and not only those that run while it is loaded.
  setFlagsFromString('--no-lazy');
  const script = new Script(text, { filename: join(directory, name) });
  // The flags that it is accepted with are those of the moment in which it is written.
  setFlagsFromString('--lazy');
  const header = cacheHeader(keyOf(text));
  writeFileSync(join(directory, cacheFile(name)), Buffer.concat([header, script.createCachedData()]));
}
