/**
 * When checks run. Each check has its own place, derived from its key, in a grid of its interval
 * on the monotonic clock: starts are spread evenly without chance, never drift however long a run
 * takes, and stay where they are over reconfigurations. Slots that were missed are skipped, never
 * caught up. Places are whole ticks, so that checks that begin at nearly the same time begin
 * together, and wake the director once. Times are integer microseconds.
 */
import { assert } from '../assert.ts';

/**
 * A check that never ran starts within this time even if its interval is longer: until its first
 * verdict, its server is not taken in.
 */
export const FIRST_START_SPREAD_MAX_US = 2_000_000;

/** A tick is this long, or a twentieth of an interval that is short. */
export const TICK_US = 50_000;
const TICKS_MIN = 20;

export interface Slot {
  readonly atUs: number;
  /** Slots between the one that ran last and this one, which are never run. */
  readonly skipped: number;
}

/** 32-bit FNV-1a of a text: of its ASCII bytes; a character above 0xff counts as two bytes. */
export function fnv1a32(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193);
    if (unit > 0xff) hash = Math.imul(hash ^ (unit >>> 8), 0x01000193);
  }
  return hash >>> 0;
}

/** A key's place in a window: 0 up to, not including, `windowUs`. */
export function spreadUs(key: string, windowUs: number): number {
  assert(windowUs >= 1, 'A window is at least a microsecond');
  // Scaling, unlike a remainder, reaches all of a window longer than 2^32 microseconds.
  return Math.floor((fnv1a32(key) / 2 ** 32) * windowUs);
}

/** A check's place in its interval, in whole ticks: what all of its slots have in common. */
export function placeUs(key: string, intervalUs: number): number {
  const tickUs = Math.max(1, Math.min(TICK_US, Math.floor(intervalUs / TICKS_MIN)));
  return Math.floor(spreadUs(key, intervalUs) / tickUs) * tickUs;
}

/**
 * First start of a check that is configured at `nowUs`: its place within `startSpreadUs`; without
 * that (null) its next slot, or earlier, within FIRST_START_SPREAD_MAX_US, when the slot is further
 * away than that.
 */
export function firstStartUs(
  key: string,
  intervalUs: number,
  startSpreadUs: number | null,
  nowUs: number,
): number {
  if (startSpreadUs !== null) return nowUs + spreadUs(key, Math.max(1, startSpreadUs));
  const early = nowUs + spreadUs(key, Math.min(intervalUs, FIRST_START_SPREAD_MAX_US));
  return Math.min(early, slotAfterUs(placeUs(key, intervalUs), intervalUs, nowUs - 1));
}

export interface RunTiming {
  readonly intervalUs: number;
  readonly retryDelayUs: number | null;
  readonly jitterUs: number;
}

/**
 * When a check runs again whose run was due at `dueUs` and ended at `nowUs`. While a change is
 * being confirmed, that is `retryDelayUs` after the end, if there is one, or at once where the run
 * has outlasted its interval, so that a server that times out is not given another one; its slots
 * are then not skipped but replaced. Otherwise it is the next slot, moved by the jitter: `chance`
 * is from 0 up to, not including, 1. `atPlaceUs` is the check's placeUs().
 */
export function nextRun(
  atPlaceUs: number,
  timing: RunTiming,
  { dueUs, nowUs, confirming }: RunEnd,
  chance: number,
): Slot {
  if (confirming && timing.retryDelayUs !== null) {
    return { atUs: nowUs + timing.retryDelayUs, skipped: 0 };
  }
  const slot = nextSlot(atPlaceUs, timing.intervalUs, dueUs, nowUs);
  if (confirming && slot.skipped > 0) return { atUs: nowUs, skipped: 0 };
  return { ...slot, atUs: slot.atUs + Math.floor(chance * timing.jitterUs) };
}

/** A run that is over. */
export interface RunEnd {
  readonly dueUs: number;
  readonly nowUs: number;
  /** Its check has seen results that may change the status, but not enough of them. */
  readonly confirming: boolean;
}

/**
 * The slot that follows a run that was due at `dueUs`, strictly after both that and `nowUs`.
 * `skipped` counts the slots in between.
 */
export function nextSlot(
  atPlaceUs: number,
  intervalUs: number,
  dueUs: number,
  nowUs: number,
): Slot {
  const followingUs = slotAfterUs(atPlaceUs, intervalUs, dueUs);
  if (followingUs > nowUs) return { atUs: followingUs, skipped: 0 };
  const atUs = slotAfterUs(atPlaceUs, intervalUs, nowUs);
  return { atUs, skipped: Math.round((atUs - followingUs) / intervalUs) };
}

/** The first slot strictly after a time. */
function slotAfterUs(atPlaceUs: number, intervalUs: number, timeUs: number): number {
  return atPlaceUs + (Math.floor((timeUs - atPlaceUs) / intervalUs) + 1) * intervalUs;
}
