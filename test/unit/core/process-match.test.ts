import { describe, expect, test } from 'vitest';
import { matchesProcess, type ProcessPattern } from '../../../src/core/process-match.ts';

function pattern(process: string, changes: Partial<ProcessPattern> = {}): ProcessPattern {
  return { process, arguments: null, argumentsMatch: 'exact', ...changes };
}

const NGINX = { name: 'nginx', words: ['/usr/sbin/nginx', '-g', 'daemon off;'] };

describe('matchesProcess', () => {
  test.each([
    ['the process’s own name', pattern('nginx'), { name: 'nginx', words: [] }, true],
    ['the last part of its path', pattern('nginx'), { ...NGINX, name: 'x' }, true],
    ['a whole path', pattern('/usr/sbin/nginx'), NGINX, true],
    ['another path', pattern('/usr/local/sbin/nginx'), NGINX, false],
    ['a part of a name', pattern('ngin'), NGINX, false],
    [
      'a name that the kernel has cut off',
      pattern('systemd-timesyncd'),
      { name: 'systemd-timesyn', words: ['/lib/systemd/systemd-timesyncd'] },
      true,
    ],
    [
      'the cut-off name of another program',
      pattern('systemd-timesyncd'),
      { name: 'systemd-timesyn', words: ['/lib/systemd/systemd-timesynch'] },
      false,
    ],
  ])('takes %s as it must', (_what, wanted, facts, expected) => {
    expect(matchesProcess(wanted, facts)).toBe(expected);
  });

  test.each([
    ['exact', ['-g', 'daemon off;'], true],
    ['exact', ['-g'], false],
    ['exact', [], false],
    ['initial', ['-g'], true],
    ['initial', ['-g', 'daemon'], false],
    ['partial', ['-g', 'daemon'], true],
    ['partial', ['-', 'daemon'], false],
    ['partial', ['-g', 'daemon off;', 'more'], false],
  ] as const)('compares arguments: %s with %j', (argumentsMatch, wanted, expected) => {
    const facts = pattern('nginx', { arguments: wanted, argumentsMatch });
    expect(matchesProcess(facts, NGINX)).toBe(expected);
  });
});
