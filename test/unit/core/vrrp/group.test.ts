/** Sync groups: members are active together or not at all. */
import { describe, expect, test } from 'vitest';
import { DEFAULTS } from '../../../../src/core/config/defaults.ts';
import { coordinate, type Member } from '../../../../src/core/vrrp/group.ts';
import {
  INITIAL_STATE,
  nextDeadlineUs,
  step,
  type VrrpState,
} from '../../../../src/core/vrrp/instance.ts';
import type { InstanceOptions, VrrpEvent } from '../../../../src/core/vrrp/types.ts';

const SECOND = 1_000_000;

const OPTIONS: InstanceOptions = {
  version: 3,
  priority: 100,
  advertIntervalUs: SECOND,
  preempt: true,
  preemptDelayUs: 0,
  announce: {
    ...DEFAULTS.vrrp.announce,
    repeat: 5,
    delayUs: 0,
    refreshUs: 0,
    lowerPriorityDelayUs: 0,
  },
  group: 'pair',
};

/** A group with its members' states; feeds events and follows what the group then says. */
class Group {
  readonly states = new Map<string, VrrpState>();

  constructor(...names: string[]) {
    for (const name of names) this.states.set(name, INITIAL_STATE);
    for (const name of names) this.tell(name, { kind: 'started', atUs: 0 }, false);
  }

  tell(name: string, event: VrrpEvent, follow = true): void {
    const before = this.states.get(name) as VrrpState;
    this.states.set(name, step(OPTIONS, before, event).state);
    if (follow) this.#coordinate(event.atUs);
  }

  kinds(): string[] {
    return [...this.states.values()].map((state) => state.kind);
  }

  members(): Member[] {
    return [...this.states].map(([name, state]) => ({ name, state }));
  }

  #coordinate(atUs: number): void {
    for (let turn = 0; turn < 10; turn++) {
      const commands = coordinate(this.members());
      if (commands.length === 0) return;
      for (const { member, event } of commands) this.tell(member, translate(event, atUs), false);
    }
    throw new Error('the group does not come to rest');
  }
}

function translate(event: string, atUs: number): VrrpEvent {
  if (event === 'group-faulted')
    return { kind: 'fault-raised', atUs, reason: 'group-member-fault' };
  if (event === 'group-cleared') return { kind: 'fault-cleared', atUs, reason: 'group-recovered' };
  return { kind: event as 'group-activated' | 'group-yielded', atUs };
}

const DOWN = nextDeadlineUs(new Group('only').states.get('only') as VrrpState) as number;
const due = (atUs: number): VrrpEvent => ({ kind: 'deadline-reached', atUs });
const advert = (atUs: number, priority: number): VrrpEvent => ({
  kind: 'advert-received',
  atUs,
  priority,
  advertIntervalUs: SECOND,
  fromHigherAddress: false,
});

function activeGroup(): Group {
  const group = new Group('front', 'back');
  group.tell('front', due(DOWN));
  group.tell('back', due(DOWN));
  expect(group.kinds()).toEqual(['active', 'active']);
  return group;
}

describe('coordinate', () => {
  test('a member whose timer ran out waits until every member wants to be active', () => {
    const group = new Group('front', 'back');
    group.tell('front', due(DOWN));
    expect(group.kinds()).toEqual(['backup', 'backup']);
    expect(nextDeadlineUs(group.states.get('front') as VrrpState)).toBe(2 * DOWN);
    group.tell('back', due(DOWN + 5));
    expect(group.kinds()).toEqual(['active', 'active']);
  });

  test('a member that hears an active director again is not willing any more', () => {
    const group = new Group('front', 'back');
    group.tell('front', due(DOWN));
    group.tell('front', advert(DOWN + 1, 200));
    group.tell('back', due(DOWN + 5));
    expect(group.kinds()).toEqual(['backup', 'backup']);
  });

  test('when one member gives way to a higher priority, all do', () => {
    const group = activeGroup();
    group.tell('back', advert(DOWN + 1, 101));
    expect(group.kinds()).toEqual(['backup', 'backup']);
  });

  test('a fault of one member is a fault of all, and ends when its own ends', () => {
    const group = activeGroup();
    group.tell('back', { kind: 'fault-raised', atUs: DOWN + 1, reason: 'interface-down' });
    expect(group.states.get('front')).toMatchObject({
      kind: 'fault',
      reason: 'group-member-fault',
    });
    group.tell('back', { kind: 'fault-cleared', atUs: DOWN + 2, reason: 'interface-up' });
    expect(group.kinds()).toEqual(['backup', 'backup']);
  });

  test('a group of one is active as soon as it wants to be', () => {
    const group = new Group('only');
    group.tell('only', due(DOWN));
    expect(group.kinds()).toEqual(['active']);
  });

  test('a group at rest is told nothing', () => {
    expect(coordinate(activeGroup().members())).toEqual([]);
    expect(coordinate(new Group('front', 'back').members())).toEqual([]);
  });
});
