/** `vipkeeper run` up to the point where it becomes the keeper. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseRun } from '../../../src/cli/run.ts';
import { UsageError } from '../../../src/cli/usage.ts';
import { VERSION } from '../../../src/core/version.ts';

const ROOT = join(import.meta.dirname, '../../..');

describe('parseRun', () => {
  test('always tells the keeper the configuration file, and the director if given', () => {
    expect(parseRun([])).toEqual(['--config', '/etc/vipkeeper/vipkeeper.yaml']);
    expect(parseRun(['--director=dir-b', '--config', 'x.yaml'])).toEqual([
      '--config',
      'x.yaml',
      '--director',
      'dir-b',
    ]);
  });

  test('takes the usual spelling as it takes every other', () => {
    const given = ['--config', 'x.yaml', '--director', 'dir-b'];
    expect(parseRun(given)).toEqual(given);
    expect(parseRun(['--config=x.yaml', '--director=dir-b'])).toEqual(given);
    expect(parseRun(['--director', 'dir-a', ...given])).toEqual(given);
    expect(parseRun(['--director=dir-a', ...given])).toEqual(given);
  });

  test('-h and --help ask for help', () => {
    expect(parseRun(['-h'])).toBe('help');
    expect(parseRun(['--config', 'x', '--help'])).toBe('help');
  });

  test.each([
    [['--confg', 'x'], "Unknown option '--confg'"],
    [['x.yaml'], "Unexpected argument 'x.yaml'"],
    [['--config', 'x', 'y.yaml'], "Unexpected argument 'y.yaml'"],
    [['--config', '--director'], "Option '--config' argument is ambiguous."],
    [['--config'], "Option '--config <value>' argument missing"],
    [['--config='], '--config needs the name of a file'],
    [['--director', ''], '"" cannot be the name of a director'],
    [['--director', '../x'], '"../x" cannot be the name of a director'],
  ])('%j is a usage error in one sentence', (args, message) => {
    expect(() => parseRun(args)).toThrow(UsageError);
    expect(() => parseRun(args)).toThrow(message);
    try {
      parseRun(args);
    } catch (error) {
      expect((error as UsageError).problem.code).toBe('VK-USAGE');
      expect((error as UsageError).problem.message).toBe(message);
    }
  });
});

test('run loads no package on its way to the keeper', () => {
  const loaded = new Set<string>();
  const packages = new Set<string>();
  const follow = (file: string) => {
    if (loaded.has(file)) return;
    loaded.add(file);
    const text = readFileSync(file, 'utf8');
    for (const [, typed, from] of text.matchAll(/^(?:import|\}) ?(type )?.*?'([^']+)';$/gm)) {
      if (typed !== undefined) continue;
      if (from?.startsWith('.')) follow(join(dirname(file), from));
      else if (!from?.startsWith('node:')) packages.add(from as string);
    }
  };
  follow(join(ROOT, 'src/main.ts'));
  expect([...packages]).toEqual([]);
  expect(loaded).toContain(join(ROOT, 'src/cli/run.ts'));
  // The same look at the other commands sees what it must see.
  follow(join(ROOT, 'src/cli/program.ts'));
  expect([...packages]).toEqual(['commander']);
});

test('VERSION is that of the package', () => {
  const text = readFileSync(join(ROOT, 'package.json'), 'utf8');
  expect(VERSION).toBe((JSON.parse(text) as { version: string }).version);
});
