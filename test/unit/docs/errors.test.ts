/** docs/reference/errors.md explains every code of the table, and no other. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { PROBLEM_CODES } from '../../../src/core/problem.ts';

const FILE = join(import.meta.dirname, '../../../docs/reference/errors.md');
const [, ...SECTIONS] = readFileSync(FILE, 'utf8').split(/^## /m);

describe('errors.md', () => {
  test('has a section for each code, in the order of the table, and no other', () => {
    expect(SECTIONS.map((section) => section.split('\n', 1)[0])).toEqual(
      Object.keys(PROBLEM_CODES),
    );
  });

  test.each(Object.entries(PROBLEM_CODES))('%s has its meaning and a cure', (code, meaning) => {
    const section = SECTIONS.find((each) => each.startsWith(`${code}\n`)) ?? '';
    const [, first, explanation, cure] = section.trim().split('\n\n');
    expect(first).toBe(`${meaning}.`);
    expect(explanation?.length ?? 0).toBeGreaterThan(40);
    expect(cure).toMatch(/^\*\*What to do:\*\* [A-Z].*\.$/s);
  });
});
