/**
 * Entry of `vipkeeper run` as the launcher starts it (build/bundle.mjs): with the keeper's flags
 * of Node, so that this process is the keeper as soon as its command line has been read, and Node
 * starts once. Without the launcher, main.ts does the same by execve.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseRun } from './cli/run.ts';

const KEEPER = join(import.meta.dirname, 'keeper-main.js');
/** From here and from the bundles, which lie in a directory next to this one's. */
const MAIN = join(import.meta.dirname, '../src/main.js');

/** The keeper's arguments; null for what the command line itself has to answer. */
function keeperArguments(): readonly string[] | null {
  try {
    const parsed = parseRun(process.argv.slice(3));
    return parsed === 'help' ? null : parsed;
  } catch {
    return null;
  }
}

async function run(): Promise<void> {
  const args = keeperArguments();
  if (args === null) return void (await import(pathToFileURL(MAIN).href));
  // What a keeper that becomes its successor starts again.
  process.argv.splice(1, Number.POSITIVE_INFINITY, KEEPER, ...args);
  await import('./keeper-main.ts');
}

void run();
