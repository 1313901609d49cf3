/** The simulator's chance: seeds mean the same for ever, so some of their numbers are pinned. */
import { describe, expect, test } from 'vitest';
import { Random } from '../../../../src/core/sim/random.ts';

const draw = (random: Random, count: number): number[] =>
  Array.from({ length: count }, () => random.next());

describe('Random', () => {
  test('gives the same numbers for a seed and stream, for ever', () => {
    expect(draw(new Random(0, 0), 3)).toEqual([1_089_974_908, 1_745_574_593, 1_791_924_879]);
    expect(draw(new Random(4_294_967_295, 7), 2)).toEqual([411_327_604, 2_364_827_682]);
  });

  test('seeds and streams next to one another have nothing in common', () => {
    const all = [new Random(1, 0), new Random(2, 0), new Random(1, 1)].map((one) => draw(one, 50));
    expect(new Set(all.flat()).size).toBe(150);
  });

  test('below and between keep to their bounds and reach them', () => {
    const random = new Random(3, 0);
    const drawn = new Set(Array.from({ length: 1_000 }, () => random.between(-2, 2)));
    expect([...drawn].sort((left, right) => left - right)).toEqual([-2, -1, 0, 1, 2]);
  });

  test('chance comes true about as often as it says', () => {
    const random = new Random(4, 0);
    let hits = 0;
    for (let turn = 0; turn < 100_000; turn++) if (random.chance(250_000)) hits++;
    expect(hits).toBeGreaterThan(24_000);
    expect(hits).toBeLessThan(26_000);
  });
});
