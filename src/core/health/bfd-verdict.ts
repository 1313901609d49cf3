/**
 * What a check by BFD makes of its session. A session that is up is success, one that is not is a
 * failure, and for a bounded time there is no verdict at all, so that what was known stands: while a
 * session has its first chance to come up, and while a keeper that was replaced brings up its own.
 * Times are monotonic microseconds.
 *
 *   begun ──5 s──> judged ──told up──> up ──told down──> failure at once
 *                                      └──ended by our side──10 s──> judged
 */
import { assertNever } from '../assert.ts';
import type { BfdDiagnostic, BfdStateName } from '../bfd/types.ts';
import { BFD_REASONS } from '../bfd/words.ts';
import { err, ok, type Result } from '../result.ts';
import { type ProbeFailure, probeFailure } from './probe-result.ts';

/** A session that begins needs three packets, a second apart: as trackers have it (keeper.ts). */
export const FIRST_CHANCE_US = 5_000_000;
/**
 * How long the last state stands when the keeper is gone or ended a session to begin it anew: the
 * next keeper's start, and the same chance again, on a busy machine.
 */
export const LAST_STATE_STANDS_US = 10_000_000;

/** What is known of one session. */
export interface BfdKnowledge {
  /** A keeper has begun it. */
  readonly begun: boolean;
  /** What the keeper that there is told last; null if nothing. */
  readonly told: { readonly state: BfdStateName; readonly diagnostic: BfdDiagnostic } | null;
  /** Until when a session that is not up says nothing; null for no longer. */
  readonly patientUntilUs: number | null;
}

export type BfdKnowledgeEvent =
  /** The keeper has taken its plan. */
  | { readonly kind: 'keeper-began'; readonly atUs: number }
  | { readonly kind: 'keeper-lost'; readonly atUs: number }
  | {
      readonly kind: 'told';
      readonly atUs: number;
      readonly state: BfdStateName;
      readonly diagnostic: BfdDiagnostic;
    };

/** Success, failure, or null for no verdict. */
export type BfdVerdict = Result<null, ProbeFailure> | null;

/** A session that was configured at `atUs`. */
export function initialBfdKnowledge(atUs: number): BfdKnowledge {
  return { begun: false, told: null, patientUntilUs: atUs + LAST_STATE_STANDS_US };
}

export function stepBfdKnowledge(known: BfdKnowledge, event: BfdKnowledgeEvent): BfdKnowledge {
  switch (event.kind) {
    case 'keeper-began':
      // A later keeper gets no more time than LAST_STATE_STANDS_US, however often they die.
      if (known.begun) return known;
      return { ...known, begun: true, patientUntilUs: event.atUs + FIRST_CHANCE_US };
    case 'keeper-lost':
      return ended(known, event.atUs);
    case 'told': {
      const { state, diagnostic } = event;
      // Of another session, that had the name before.
      if (!known.begun) return known;
      // Only our own side ends a session so: to begin another, or to stop altogether.
      if (state === 'admin-down') return ended(known, event.atUs);
      const patientUntilUs = state === 'up' ? null : known.patientUntilUs;
      return { ...known, told: { state, diagnostic }, patientUntilUs };
    }
    default:
      return assertNever(event);
  }
}

/** One that was up is taken for up for a while; one that was not gets no new chance. */
function ended(known: BfdKnowledge, atUs: number): BfdKnowledge {
  const wasUp = known.told?.state === 'up';
  const patientUntilUs = wasUp ? atUs + LAST_STATE_STANDS_US : known.patientUntilUs;
  return { ...known, told: null, patientUntilUs };
}

/** @param keeper whether there is a keeper that has taken its plan. */
export function bfdVerdict(
  session: string,
  { told, patientUntilUs }: BfdKnowledge,
  { keeper, nowUs }: { readonly keeper: boolean; readonly nowUs: number },
): BfdVerdict {
  if (told?.state === 'up') return ok(null);
  if (patientUntilUs !== null && nowUs < patientUntilUs) return null;
  if (!keeper) {
    return err(probeFailure('cannot-run', `There is no keeper, which has BFD session ${session}`));
  }
  if (told === null) {
    return err(probeFailure('cannot-run', `The keeper tells nothing of BFD session ${session}`));
  }
  const reason = BFD_REASONS[told.diagnostic] || 'it has not come up yet';
  return err(probeFailure('session', `BFD session ${session} is ${told.state}: ${reason}`));
}
