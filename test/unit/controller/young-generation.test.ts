/** The young generation is collected when much has been made, and not before. */
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { collectYoungGeneration } from '../../../src/controller/young-generation.ts';

type Collect = NonNullable<typeof globalThis.gc>;

const before = globalThis.gc;
let asked: unknown[] = [];

beforeEach(() => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as Collect;
  asked = [];
  globalThis.gc = ((options: Parameters<Collect>[0]) => {
    asked.push(options);
    collect(options);
  }) as Collect;
  // What the second one finds alive leaves the young generation.
  for (let time = 0; time < 2; time++) collect({ type: 'minor', execution: 'sync' });
});

afterEach(() => {
  globalThis.gc = before;
});

function usedKiB(): number {
  const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
  return (young?.space_used_size ?? 0) / 1024;
}

/** It does not look every time. */
const collects = () => [collectYoungGeneration(), collectYoungGeneration()].includes(true);

test('nothing is collected of little', () => {
  expect(collects()).toBe(false);
  expect(asked).toEqual([]);
});

test('much is collected, of the young generation alone', () => {
  const kept = Array.from({ length: 20_000 }, (_, index) => ({ index }));
  const beforeKiB = usedKiB();
  expect(collects()).toBe(true);
  expect(asked).toEqual([{ type: 'minor', execution: 'sync' }]);
  expect(usedKiB()).toBeLessThan(beforeKiB);
  expect(kept).toHaveLength(20_000);
});

test('where Node does not offer it, nothing is collected', () => {
  globalThis.gc = undefined;
  const kept = Array.from({ length: 20_000 }, (_, index) => ({ index }));
  expect(collects()).toBe(false);
  expect(kept).toHaveLength(20_000);
});
