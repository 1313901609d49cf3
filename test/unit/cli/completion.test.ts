/** The completion scripts: bash's is run by bash, the others hold every command and option. */
import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { COMMANDS } from '../../../src/cli/commands.ts';
import { completionScript, SHELLS } from '../../../src/cli/completion.ts';

/** What bash offers for the last of these words. */
function offered(...words: string[]): readonly string[] {
  const line = ['vipkeeper', ...words].join(' ');
  // As readline does it: a colon parts words, and is one of its own.
  const parted = words.flatMap((word) => word.split(/(?<=:)|(?=:)/));
  const script = `${completionScript('bash')}
    vipkeeper() {
      [ "$*" != 'names server' ] || printf '%s\\n' web/10.0.0.1:80 web/10.0.0.1:81 'mail/[2001:db8::1]:25'
      [ "$*" != 'names instance' ] || printf '%s\\n' web mail
    }
    COMP_LINE='${line}' COMP_POINT=${line.length}
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _vipkeeper
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const args = ['--norc', '-c', script, 'bash', 'vipkeeper', ...parted];
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

  test('bash offers the names that the running director has', () => {
    expect(offered('handover', '')).toEqual(['mail', 'web']);
    expect(offered('explain', 'm')).toEqual(['mail']);
    expect(offered('drain', 'web/')).toEqual(['web/10.0.0.1:80', 'web/10.0.0.1:81']);
    // Only what is behind the last colon is replaced.
    expect(offered('undrain', 'web/10.0.0.1:8')).toEqual(['80', '81']);
    expect(offered('override', 'mail/[2001:db8::')).toEqual(['1]:25']);
    expect(offered('drain', 'other')).toEqual([]);
    expect(offered('drain', '--no-w')).toEqual(['--no-wait']);
  });

  test('zsh and fish ask for them too', () => {
    for (const shell of ['zsh', 'fish'] as const) {
      expect(completionScript(shell)).toContain('vipkeeper names ');
    }
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
