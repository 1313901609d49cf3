/** The guide to health checks: its examples are valid, and it names every kind. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { PLACES_OF_WORDS } from '../../../src/config/keepalived-words.ts';
import { LDIRECTORD_WORDS } from '../../../src/config/ldirectord-words.ts';
import { configOptions } from '../../../src/config/reference.ts';
import { unknownKeyMessage } from '../../../src/config/suggest.ts';
import { DIALOGUE_WORDS } from '../../../src/core/health/dialogues.ts';
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
  kinds.push('bfd', 'postgresql', 'radius', 'sip', ...DIALOGUE_WORDS);
  expect(kinds.filter((kind) => !GUIDE.includes(`\`${kind}`))).toEqual([]);
  expect(EXAMPLES.length).toBeGreaterThan(8);
});

test.each(Object.keys(LDIRECTORD_WORDS))('ldirectord’s %s is answered', (word) => {
  expect(GUIDE).toContain(`\`${word}\``);
  expect(unknownKeyMessage(word, ['scheduler', 'servers'])).not.toContain('scheduler');
});

test('the places that are named for words of others exist', () => {
  const keys = new Set(configOptions().map(({ path }) => path));
  const places = [...Object.values(LDIRECTORD_WORDS), ...Object.values(PLACES_OF_WORDS)];
  const paths = places.filter((place) => /^[a-z_]+(\.[a-z_]+)+$/.test(place));
  expect(paths.length).toBeGreaterThan(30);
  expect(paths.filter((path) => !keys.has(path) && !keys.has(`services.NAME.${path}`))).toEqual([]);
});

test('they are told where they were written', () => {
  const expected = (word: string, ...valid: string[]) => unknownKeyMessage(word, valid);
  expect(expected('checkinterval', 'scheduler')).toBe('unknown key, expected check.interval');
  expect(expected('checkinterval', 'interval')).toBe('unknown key, did you mean interval?');
  expect(expected('connect_timeout', 'scheduler')).toBe('unknown key, expected check.timeout');
  expect(expected('port', 'upper_threshold')).toContain('behind the address');
  // Words that are as good as typed elsewhere keep their meaning there.
  expect(expected('key', 'keys', 'active_key')).toBe('unknown key, did you mean keys?');
  expect(expected('request', 'requests', 'body_matches')).toContain('did you mean requests?');
});
