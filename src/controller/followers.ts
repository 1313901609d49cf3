/** Which services change with which VRRP instance: found out once for each configuration. */
import type { ServiceConfig } from '../core/config/config.ts';
import { inTurns } from '../core/in-turns.ts';
import { TURNS } from '../linux/turns.ts';

export interface Following {
  /** Names of the services that are in the table only while the instance is active here. */
  readonly onlyOnActive: readonly string[];
  /** Whether any is checked only then. */
  readonly checked: boolean;
}

/** By the names of the instances that have any. */
export type Followers = ReadonlyMap<string, Following>;

/** In turns of the event loop. */
export async function followersOf(services: readonly ServiceConfig[]): Promise<Followers> {
  const followers = new Map<string, { onlyOnActive: string[]; checked: boolean }>();
  const add = ({ name, entries, onlyOnActive, checkWhen }: ServiceConfig): void => {
    if (!onlyOnActive && checkWhen !== 'active') return;
    for (const instance of new Set(entries.flatMap(({ follow }) => follow ?? []))) {
      const following = followers.get(instance) ?? { onlyOnActive: [], checked: false };
      followers.set(instance, following);
      if (onlyOnActive) following.onlyOnActive.push(name);
      if (checkWhen === 'active') following.checked = true;
    }
  };
  await inTurns(services, add, TURNS);
  return followers;
}
