/** arrivalUs: the receive time survives steps of the real-time clock. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { arrivalUs } from '../../../src/linux/vrrp-socket.ts';

test('arrivalUs goes back by the age of the packet', () => {
  expect(arrivalUs({ nowUs: 5_000, ageUs: 300, emptyAtUs: 1_000 })).toBe(4_700);
});

test('arrivalUs of a packet from the future is now', () => {
  expect(arrivalUs({ nowUs: 5_000, ageUs: -3_600_000_000, emptyAtUs: 1_000 })).toBe(5_000);
});

test('arrivalUs of a packet older than the empty queue is when it was empty', () => {
  expect(arrivalUs({ nowUs: 5_000, ageUs: 3_600_000_000, emptyAtUs: 1_000 })).toBe(1_000);
});

test('arrivalUs lies between the empty queue and now, whatever the clocks say', () => {
  const time = fc.integer({ min: 0, max: 2 ** 50 });
  fc.assert(
    fc.property(
      time,
      fc.nat(),
      fc.integer({ min: -(2 ** 52), max: 2 ** 52 }),
      (emptyAtUs, waited, ageUs) => {
        const nowUs = emptyAtUs + waited;
        const arrival = arrivalUs({ nowUs, ageUs, emptyAtUs });
        expect(arrival).toBeGreaterThanOrEqual(emptyAtUs);
        expect(arrival).toBeLessThanOrEqual(nowUs);
      },
    ),
  );
});
