/**
 * Tracking: what an instance's effective priority is made of, and whether a tracked thing forbids
 * it to take part. As keepalived has it: a positive weight is added while the tracker is up, a
 * negative one while it is down, a tracker without weight is a fault while it is down; `reverse`
 * swaps up and down; a tracker with a value (a file) adds value times weight.
 */

import type { TrackConfig } from '../config/config.ts';

/** What is known of a tracked thing. */
export interface TrackerState {
  readonly up: boolean;
  /** A file's number; null for trackers that are only up or down. */
  readonly value: number | null;
  /** In words: "exit code 1", "3 of 2 processes", "carrier lost". */
  readonly detail: string;
}

/** One term of the effective priority. */
export interface PriorityPart {
  readonly tracker: string;
  readonly delta: number;
  readonly detail: string;
}

export interface Evaluation {
  /** 1 to 254, or the base priority itself for an address owner. */
  readonly priority: number;
  readonly parts: readonly PriorityPart[];
  /** The first tracker that forbids to take part; null for none. */
  readonly faultyTracker: string | null;
  /** What that tracker says of itself. */
  readonly faultyTrackerDetail: string | null;
}

/** keepalived's bound of a weight, below which a file's value means fault. */
const WEIGHT_MAX = 253;
const PRIORITY_OWNER = 255;

/**
 * What a tracker counts for that has not spoken yet: nothing, as keepalived has it, so that a
 * director does not win by what may not be true; or as up, for one that was active with it.
 */
export type Presumed = 'nothing' | 'up';

const NOT_YET = 'not known yet';
const PRESUMED_UP: TrackerState = { up: true, value: null, detail: NOT_YET };

/** The effective priority and its parts. Priorities of owners do not change, faults still count. */
export function evaluateTracks(
  basePriority: number,
  tracks: readonly TrackConfig[],
  stateOf: (tracker: string) => TrackerState | undefined,
  presumed: Presumed,
): Evaluation {
  const parts: PriorityPart[] = [];
  let faultyTracker: string | null = null;
  let faultyTrackerDetail: string | null = null;
  let sum = basePriority;
  for (const track of tracks) {
    const known = stateOf(track.tracker);
    if (known === undefined && presumed === 'nothing') {
      parts.push({ tracker: track.tracker, delta: 0, detail: NOT_YET });
      continue;
    }
    const state = known ?? PRESUMED_UP;
    const delta = contribution(track, state);
    if (delta === 'fault') {
      faultyTracker ??= track.tracker;
      faultyTrackerDetail ??= state.detail;
    } else {
      sum += delta;
      parts.push({ tracker: track.tracker, delta, detail: state.detail });
    }
  }
  const bounded = Math.max(1, Math.min(sum, PRIORITY_OWNER - 1));
  return {
    priority: basePriority === PRIORITY_OWNER ? PRIORITY_OWNER : bounded,
    parts,
    faultyTracker,
    faultyTrackerDetail,
  };
}

/**
 * Trackers that have not spoken yet and may forbid to take part: who begins anew waits for them,
 * as keepalived does, else it would take over and be in fault a moment later.
 */
export function awaitedTrackers(
  tracks: readonly TrackConfig[],
  stateOf: (tracker: string) => TrackerState | undefined,
): readonly string[] {
  return tracks
    .filter(({ tracker, weight }) => weight === 0 && stateOf(tracker) === undefined)
    .map(({ tracker }) => tracker);
}

function contribution(track: TrackConfig, state: TrackerState): number | 'fault' {
  if (state.value !== null) return valueContribution(track, state.value);
  const up = state.up !== track.reverse;
  if (track.weight === 0) return up ? 0 : 'fault';
  if (track.weight > 0) return up ? track.weight : 0;
  return up ? 0 : track.weight;
}

function valueContribution(track: TrackConfig, value: number): number | 'fault' {
  const signed = track.reverse ? -value : value;
  if (track.weight === 0) return value === 0 ? 0 : 'fault';
  const delta = Math.min(signed * track.weight, WEIGHT_MAX);
  return delta < -WEIGHT_MAX ? 'fault' : delta;
}
