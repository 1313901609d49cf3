/**
 * Replay protection of authenticated advertisements: the order that a sender gives its own, and
 * what a receiver remembers of each sender. Matches keepalived 2.4.2 (draft-cassen-vrrp-auth-hmac):
 * sequences are 64-bit serial numbers (RFC 1982), made from the wall clock, which is an argument
 * here (microseconds since 1970).
 *
 * Mode 'time' also demands that an advertisement is at most a window older or newer than the
 * receiver's clock; 'monotonic' only that each sender's sequence grows; 'off' demands nothing.
 */
import type { HmacReplayMode } from '../config/config.ts';
import { equalBytes } from '../wire/bytes.ts';
import type { HmacSequence } from '../wire/vrrp-hmac.ts';

/** Senders that are remembered: more directors share a VRID rarely, and forgers never do. */
export const REPLAY_SENDERS_MAX = 4;

const US_PER_SECOND = 1_000_000;
const U32 = 0x1_0000_0000;

export interface ReplayOptions {
  readonly replay: HmacReplayMode;
  /** Matters to mode 'time' only. */
  readonly windowSeconds: number;
}

/** The highest sequence taken from each sender, the one heard last first. */
export type ReplayState = readonly {
  readonly source: Uint8Array;
  readonly sequence: HmacSequence;
}[];

export const NO_SENDERS: ReplayState = [];

/** 'stale': outside the window. 'not-newer': not after the sender's last one. */
export type ReplayVerdict = 'fresh' | 'stale' | 'not-newer';

/** The sequence of a moment, with a counter of 0. */
export function sequenceAt(wallUs: number): HmacSequence {
  const seconds = Math.floor(wallUs / US_PER_SECOND);
  const ticks = Math.floor(((wallUs - seconds * US_PER_SECOND) * 0x10000) / US_PER_SECOND);
  return { seconds: modulo(seconds), fraction: ticks * 0x10000 };
}

/** True when `left` comes after `right`: RFC 1982 section 3.2 with 64 bits. */
export function sequenceIsAfter(left: HmacSequence, right: HmacSequence): boolean {
  const borrow = left.fraction < right.fraction ? 1 : 0;
  // The high half of the difference modulo 2 to the 64, as a signed number.
  const high = (left.seconds - right.seconds - borrow) | 0;
  return high > 0 || (high === 0 && left.fraction !== right.fraction);
}

/** Seconds by which `sequence` lies behind the clock; negative when it is ahead. */
export function ageSeconds(sequence: HmacSequence, wallUs: number): number {
  return (Math.floor(wallUs / US_PER_SECOND) - sequence.seconds) | 0;
}

/**
 * The sequence of an advertisement sent now; `last` is the sender's last one, null for none. It
 * grows even when the clock stands or goes back. In mode 'time' it follows a clock that was set
 * back by more than the window, because receivers would refuse what is ahead of theirs.
 */
export function nextSequence(
  last: HmacSequence | null,
  options: ReplayOptions,
  wallUs: number,
): HmacSequence {
  const clock = sequenceAt(wallUs);
  if (last === null || sequenceIsAfter(clock, last)) return clock;
  const aheadSeconds = -ageSeconds(last, wallUs);
  if (options.replay === 'time' && aheadSeconds > options.windowSeconds) return clock;
  const fraction = modulo(last.fraction + 1);
  return { seconds: modulo(last.seconds + (fraction === 0 ? 1 : 0)), fraction };
}

/**
 * What is to be made of an advertisement whose MAC was found right, and the state afterwards.
 * `wallUs` is when it arrived. In mode 'time' a remembered sequence outside the window is
 * forgotten: everything that it could refuse is stale, and a sender whose clock was set right
 * must be heard again.
 */
export function checkReplay(
  state: ReplayState,
  options: ReplayOptions,
  received: {
    readonly source: Uint8Array;
    readonly sequence: HmacSequence;
    readonly wallUs: number;
  },
): { readonly verdict: ReplayVerdict; readonly state: ReplayState } {
  if (options.replay === 'off') return { verdict: 'fresh', state };
  const { source, sequence, wallUs } = received;
  const inWindow = (candidate: HmacSequence) =>
    options.replay !== 'time' || Math.abs(ageSeconds(candidate, wallUs)) <= options.windowSeconds;
  if (!inWindow(sequence)) return { verdict: 'stale', state };
  const known = state.find((sender) => equalBytes(sender.source, source));
  const others = state.filter((sender) => sender !== known);
  if (known !== undefined && inWindow(known.sequence)) {
    const after = sequenceIsAfter(sequence, known.sequence);
    if (!after) return { verdict: 'not-newer', state: [known, ...others] };
  }
  const sender = { source: known?.source ?? source.slice(), sequence };
  return { verdict: 'fresh', state: [sender, ...others].slice(0, REPLAY_SENDERS_MAX) };
}

function modulo(value: number): number {
  return ((value % U32) + U32) % U32;
}
