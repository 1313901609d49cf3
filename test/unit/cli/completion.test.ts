/** The completion scripts: bash's is run by bash, the others hold every command and option. */
import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { COMMANDS } from '../../../src/cli/commands.ts';
import { completionScript, SHELLS } from '../../../src/cli/completion.ts';

/** What bash offers for the last of these words. */
function offered(...words: string[]): readonly string[] {
  const script = `${completionScript('bash')}
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _vipkeeper
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const args = ['--norc', '-c', script, 'bash', 'vipkeeper', ...words];
  return execFileSync('bash', args, { cwd: import.meta.dirname, encoding: 'utf8' })
    .split('\n')
    .filter((line) => line !== '')
    .sort();
}

describe('completionScript', () => {
  test('bash offers commands, their options and the values of options', () => {
    expect(offered('')).toEqual(
      [...COMMANDS.map(({ name }) => name), 'help', '--help', '--version'].sort(),
    );
    expect(offered('st')).toEqual(['status']);
    expect(offered('status', '--')).toEqual(['--help', '--json', '--runtime-directory', '--watch']);
    expect(offered('completion', '')).toEqual(['--help', 'bash', 'fish', 'zsh']);
    expect(offered('run', '--config', 'completion.t')).toEqual(['completion.test.ts']);
    expect(offered('check', 'completion.t')).toEqual(['completion.test.ts']);
    expect(offered('run', '--director', 'c')).toEqual([]);
  });

  test.each(SHELLS)('%s knows every command and option', (shell) => {
    const script = completionScript(shell);
    for (const command of COMMANDS) {
      expect(script).toContain(command.name);
      for (const { name } of command.options) {
        expect(script).toContain(shell === 'fish' ? ` -l ${name} ` : `--${name}`);
      }
    }
  });
});
