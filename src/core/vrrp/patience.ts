/**
 * How long an advertisement may wait in a socket before it is looked at, when its time of arrival
 * is known: whatever it says to a backup, nothing comes of it before the skew time is over (RFC
 * 9568 section 6.4.2, priority 0), and what comes of it is counted from its arrival. So a backup of
 * many instances need not wake up for each advertisement; whoever is active must, because it may
 * have to give way. The one exception: a shorter interval than was known is learnt so much later.
 */
import type { VrrpState } from './instance.ts';
import { skewTimeUs, type TimingOptions } from './timing.ts';

/** Status and counters are never older; a socket holds far more than comes in this time. */
export const PATIENCE_MAX_US = 50_000;
/** A shorter wait saves nothing. */
export const PATIENCE_MIN_US = 1_000;

/** Microseconds, 0 to PATIENCE_MAX_US; 0 when it must be looked at at once. */
export function patienceUs(options: TimingOptions, state: VrrpState): number {
  switch (state.kind) {
    case 'active':
    case 'resigning':
      return 0;
    case 'backup': {
      // The other half is for waking up: once it was looked at, the deadline is met exactly.
      const halfUs = Math.floor(skewTimeUs(options, state.activeAdvertIntervalUs) / 2);
      return halfUs < PATIENCE_MIN_US ? 0 : Math.min(halfUs, PATIENCE_MAX_US);
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
  #lastAtUs = Number.NEGATIVE_INFINITY;

  /** When to look; null while the socket is watched. */
  get lookAtUs(): number | null {
    return this.#lookAtUs;
  }

  /**
   * At `nowUs` it was read, which gave `count` packets, until it was empty or, with `more`, for
   * as long as may be at a time.
   */
  noteRead(nowUs: number, count: number, more: boolean, patienceUs: number): void {
    if (patienceUs === 0) this.watch();
    else if (this.#lookAtUs !== null) this.#pace(nowUs, count, more, patienceUs);
    else if (count > 0 && !more && nowUs - this.#lastAtUs < patienceUs) {
      this.#lookAtUs = nowUs + patienceUs;
    }
    if (count > 0) this.#lastAtUs = nowUs;
  }

  #pace(nowUs: number, count: number, more: boolean, patienceUs: number): void {
    if (more) this.#lookAtUs = nowUs;
    else if (count > 0) this.#lookAtUs = nowUs + patienceUs;
    else if (nowUs >= (this.#lookAtUs as number)) this.#lookAtUs = null;
    else this.#lookAtUs = Math.min(this.#lookAtUs as number, nowUs + patienceUs);
  }

  /** What comes must be looked at at once. */
  watch(): void {
    this.#lookAtUs = null;
  }
}
