/** The order of signed advertisements: serial numbers, windows, and clocks that are stepped. */
import { describe, expect, test } from 'vitest';
import {
  checkReplay,
  NO_SENDERS,
  nextSequence,
  REPLAY_SENDERS_MAX,
  type ReplayOptions,
  type ReplayState,
  type ReplayVerdict,
  sequenceAt,
  sequenceIsAfter,
} from '../../../../src/core/vrrp/replay.ts';
import type { HmacSequence } from '../../../../src/core/wire/vrrp-hmac.ts';

const SECOND = 1_000_000;
const NOW = 1_800_000_000 * SECOND;
const TIME: ReplayOptions = { replay: 'time', windowSeconds: 5 };
const MONOTONIC: ReplayOptions = { replay: 'monotonic', windowSeconds: 5 };
const OFF: ReplayOptions = { replay: 'off', windowSeconds: 5 };
const A = Uint8Array.of(192, 0, 2, 1);

/** Verdicts of advertisements received one after the other. */
function hear(
  options: ReplayOptions,
  adverts: readonly { source?: Uint8Array; sequence: HmacSequence; wallUs?: number }[],
): ReplayVerdict[] {
  let state: ReplayState = NO_SENDERS;
  return adverts.map(({ source = A, sequence, wallUs = NOW }) => {
    const step = checkReplay(state, options, { source, sequence, wallUs });
    state = step.state;
    return step.verdict;
  });
}

describe('sequenceAt', () => {
  test('is the second and the 1/65536 of it, with a counter of 0', () => {
    expect(sequenceAt(NOW)).toEqual({ seconds: 1_800_000_000, fraction: 0 });
    expect(sequenceAt(NOW + SECOND / 2)).toEqual({ seconds: 1_800_000_000, fraction: 0x80000000 });
    expect(sequenceAt(NOW + SECOND - 1).fraction).toBe(0xffff0000);
  });

  test('wraps with its 32 bits of seconds, in 2106', () => {
    expect(sequenceAt(2 ** 32 * SECOND)).toEqual({ seconds: 0, fraction: 0 });
  });
});

describe('sequenceIsAfter', () => {
  const at = (seconds: number, fraction = 0) => ({ seconds, fraction });
  test.each([
    ['a later second', at(2), at(1, 0xffffffff), true],
    ['an earlier second', at(1, 0xffffffff), at(2), false],
    ['the same', at(1, 5), at(1, 5), false],
    ['a greater counter', at(1, 6), at(1, 5), true],
    ['a smaller counter', at(1, 5), at(1, 6), false],
    ['a counter that fills the fraction', at(1, 0xffffffff), at(1, 0), true],
    ['a wrap of the seconds', at(0), at(0xffffffff, 0xffffffff), true],
    ['before the wrap', at(0xffffffff), at(0), false],
    ['just under half the numbers ahead', at(0x7fffffff, 0xffffffff), at(0), true],
    ['half the numbers ahead, which RFC 1982 leaves open', at(0x80000000), at(0), false],
    ['more than half ahead, so behind', at(0x80000001), at(0), false],
  ])('%s', (_, left, right, expected) => expect(sequenceIsAfter(left, right)).toBe(expected));
});

describe('nextSequence', () => {
  test('follows the clock', () => {
    expect(nextSequence(null, TIME, NOW)).toEqual(sequenceAt(NOW));
    const last = sequenceAt(NOW - 10_000);
    expect(nextSequence(last, TIME, NOW)).toEqual(sequenceAt(NOW));
  });

  test('grows by the counter while the clock stands, and carries into the time', () => {
    const one = nextSequence(sequenceAt(NOW), TIME, NOW);
    expect(one).toEqual({ ...sequenceAt(NOW), fraction: 1 });
    const full = { seconds: 0xffffffff, fraction: 0xffffffff };
    expect(nextSequence(full, MONOTONIC, NOW)).toEqual(sequenceAt(NOW));
    const ahead = { seconds: 1_800_000_000, fraction: 0xffffffff };
    expect(nextSequence(ahead, TIME, NOW)).toEqual({ seconds: 1_800_000_001, fraction: 0 });
  });

  test('grows although the clock was set back within the window', () => {
    const last = sequenceAt(NOW + 5 * SECOND);
    expect(nextSequence(last, TIME, NOW)).toEqual({ ...last, fraction: 1 });
  });

  test('starts again from a clock that was set back by more, in mode time only', () => {
    const last = sequenceAt(NOW + 6 * SECOND);
    expect(nextSequence(last, TIME, NOW)).toEqual(sequenceAt(NOW));
    expect(nextSequence(last, MONOTONIC, NOW)).toEqual({ ...last, fraction: 1 });
  });
});

describe('checkReplay', () => {
  const at = (seconds: number) => sequenceAt(NOW + seconds * SECOND);

  test('takes what grows, and refuses what was taken or is older', () => {
    for (const options of [TIME, MONOTONIC]) {
      const adverts = [at(0), at(1), at(1), at(0), at(2)].map((sequence) => ({ sequence }));
      const verdicts = ['fresh', 'fresh', 'not-newer', 'not-newer', 'fresh'];
      expect(hear(options, adverts)).toEqual(verdicts);
    }
  });

  test('has a window of whole seconds in both directions, in mode time only', () => {
    const adverts = [-6, -5, 5, 6].map((seconds) => ({
      source: Uint8Array.of(192, 0, 2, seconds + 10),
      sequence: at(seconds),
    }));
    expect(hear(TIME, adverts)).toEqual(['stale', 'fresh', 'fresh', 'stale']);
    expect(hear(MONOTONIC, adverts)).toEqual(['fresh', 'fresh', 'fresh', 'fresh']);
  });

  test('takes everything in mode off', () => {
    const adverts = [at(0), at(0), at(-1000)].map((sequence) => ({ sequence }));
    expect(hear(OFF, adverts)).toEqual(['fresh', 'fresh', 'fresh']);
  });

  test('does not let a refused advertisement move the mark', () => {
    const adverts = [at(0), at(1000), at(1)].map((sequence) => ({ sequence }));
    expect(hear(TIME, adverts)).toEqual(['fresh', 'stale', 'fresh']);
  });

  test('hears a sender again whose clock was ahead and is set right, in mode time', () => {
    // Both clocks were an hour ahead; the receiver's is right by now, then the sender's too.
    const ahead = { sequence: at(3600), wallUs: NOW + 3600 * SECOND };
    expect(hear(TIME, [ahead, { sequence: at(0) }, { sequence: at(0) }])).toEqual([
      'fresh',
      'fresh',
      'not-newer',
    ]);
    expect(hear(MONOTONIC, [ahead, { sequence: at(0) }])).toEqual(['fresh', 'not-newer']);
  });

  test('refuses everybody while its own clock is wrong, and nobody afterwards', () => {
    const wrong = { sequence: at(0), wallUs: NOW + 100 * SECOND };
    expect(hear(TIME, [{ sequence: at(-1) }, wrong, { sequence: at(1) }])).toEqual([
      'fresh',
      'stale',
      'fresh',
    ]);
  });

  test('remembers the last senders by their order of use, no more than it may', () => {
    const sender = (index: number, seconds = 0) => ({
      source: Uint8Array.of(192, 0, 2, index),
      sequence: at(seconds),
    });
    const first = Array.from({ length: REPLAY_SENDERS_MAX }, (_, index) => sender(index));
    const fresh = first.map(() => 'fresh');
    // The oldest is used again; the fifth then takes the place of the next oldest.
    const adverts = [...first, sender(0, 1), sender(9), sender(0, 1), sender(1)];
    expect(hear(MONOTONIC, adverts)).toEqual([...fresh, 'fresh', 'fresh', 'not-newer', 'fresh']);
    let state: ReplayState = NO_SENDERS;
    for (let index = 0; index < 100; index++) {
      const received = { ...sender(index), wallUs: NOW };
      state = checkReplay(state, TIME, received).state;
    }
    expect(state).toHaveLength(REPLAY_SENDERS_MAX);
  });

  test('keeps the place of a sender whose old advertisements are repeated', () => {
    const sender = (index: number) => ({
      source: Uint8Array.of(192, 0, 2, index),
      sequence: at(0),
    });
    const first = Array.from({ length: REPLAY_SENDERS_MAX }, (_, index) => sender(index));
    const verdicts = hear(MONOTONIC, [...first, sender(0), sender(9), sender(0)]);
    expect(verdicts.slice(REPLAY_SENDERS_MAX)).toEqual(['not-newer', 'fresh', 'not-newer']);
  });

  test('keeps its own copy of the source, whose buffer is used again', () => {
    const source = A.slice();
    const { state } = checkReplay(NO_SENDERS, TIME, { source, sequence: at(0), wallUs: NOW });
    source[3] = 9;
    const again = checkReplay(state, TIME, { source: A, sequence: at(0), wallUs: NOW });
    expect(again.verdict).toBe('not-newer');
  });
});
