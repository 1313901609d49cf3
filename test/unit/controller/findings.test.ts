/** Findings are told when they begin and when they end, each of its own. */
import { expect, test } from 'vitest';
import { Findings, findingsIntervalMs } from '../../../src/controller/findings.ts';
import type { InstanceReport, PeerReport } from '../../../src/core/status.ts';
import { STATUS } from '../status-fixture.ts';

const BASE: InstanceReport = {
  ...(STATUS.instances[0] as InstanceReport),
  state: 'backup',
  // None is on a backup, which would be a finding of its own.
  addresses: [],
  peers: [],
};

function refusedPeer(address: string): PeerReport {
  const detail = 'The checksum is wrong in both forms';
  const refused = { counts: { checksum: 1 }, secondsAgo: 0.1, reason: 'checksum', detail } as const;
  return { address, lastHeardSecondsAgo: 0.1, accepted: null, refused };
}

test('Findings tells of each peer that is refused once, and when it is over', () => {
  const findings = new Findings();
  const one = { ...BASE, peers: [refusedPeer('192.0.2.2')] };
  const two = { ...BASE, peers: [refusedPeer('192.0.2.2'), refusedPeer('192.0.2.3')] };
  const told = (report: InstanceReport) =>
    findings.look([report]).map(({ finding, began }) => [finding.kind, finding.about, began]);
  expect(told(one)).toEqual([['adverts-refused', '192.0.2.2', true]]);
  expect(told(one)).toEqual([]);
  expect(told(two)).toEqual([['adverts-refused', '192.0.2.3', true]]);
  expect(told(BASE)).toEqual([
    ['adverts-refused', '192.0.2.2', false],
    ['adverts-refused', '192.0.2.3', false],
  ]);
});

test('Findings tells of another reason of a fault that goes on', () => {
  const findings = new Findings();
  const told = (report: Partial<InstanceReport>) =>
    findings
      .look([{ ...BASE, ...report }])
      .map(({ finding, began }) => [finding.kind, began, finding.text.includes('no interface')]);
  const down = { state: 'fault', reason: 'interface-down' } as const;
  expect(told(down)).toEqual([['in-fault', true, false]]);
  expect(told(down)).toEqual([]);
  expect(told({ ...down, reason: 'interface-missing' })).toEqual([['in-fault', true, true]]);
  expect(told({})).toEqual([['in-fault', false, true]]);
});

test('looking for findings takes the same small share of time, however many instances there are', () => {
  expect(findingsIntervalMs(1)).toBeLessThan(6_000);
  const costMs = 0.03;
  for (const count of [1, 100, 1_000, 10_000]) {
    expect((count * costMs) / findingsIntervalMs(count)).toBeLessThan(0.002);
  }
});
