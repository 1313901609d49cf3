/**
 * Entry of `vipkeeper cleanup` as the launcher starts it (build/bundle.mjs): the service manager
 * runs it when a director has died, and until it is done its peer may be active with the same
 * virtual IPs. So it loads what it needs and no command line; whatever is not plain removing, or
 * goes wrong, is left to main.ts, which says so in a sentence.
 */
import { parseArgs } from 'node:util';
import { cleanup } from './cli/cleanup.ts';
import { DEFAULT_RUNTIME_DIRECTORY } from './cli/commands.ts';
import { processTerminal } from './cli/terminal.ts';
import { cleanUpAll } from './controller/clean-up.ts';

/** From here and from the bundles, which lie in a directory next to this one's. */
const MAIN = new URL('../src/main.js', import.meta.url).href;

/** Exit status; null for what the command line itself has to answer. */
async function run(): Promise<number | null> {
  try {
    const { values } = parseArgs({
      args: process.argv.slice(3),
      options: { 'runtime-directory': { type: 'string', default: DEFAULT_RUNTIME_DIRECTORY } },
      strict: true,
    });
    const options = { runtimeDirectory: values['runtime-directory'], dryRun: false, json: false };
    return await cleanup(options, processTerminal(), cleanUpAll);
  } catch {
    return null;
  }
}

void run().then(async (status) => {
  if (status === null) await import(MAIN);
  else process.exitCode = status;
});
