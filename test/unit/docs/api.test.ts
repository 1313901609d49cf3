/** docs/reference/api.md has every field of an explanation, and no other, and every route. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { explainInstance } from '../../../src/core/vrrp/explain.ts';
import { STATUS } from '../status-fixture.ts';

const TEXT = readFileSync(new URL('../../../docs/reference/api.md', import.meta.url), 'utf8');

test('the reference of the API has every field of an explanation, and no other', () => {
  const [instance] = STATUS.instances;
  if (instance === undefined) throw new Error('The fixture has no instance');
  const fields = Object.keys(explainInstance({ ...instance, state: 'fault' }));
  const rows = TEXT.slice(TEXT.indexOf('## `/v1/explain`')).matchAll(/^\| (`[^|]+`) \|/gm);
  const documented = [...rows].flatMap(([, names]) => (names as string).split(', '));
  expect(documented.map((name) => name.slice(1, -1)).sort()).toEqual(fields.sort());
});

test('and every route of a stranger', () => {
  const server = readFileSync(new URL('../../../src/http/server.ts', import.meta.url), 'utf8');
  for (const path of ['/metrics', '/v1/status', '/v1/explain', '/healthz']) {
    expect(TEXT).toContain(`| \`${path}\` |`);
    expect(server).toContain(`case '${path}'`);
  }
});
