/** What `npm run bench -- --help` and `--list` say, which is known before anything is built. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { BENCHMARKS } from '../../bench/benchmarks.ts';

const ROOT = join(import.meta.dirname, '../../..');
const NAMES = Object.keys(BENCHMARKS).sort();

interface Listed {
  readonly name: string;
  readonly about: string;
  readonly minutes: number;
}

function bench(...args: string[]): string {
  return execFileSync(process.execPath, [join(ROOT, 'test/bench.mjs'), ...args], {
    encoding: 'utf8',
  });
}

test('the list has each benchmark, with a sentence and a time', () => {
  const listed = JSON.parse(bench('--list', '--json')) as readonly Listed[];
  expect(listed.map(({ name }) => name).sort()).toEqual(NAMES);
  for (const { name, about, minutes } of listed) {
    expect(about.length, name).toBeGreaterThan(20);
    expect(minutes, name).toBeGreaterThan(0);
  }
});

test('the help is the list, and the options', () => {
  const help = bench('--help');
  expect(help).toContain(bench('--list'));
  for (const option of ['--runs N', '--json', '--list']) expect(help).toContain(option);
});

test('docs/benchmarks.md has a section for each', () => {
  const text = readFileSync(join(ROOT, 'docs/benchmarks.md'), 'utf8');
  const sections = [...text.matchAll(/^## (\S+)$/gm)].map(([, name]) => name);
  expect(sections.filter((name) => name !== 'Results').sort()).toEqual(NAMES);
});
