/**
 * inTurns: a list made of another in many turns of the event loop, for lists of ten thousand and
 * more that somebody only wants to look at: nothing else waits for all of it. sortedInTurns: the same
 * for their order.
 */
import { Turn, type TurnPorts } from './turn.ts';

/** Items between two looks at the clock: each takes some microseconds. */
const ITEMS_PER_LOOK = 8;

/** `make` of each item, in order. */
export async function inTurns<T, R>(
  items: Iterable<T>,
  make: (item: T) => R,
  ports: TurnPorts,
): Promise<R[]> {
  const turn = new Turn(ports);
  const made: R[] = [];
  for (const item of items) {
    made.push(make(item));
    if (made.length % ITEMS_PER_LOOK === 0 && turn.hasLasted()) await turn.rest();
  }
  return made;
}

/** Texts that are sorted at once, and that are merged between two looks at the clock. */
const SORTED_AT_ONCE = 256;

/** The texts in the order of their UTF-16 code units, as Array.prototype.sort() has them. */
export async function sortedInTurns(items: Iterable<string>, ports: TurnPorts): Promise<string[]> {
  const turn = new Turn(ports);
  const all = [...items];
  let runs: string[][] = [];
  for (let first = 0; first < all.length; first += SORTED_AT_ONCE) {
    runs.push(all.slice(first, first + SORTED_AT_ONCE).sort());
    if (turn.hasLasted()) await turn.rest();
  }
  while (runs.length > 1) {
    const merged: string[][] = [];
    for (let index = 0; index < runs.length; index += 2) {
      merged.push(await mergedInTurns(runs[index] as string[], runs[index + 1] ?? [], turn));
    }
    runs = merged;
  }
  return runs[0] ?? [];
}

async function mergedInTurns(
  left: readonly string[],
  right: readonly string[],
  turn: Turn,
): Promise<string[]> {
  const merged: string[] = [];
  let [fromLeft, fromRight] = [0, 0];
  while (fromLeft < left.length || fromRight < right.length) {
    const [one, other] = [left[fromLeft], right[fromRight]];
    if (other === undefined || (one !== undefined && one <= other)) {
      merged.push(one as string);
      fromLeft++;
    } else {
      merged.push(other);
      fromRight++;
    }
    if (merged.length % SORTED_AT_ONCE === 0 && turn.hasLasted()) await turn.rest();
  }
  return merged;
}
