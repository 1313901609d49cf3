/** Several that rest at the same time go on in turns of their own. */
import { expect, test } from 'vitest';
import { Turn, TurnQueue, turnQueue } from '../../../src/core/turn.ts';

test('one goes on in a turn, in the order in which they rested', async () => {
  const later: (() => void)[] = [];
  const queue = new TurnQueue((act) => later.push(act));
  const turns: string[][] = [];
  const work = async (name: string): Promise<void> => {
    const turn = new Turn({ nowUs: () => 0, nextTurn: () => queue.nextTurn() });
    for (let part = 0; part < 2; part++) {
      await turn.rest();
      turns.at(-1)?.push(name);
    }
  };
  const all = Promise.all(['a', 'b', 'c'].map(work));
  while (later.length > 0) {
    turns.push([]);
    for (const act of later.splice(0)) act();
    // What goes on has rested again before the next turn.
    await new Promise(setImmediate);
  }
  await all;
  expect(turns).toEqual([['a'], ['b'], ['c'], ['a'], ['b'], ['c']]);
});

test('a process has one queue, whoever asks for it', () => {
  const queue = turnQueue(() => {});
  expect(turnQueue(() => {})).toBe(queue);
});
