import { expect, test } from 'vitest';
import { matchesInTime } from '../../../src/probes/expression.ts';

const wanted = () => true;
/** Backtracks for longer than anybody waits. */
const ENDLESS = '^(a+)+$';
const TEXT = `${'a'.repeat(64)}!`;

test('matchesInTime: says whether the text matches, with the flags of the expression', async () => {
  expect(await matchesInTime(/^b$/mu, 'a\nb', wanted)).toBe('success');
  expect(await matchesInTime(/^b$/u, 'a\nb', wanted)).toBe('no-match');
  // Globals of an earlier try are not seen by the next.
  expect(await matchesInTime(/a/u, '', wanted)).toBe('no-match');
});

test('matchesInTime: one that backtracks without end is given up, and this thread goes on', async () => {
  let ticks = 0;
  const timer = setInterval(() => ticks++, 5);
  expect(await matchesInTime(new RegExp(ENDLESS, 'u'), TEXT, wanted)).toBe('too-slow');
  clearInterval(timer);
  // On this thread it would have been none: the try takes as long as forty of them.
  expect(ticks).toBeGreaterThan(5);
});

test('matchesInTime: those that are slow do not make others wait', async () => {
  const slow = Array.from({ length: 4 }, () => new RegExp(ENDLESS, 'u'));
  await Promise.all(slow.map((each) => matchesInTime(each, TEXT, wanted)));
  const order: string[] = [];
  const again = slow.map(async (each) => {
    expect(await matchesInTime(each, TEXT, wanted)).toBe('too-slow');
    order.push('slow');
  });
  expect(await matchesInTime(/b/u, 'abc', wanted)).toBe('success');
  order.push('quick');
  await Promise.all(again);
  // At most the first of the slow ones is over before it.
  expect(order.indexOf('quick')).toBeLessThan(2);
});

test('matchesInTime: a slow one that is quick again is tried among the quick ones', async () => {
  const changing = new RegExp(ENDLESS, 'u');
  expect(await matchesInTime(changing, TEXT, wanted)).toBe('too-slow');
  expect(await matchesInTime(changing, 'aaa', wanted)).toBe('success');
  expect(await matchesInTime(changing, 'b', wanted)).toBe('no-match');
});

test('matchesInTime: what nobody waits for any more is not tried', async () => {
  const startMs = performance.now();
  const first = matchesInTime(new RegExp(ENDLESS, 'u'), TEXT, wanted);
  const others = Array.from({ length: 20 }, () =>
    matchesInTime(new RegExp(ENDLESS, 'u'), TEXT, () => false),
  );
  await Promise.all([first, ...others]);
  // Twenty tries would take four seconds.
  expect(performance.now() - startMs).toBeLessThan(3_000);
});
