import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  FIRST_START_SPREAD_MAX_US,
  firstStartUs,
  fnv1a32,
  nextRun,
  nextSlot,
  placeUs,
  spreadUs,
  TICK_US,
} from '../../../../src/core/health/schedule.ts';

const key = fc.string({ minLength: 1, maxLength: 60 });
const intervalUs = fc.integer({ min: 1_000, max: 10_000_000_000 });
const timeUs = fc.integer({ min: 0, max: 10_000_000_000_000 });

const PLACE_US = placeUs('key', 1_000_000);

/** Checks of many servers, as they are found in one network. */
const keys = Array.from({ length: 1000 }, (_, index) => {
  const address = `10.0.${index >> 8}.${index & 0xff}`;
  return `{"asked":{"kind":"tcp"},"target":{"address":"${address}","port":80}}`;
});

describe('fnv1a32', () => {
  // Published test vectors of 32-bit FNV-1a.
  test.each([
    ['', 0x811c9dc5],
    ['a', 0xe40c292c],
    ['b', 0xe70c2de5],
    ['foobar', 0xbf9cf968],
  ])('of "%s" is the published value', (text, hash) => {
    expect(fnv1a32(text)).toBe(hash);
  });

  test('characters beyond a byte count', () => {
    expect(fnv1a32('\u0161')).not.toBe(fnv1a32('a'));
  });
});

describe('spreadUs', () => {
  test.each([1_000_000, 60_000_000, 7_200_000_000])(
    'a thousand servers spread evenly over %i µs',
    (windowUs) => {
      const tenths = new Array<number>(10).fill(0);
      for (const each of keys) {
        const tenth = Math.floor((spreadUs(each, windowUs) * 10) / windowUs);
        tenths[tenth] = (tenths[tenth] ?? 0) + 1;
      }
      expect(tenths).toHaveLength(10);
      for (const count of tenths) {
        expect(count).toBeGreaterThan(60);
        expect(count).toBeLessThan(140);
      }
    },
  );

  test('a place is within the window and always the same', () => {
    fc.assert(
      fc.property(key, intervalUs, (text, windowUs) => {
        const placeUs = spreadUs(text, windowUs);
        expect(Number.isInteger(placeUs)).toBe(true);
        expect(placeUs).toBeGreaterThanOrEqual(0);
        expect(placeUs).toBeLessThan(windowUs);
        expect(spreadUs(text, windowUs)).toBe(placeUs);
      }),
    );
  });
});

describe('placeUs', () => {
  test('is the place in the window, earlier by less than a tick, in whole ticks', () => {
    fc.assert(
      fc.property(key, intervalUs, (text, everyUs) => {
        const tickUs = Math.min(TICK_US, Math.floor(everyUs / 20));
        const earlier = spreadUs(text, everyUs) - placeUs(text, everyUs);
        expect(earlier).toBeGreaterThanOrEqual(0);
        expect(earlier).toBeLessThan(tickUs);
        expect(placeUs(text, everyUs) % tickUs).toBe(0);
      }),
    );
  });

  test('a thousand servers are spread evenly over the ticks of a second', () => {
    const ticks = new Map<number, number>();
    for (const each of keys) {
      const atUs = placeUs(each, 1_000_000);
      ticks.set(atUs, (ticks.get(atUs) ?? 0) + 1);
    }
    expect(ticks.size).toBe(20);
    expect(Math.max(...ticks.values())).toBeLessThan(100);
  });
});

describe('firstStartUs', () => {
  test('is from now on, within an interval and the bound for unknown servers', () => {
    fc.assert(
      fc.property(key, intervalUs, timeUs, (text, everyUs, nowUs) => {
        const startUs = firstStartUs(text, everyUs, null, nowUs);
        expect(startUs).toBeGreaterThanOrEqual(nowUs);
        expect(startUs).toBeLessThan(nowUs + Math.min(everyUs, FIRST_START_SPREAD_MAX_US));
      }),
    );
  });

  test('spreads a thousand servers with a long interval over the bound', () => {
    const starts = keys.map((each) => firstStartUs(each, 60_000_000, null, 0));
    const halfUs = FIRST_START_SPREAD_MAX_US / 2;
    const late = starts.filter((startUs) => startUs > halfUs).length;
    expect(late).toBeGreaterThan(400);
    expect(late).toBeLessThan(600);
  });
});

describe('firstStartUs with a spread', () => {
  test('is within it, whatever the interval, and at once for 0', () => {
    fc.assert(
      fc.property(
        key,
        intervalUs,
        fc.nat(3_600_000_000),
        timeUs,
        (text, everyUs, within, nowUs) => {
          const startUs = firstStartUs(text, everyUs, within, nowUs);
          expect(startUs).toBeGreaterThanOrEqual(nowUs);
          expect(startUs).toBeLessThan(nowUs + Math.max(1, within));
        },
      ),
    );
    expect(firstStartUs('key', 60_000_000, 0, 5)).toBe(5);
  });
});

describe('nextRun', () => {
  const plain = { intervalUs: 1_000_000, retryDelayUs: null, jitterUs: 0 };
  const end = { dueUs: 5_000_000, nowUs: 5_300_000, confirming: false };
  const slot = nextSlot(PLACE_US, 1_000_000, 5_000_000, 5_300_000);

  test('without a retry delay the grid goes on while a change is being confirmed', () => {
    expect(nextRun(PLACE_US, plain, end, 0.9)).toEqual(slot);
    expect(nextRun(PLACE_US, plain, { ...end, confirming: true }, 0.9)).toEqual(slot);
  });

  test('a retry is after the end of the run, also when that is later than the interval', () => {
    const timing = { ...plain, retryDelayUs: 200_000 };
    const late = { dueUs: 5_000_000, nowUs: 9_000_000, confirming: true };
    expect(nextRun(PLACE_US, timing, late, 0.9)).toEqual({ atUs: 9_200_000, skipped: 0 });
    expect(nextRun(PLACE_US, timing, { ...end, confirming: false }, 0)).toEqual(slot);
  });

  test('a run that outlasts its interval is followed at once while a change is being confirmed', () => {
    const late = { dueUs: 5_000_000, nowUs: 6_300_000, confirming: true };
    expect(nextRun(PLACE_US, plain, late, 0.9)).toEqual({ atUs: 6_300_000, skipped: 0 });
    expect(nextRun(PLACE_US, plain, { ...late, confirming: false }, 0).skipped).toBe(1);
  });

  test('after a retry the check is on its grid again', () => {
    const timing = { ...plain, retryDelayUs: 200_000 };
    const retried = nextRun(PLACE_US, timing, { ...end, confirming: true }, 0);
    const after = { dueUs: retried.atUs, nowUs: retried.atUs + 1_000, confirming: false };
    const { atUs } = nextRun(PLACE_US, timing, after, 0);
    expect((atUs - PLACE_US) % 1_000_000).toBe(0);
  });

  test('jitter moves a run within its bound, and never the grid behind it', () => {
    const chance = fc.double({ min: 0, max: 0.999_999, noNaN: true });
    fc.assert(
      fc.property(key, fc.array(chance, { maxLength: 40 }), (text, chances) => {
        const timing = { ...plain, jitterUs: 1_000_000 };
        const atPlaceUs = placeUs(text, 1_000_000);
        let dueUs = nextSlot(atPlaceUs, 1_000_000, 0, 0).atUs;
        const startUs = dueUs;
        for (const [index, each] of chances.entries()) {
          const run = nextRun(atPlaceUs, timing, { dueUs, nowUs: dueUs, confirming: false }, each);
          const slotUs = startUs + (index + 1) * 1_000_000;
          expect(run.skipped).toBe(0);
          expect(run.atUs - slotUs).toBeGreaterThanOrEqual(0);
          expect(run.atUs - slotUs).toBeLessThan(1_000_000);
          dueUs = run.atUs;
        }
      }),
    );
  });
});

describe('nextSlot', () => {
  test('is on the grid, after now and after what was due, and not a slot later', () => {
    fc.assert(
      fc.property(key, intervalUs, timeUs, fc.nat(1e9), (text, everyUs, dueUs, lateUs) => {
        const nowUs = dueUs + lateUs;
        const atPlaceUs = placeUs(text, everyUs);
        const { atUs } = nextSlot(atPlaceUs, everyUs, dueUs, nowUs);
        expect(Math.abs(atUs - atPlaceUs) % everyUs).toBe(0);
        expect(atUs).toBeGreaterThan(nowUs);
        expect(atUs).toBeLessThanOrEqual(nowUs + everyUs);
      }),
    );
  });

  test('runs of any length do not move the grid, and skipped slots are counted', () => {
    fc.assert(
      fc.property(key, fc.array(fc.nat(5_000_000), { maxLength: 40 }), (text, durations) => {
        const everyUs = 1_000_000;
        const atPlaceUs = placeUs(text, everyUs);
        const startUs = nextSlot(atPlaceUs, everyUs, 0, 0).atUs;
        let dueUs = startUs;
        let slots = 0;
        for (const durationUs of durations) {
          const slot = nextSlot(atPlaceUs, everyUs, dueUs, dueUs + durationUs);
          slots += 1 + slot.skipped;
          dueUs = slot.atUs;
        }
        expect(dueUs - startUs).toBe(slots * everyUs);
      }),
    );
  });

  test('a run that ends before its next slot skips none, one that ends on it skips it', () => {
    const dueUs = nextSlot(PLACE_US, 1_000_000, 0, 0).atUs;
    const next = (lateUs: number) => nextSlot(PLACE_US, 1_000_000, dueUs, dueUs + lateUs);
    expect(next(999_999)).toEqual({ atUs: dueUs + 1_000_000, skipped: 0 });
    expect(next(1_000_000)).toEqual({ atUs: dueUs + 2_000_000, skipped: 1 });
    expect(next(3_500_000)).toEqual({ atUs: dueUs + 4_000_000, skipped: 3 });
  });
});
