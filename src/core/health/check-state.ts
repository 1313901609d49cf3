/**
 * The state of one check, with rise and fall. A check starts unknown, and its server is not yet
 * taken in; the first verdict counts at once (one success: up; one failure: down), because
 * nothing earlier could be flapping. From then on, `fall` failures in a row take it down and
 * `rise` successes in a row bring it up. What the kernel's table says of a server when its check
 * begins is something earlier: who has clients is taken out by `fall` failures in a row, since one lost
 * packet must not cost what a restart has kept, and who was out for the controller before comes back by
 * `rise` successes in a row, since a restart makes nobody well. At most one of the two counts is above
 * zero.
 */
import { assert, assertNever } from '../assert.ts';
import type { ProbeFailure } from './probe-result.ts';

export type CheckStatus = 'unknown' | 'up' | 'down';

/** What the kernel's table says of a server: it has clients, or was out for an earlier controller. */
export type FoundAs = 'serving' | 'out';

export interface CheckState {
  readonly status: CheckStatus;
  /**
   * How its server was found when the check began: while it is unknown, it falls as one that is up,
   * or rises as one that is down. null for neither, as a new one.
   */
  readonly found: FoundAs | null;
  /** When the status was entered; monotonic microseconds. */
  readonly sinceUs: number;
  /** When it came up again after it was down; null when it is not up, or never was down. */
  readonly recoveredAtUs: number | null;
  /** Results of the same kind in a row, up to now. They stop counting at COUNT_MAX. */
  readonly successes: number;
  readonly failures: number;
  /** The latest failure, also of a check that is up again; null if there was none. */
  readonly lastFailure: (ProbeFailure & { readonly atUs: number }) | null;
}

/** Number of results in a row that change the status, each 1 or more. */
export interface CheckThresholds {
  readonly rise: number;
  readonly fall: number;
}

export type CheckEvent =
  | { readonly kind: 'succeeded'; readonly atUs: number }
  | { readonly kind: 'failed'; readonly atUs: number; readonly reason: ProbeFailure };

export type CheckChangeReason =
  | { readonly kind: 'first-success' }
  | { readonly kind: 'first-failure'; readonly failure: ProbeFailure }
  | { readonly kind: 'rise'; readonly successes: number }
  | { readonly kind: 'fall'; readonly failures: number; readonly failure: ProbeFailure };

export interface CheckChange {
  readonly from: CheckStatus;
  readonly to: 'up' | 'down';
  readonly reason: CheckChangeReason;
}

export interface CheckStep {
  readonly state: CheckState;
  /** null when the status stays as it is. */
  readonly change: CheckChange | null;
}

/** Counts stay exact integers for ever: they stop here, far above any threshold. */
const COUNT_MAX = 2 ** 31 - 1;

/** The state of a check that never ran; `nowUs` is monotonic microseconds. */
export function initialCheckState(nowUs: number, found: FoundAs | null = null): CheckState {
  return {
    status: 'unknown',
    found,
    sinceUs: nowUs,
    recoveredAtUs: null,
    successes: 0,
    failures: 0,
    lastFailure: null,
  };
}

/** True while results that contradict the status are too few to change it. */
export function isConfirming({ status, successes, failures }: CheckState): boolean {
  return (status !== 'down' && failures > 0) || (status !== 'up' && successes > 0);
}

/** Applies one result. Total and deterministic; throws only on thresholds below 1. */
export function step(state: CheckState, options: CheckThresholds, event: CheckEvent): CheckStep {
  assert(options.rise >= 1 && options.fall >= 1, 'Rise and fall are at least 1');
  switch (event.kind) {
    case 'succeeded':
      return stepSucceeded(state, options, event);
    case 'failed':
      return stepFailed(state, options, event);
    default:
      return assertNever(event);
  }
}

function stepSucceeded(
  state: CheckState,
  options: CheckThresholds,
  event: CheckEvent & { readonly kind: 'succeeded' },
): CheckStep {
  const successes = Math.min(state.successes + 1, COUNT_MAX);
  const next = after(state, successes, 0, state.lastFailure);
  switch (state.status) {
    case 'unknown':
      if (state.found !== 'out') return changed(next, 'up', event.atUs, { kind: 'first-success' });
      if (successes < options.rise) return { state: next, change: null };
      return changed(next, 'up', event.atUs, { kind: 'rise', successes });
    case 'up':
      return { state: next, change: null };
    case 'down':
      if (successes < options.rise) return { state: next, change: null };
      return changed(next, 'up', event.atUs, { kind: 'rise', successes });
    default:
      return assertNever(state.status);
  }
}

function stepFailed(
  state: CheckState,
  options: CheckThresholds,
  event: CheckEvent & { readonly kind: 'failed' },
): CheckStep {
  const failure = event.reason;
  const failures = Math.min(state.failures + 1, COUNT_MAX);
  const next = after(state, 0, failures, { ...failure, atUs: event.atUs });
  switch (state.status) {
    case 'unknown':
      if (state.found !== 'serving') {
        return changed(next, 'down', event.atUs, { kind: 'first-failure', failure });
      }
      if (failures < options.fall) return { state: next, change: null };
      return changed(next, 'down', event.atUs, { kind: 'fall', failures, failure });
    case 'down':
      return { state: next, change: null };
    case 'up':
      if (failures < options.fall) return { state: next, change: null };
      return changed(next, 'down', event.atUs, { kind: 'fall', failures, failure });
    default:
      return assertNever(state.status);
  }
}

/** The state after a result, while its status stays. All states are made alike, which is fast. */
function after(
  { status, found, sinceUs, recoveredAtUs }: CheckState,
  successes: number,
  failures: number,
  lastFailure: CheckState['lastFailure'],
): CheckState {
  return { status, found, sinceUs, recoveredAtUs, successes, failures, lastFailure };
}

function changed(
  state: CheckState,
  to: 'up' | 'down',
  atUs: number,
  reason: CheckChangeReason,
): CheckStep {
  const { status: from, found, successes, failures, lastFailure } = state;
  const wasOut = from === 'down' || (from === 'unknown' && found === 'out');
  const recoveredAtUs = to === 'up' && wasOut ? atUs : null;
  return {
    state: { status: to, found, sinceUs: atUs, recoveredAtUs, successes, failures, lastFailure },
    change: { from, to, reason },
  };
}
