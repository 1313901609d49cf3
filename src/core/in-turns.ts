/**
 * inTurns: a list made of another in many turns of the event loop, for lists of ten thousand and
 * more that somebody only wants to look at: nothing else waits for all of it.
 */
import { Turn, type TurnPorts } from './turn.ts';

/** Items between two looks at the clock: each takes some microseconds. */
const ITEMS_PER_LOOK = 32;

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
