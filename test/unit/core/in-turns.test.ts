/** Long lists rest by time, and lose nothing. */
import { expect, test } from 'vitest';
import { inTurns } from '../../../src/core/in-turns.ts';
import { TURN_US } from '../../../src/core/turn.ts';

const ITEMS = Array.from({ length: 5_000 }, (_, index) => index);

/** How long turns last where each item takes `itemUs`. */
async function turnsUs(itemUs: number): Promise<number[]> {
  let nowUs = 0;
  const beganUs = [0];
  const made = await inTurns(
    ITEMS,
    (item) => {
      nowUs += itemUs;
      return -item;
    },
    {
      nowUs: () => nowUs,
      nextTurn: async () => {
        beganUs.push(nowUs);
      },
    },
  );
  expect(made).toEqual(ITEMS.map((item) => -item));
  return beganUs.map((began, index) => (beganUs[index + 1] ?? nowUs) - began);
}

test.each([2, 20, 100])('items of %i us are made in turns of some milliseconds', async (itemUs) => {
  const turns = await turnsUs(itemUs);
  // What is between two looks at the clock comes on top.
  expect(Math.max(...turns)).toBeLessThan(TURN_US + 32 * itemUs + 1);
  expect(turns.length).toBeGreaterThan((ITEMS.length * itemUs) / (TURN_US + 32 * itemUs) - 1);
});

test('a short list is made at once', async () => {
  expect(await turnsUs(0)).toEqual([0]);
});
