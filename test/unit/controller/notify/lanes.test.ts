import { describe, expect, test } from 'vitest';
import { type Job, Lanes } from '../../../../src/controller/notify/lanes.ts';
import { QUEUE_MAX, type WaitingKind } from '../../../../src/core/notify/queue.ts';

/** A job that runs until `end` is called; `log` hears of its start, end and drop. */
function job(name: string, log: string[], kind: WaitingKind = 'state'): Job & { end: () => void } {
  let end = (): void => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  return {
    kind,
    run: async () => {
      log.push(`start ${name}`);
      await ended;
      log.push(`end ${name}`);
    },
    dropped: () => log.push(`drop ${name}`),
    end: () => end(),
  };
}

describe('Lanes', () => {
  test('run one job at a time in a lane, in order, and lanes side by side', async () => {
    const lanes = new Lanes();
    const log: string[] = [];
    const [a, b, other] = ['a', 'b', 'other'].map((name) => job(name, log)) as [
      ReturnType<typeof job>,
      ReturnType<typeof job>,
      ReturnType<typeof job>,
    ];
    lanes.add('web', a);
    lanes.add('web', b);
    lanes.add('mail', other);
    b.end();
    other.end();
    await new Promise((resolve) => setImmediate(resolve));
    expect(log).toEqual(['start a', 'start other', 'end other']);
    a.end();
    await lanes.idle();
    expect(log).toEqual(['start a', 'start other', 'end other', 'end a', 'start b', 'end b']);
  });

  test('drop the oldest that wait beyond the bound, and run the last', async () => {
    const lanes = new Lanes();
    const log: string[] = [];
    const jobs = Array.from({ length: QUEUE_MAX + 4 }, (_, n) => job(String(n), log));
    for (const each of jobs) lanes.add('web', each);
    expect(log).toEqual(['start 0', 'drop 1', 'drop 2', 'drop 3']);
    expect(lanes.waiting).toBe(QUEUE_MAX);
    for (const each of jobs) each.end();
    await lanes.idle();
    expect(log.at(-1)).toBe(`end ${QUEUE_MAX + 3}`);
    expect(lanes.waiting).toBe(0);
  });

  test('keep the last state only when the director stops', async () => {
    const lanes = new Lanes();
    const log: string[] = [];
    const jobs = ['a', 'b', 'c'].map((name) => job(name, log));
    for (const each of jobs) lanes.add('web', each);
    lanes.add('web', job('p', log, 'priority'));
    lanes.keepLastStates();
    expect(log).toEqual(['start a', 'drop b', 'drop p']);
    for (const each of jobs) each.end();
    await lanes.idle();
    expect(log.slice(3)).toEqual(['end a', 'start c', 'end c']);
  });

  test('run no more than 16 at once, and everybody in the end', async () => {
    const lanes = new Lanes();
    const log: string[] = [];
    const jobs = Array.from({ length: 40 }, (_, n) => job(String(n), log));
    for (const [n, each] of jobs.entries()) lanes.add(`lane ${n}`, each);
    expect(log).toHaveLength(16);
    for (const each of jobs) each.end();
    await lanes.idle();
    expect(log.filter((text) => text.startsWith('end'))).toHaveLength(40);
  });

  test('are idle without jobs', () => new Lanes().idle());
});
