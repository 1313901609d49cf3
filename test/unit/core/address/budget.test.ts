/** The budget of a fight: a burst at once, then one a second, and a full bucket after peace. */
import { expect, it } from 'vitest';
import {
  type Budget,
  RESTORE_REFILL_US,
  RESTORES_BURST,
  spend,
} from '../../../../src/core/address/budget.ts';

function spendMany(count: number, nowUs: number, before?: Budget) {
  let budget = before;
  const waits: number[] = [];
  for (let index = 0; index < count; index++) {
    const result = spend(budget, nowUs);
    budget = result.budget;
    waits.push(result.waitUs);
  }
  return { budget: budget as Budget, waits };
}

it('spend allows a burst, and then says how long the next one waits', () => {
  const { waits } = spendMany(RESTORES_BURST + 1, 5_000_000);
  expect(waits).toEqual([...Array(RESTORES_BURST).fill(0), RESTORE_REFILL_US]);
});

it('spend allows one in each refill time to a fight that goes on', () => {
  const { budget } = spendMany(RESTORES_BURST, 0);
  const half = spend(budget, RESTORE_REFILL_US / 2);
  expect(half.waitUs).toBe(RESTORE_REFILL_US / 2);
  const { waits } = spendMany(2, RESTORE_REFILL_US, half.budget);
  expect(waits).toEqual([0, RESTORE_REFILL_US]);
});

it('spend has its burst again after as many seconds of peace, and no more', () => {
  const { budget } = spendMany(RESTORES_BURST, 0);
  const { waits } = spendMany(RESTORES_BURST + 1, 100 * RESTORE_REFILL_US, budget);
  expect(waits.filter((waitUs) => waitUs === 0)).toHaveLength(RESTORES_BURST);
});
