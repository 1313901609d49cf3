/**
 * How long an advertisement may wait in a socket before it is looked at, when its time of arrival
 * is known: whatever it says to a backup, nothing comes of it before the skew time is over (RFC
 * 9568 section 6.4.2, priority 0), and what comes of it is counted from its arrival. So a backup of
 * many instances need not wake up for each advertisement; whoever is active must, because it may
 * have to give way. The one exception: a shorter interval than was known is learnt so much later.
 */
import type { VrrpState } from './instance.ts';
import { skewTimeUs, type TimingOptions } from './timing.ts';

/**
 * What an interval that became shorter is learnt later by, at most. The longest silence of a socket
 * that is read from time to time is also bounded by its queue: see FLOOD_PACKETS.
 */
export const PATIENCE_MAX_US = 250_000;
/** A shorter wait saves nothing. */
export const PATIENCE_MIN_US = 1_000;
/** Part of the skew time that is kept for waking up and reading. */
const RESERVE = 1 / 4;

/**
 * More packets at a look than come from all VRIDs of an interface with four directors active at
 * once, and an eighth of what a socket holds: where there are more, the next looks come so much
 * sooner. So before a flood is noticed an instance misses one advertisement at most, because no
 * wait is as long as its interval.
 */
const FLOOD_PACKETS = 1_024;
/**
 * A socket is watched again when nothing came for this many waits: those of a director whose
 * instances all advertise in one part of their interval are worth waiting for.
 */
const QUIET_WAITS = 8;

/** Microseconds, 0 to PATIENCE_MAX_US; 0 when it must be looked at at once. */
export function patienceUs(options: TimingOptions, state: VrrpState): number {
  switch (state.kind) {
    case 'active':
    case 'resigning':
      return 0;
    case 'backup': {
      // Once it was looked at, the deadline is met exactly.
      const skewUs = skewTimeUs(options, state.activeAdvertIntervalUs);
      const waitUs = skewUs - Math.max(Math.ceil(skewUs * RESERVE), PATIENCE_MIN_US);
      return waitUs < PATIENCE_MIN_US ? 0 : Math.min(waitUs, PATIENCE_MAX_US);
    }
    default:
      return PATIENCE_MAX_US;
  }
}

/**
 * Whether a socket is watched, or looked at from time to time. It is watched until packets come
 * closer to each other than they may wait; then it is looked at when the first that may have come
 * since the last look has waited for so long, until nothing comes any more.
 */
export class ReadPace {
  #lookAtUs: number | null = null;
  /** When something was read last. */
  #lastAtUs = Number.NEGATIVE_INFINITY;
  /** What was read since the socket was last empty. */
  #count = 0;

  /** When to look; null while the socket is watched. */
  get lookAtUs(): number | null {
    return this.#lookAtUs;
  }

  /**
   * At `nowUs` it was read, which gave `count` packets, until it was empty or, with `more`, for
   * as long as may be at a time.
   */
  noteRead(nowUs: number, count: number, more: boolean, patienceUs: number): void {
    const sinceUs = nowUs - this.#lastAtUs;
    if (count > 0) this.#lastAtUs = nowUs;
    this.#count += count;
    if (patienceUs === 0) this.watch();
    else if (this.#lookAtUs !== null) this.#pace(nowUs, more, patienceUs);
    else if (count > 0 && !more && sinceUs < patienceUs) this.#lookAtUs = nowUs + patienceUs;
    if (!more) this.#count = 0;
  }

  #pace(nowUs: number, more: boolean, patienceUs: number): void {
    if (more) this.#lookAtUs = nowUs;
    else if (nowUs - this.#lastAtUs >= QUIET_WAITS * patienceUs) this.#lookAtUs = null;
    else {
      const floods = this.#count > FLOOD_PACKETS;
      const waitUs = floods ? (patienceUs * FLOOD_PACKETS) / this.#count : patienceUs;
      this.#lookAtUs = nowUs + Math.floor(waitUs);
    }
  }

  /** What comes must be looked at at once. */
  watch(): void {
    this.#lookAtUs = null;
  }
}
