/**
 * What the status says of sync groups: the state of each, and what keeps it from being active.
 * Pure, from the configuration and what the instances say of themselves.
 */
import type { GroupConfig } from '../config/config.ts';
import { groupState } from '../notify/words.ts';
import type { GroupReport, InstanceReport } from '../status.ts';

/** One report for each group, in the order of the configuration. */
export function groupReports(
  groups: readonly GroupConfig[],
  instances: readonly InstanceReport[],
): readonly GroupReport[] {
  const byName = new Map(instances.map((instance) => [instance.name, instance]));
  return groups.map(({ name, members }) => {
    const found = members.flatMap((member) => byName.get(member) ?? []);
    return {
      name,
      state: found.length < members.length ? null : groupState(found.map(({ state }) => state)),
      members: [...members],
      heldBy: heldBy(found),
    };
  });
}

/** Members because of which the group is not active, each with why; empty while it is. */
function heldBy(members: readonly InstanceReport[]): GroupReport['heldBy'] {
  if (members.every(({ state }) => state === 'active')) return [];
  const faulty = members.filter(
    ({ state, reason }) => state === 'fault' && reason !== 'group-member-fault',
  );
  if (faulty.length > 0) {
    return faulty.map(({ name, reason }) => ({ instance: name, why: reason }));
  }
  // A director that hears better ones everywhere is held by nobody: it is a backup.
  if (!members.some(({ waitsForGroup }) => waitsForGroup)) return [];
  return members
    .filter(({ state, waitsForGroup }) => state === 'backup' && !waitsForGroup)
    .map(({ name }) => ({ instance: name, why: 'hears-active' }));
}
