import { expect, test } from 'vitest';
import { DueRuns } from '../../../src/controller/due-runs.ts';
import { waitFor } from '../probes/servers.ts';

/** Runs that end when they are told to. */
function manual(most: number, places: (item: string) => number = () => 1) {
  const started: [string, number][] = [];
  const runs = new DueRuns<string>(most, {
    nowUs: () => 1_000_000,
    start: (item, dueUs) => started.push([item, dueUs]),
    places,
  });
  const end = (item: string) => {
    runs.ended(item);
    runs.pump();
  };
  return { runs, started, end };
}

test('DueRuns: what is due starts in order, no more than so many at once', async () => {
  const { runs, started, end } = manual(2);
  runs.add(3, 'c');
  runs.add(1, 'a');
  runs.add(2, 'b');
  runs.pump();
  expect(started).toEqual([
    ['a', 1],
    ['b', 2],
  ]);
  end('a');
  expect(started[2]).toEqual(['c', 3]);
  for (const item of ['b', 'c']) end(item);
  await runs.stop();
});

test('DueRuns: a run that takes many places starts in its turn, and holds up what follows', async () => {
  const { runs, started, end } = manual(3, (item) => (item === 'many' ? 5 : 1));
  for (const [index, item] of ['one', 'many', 'next'].entries()) runs.add(index, item);
  runs.pump();
  const items = () => started.map(([item]) => item);
  expect(items()).toEqual(['one', 'many']);
  end('one');
  expect(items()).toEqual(['one', 'many']);
  end('many');
  expect(items()).toEqual(['one', 'many', 'next']);
  end('next');
  await runs.stop();
});

test('DueRuns: what is due later starts by itself', async () => {
  let nowUs = 0;
  const started: string[] = [];
  const runs = new DueRuns<string>(1, {
    nowUs: () => nowUs,
    start: (item) => {
      started.push(item);
      queueMicrotask(() => {
        runs.ended(item);
        runs.pump();
      });
    },
    places: () => 1,
  });
  runs.add(20_000, 'late');
  runs.pump();
  // An earlier one moves the timer.
  runs.add(5_000, 'early');
  runs.pump();
  expect(started).toEqual([]);
  nowUs = 30_000;
  await waitFor('both', () => started.length === 2);
  expect(started).toEqual(['early', 'late']);
  await runs.stop();
});

test('DueRuns: after the stop nothing starts, and every stop waits for what runs', async () => {
  const { runs, started, end } = manual(1);
  runs.add(1, 'a');
  runs.add(2, 'b');
  runs.pump();
  let stopped = 0;
  const stops = [runs.stop(), runs.stop()].map((stop) => stop.then(() => stopped++));
  await new Promise((resolve) => setImmediate(resolve));
  expect(stopped).toBe(0);
  end('a');
  await Promise.all(stops);
  expect(started).toEqual([['a', 1]]);
  await runs.stop();
});

test('DueRuns: what takes long to start leaves turns of the event loop to others', async () => {
  const inTurns: string[][] = [[]];
  let nowUs = 0;
  const runs = new DueRuns<string>(100, {
    nowUs: () => nowUs,
    start: (item) => {
      nowUs += 500;
      inTurns.at(-1)?.push(item);
    },
    places: () => 1,
  });
  const items = ['a', 'b', 'c', 'd', 'e'];
  for (const item of items) runs.add(0, item);
  runs.pump();
  // The end of a run does not make the turn longer.
  runs.ended('a');
  runs.pump();
  for (let turn = 0; turn < 10 && inTurns.flat().length < items.length; turn++) {
    inTurns.push([]);
    await new Promise(setImmediate);
  }
  expect(inTurns.flat()).toEqual(items);
  expect(Math.max(...inTurns.map((some) => some.length))).toBe(2);
  for (const item of items.slice(1)) runs.ended(item);
  await runs.stop();
});
