/** DeadlineQueue against a plain list, over arbitrary sequences of changes. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Deadline, DeadlineQueue } from '../../src/core/deadlines.ts';

const OWNERS = 20;
// Few different times, so that equal ones are common.
const change = fc.tuple(
  fc.integer({ min: 0, max: OWNERS - 1 }),
  fc.option(fc.integer({ min: 0, max: 50 }), { nil: null }),
);

function play(changes: readonly (readonly [number, number | null])[]) {
  const queue = new DeadlineQueue<number>();
  const places: Deadline<number>[] = Array.from({ length: OWNERS }, (_, owner) => queue.add(owner));
  const times: (number | null)[] = places.map(() => null);
  for (const [owner, atUs] of changes) {
    queue.set(places[owner] as Deadline<number>, atUs);
    times[owner] = atUs;
  }
  return { queue, places, times };
}

test('earliestUs is the least of all deadlines, and null without any', () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 200 }), (changes) => {
      const { queue, times } = play(changes);
      const set = times.filter((atUs) => atUs !== null);
      expect(queue.size).toBe(set.length);
      expect(queue.earliestUs).toBe(set.length === 0 ? null : Math.min(...set));
    }),
  );
});

test('due finds exactly the owners whose deadlines have come, each once', () => {
  fc.assert(
    fc.property(
      fc.array(change, { maxLength: 200 }),
      fc.integer({ min: -1, max: 51 }),
      (changes, nowUs) => {
        const { queue, times } = play(changes);
        const wanted = times.flatMap((atUs, owner) =>
          atUs !== null && atUs <= nowUs ? [owner] : [],
        );
        const into: number[] = [];
        const count = queue.due(nowUs, into);
        // The first is one of the earliest.
        const earliest = Math.min(...wanted.map((owner) => times[owner] as number));
        if (count > 0) expect(times[into[0] as number]).toBe(earliest);
        expect(into.slice(0, count).sort((left, right) => left - right)).toEqual(wanted);
      },
    ),
  );
});

test('emptying it by the earliest gives the deadlines in their order', () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 200 }), (changes) => {
      const { queue, places, times } = play(changes);
      const wanted = times.filter((atUs) => atUs !== null).sort((left, right) => left - right);
      const found: number[] = [];
      const into: number[] = [];
      for (let atUs = queue.earliestUs; atUs !== null; atUs = queue.earliestUs) {
        found.push(atUs);
        queue.due(atUs, into);
        queue.set(places[into[0] as number] as Deadline<number>, null);
      }
      expect(found).toEqual(wanted);
    }),
  );
});

test('a deadline of another queue is refused', () => {
  const { places } = play([[0, 1]]);
  expect(() => new DeadlineQueue<number>().set(places[0] as Deadline<number>, 2)).toThrow();
});
