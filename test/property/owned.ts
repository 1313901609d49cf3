/** Lists of owned entries for tests, as values: what the changes of the product make of them. */
import { type DesiredService, serviceKey } from '../../src/core/ipvs/model.ts';
import {
  claimed,
  type MutableOwned,
  makeChange,
  type OwnedChange,
  type OwnedSet,
} from '../../src/core/ipvs/owned.ts';

/** The list with the changes; the one that was given stays as it is. */
export function withChanges(owned: OwnedSet, changes: readonly OwnedChange[]): OwnedSet {
  const next: MutableOwned = new Map();
  for (const [service, servers] of owned) next.set(service, new Set(servers));
  for (const change of changes) makeChange(next, change);
  return next;
}

/** The list and all that is desired. */
export function claim(owned: OwnedSet, desired: readonly DesiredService[]): OwnedSet {
  const byKey = desired.map((one) => [serviceKey(one.service.identity), one] as const);
  return withChanges(owned, claimed(owned, byKey));
}
