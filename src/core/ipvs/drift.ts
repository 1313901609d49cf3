/**
 * Which differences between the kernel's table and the wanted one are drift, and which our own
 * wish: an entry drifted when it is not as it was last known, so that somebody else must have
 * changed it. One that is as it was known differs because something else is wanted now.
 */
import { serverDifference, serviceDifference } from './compare.ts';
import type { ObservedService, RealServer } from './model.ts';
import { serverKey } from './model.ts';
import { type DriftItem, serverPath } from './plan.ts';

/**
 * The items of one service's plan that are drift; foreign entries are none.
 * @param key the service's, as in the items
 * @param known the service as it was last known; null when it was not in the table
 * @param observed the service as it is
 */
export function driftOf(
  items: readonly DriftItem[],
  key: string,
  { known, observed }: Readonly<Record<'known' | 'observed', ObservedService | null>>,
): DriftItem[] {
  const ours = items.filter((item) => item.class !== 'foreign');
  if (ours.length === 0) return [];
  const before = serversByPath(key, known);
  const after = serversByPath(key, observed);
  return ours.filter((item) =>
    item.key === key
      ? changed(known?.service, observed?.service, serviceDifference)
      : changed(before.get(item.key), after.get(item.key), serverDifference),
  );
}

function changed<T>(
  before: T | undefined,
  after: T | undefined,
  difference: (is: T, wanted: T) => string | null,
): boolean {
  if (before === undefined || after === undefined) return before !== after;
  return difference(after, before) !== null;
}

function serversByPath(key: string, entry: ObservedService | null): Map<string, RealServer> {
  return new Map(entry?.servers.map((server) => [serverPath(key, serverKey(server)), server]));
}
