import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DueQueue } from '../../../src/controller/due-queue.ts';

test('DueQueue: gives items by due time, equals in the order in which they were added', () => {
  const times = fc.array(fc.nat(20), { maxLength: 60 });
  fc.assert(
    fc.property(times, fc.nat(20), (dues, gone) => {
      const queue = new DueQueue<{ dueUs: number; index: number }>();
      for (const [index, dueUs] of dues.entries()) queue.add(dueUs, { dueUs, index });
      queue.keep((item) => item.dueUs !== gone);
      const expected = dues
        .map((dueUs, index) => ({ dueUs, index }))
        .filter((item) => item.dueUs !== gone)
        .sort((left, right) => left.dueUs - right.dueUs || left.index - right.index);
      expect(queue.size).toBe(expected.length);
      expect(queue.firstDueUs()).toBe(expected[0]?.dueUs ?? null);
      const taken: unknown[] = [];
      for (let due = queue.takeDue(20); due !== null; due = queue.takeDue(20)) taken.push(due.item);
      expect(taken).toEqual(expected);
    }),
  );
});

test('DueQueue: an item is not given before it is due', () => {
  const queue = new DueQueue<string>();
  queue.add(10, 'a');
  expect(queue.takeDue(9)).toBeNull();
  expect(queue.takeDue(10)?.item).toBe('a');
  expect(queue.takeDue(11)).toBeNull();
});
