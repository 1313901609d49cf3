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

test('who is patient goes after others, and is not passed over for ever', async () => {
  const later: (() => void)[] = [];
  const queue = new TurnQueue((act) => later.push(act));
  const said: string[] = [];
  const go = async (name: string, rest: () => Promise<void>, times: number): Promise<void> => {
    for (let time = 0; time < times; time++) {
      await rest();
      said.push(name);
    }
  };
  const all = Promise.all([
    go('patient', () => queue.patientTurn(), 3),
    go('other', () => queue.nextTurn(), 10),
  ]);
  while (later.length > 0) {
    for (const act of later.splice(0)) act();
    await new Promise(setImmediate);
  }
  await all;
  const others = (count: number) => Array.from({ length: count }, () => 'other');
  expect(said).toEqual([...others(8), 'patient', ...others(2), 'patient', 'patient']);
});

test('what tidies up takes turns of its own before somebody goes on', async () => {
  const later: (() => void)[] = [];
  const queue = new TurnQueue((act) => later.push(act));
  const said: string[] = [];
  let untidy = 2;
  queue.tidyUp = () => {
    if (untidy-- <= 0) return false;
    said.push('tidied');
    return true;
  };
  const rested = queue.nextTurn().then(() => said.push('went on'));
  let turns = 0;
  while (later.length > 0) {
    turns++;
    for (const act of later.splice(0)) act();
    await new Promise(setImmediate);
  }
  await rested;
  expect([turns, ...said]).toEqual([3, 'tidied', 'tidied', 'went on']);
});

test('a process has one queue, whoever asks for it', () => {
  const queue = turnQueue(() => {});
  expect(turnQueue(() => {})).toBe(queue);
});
