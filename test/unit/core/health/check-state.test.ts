import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type {
  CheckChange,
  CheckEvent,
  CheckState,
  FoundAs,
} from '../../../../src/core/health/check-state.ts';
import { initialCheckState, isConfirming, step } from '../../../../src/core/health/check-state.ts';
import {
  DETAIL_LENGTH_MAX,
  PROBE_FAILURE_REASONS,
  probeFailure,
} from '../../../../src/core/health/probe-result.ts';

const failure = probeFailure('timeout', 'Waited 5 ms');

function event(ok: boolean, atUs: number): CheckEvent {
  return ok ? { kind: 'succeeded', atUs } : { kind: 'failed', atUs, reason: failure };
}

interface History {
  readonly states: CheckState[];
  readonly changes: (CheckChange | null)[];
}

/**
 * Applies results, one a second; '+' is a success, '-' a failure. `found`: how its server is when it
 * begins.
 */
function play(
  results: string,
  thresholds: { rise: number; fall: number },
  found: FoundAs | null = null,
): History {
  const history: History = { states: [], changes: [] };
  let state = initialCheckState(0, found);
  for (const [index, result] of [...results].entries()) {
    const next = step(state, thresholds, event(result === '+', (index + 1) * 1_000_000));
    state = next.state;
    history.states.push(state);
    history.changes.push(next.change);
  }
  return history;
}

describe('step', () => {
  // Per result, the status after it: u(p) or d(own).
  test.each([
    ['one success brings an unknown server up', 5, 5, '+', 'u'],
    ['one failure takes an unknown server down', 5, 5, '-', 'd'],
    ['an up server falls at the third failure in a row', 2, 3, '+---', 'uuud'],
    ['a success in between starts the count of failures anew', 2, 3, '+--+--+---', 'uuuuuuuuud'],
    ['a down server rises at the second success in a row', 2, 3, '-++', 'ddu'],
    ['a failure in between starts the count of successes anew', 2, 3, '-+-+-++', 'ddddddu'],
    ['with fall 1 and rise 1 every result counts', 1, 1, '+-+-', 'udud'],
    ['further failures of a down server change nothing', 1, 2, '-----', 'ddddd'],
    ['rise counts only from being down', 3, 1, '+++-+++', 'uuudddu'],
  ])('%s', (_criterion, rise, fall, results, expected) => {
    const { states } = play(results, { rise, fall });
    expect(states.map((state) => state.status[0]).join('')).toBe(expected);
  });

  // Per result, the status after it, with fall 3 and rise 2; ?: unknown.
  test.each([
    ['fewer failures than fall take nobody out who has clients', '--+', '??u'],
    ['as many as fall do', '---', '??d'],
    ['it comes back as any other', '----++', '??dddu'],
    ['once it is up, the count begins anew', '--+--+---', '??uuuuuud'],
  ])('a server that has clients: %s', (_criterion, results, expected) => {
    const { states } = play(results, { rise: 2, fall: 3 }, 'serving');
    const letters = states.map(({ status }) => (status === 'unknown' ? '?' : status[0]));
    expect(letters.join('')).toBe(expected);
  });

  test.each([
    ['fewer successes than rise bring nobody back', '++-', '??d'],
    ['as many as rise do', '+++', '??u'],
    ['a failure takes it out at once', '-', 'd'],
    ['once it is up, it falls as any other', '+++--+---', '??uuuuuud'],
    ['once it is down, the count begins anew', '++-+++', '??dddu'],
  ])('a server that was out: %s', (_criterion, results, expected) => {
    const { states } = play(results, { rise: 3, fall: 3 }, 'out');
    const letters = states.map(({ status }) => (status === 'unknown' ? '?' : status[0]));
    expect(letters.join('')).toBe(expected);
  });

  test('a server that was out rises for a reason, has come back, and is confirmed until then', () => {
    const { states, changes } = play('++', { rise: 2, fall: 2 }, 'out');
    expect(changes).toEqual([
      null,
      { from: 'unknown', to: 'up', reason: { kind: 'rise', successes: 2 } },
    ]);
    // It starts slowly, as any other that failed.
    expect(states.map(({ recoveredAtUs }) => recoveredAtUs)).toEqual([null, 2_000_000]);
    expect(states.map(isConfirming)).toEqual([true, false]);
    expect(play('+', { rise: 1, fall: 2 }, 'out').changes[0]?.reason.kind).toBe('rise');
    // Of one that failed at once, nothing has come back.
    expect(play('-', { rise: 2, fall: 2 }, 'out').states[0]?.recoveredAtUs).toBeNull();
  });

  test('a server that has clients falls with the number of failures as its reason', () => {
    const { states, changes } = play('--', { rise: 2, fall: 2 }, 'serving');
    expect(changes).toEqual([
      null,
      { from: 'unknown', to: 'down', reason: { kind: 'fall', failures: 2, failure } },
    ]);
    // The second run comes as early as one that confirms the fall of a server that is up.
    expect(states.map(isConfirming)).toEqual([true, false]);
  });

  test('changes carry from, to and their reason, and other steps carry none', () => {
    const { changes } = play('+---++', { rise: 2, fall: 3 });
    expect(changes).toEqual([
      { from: 'unknown', to: 'up', reason: { kind: 'first-success' } },
      null,
      null,
      { from: 'up', to: 'down', reason: { kind: 'fall', failures: 3, failure } },
      null,
      { from: 'down', to: 'up', reason: { kind: 'rise', successes: 2 } },
    ]);
    expect(play('-', { rise: 2, fall: 3 }).changes).toEqual([
      { from: 'unknown', to: 'down', reason: { kind: 'first-failure', failure } },
    ]);
  });

  test('the state tells since when, how many in a row, and the latest failure', () => {
    const { states } = play('+--+', { rise: 2, fall: 3 });
    expect(states[2]).toEqual({
      status: 'up',
      found: null,
      sinceUs: 1_000_000,
      recoveredAtUs: null,
      successes: 0,
      failures: 2,
      lastFailure: { ...failure, atUs: 3_000_000 },
    });
    expect(states[3]).toEqual({
      status: 'up',
      found: null,
      sinceUs: 1_000_000,
      recoveredAtUs: null,
      successes: 1,
      failures: 0,
      lastFailure: { ...failure, atUs: 3_000_000 },
    });
  });

  test('a check that is up again says since when, and one that was never down does not', () => {
    const { states } = play('-++-+--', { rise: 2, fall: 2 });
    expect(states.map(({ recoveredAtUs }) => recoveredAtUs)).toEqual([
      null,
      null,
      3_000_000,
      3_000_000,
      3_000_000,
      3_000_000,
      null,
    ]);
    const { states: lucky } = play('++', { rise: 1, fall: 1 });
    expect(lucky.map(({ recoveredAtUs }) => recoveredAtUs)).toEqual([null, null]);
  });

  test('a threshold below 1 is a defect', () => {
    const state = initialCheckState(0);
    expect(() => step(state, { rise: 0, fall: 1 }, event(true, 1))).toThrow('at least 1');
    expect(() => step(state, { rise: 1, fall: 0 }, event(true, 1))).toThrow('at least 1');
  });
});

const thresholds = fc.record({
  rise: fc.integer({ min: 1, max: 6 }),
  fall: fc.integer({ min: 1, max: 6 }),
});
const results = fc.array(fc.boolean(), { minLength: 1, maxLength: 80 });

describe('step: properties', () => {
  test('the status changes exactly when as many results in a row say so', () => {
    fc.assert(
      fc.property(results, thresholds, (sequence, options) => {
        const text = sequence.map((ok) => (ok ? '+' : '-')).join('');
        const { states } = play(text, options);
        // The rule, said another way: by the text so far, not by counts.
        let expected = 'unknown';
        for (let length = 1; length <= text.length; length++) {
          const soFar = text.slice(0, length);
          const first = length === 1;
          if (first || (expected === 'up' && soFar.endsWith('-'.repeat(options.fall)))) {
            expected = soFar.endsWith('+') ? 'up' : 'down';
          } else if (expected === 'down' && soFar.endsWith('+'.repeat(options.rise))) {
            expected = 'up';
          }
          expect(states[length - 1]?.status).toBe(expected);
        }
      }),
    );
  });

  test('a server that flaps faster than rise and fall keeps its first verdict', () => {
    fc.assert(
      fc.property(
        fc.record({ rise: fc.integer({ min: 2, max: 6 }), fall: fc.integer({ min: 2, max: 6 }) }),
        fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 30 }),
        fc.constantFrom('+', '-'),
        (options, bursts, first) => {
          const flaps = bursts.map(([up, down]) => {
            const ups = '+'.repeat(1 + (up % (options.rise - 1)));
            const downs = '-'.repeat(1 + (down % (options.fall - 1)));
            return first === '+' ? downs + ups : ups + downs;
          });
          const { changes } = play(first + flaps.join(''), options);
          expect(changes.filter((change) => change !== null)).toHaveLength(1);
        },
      ),
    );
  });

  test('changes connect, at most one count is above zero, and since is the last change', () => {
    fc.assert(
      fc.property(results, thresholds, (sequence, options) => {
        const text = sequence.map((ok) => (ok ? '+' : '-')).join('');
        const { states, changes } = play(text, options);
        let status = 'unknown';
        let sinceUs = 0;
        for (const [index, change] of changes.entries()) {
          const state = states[index] as CheckState;
          expect(Math.min(state.successes, state.failures)).toBe(0);
          expect(state.successes + state.failures).toBeGreaterThan(0);
          if (change !== null) {
            expect(change.from).toBe(status);
            expect(change.to).not.toBe(status);
            status = change.to;
            sinceUs = (index + 1) * 1_000_000;
          }
          expect(state).toMatchObject({ status, sinceUs });
        }
      }),
    );
  });
});

describe('probeFailure', () => {
  test('a detail is one bounded line without control characters, whatever it was', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (text) => {
        const { detail } = probeFailure('tls', text);
        expect(detail.length).toBeLessThanOrEqual(DETAIL_LENGTH_MAX);
        expect(detail).not.toMatch(/[\p{Cc}\u2028\u2029\p{Cs}]/u);
      }),
    );
    expect(probeFailure('tls', '\u001b[31mred\r\nline').detail).toBe('[31mred line');
  });

  test('reasons can be metric labels', () => {
    for (const reason of Object.keys(PROBE_FAILURE_REASONS)) expect(reason).toMatch(/^[a-z-]+$/);
  });
});
