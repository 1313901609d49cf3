import { expect, test } from 'vitest';
import { DueRuns } from '../../../src/controller/due-runs.ts';
import { waitFor } from '../probes/servers.ts';

/** Runs that end when they are told to. */
function manual(most: number, places: (item: string) => number = () => 1) {
  const started: string[] = [];
  const ends: (() => void)[] = [];
  const ended: [string, number][] = [];
  const runs = new DueRuns<string>(most, {
    nowUs: () => 1_000_000,
    run: (item) => {
      started.push(item);
      return new Promise((resolve) => ends.push(resolve));
    },
    places,
    onEnd: (item, dueUs) => ended.push([item, dueUs]),
  });
  return { runs, started, ends, ended };
}

test('DueRuns: what is due starts in order, no more than so many at once', async () => {
  const { runs, started, ends, ended } = manual(2);
  runs.add(3, 'c');
  runs.add(1, 'a');
  runs.add(2, 'b');
  runs.pump();
  expect(started).toEqual(['a', 'b']);
  ends[0]?.();
  await waitFor('the third', () => started.length === 3);
  expect(ended).toEqual([['a', 1]]);
  for (const end of ends) end();
  await runs.stop();
});

test('DueRuns: a run that takes many places starts in its turn, and holds up what follows', async () => {
  const { runs, started, ends } = manual(3, (item) => (item === 'many' ? 5 : 1));
  for (const [index, item] of ['one', 'many', 'next'].entries()) runs.add(index, item);
  runs.pump();
  expect(started).toEqual(['one', 'many']);
  ends[0]?.();
  await new Promise((resolve) => setImmediate(resolve));
  expect(started).toEqual(['one', 'many']);
  ends[1]?.();
  await waitFor('the next', () => started.length === 3);
  ends[2]?.();
  await runs.stop();
});

test('DueRuns: what is due later starts by itself', async () => {
  let nowUs = 0;
  const started: string[] = [];
  const runs = new DueRuns<string>(1, {
    nowUs: () => nowUs,
    run: async (item) => void started.push(item),
    places: () => 1,
    onEnd: () => {},
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

test('DueRuns: after the stop nothing starts, and the stop waits for what runs', async () => {
  const { runs, started, ends } = manual(1);
  runs.add(1, 'a');
  runs.add(2, 'b');
  runs.pump();
  let stopped = false;
  const stop = runs.stop().then(() => {
    stopped = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  expect(stopped).toBe(false);
  ends[0]?.();
  await stop;
  expect(started).toEqual(['a']);
});
