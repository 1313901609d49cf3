/** Simulated clocks: integers, never back, and an inverse that is exact. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SimClock } from '../../../../src/core/sim/clock.ts';

describe('SimClock', () => {
  test('a fast clock gains its parts per million, a slow one loses them', () => {
    expect(new SimClock(0, 1_000, 200).localAt(10_000_000)).toBe(10_003_000);
    expect(new SimClock(0, 1_000, -200).localAt(10_000_000)).toBe(9_999_000);
  });

  test('worldAt is the first moment at which the clock shows a time', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -500, max: 500 }),
        fc.integer({ min: 1, max: 4_000_000_000 }),
        (driftPpm, spanUs) => {
          const clock = new SimClock(50, 77, driftPpm);
          const worldUs = clock.worldAt(77 + spanUs);
          expect(clock.localAt(worldUs)).toBeGreaterThanOrEqual(77 + spanUs);
          expect(clock.localAt(worldUs - 1)).toBeLessThan(77 + spanUs);
        },
      ),
    );
  });

  test('a change of the rate does not move what it shows', () => {
    const clock = new SimClock(0, 0, 200);
    const beforeUs = clock.localAt(1_234_567);
    clock.setDrift(1_234_567, -200);
    expect(clock.localAt(1_234_567)).toBe(beforeUs);
  });
});
