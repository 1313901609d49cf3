/** ReadPace: watched while packets are rare, and never left alone for longer than they may wait. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ReadPace } from '../../../../src/core/vrrp/patience.ts';

const PATIENCE_US = 50_000;

describe('ReadPace', () => {
  test('stays watched while packets are further from each other than they may wait', () => {
    const pace = new ReadPace();
    for (let atUs = 0; atUs < 1_000_000; atUs += PATIENCE_US) {
      pace.noteRead(atUs, 1, false, PATIENCE_US);
      expect(pace.lookAtUs).toBeNull();
    }
  });

  test('looks from time to time while they are closer, and is watched when none come', () => {
    const pace = new ReadPace();
    pace.noteRead(0, 1, false, PATIENCE_US);
    pace.noteRead(1_000, 1, false, PATIENCE_US);
    expect(pace.lookAtUs).toBe(51_000);
    pace.noteRead(51_200, 40, false, PATIENCE_US);
    expect(pace.lookAtUs).toBe(101_200);
    // A look for another reason.
    pace.noteRead(60_000, 0, false, PATIENCE_US);
    expect(pace.lookAtUs).toBe(101_200);
    pace.noteRead(101_200, 0, false, PATIENCE_US);
    expect(pace.lookAtUs).toBeNull();
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
