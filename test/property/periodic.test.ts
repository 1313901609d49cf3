/**
 * The shortcuts of the shell against the machine: the periodic advertisement in place is what
 * step() does, and the moment of waking up is never after the deadline but for the grid.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DEFAULTS } from '../../src/core/config/defaults.ts';
import { nextDeadlineUs, step, type VrrpState } from '../../src/core/vrrp/instance.ts';
import { advertiseInPlace } from '../../src/core/vrrp/periodic.ts';
import type { InstanceOptions } from '../../src/core/vrrp/types.ts';
import { TAKEOVER_LEAD_US, wakeAtUs } from '../../src/core/vrrp/wake.ts';

type Active = Extract<VrrpState, { kind: 'active' }>;

const QUIET = {
  repeatAtUs: null,
  lowerPriorityAtUs: null,
  refreshAtUs: null,
  extraAtUs: null,
  quietUntilUs: 0,
};
const time = fc.integer({ min: 0, max: 10_000_000 });
const late = fc.integer({ min: -10, max: 1_000_000 });
const maybe = fc.option(fc.integer({ min: 0, max: 50_000_000 }), { nil: null, freq: 1 });
const interval = fc.integer({ min: 1, max: 4095 }).map((centiseconds) => centiseconds * 10_000);
const options: fc.Arbitrary<InstanceOptions> = fc.record({
  version: fc.constant(3 as const),
  priority: fc.integer({ min: 1, max: 255 }),
  advertIntervalUs: interval,
  preempt: fc.boolean(),
  preemptDelayUs: time,
  timerExpiredBackup: fc.option(fc.integer({ min: 1, max: 254 }), { nil: null }),
  announce: fc.record({
    ...Object.fromEntries(
      Object.entries(DEFAULTS.vrrp.announce).map(([key, value]) => [key, fc.constant(value)]),
    ),
    refreshUs: time,
  }) as fc.Arbitrary<InstanceOptions['announce']>,
});
const active: fc.Arbitrary<Active> = fc.record({
  kind: fc.constant('active' as const),
  advertAtUs: time,
  lastAdvertAtUs: time,
  announce: fc.record({
    repeatAtUs: maybe,
    lowerPriorityAtUs: maybe,
    refreshAtUs: maybe,
    extraAtUs: maybe,
    quietUntilUs: time,
  }),
  rival: fc.option(fc.record({ sinceUs: time, lastAtUs: time }), { nil: null }),
});

test('advertiseInPlace is step() where one advertisement is all, and else changes nothing', () => {
  let taken = 0;
  fc.assert(
    fc.property(options, active, late, (given, state, lateUs) => {
      const nowUs = Math.max(0, state.advertAtUs + lateUs);
      const wanted = step(given, state, { kind: 'deadline-reached', atUs: nowUs });
      const punctual = nowUs < state.advertAtUs + given.advertIntervalUs;
      const onlyAdvert =
        punctual &&
        (given.timerExpiredBackup ?? null) === null &&
        wanted.effects.length === 1 &&
        wanted.effects[0]?.kind === 'send-advert';
      const own = { ...state };
      expect(advertiseInPlace(given, own, nowUs)).toBe(onlyAdvert);
      expect(own).toEqual(onlyAdvert ? wanted.state : state);
      if (onlyAdvert) {
        taken++;
        expect(wanted.effects).toEqual([{ kind: 'send-advert', resign: false }]);
      }
    }),
    { numRuns: 1_000 },
  );
  expect(taken).toBeGreaterThan(50);
});

test('an active director is looked at from its deadline on, within 0.5 % of its interval', () => {
  fc.assert(
    fc.property(active, interval, (state, intervalUs) => {
      const lateUs = (wakeAtUs(state, intervalUs) as number) - (nextDeadlineUs(state) as number);
      expect(lateUs).toBeGreaterThanOrEqual(0);
      expect(lateUs).toBeLessThan(intervalUs / 200);
    }),
  );
});

test('advertisements are as far from each other as their deadlines', () => {
  fc.assert(
    fc.property(active, interval, (state, intervalUs) => {
      const alone = { ...state, announce: QUIET };
      const next = { ...alone, advertAtUs: alone.advertAtUs + intervalUs };
      const first = wakeAtUs(alone, intervalUs) as number;
      expect((wakeAtUs(next, intervalUs) as number) - first).toBe(intervalUs);
    }),
  );
});

test('a backup is looked at shortly before it has to take over', () => {
  fc.assert(
    fc.property(time, interval, (activeDownAtUs, intervalUs) => {
      const state: VrrpState = {
        kind: 'backup',
        activeDownAtUs,
        activeAdvertIntervalUs: intervalUs,
        takeoverReason: 'peers-silent',
        preemptAtUs: null,
        wantsActive: false,
        overslept: false,
        heardOwner: false,
        heldBack: false,
      };
      expect(wakeAtUs(state, intervalUs)).toBe(activeDownAtUs - TAKEOVER_LEAD_US);
    }),
  );
});

test('without a deadline nobody is looked at', () => {
  expect(wakeAtUs({ kind: 'initialize' }, 10_000)).toBeNull();
  expect(wakeAtUs({ kind: 'fault', reason: 'interface-down', heldBack: false }, 10_000)).toBeNull();
});
