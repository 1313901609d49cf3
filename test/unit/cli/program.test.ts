/** The command line: help, usage errors, and what reaches the commands. */
import { describe, expect, test } from 'vitest';
import { COMMANDS, EXIT } from '../../../src/cli/commands.ts';
import { runProgram } from '../../../src/cli/program.ts';
import { UsageError } from '../../../src/cli/usage.ts';
import { formatProblem } from '../../../src/core/problem.ts';
import { fakeTerminal } from './fake-terminal.ts';

async function run(...args: string[]) {
  const terminal = fakeTerminal();
  const asked: unknown[] = [];
  const exit = await runProgram(args, {
    terminal,
    interruption: () => new AbortController().signal,
    cleanUp: async (options) => {
      asked.push(options);
      return { removed: [], routing: [], problems: [] };
    },
    readOverrides: () => expect.fail('no plan'),
  });
  return { exit, asked, ...terminal.written };
}

async function usage(...args: string[]): Promise<string> {
  const error = await run(...args).then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof UsageError)) throw new Error('no usage error', { cause: error });
  return formatProblem(error.problem);
}

describe('runProgram', () => {
  test.each(COMMANDS.map(({ name }) => name))(
    '%s --help shows options and examples',
    async (name) => {
      const spec = COMMANDS.find((command) => command.name === name) as (typeof COMMANDS)[number];
      const { exit, out, err } = await run(name, '--help');
      expect([exit, err]).toEqual([EXIT.ok, '']);
      for (const option of spec.options) expect(out).toContain(`--${option.name}`);
      for (const example of spec.examples) expect(out).toContain(`  ${example.command}\n`);
      for (const { status, means } of spec.exits) expect(out).toContain(`  ${status}  ${means}`);
      expect((await run('help', name)).out).toBe(out);
    },
  );

  test('the overview names every command', async () => {
    const { out } = await run('--help');
    for (const { name, summary } of COMMANDS) {
      expect(out).toMatch(new RegExp(`^  ${name}( .*)? {2,}${summary}$`, 'm'));
    }
  });

  test('without a command it shows the overview as an error', async () => {
    const { exit, out, err } = await run();
    expect([exit, out]).toEqual([EXIT.usage, '']);
    expect(err).toBe((await run('--help')).out);
  });

  test('--version and version print the same', async () => {
    expect((await run('--version')).out).toMatch(/^vipkeeper \d+\.\d+\.\d+\n$/);
    expect((await run('version')).out).toBe((await run('--version')).out);
  });

  test('an invalid command line is VK-USAGE with a cure', async () => {
    expect(await usage('chekc')).toBe(
      "VK-USAGE: Unknown command 'chekc'. Perhaps you meant check.",
    );
    expect(await usage('status', '--jsn')).toBe(
      "VK-USAGE: Unknown option '--jsn'. Perhaps you meant --json.",
    );
    expect(await usage('cleanup', 'now')).toMatch(
      /^VK-USAGE: Too many arguments for 'cleanup'.* See `vipkeeper cleanup --help`/,
    );
    expect(await usage('completion', 'tcsh')).toMatch(/Allowed choices are bash, zsh, fish\. /);
    expect(await usage('check', '--director', 'a b')).toMatch(/^VK-USAGE: "a b" cannot be /);
  });

  test('cleanup passes its options on', async () => {
    const { asked } = await run('cleanup', '--dry-run', '--runtime-directory', '/nonexistent');
    expect(asked).toEqual([{ runtimeDirectory: '/nonexistent', dryRun: true }]);
    expect((await run('cleanup')).asked).toEqual([
      { runtimeDirectory: '/run/vipkeeper', dryRun: false },
    ]);
  });

  test('status exits with 3 when nothing runs', async () => {
    const { exit, err } = await run('status', '--runtime-directory', '/nonexistent');
    expect(exit).toBe(EXIT.notRunning);
    expect(err).toContain('/nonexistent/control.sock');
  });
});
