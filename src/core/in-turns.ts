/**
 * inTurns: a list made of another, some items in each turn of the event loop, for lists of ten
 * thousand and more that somebody only wants to look at: nothing else waits for all of it.
 */

/** Items between two turns: each takes some microseconds. */
const ITEMS_PER_TURN = 200;

/** `make` of each item, in order; `nextTurn` resolves in a later turn of the event loop. */
export async function inTurns<T, R>(
  items: readonly T[],
  make: (item: T) => R,
  nextTurn: () => Promise<unknown>,
): Promise<R[]> {
  const made: R[] = [];
  for (const [index, item] of items.entries()) {
    if (index > 0 && index % ITEMS_PER_TURN === 0) await nextTurn();
    made.push(make(item));
  }
  return made;
}
