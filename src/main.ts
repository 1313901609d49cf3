#!/usr/bin/env node
/**
 * Entry of every command. `run` is decided first and loads next to nothing, because it only
 * makes way for the keeper; the others load the command line. Whatever goes wrong ends as one
 * sentence with a code and a cure; a stack is shown only with VIPKEEPER_DEBUG=1.
 */
import { fileURLToPath } from 'node:url';
import { EXIT } from './cli/commands.ts';
import { becomeKeeper, parseRun } from './cli/run.ts';
import { printable, processTerminal } from './cli/terminal.ts';
import { UsageError } from './cli/usage.ts';
import { formatProblem, type Problem } from './core/problem.ts';

const KEEPER = fileURLToPath(new URL('./keeper-main.js', import.meta.url));

async function main(args: readonly string[]): Promise<number> {
  if (args[0] === 'run') {
    const parsed = parseRun(args.slice(1));
    if (parsed !== 'help') return becomeKeeper(KEEPER, parsed);
  }
  const { runProgram } = await import('./cli/program.ts');
  return runProgram(args, {
    terminal: processTerminal(),
    interruption,
    cleanUp: async (options) => {
      const { cleanUpAll } = await import('./controller/clean-up.ts');
      return cleanUpAll(options);
    },
    readOverrides: async (runtimeDirectory) => {
      const { overrideFiles, readOverrides } = await import('./controller/overrides.ts');
      const read = readOverrides(overrideFiles(runtimeDirectory));
      // A damaged file is told of at the start, which goes on without it.
      return read.ok ? read.value : [];
    },
  });
}

/** Aborted by the first SIGINT or SIGTERM; the second ends the process as ever. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => controller.abort());
  }
  return controller.signal;
}

function problemOf(error: unknown): Problem {
  if (error instanceof UsageError) return error.problem;
  const text = error instanceof Error ? error.message : String(error);
  // SystemError is not imported: that would load libc for every command.
  if (error instanceof Error && error.name === 'SystemError') {
    return {
      code: 'VK-SYSTEM',
      message: printable(text),
      cure: 'Run it as root, and see errno(3) for what the code means',
    };
  }
  return {
    code: 'VK-INTERNAL',
    message: printable(text),
    cure: 'Run it again with VIPKEEPER_DEBUG=1 and report what it prints',
  };
}

function fail(error: unknown): void {
  const problem = problemOf(error);
  process.stderr.write(`${formatProblem(problem)}\n`);
  if (process.env.VIPKEEPER_DEBUG === '1' && error instanceof Error) {
    process.stderr.write(`${error.stack}\n`);
  }
  process.exitCode = problem.code === 'VK-USAGE' ? EXIT.usage : EXIT.failed;
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader has seen enough, as `head` does: no error, and nothing more to do.
  if (error.code === 'EPIPE') process.exit(process.exitCode ?? EXIT.ok);
  fail(error);
});
process.on('uncaughtException', (error) => {
  fail(error);
  process.exit();
});

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  fail(error);
}
