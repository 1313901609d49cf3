/** Tracking: effective priority as the sum of its parts, and faults. */
import { describe, expect, test } from 'vitest';
import type { TrackConfig } from '../../../../src/core/config/config.ts';
import {
  awaitedTrackers,
  evaluateTracks,
  type TrackerState,
} from '../../../../src/core/vrrp/tracking.ts';

const up: TrackerState = { up: true, value: null, detail: 'up' };
const down: TrackerState = { up: false, value: null, detail: 'down' };
const track = (weight: number, reverse = false): TrackConfig => ({ tracker: 't', weight, reverse });
const evaluate = (base: number, one: TrackConfig, state: TrackerState | undefined) =>
  evaluateTracks(base, [one], () => state, 'nothing');

describe('evaluateTracks', () => {
  test.each([
    ['a positive weight is added while up', track(20), up, 120],
    ['a positive weight is not added while down', track(20), down, 100],
    ['a negative weight is subtracted while down', track(-20), down, 80],
    ['a negative weight is not subtracted while up', track(-20), up, 100],
    ['reverse swaps up and down', track(20, true), down, 120],
    ['a value counts times its weight', track(2), { ...up, value: -15 }, 70],
    ['a value is turned round by reverse', track(2, true), { ...up, value: -15 }, 130],
    ['an unknown tracker is not added', track(20), undefined, 100],
    ['an unknown tracker is not subtracted', track(-20), undefined, 100],
    ['the sum stays below the owner', track(253), up, 254],
    ['the sum stays above 0', track(-253), down, 1],
  ])('%s', (_name, one, state, priority) => {
    const result = evaluate(100, one, state);
    expect(result).toMatchObject({ priority, faultyTracker: null });
  });

  test('without weight, down is a fault, and up with reverse', () => {
    expect(evaluate(100, track(0), down).faultyTracker).toBe('t');
    expect(evaluate(100, track(0), up).faultyTracker).toBeNull();
    expect(evaluate(100, track(0, true), up).faultyTracker).toBe('t');
  });

  test('a value other than 0 is a fault without weight, and far below 0 with one', () => {
    expect(evaluate(100, track(0), { ...up, value: 1 }).faultyTracker).toBe('t');
    expect(evaluate(100, track(1), { ...up, value: -254 }).faultyTracker).toBe('t');
    expect(evaluate(100, track(1), { ...up, value: -253 }).faultyTracker).toBeNull();
  });

  test('an owner keeps its priority, and has faults all the same', () => {
    expect(evaluate(255, track(-20), down).priority).toBe(255);
    expect(evaluate(255, track(0), down).faultyTracker).toBe('t');
  });

  test('an unknown tracker counts as up for who was active with it', () => {
    const priority = (one: TrackConfig) =>
      evaluateTracks(100, [one], () => undefined, 'up').priority;
    expect([priority(track(20)), priority(track(-20))]).toEqual([120, 100]);
  });

  test('who begins waits for those alone that may forbid it and have not spoken', () => {
    const tracks = ['known', 'silent', 'weighted'].map((tracker) => ({
      tracker,
      weight: tracker === 'weighted' ? 5 : 0,
      reverse: false,
    }));
    const stateOf = (name: string) => (name === 'known' ? down : undefined);
    expect(awaitedTrackers(tracks, stateOf)).toEqual(['silent']);
    expect(evaluateTracks(100, tracks.slice(1), stateOf, 'nothing').faultyTracker).toBeNull();
  });

  test('the parts add up to the priority', () => {
    const tracks = [
      { tracker: 'a', weight: 10, reverse: false },
      { tracker: 'b', weight: -5, reverse: false },
    ];
    const result = evaluateTracks(100, tracks, (name) => (name === 'a' ? up : down), 'nothing');
    const sum = result.parts.reduce((total, part) => total + part.delta, 100);
    expect(result.priority).toBe(sum);
    expect(result.parts.map((part) => part.delta)).toEqual([10, -5]);
  });
});
