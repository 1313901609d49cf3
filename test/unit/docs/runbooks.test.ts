/** The runbooks have a section for every kind of finding, and a row for every reason of refusal. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { FINDING_KINDS } from '../../../src/core/vrrp/explain.ts';
import { FAULT_REASONS, REFUSAL_REASONS } from '../../../src/core/vrrp/types.ts';

const RUNBOOK = readFileSync(new URL('../../../docs/runbooks/vrrp.md', import.meta.url), 'utf8');

test.each([...FINDING_KINDS])('docs/runbooks/vrrp.md has a section for %s', (kind) => {
  expect(RUNBOOK).toContain(`\n## ${kind}\n`);
});

// Adverts for other virtual routers are none of an instance's, and so are never a finding.
const REASONS = REFUSAL_REASONS.filter((reason) => reason !== 'unknown-vrid');

test.each(REASONS)('docs/runbooks/vrrp.md says what to do about refusals for %s', (reason) => {
  const rows = RUNBOOK.split('\n').filter((line) => line.startsWith('| `'));
  expect(rows.some((row) => (row.split('|')[1] ?? '').includes(`\`${reason}\``))).toBe(true);
});

test.each([...FAULT_REASONS])('docs/runbooks/vrrp.md says what to do about fault %s', (reason) => {
  expect(RUNBOOK).toMatch(new RegExp(`^\\| \`${reason}\` \\|`, 'm'));
});
