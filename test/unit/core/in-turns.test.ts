/** Long lists rest by time, and lose nothing. */
import { expect, test } from 'vitest';
import { inTurns, sortedInTurns } from '../../../src/core/in-turns.ts';
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

test.each([0, 1, 255, 256, 257, 5_000])('%i texts are sorted as at once', async (count) => {
  const texts = Array.from({ length: count }, (_, index) => `s${(index * 7_919) % 3_001}`);
  let [nowUs, turns] = [0, 1];
  const sorted = await sortedInTurns(texts, {
    nowUs: () => {
      nowUs += 500;
      return nowUs;
    },
    nextTurn: async () => {
      turns++;
    },
  });
  expect(sorted).toEqual([...texts].sort());
  expect(turns).toBeGreaterThan(count < 1_000 ? 0 : 5);
});
