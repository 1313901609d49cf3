/**
 * The shortcuts of the shell against the machine: the periodic advertisement in place, and hearing
 * one, is what step() does; the moment of waking up is never after the deadline but for the grid;
 * and nothing that is heard has to be done sooner than it is looked at.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DEFAULTS } from '../../src/core/config/defaults.ts';
import {
  type Lateness,
  nextDeadlineUs,
  step,
  type VrrpState,
} from '../../src/core/vrrp/instance.ts';
import { patienceUs } from '../../src/core/vrrp/patience.ts';
import { advertiseInPlace, hearInPlace } from '../../src/core/vrrp/periodic.ts';
import type { InstanceOptions } from '../../src/core/vrrp/types.ts';
import { stepAtUs } from '../../src/core/vrrp/wake.ts';

type Active = Extract<VrrpState, { kind: 'active' }>;
type Backup = Extract<VrrpState, { kind: 'backup' }>;

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

const priority = fc.oneof(fc.constantFrom(0, 99, 100, 255), fc.integer({ min: 0, max: 255 }));
const backupOptions: fc.Arbitrary<InstanceOptions> = fc
  .tuple(options, fc.constantFrom(2 as const, 3 as const), priority, fc.boolean())
  .map(([given, version, own, ignore]) => ({
    ...given,
    version,
    priority: Math.max(1, own),
    ownerConflict: ignore ? 'ignore' : 'resolve',
  })) as fc.Arbitrary<InstanceOptions>;
const backup: fc.Arbitrary<Backup> = fc.record({
  kind: fc.constant('backup' as const),
  activeDownAtUs: time,
  activeAdvertIntervalUs: fc.constantFrom(10_000, 100_000, 1_000_000),
  takeoverReason: fc.constantFrom('peers-silent', 'peer-resigned', 'preempted'),
  preemptAtUs: maybe,
  wantsActive: fc.boolean(),
  late: fc.constantFrom<Lateness>('no', 'somewhat', 'overslept'),
  heardOwner: fc.boolean(),
  heldBack: fc.boolean(),
});
const advert = fc.record({
  priority,
  advertIntervalUs: fc.constantFrom(10_000, 100_000, 1_000_000),
  atUs: time,
  fromHigherAddress: fc.boolean(),
});

test('hearInPlace is step() or changes nothing, and is taken for the usual advertisement', () => {
  let taken = 0;
  fc.assert(
    fc.property(backupOptions, backup, advert, (given, state, heard) => {
      const wanted = step(given, state, { kind: 'advert-received', ...heard });
      const own = { ...state };
      const done = hearInPlace(given, own, heard, heard.atUs);
      expect(own).toEqual(done ? wanted.state : state);
      if (done) expect(wanted.effects).toEqual([]);
      if (done) taken++;
      const intervalUs = given.version === 3 ? heard.advertIntervalUs : given.advertIntervalUs;
      const usual =
        given.priority < 255 &&
        heard.priority >= given.priority &&
        intervalUs === state.activeAdvertIntervalUs;
      expect(done).toBe(usual);
    }),
    { numRuns: 2_000 },
  );
  expect(taken).toBeGreaterThan(50);
});

test('nothing comes of an advertisement before it has been looked at', () => {
  let waited = 0;
  fc.assert(
    fc.property(backupOptions, backup, advert, (given, state, heard) => {
      // A shorter interval than was known is learnt late, once.
      fc.pre(given.version === 2 || heard.advertIntervalUs >= state.activeAdvertIntervalUs);
      const patience = patienceUs(given, state);
      const { state: next, effects } = step(given, state, { kind: 'advert-received', ...heard });
      expect(effects).toEqual([]);
      const deadlineUs = nextDeadlineUs(next) as number;
      // A deadline that stays where it was is looked after anyway.
      if (deadlineUs === state.activeDownAtUs) return;
      // And a quarter of the skew time is left for waking up.
      const leftUs = Math.floor(patience / 3);
      expect(deadlineUs).toBeGreaterThanOrEqual(heard.atUs + patience + leftUs);
      if (patience > 0) waited++;
    }),
    { numRuns: 2_000 },
  );
  expect(waited).toBeGreaterThan(100);
});

test('whoever is active looks at once, and so does a backup with hardly any skew time', () => {
  fc.assert(
    fc.property(backupOptions, active, (given, state) => {
      expect(patienceUs(given, state)).toBe(0);
    }),
  );
  const fast = { version: 3, priority: 254 } as const;
  fc.assert(
    fc.property(backup, (state) => {
      expect(patienceUs(fast, { ...state, activeAdvertIntervalUs: 10_000 })).toBe(0);
    }),
  );
});

test('an active director is looked at from its deadline on, within 0.5 % of its interval', () => {
  fc.assert(
    fc.property(active, interval, (state, intervalUs) => {
      const lateUs = (stepAtUs(state, intervalUs) as number) - (nextDeadlineUs(state) as number);
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
      const first = stepAtUs(alone, intervalUs) as number;
      expect((stepAtUs(next, intervalUs) as number) - first).toBe(intervalUs);
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
        late: 'no',
        heardOwner: false,
        heldBack: false,
      };
      expect(stepAtUs(state, intervalUs)).toBe(activeDownAtUs);
    }),
  );
});

test('without a deadline nobody is looked at', () => {
  expect(stepAtUs({ kind: 'initialize' }, 10_000)).toBeNull();
  expect(stepAtUs({ kind: 'fault', reason: 'interface-down', heldBack: false }, 10_000)).toBeNull();
});
