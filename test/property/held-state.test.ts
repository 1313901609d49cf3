/** HeldState, with its shortcuts, goes where the machine goes, and leaves alone what came from it. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DEFAULTS } from '../../src/core/config/defaults.ts';
import { HeldState } from '../../src/core/vrrp/held-state.ts';
import {
  INITIAL_STATE,
  nextDeadlineUs,
  step,
  type VrrpState,
} from '../../src/core/vrrp/instance.ts';
import type { InstanceOptions, VrrpEffect } from '../../src/core/vrrp/types.ts';

const INTERVAL_US = 1_000_000;
const ONLY_ADVERT: readonly VrrpEffect[] = [{ kind: 'send-advert', resign: false }];

const options: fc.Arbitrary<InstanceOptions> = fc.record({
  version: fc.constantFrom(2 as const, 3 as const),
  priority: fc.constantFrom(1, 100, 254, 255),
  advertIntervalUs: fc.constant(INTERVAL_US),
  preempt: fc.boolean(),
  preemptDelayUs: fc.constantFrom(0, 5_000_000),
  announce: fc.constant(DEFAULTS.vrrp.announce),
});
const happening = fc.oneof(
  // The deadline, so much late.
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 2_000_000 }).map((lateUs) => ({ lateUs })) },
  {
    weight: 3,
    arbitrary: fc.record({
      afterUs: fc.integer({ min: 0, max: INTERVAL_US }),
      priority: fc.constantFrom(0, 50, 100, 200, 255),
      advertIntervalUs: fc.constantFrom(INTERVAL_US, INTERVAL_US / 2),
      fromHigherAddress: fc.boolean(),
    }),
  },
);

test('every step and every shortcut ends in the state of the machine alone', () => {
  let advertised = 0;
  let heard = 0;
  fc.assert(
    fc.property(options, fc.array(happening, { maxLength: 30 }), (given, happenings) => {
      const held = new HeldState();
      let pure: VrrpState = INITIAL_STATE;
      /** States of the machine, with what they were when it gave them. */
      const fromMachine: [VrrpState, VrrpState][] = [];
      const take = (event: Parameters<HeldState['take']>[1]): void => {
        const taken = held.take(given, event);
        fromMachine.push([taken.state, structuredClone(taken.state)]);
      };
      let nowUs = 1_000_000;
      take({ kind: 'started', atUs: nowUs });
      pure = step(given, pure, { kind: 'started', atUs: nowUs }).state;
      for (const one of happenings) {
        if ('lateUs' in one) {
          const deadlineUs = nextDeadlineUs(pure);
          nowUs = Math.max(nowUs, deadlineUs ?? 0) + one.lateUs;
          const event = { kind: 'deadline-reached', atUs: nowUs } as const;
          const punctual = pure.kind === 'active' && nowUs - (deadlineUs ?? 0) < INTERVAL_US;
          const due = held.due(given, nowUs, true);
          if (!punctual) expect(due).toBe('nothing');
          const then = punctual ? due : held.due(given, nowUs, false);
          const { state, effects } = step(given, pure, event);
          pure = state;
          if (then === 'advertise') expect(effects).toEqual(ONLY_ADVERT);
          if (then === 'advertise') advertised++;
          if (then === 'step') take(event);
        } else {
          nowUs += one.afterUs;
          const event = { kind: 'advert-received', atUs: nowUs, ...one } as const;
          const { state, effects } = step(given, pure, event);
          pure = state;
          if (held.hear(given, one, nowUs)) {
            expect(effects).toEqual([]);
            heard++;
          } else take(event);
        }
        expect(held.current).toEqual(pure);
      }
      for (const [state, before] of fromMachine) expect(state).toEqual(before);
    }),
    { numRuns: 1_000 },
  );
  expect(advertised).toBeGreaterThan(50);
  expect(heard).toBeGreaterThan(50);
});
