/** How the status and the explanation show routes, rules and the section static. */
import { expect, test } from 'vitest';
import { drawStatus } from '../../../src/cli/status-view.ts';
import type { InstanceReport, RoutingReport } from '../../../src/core/status.ts';
import { explainInstance } from '../../../src/core/vrrp/explain.ts';
import { NOW_MS, STATUS } from '../status-fixture.ts';

const ROUTE: RoutingReport = {
  kind: 'route',
  text: 'default via 192.0.2.1',
  present: false,
  error: 'Network is unreachable',
  contested: false,
};
const RULE: RoutingReport = {
  kind: 'rule',
  text: '100: from all lookup 100',
  present: true,
  error: null,
  contested: false,
};
const active = STATUS.instances.find(({ state }) => state === 'active') as InstanceReport;
const PLAIN = { color: false, columns: null, rows: null };

test('the status shows what is there, what is not and why', () => {
  const contested = { ...ROUTE, text: '10.0.0.0/8 via 192.0.2.1', error: null, contested: true };
  const address = {
    address: '203.0.113.2',
    prefixLength: 24,
    interface: 'eth1',
    present: true,
    error: null,
  };
  const status = {
    ...STATUS,
    instances: [{ ...active, routing: [ROUTE, RULE] }],
    static: { addresses: [address], routing: [contested], restored: 0 },
  };
  const lines = drawStatus(status, NOW_MS, PLAIN).split('\n');
  expect(lines).toContain('  route  default via 192.0.2.1     absent: Network is unreachable');
  expect(lines).toContain('  rule   100: from all lookup 100  present');
  const at = lines.indexOf('STATIC');
  expect(lines.slice(at + 1, at + 3)).toEqual([
    '  address  203.0.113.2/24 on eth1  present',
    '  route  10.0.0.0/8 via 192.0.2.1  absent: contested',
  ]);
});

test('the explanation of an active instance finds what is missing, and of a backup nothing', () => {
  const findings = (report: InstanceReport) =>
    explainInstance(report).findings.filter(({ kind }) => kind === 'routing-missing');
  expect(findings({ ...active, routing: [ROUTE, RULE] })).toEqual([
    expect.objectContaining({
      text:
        'The route default via 192.0.2.1 is missing although this director is active: ' +
        'Network is unreachable',
    }),
  ]);
  expect(findings({ ...active, state: 'backup', routing: [ROUTE] })).toEqual([]);
});
