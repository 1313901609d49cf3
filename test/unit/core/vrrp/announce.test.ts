/** When announcements are due: after a takeover, periodically, and after a losing peer spoke. */
import { describe, expect, test } from 'vitest';
import type { AnnounceConfig } from '../../../../src/core/config/config.ts';
import { DEFAULTS } from '../../../../src/core/config/defaults.ts';
import {
  type AnnounceSchedule,
  answerLoser,
  type Burst,
  burstDue,
  nextBurstUs,
  reschedule,
  scheduleAfterTakeover,
} from '../../../../src/core/vrrp/announce.ts';

const SECOND = 1_000_000;
const CONFIG: AnnounceConfig = DEFAULTS.vrrp.announce;

/** Lets every burst happen at its time until `endUs`; [seconds, packets] of each. */
function follow(
  config: AnnounceConfig,
  from: AnnounceSchedule,
  endUs: number,
  losersAtUs: readonly number[] = [],
): [number, number, Burst['scope']][] {
  const bursts: [number, number, Burst['scope']][] = [];
  const losers = [...losersAtUs];
  let schedule = from;
  for (;;) {
    const dueUs = nextBurstUs(schedule) ?? Number.POSITIVE_INFINITY;
    const loserUs = losers[0] ?? Number.POSITIVE_INFINITY;
    const nowUs = Math.min(dueUs, loserUs);
    if (nowUs > endUs) return bursts;
    const answers = loserUs < dueUs;
    if (answers) losers.shift();
    const next = (answers ? answerLoser : burstDue)(config, schedule, nowUs);
    if (next.burst !== null) bursts.push([nowUs / SECOND, next.burst.repeat, next.burst.scope]);
    schedule = next.schedule;
  }
}

const taken = (config: AnnounceConfig) => scheduleAfterTakeover(config, 0);

describe('the schedule after a takeover', () => {
  test('is one second burst, unless the delay is 0', () => {
    expect(follow(CONFIG, taken(CONFIG), 1_000 * SECOND)).toEqual([[5, 5, 'all']]);
    const none = { ...CONFIG, delayUs: 0 };
    expect(nextBurstUs(taken(none))).toBeNull();
  });

  test('refreshes with their own repeat, counted from the last burst of all', () => {
    const config = { ...CONFIG, refreshUs: 60 * SECOND, refreshRepeat: 2 };
    expect(follow(config, taken(config), 130 * SECOND)).toEqual([
      [5, 5, 'all'],
      [65, 2, 'all'],
      [125, 2, 'all'],
    ]);
  });

  test('sends one packet on other interfaces, unless a burst has just done so', () => {
    const config = { ...CONFIG, extraInterfaceRefreshUs: 7 * SECOND, refreshUs: 20 * SECOND };
    expect(follow(config, taken(config), 30 * SECOND)).toEqual([
      [5, 5, 'all'],
      [12, 1, 'extra-interfaces'],
      [19, 1, 'extra-interfaces'],
      [25, 1, 'all'],
    ]);
  });
});

describe('a losing peer', () => {
  const OFTEN = Array.from({ length: 4_000 }, (_, index) => 10 * SECOND + index * 10_000);

  test('causes one burst at once and one after the delay, if it spoke once', () => {
    expect(follow(CONFIG, taken(CONFIG), 100 * SECOND, [10 * SECOND])).toEqual([
      [5, 5, 'all'],
      [10, 5, 'all'],
      [15, 5, 'all'],
    ]);
  });

  test('causes one burst per delay however often it speaks, and one after its last word', () => {
    const config = { ...CONFIG, lowerPriorityRepeat: 3 };
    const seconds = follow(config, taken(config), 100 * SECOND, OFTEN).map(([at]) => at);
    expect(seconds).toEqual([5, 10, 15, 20, 25, 30, 35, 40, 45, 50]);
  });

  test('that spoke during the quiet after a takeover is answered at its end', () => {
    const config = { ...CONFIG, delayUs: 0, lowerPriorityRepeat: 3 };
    expect(follow(config, taken(config), 60 * SECOND, [SECOND, 2 * SECOND])).toEqual([
      [5, 3, 'all'],
    ]);
  });

  test('causes no burst at all with a repeat of 0', () => {
    const config = { ...CONFIG, lowerPriorityRepeat: 0 };
    expect(follow(config, taken(config), 100 * SECOND, OFTEN)).toEqual([[5, 5, 'all']]);
  });

  test('is answered each time, and not again, with a delay of 0', () => {
    const config = { ...CONFIG, delayUs: 0, lowerPriorityDelayUs: 0, lowerPriorityRepeat: 1 };
    expect(follow(config, taken(config), 100 * SECOND, [SECOND, 2 * SECOND])).toEqual([
      [1, 1, 'all'],
      [2, 1, 'all'],
    ]);
  });
});

test('burstDue sends one burst for all that are due, with the greatest repeat', () => {
  const config = { ...CONFIG, lowerPriorityRepeat: 9, refreshUs: 2 * SECOND };
  const schedule = answerLoser(config, taken(config), SECOND).schedule;
  const { burst, schedule: next } = burstDue(config, schedule, 5 * SECOND);
  expect(burst).toEqual({ repeat: 9, scope: 'all' });
  expect(next).toEqual({
    repeatAtUs: null,
    lowerPriorityAtUs: null,
    refreshAtUs: 7 * SECOND,
    extraAtUs: null,
    quietUntilUs: 10 * SECOND,
  });
});

describe('reschedule', () => {
  test('begins to refresh, or sooner, and never puts a refresh off', () => {
    const refreshing = { ...CONFIG, refreshUs: 60 * SECOND, extraInterfaceRefreshUs: 30 * SECOND };
    const begun = reschedule(refreshing, taken(CONFIG), SECOND);
    expect(begun).toMatchObject({ refreshAtUs: 61 * SECOND, extraAtUs: 31 * SECOND });
    expect(reschedule(refreshing, begun, 2 * SECOND)).toEqual(begun);
    const sooner = { ...refreshing, refreshUs: SECOND };
    expect(reschedule(sooner, begun, 2 * SECOND)).toMatchObject({ refreshAtUs: 3 * SECOND });
  });

  test('ends what the new configuration does not have', () => {
    const config = { ...CONFIG, refreshUs: 60 * SECOND, extraInterfaceRefreshUs: SECOND };
    const before = answerLoser(config, taken(config), 1).schedule;
    expect(nextBurstUs(before)).toBe(SECOND);
    const silent = { ...CONFIG, delayUs: 0, lowerPriorityRepeat: 0 };
    expect(nextBurstUs(reschedule(silent, before, SECOND))).toBeNull();
  });
});
