/** How long packets may wait, and ReadPace: watched while they are rare, never left alone for longer. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DEFAULTS } from '../../../../src/core/config/defaults.ts';
import {
  INITIAL_STATE,
  nextDeadlineUs,
  step,
  type VrrpState,
} from '../../../../src/core/vrrp/instance.ts';
import { PATIENCE_MAX_US, patienceUs, ReadPace } from '../../../../src/core/vrrp/patience.ts';
import { skewTimeUs } from '../../../../src/core/vrrp/timing.ts';
import type { InstanceOptions } from '../../../../src/core/vrrp/types.ts';

const PATIENCE_US = 50_000;

describe('ReadPace', () => {
  test('stays watched while packets are further from each other than they may wait', () => {
    const pace = new ReadPace();
    for (let atUs = 0; atUs < 1_000_000; atUs += PATIENCE_US) {
      pace.noteRead(atUs, 1, false, PATIENCE_US);
      expect(pace.lookAtUs).toBeNull();
    }
  });

  test('looks from time to time while they are closer', () => {
    const pace = new ReadPace();
    pace.noteRead(0, 1, false, PATIENCE_US);
    pace.noteRead(1_000, 1, false, PATIENCE_US);
    expect(pace.lookAtUs).toBe(51_000);
    pace.noteRead(51_200, 40, false, PATIENCE_US);
    expect(pace.lookAtUs).toBe(101_200);
    // A look for another reason found nothing: what comes now has not waited yet.
    pace.noteRead(60_000, 0, false, PATIENCE_US);
    expect(pace.lookAtUs).toBe(110_000);
  });

  test('is watched again when nothing came for many looks, and not before', () => {
    const pace = new ReadPace();
    pace.noteRead(0, 1, false, PATIENCE_US);
    pace.noteRead(0, 1, false, PATIENCE_US);
    const looks: number[] = [];
    for (let atUs = pace.lookAtUs; atUs !== null; atUs = pace.lookAtUs) {
      looks.push(atUs);
      pace.noteRead(atUs, 0, false, PATIENCE_US);
    }
    expect(looks).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((look) => look * PATIENCE_US));
  });

  test('a flood makes the looks come so much sooner that a socket does not overflow', () => {
    const pace = new ReadPace();
    pace.noteRead(0, 1, false, PATIENCE_US);
    pace.noteRead(0, 1, false, PATIENCE_US);
    for (let turn = 0; turn < 64; turn++) pace.noteRead(50_000, 128, true, PATIENCE_US);
    pace.noteRead(50_000, 0, false, PATIENCE_US);
    expect(pace.lookAtUs).toBe(50_000 + PATIENCE_US / 8);
    pace.noteRead(60_000, 100, false, PATIENCE_US);
    expect(pace.lookAtUs).toBe(60_000 + PATIENCE_US);
  });

  test('goes on at once where more waits than is read at a time', () => {
    const pace = new ReadPace();
    pace.noteRead(0, 128, true, PATIENCE_US);
    pace.noteRead(100, 128, true, PATIENCE_US);
    expect(pace.lookAtUs).toBeNull();
    pace.noteRead(200, 5, false, PATIENCE_US);
    pace.noteRead(50_200, 128, true, PATIENCE_US);
    expect(pace.lookAtUs).toBe(50_200);
  });

  test('is watched as soon as packets must not wait', () => {
    const pace = new ReadPace();
    pace.noteRead(0, 1, false, PATIENCE_US);
    pace.noteRead(1, 1, false, PATIENCE_US);
    expect(pace.lookAtUs).not.toBeNull();
    pace.noteRead(2, 1, false, 0);
    expect(pace.lookAtUs).toBeNull();
  });

  test('no packet waits for longer than the patience since the last look', () => {
    const read = fc.record({
      afterUs: fc.integer({ min: 0, max: 100_000 }),
      count: fc.integer({ min: 0, max: 3 }),
      more: fc.boolean(),
      patienceUs: fc.constantFrom(0, 1_000, 20_000, 50_000),
    });
    fc.assert(
      fc.property(fc.array(read), (reads) => {
        const pace = new ReadPace();
        let nowUs = 0;
        for (const { afterUs, count, more, patienceUs } of reads) {
          nowUs += afterUs;
          pace.noteRead(nowUs, count, more && count > 0, patienceUs);
          const { lookAtUs } = pace;
          if (lookAtUs !== null) expect(lookAtUs).toBeLessThanOrEqual(nowUs + patienceUs);
        }
      }),
    );
  });
});

describe('patienceUs', () => {
  test('is over before anything may come of a resignation, with time left to wake up', () => {
    const options = fc.record({
      version: fc.constantFrom(2 as const, 3 as const),
      priority: fc.integer({ min: 1, max: 254 }),
      advertIntervalUs: fc.integer({ min: 10_000, max: 40_950_000 }),
    });
    fc.assert(
      fc.property(options, (some) => {
        const state = backupOf(some);
        const waitUs = patienceUs(some, state);
        const skewUs = skewTimeUs(some, some.advertIntervalUs);
        expect(waitUs).toBeLessThanOrEqual(PATIENCE_MAX_US);
        if (waitUs > 0)
          expect(waitUs).toBeLessThanOrEqual(skewUs - Math.max(skewUs / 4, 1_000) + 1);
        // No wait is as long as the interval, whoever sends.
        if (some.version === 3) expect(waitUs).toBeLessThan(some.advertIntervalUs);
      }),
    );
  });

  test('who is active waits for nothing', () => {
    const options = { version: 3, priority: 100, advertIntervalUs: 1_000_000 } as const;
    const backup = backupOf(options);
    expect(patienceUs(options, backup)).toBe(PATIENCE_MAX_US);
    const atUs = nextDeadlineUs(backup) as number;
    const { state } = step(full(options), backup, { kind: 'deadline-reached', atUs });
    expect(state.kind).toBe('active');
    expect(patienceUs(options, state)).toBe(0);
  });
});

type Some = Pick<InstanceOptions, 'version' | 'priority' | 'advertIntervalUs'>;

function full(some: Some): InstanceOptions {
  return { ...some, preempt: true, preemptDelayUs: 0, announce: DEFAULTS.vrrp.announce };
}

function backupOf(some: Some): VrrpState {
  return step(full(some), INITIAL_STATE, { kind: 'started', atUs: 0 }).state;
}
