/**
 * Sync groups: instances that are active together or not at all, so that traffic enters and
 * leaves through the same director. The group decides from its members' states alone:
 *
 *   a member has a fault of its own      -> every other member is in fault because of it
 *   some are active and some are backup  -> one had to give way, so all give way
 *   all are backup and want to be active -> all become active in the same turn
 *   some are being handed over           -> the others wait for how that ends
 *
 * coordinate() is called after every event of a member until it has nothing to say.
 */

import type { VrrpState } from './instance.ts';
import type { FaultReason } from './types.ts';

export interface Member {
  readonly name: string;
  readonly state: VrrpState;
}

/** What one member is told. */
export type GroupCommand = {
  readonly member: string;
  readonly event: 'group-activated' | 'group-yielded' | 'group-faulted' | 'group-cleared';
};

/** Faults that a member has because of another one. */
const INHERITED: FaultReason = 'group-member-fault';

/** Commands that bring the members to one mind; empty when they are. */
export function coordinate(members: readonly Member[]): readonly GroupCommand[] {
  const faulty = members.some(({ state }) => state.kind === 'fault' && state.reason !== INHERITED);
  if (faulty) return tell(members, 'group-faulted', ({ state }) => state.kind !== 'fault');
  if (members.some(({ state }) => state.kind === 'fault')) {
    return tell(members, 'group-cleared', ({ state }) => state.kind === 'fault');
  }
  const active = members.filter(({ state }) => state.kind === 'active');
  if (active.length === members.length) return [];
  const pending = members.some(
    ({ state }) => state.kind === 'resigning' && state.afterwards === 'backup',
  );
  if (pending) return [];
  if (active.length > 0)
    return tell(members, 'group-yielded', ({ state }) => state.kind === 'active');
  const willing = members.every(({ state }) => state.kind === 'backup' && state.wantsActive);
  return willing ? tell(members, 'group-activated', () => true) : [];
}

function tell(
  members: readonly Member[],
  event: GroupCommand['event'],
  to: (member: Member) => boolean,
): readonly GroupCommand[] {
  return members.filter(to).map(({ name }) => ({ member: name, event }));
}
