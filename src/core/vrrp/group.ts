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
import { assert, assertNever } from '../assert.ts';
import type { VrrpState } from './instance.ts';
import type { FaultReason, VrrpEvent } from './types.ts';

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

/** What a command is to the machine of the member that it is for. */
export function groupEvent(event: GroupCommand['event'], atUs: number): VrrpEvent {
  switch (event) {
    case 'group-activated':
    case 'group-yielded':
      return { kind: event, atUs };
    case 'group-faulted':
      return { kind: 'fault-raised', atUs, reason: INHERITED };
    case 'group-cleared':
      return { kind: 'fault-cleared', atUs, reason: 'group-recovered' };
    default:
      return assertNever(event);
  }
}

/** Turns in which sync groups come to rest; each group needs three at most. */
const TURNS_MAX = 1_000;

export interface GroupPorts {
  readonly membersOf: (group: string) => readonly Member[];
  readonly follow: (command: GroupCommand) => void;
  /** Groups are left alone from then on. */
  readonly stopping: () => boolean;
}

/** Brings groups to one mind after each step of a member; steps that this causes included. */
export class GroupCoordinator {
  readonly #ports: GroupPorts;
  /** Groups whose members took a step. */
  readonly #stepped = new Set<string>();
  #held = false;

  constructor(ports: GroupPorts) {
    this.#ports = ports;
  }

  stepped(group: string): void {
    this.#stepped.add(group);
    this.#settle();
  }

  /** Looks at no group until release(): several members take their steps first. */
  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    this.#settle();
  }

  /** Forgets the steps: their instances are gone. */
  clear(): void {
    this.#stepped.clear();
  }

  #settle(): void {
    if (this.#held || this.#ports.stopping()) return;
    this.#held = true;
    let turns = 0;
    for (const group of this.#stepped) {
      this.#stepped.delete(group);
      assert(turns++ < TURNS_MAX, `sync group ${group} does not come to rest`);
      for (const command of coordinate(this.#ports.membersOf(group))) this.#ports.follow(command);
    }
    this.#held = false;
  }
}
