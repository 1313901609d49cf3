/** What the status says of sync groups. */
import { describe, expect, test } from 'vitest';
import type { InstanceReport } from '../../../../src/core/status.ts';
import { groupReports } from '../../../../src/core/vrrp/group-report.ts';
import { STATUS } from '../../status-fixture.ts';

const GROUP = { name: 'edge', members: ['web', 'mail'] };

function member(name: string, fields: Partial<InstanceReport>): InstanceReport {
  return { ...(STATUS.instances[0] as InstanceReport), name, group: 'edge', ...fields };
}

function reportOf(web: Partial<InstanceReport>, mail: Partial<InstanceReport>) {
  return groupReports([GROUP], [member('web', web), member('mail', mail)])[0];
}

describe('groupReports', () => {
  test('an active group is held by nobody', () => {
    expect(reportOf({ state: 'active' }, { state: 'active' })).toEqual({
      ...GROUP,
      state: 'active',
      heldBy: [],
    });
  });

  test('a group in fault names the member whose fault it is, not those that inherit it', () => {
    const report = reportOf(
      { state: 'fault', reason: 'group-member-fault' },
      { state: 'fault', reason: 'tracker-down' },
    );
    expect(report).toMatchObject({
      state: 'fault',
      heldBy: [{ instance: 'mail', why: 'tracker-down' }],
    });
  });

  test('a member that hears an active director holds the others that do not', () => {
    const report = reportOf({ state: 'backup', waitsForGroup: true }, { state: 'backup' });
    expect(report).toMatchObject({
      state: 'backup',
      heldBy: [{ instance: 'mail', why: 'hears-active' }],
    });
  });

  test('a group that is backup everywhere is held by nobody', () => {
    expect(reportOf({ state: 'backup' }, { state: 'backup' })?.heldBy).toEqual([]);
  });

  test('the state is unknown while members differ, or while one is missing', () => {
    expect(reportOf({ state: 'active' }, { state: 'backup' })?.state).toBeNull();
    expect(groupReports([GROUP], [member('web', { state: 'active' })])[0]?.state).toBeNull();
  });
});
