/**
 * The states of sync groups as they were told, and what there is to tell now: a group is in a
 * state when all of its members are (core/notify/words.ts), and keeps the last one while they
 * differ.
 */
import type { GroupConfig } from '../../core/config/config.ts';
import { groupState } from '../../core/notify/words.ts';
import type { VrrpStateName } from '../../core/vrrp/types.ts';

export interface GroupChange {
  readonly group: string;
  readonly from: VrrpStateName;
  readonly to: VrrpStateName;
}

export class GroupStates {
  readonly #told: Map<string, VrrpStateName>;
  #groups: readonly GroupConfig[] = [];

  /** `told` is what an earlier controller has told. */
  constructor(told: ReadonlyMap<string, VrrpStateName>) {
    this.#told = new Map(told);
  }

  /** Groups that are new begin in the state that they are in: nothing has changed. */
  configure(
    groups: readonly GroupConfig[],
    instances: ReadonlyMap<string, VrrpStateName>,
    continued: boolean,
  ): void {
    const known = new Set(this.#groups.map(({ name }) => name));
    const names = new Set(groups.map(({ name }) => name));
    for (const name of this.#told.keys()) if (!names.has(name)) this.#told.delete(name);
    this.#groups = groups;
    if (continued) return;
    for (const { name, members } of groups) {
      const state = known.has(name) ? null : stateOf(members, instances);
      if (state !== null) this.#told.set(name, state);
    }
  }

  get states(): ReadonlyMap<string, VrrpStateName> {
    return this.#told;
  }

  /** What has changed with the states of the instances, taken as told from now on. */
  changes(instances: ReadonlyMap<string, VrrpStateName>): readonly GroupChange[] {
    return this.#groups.flatMap(({ name, members }): readonly GroupChange[] => {
      const to = stateOf(members, instances);
      const from = this.#told.get(name) ?? 'initialize';
      if (to === null || to === from) return [];
      this.#told.set(name, to);
      return [{ group: name, from, to }];
    });
  }
}

function stateOf(
  members: readonly string[],
  instances: ReadonlyMap<string, VrrpStateName>,
): VrrpStateName | null {
  return groupState(members.map((member) => instances.get(member) ?? 'initialize'));
}
