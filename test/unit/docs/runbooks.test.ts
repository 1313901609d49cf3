/**
 * The runbooks have a section for every kind of finding and of trouble with services, a row for
 * every reason, and name metrics, alerts and sections that there are.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { WEIGHT_REASONS } from '../../../src/core/health/pool.ts';
import { PROBE_FAILURE_REASONS } from '../../../src/core/health/probe-result.ts';
import { SERVICE_TROUBLES } from '../../../src/core/service-runbook.ts';
import { FINDING_KINDS } from '../../../src/core/vrrp/explain.ts';
import { FAULT_REASONS, REFUSAL_REASONS } from '../../../src/core/vrrp/types.ts';
import { METRIC_GROUPS } from '../../../src/http/metrics-table.ts';

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');
const RUNBOOK = read('docs/runbooks/vrrp.md');
const SERVICES = read('docs/runbooks/services.md');
const ALERTS = read('conf/alerts.yaml');
const VIPKEEPER_METRICS = new Set(
  METRIC_GROUPS.flatMap(({ metrics }) => metrics).map(({ name }) => name),
);

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

test.each([...SERVICE_TROUBLES])('docs/runbooks/services.md has a section for %s', (trouble) => {
  const section = SERVICES.split('\n## ').find((text) => text.startsWith(`${trouble}\n`)) ?? '';
  for (const word of ['Seen', 'Why', 'hat to do']) expect(section).toContain(word);
});

test.each([...Object.keys(PROBE_FAILURE_REASONS), ...WEIGHT_REASONS])(
  'docs/runbooks/services.md says what to do about %s',
  (reason) => {
    const rows = SERVICES.split('\n').filter((line) => line.startsWith('| `'));
    expect(rows.some((row) => (row.split('|')[1] ?? '').includes(`\`${reason}\``))).toBe(true);
  },
);

test('docs/runbooks/services.md names metrics, alerts and sections that there are', () => {
  for (const [name] of SERVICES.matchAll(/vipkeeper_[a-z_]+/g)) {
    expect(VIPKEEPER_METRICS).toContain(name);
  }
  for (const [, name] of SERVICES.matchAll(/alert `(\w+)`/g)) {
    expect(ALERTS).toContain(`- alert: ${name}\n`);
  }
  for (const [, section] of SERVICES.matchAll(/\]\(#([a-z-]+)\)/g)) {
    expect(SERVICE_TROUBLES).toContain(section);
  }
});

test('conf/alerts.yaml names sections that there are, and every section that is an alert', () => {
  const named = [...ALERTS.matchAll(/services\.md#([a-z-]+)/g)].map(([, section]) => section);
  expect(SERVICE_TROUBLES).toEqual(expect.arrayContaining(named));
  const alone = SERVICE_TROUBLES.filter((trouble) => !named.includes(trouble));
  // A director without IPVS does not run, and what is foreign may be meant to be there.
  expect(alone).toEqual(['no-ipvs', 'foreign-entries']);
});
