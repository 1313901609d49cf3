/** The guide to health checks: its examples are valid, and it names every kind. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { DIALOGUES } from '../../../src/core/health/dialogues.ts';
import { errorLines, REPOSITORY } from '../config/read.ts';

const GUIDE = readFileSync(new URL('docs/guides/health-checks.md', REPOSITORY), 'utf8');
const EXAMPLES = [...GUIDE.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1] ?? '');

test.each(EXAMPLES)('%s', (example) => {
  const lines = example.trimEnd().split('\n');
  const service = ['services:', '  s:', '    address: 192.0.2.1:80', '    servers: [10.0.0.1:80]'];
  const whole = lines.includes('services:');
  const text = whole ? example : [...service, ...lines.map((line) => `    ${line}`), ''].join('\n');
  // Files of the examples are not there.
  const errors = errorLines(text).filter((line) => !line.includes('cannot be read: ENOENT'));
  expect(errors).toEqual([]);
});

test('every kind and every ready-made dialogue is named', () => {
  const kinds = ['tcp', 'https', 'dns', 'udp', 'ping', 'script', 'dialogue', 'ldap', 'mysql'];
  kinds.push('bfd', 'postgresql', 'radius', 'sip', ...Object.keys(DIALOGUES));
  expect(kinds.filter((kind) => !GUIDE.includes(`\`${kind}`))).toEqual([]);
  expect(EXAMPLES.length).toBeGreaterThan(8);
});
