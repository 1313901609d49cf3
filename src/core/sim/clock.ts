/**
 * A director's monotonic clock: it began somewhere, runs a little fast or slow, and never goes
 * back. The world's time and the director's are both integer microseconds.
 */
import { assert } from '../assert.ts';

const PPM = 1_000_000;
/** Products of a time and PPM stay exact in a double below this: two and a half hours. */
const SPAN_MAX_US = 9_000_000_000;

export class SimClock {
  #worldUs: number;
  #localUs: number;
  #driftPpm: number;

  /** Shows `localUs` at `worldUs` and gains `driftPpm` microseconds a second from then on. */
  constructor(worldUs: number, localUs: number, driftPpm: number) {
    this.#worldUs = worldUs;
    this.#localUs = localUs;
    this.#driftPpm = driftPpm;
  }

  /** What the clock shows at `worldUs`, which is not before its last change. */
  localAt(worldUs: number): number {
    const passedUs = worldUs - this.#worldUs;
    assert(passedUs >= 0 && passedUs < SPAN_MAX_US, 'time outside of what a clock can tell');
    return this.#localUs + passedUs + Math.floor((passedUs * this.#driftPpm) / PPM);
  }

  /** The first moment of the world at which the clock shows `localUs` or more. */
  worldAt(localUs: number): number {
    const passedUs = localUs - this.#localUs;
    if (passedUs <= 0) return this.#worldUs;
    let worldUs = this.#worldUs + Math.floor((passedUs * PPM) / (PPM + this.#driftPpm)) - 1;
    if (worldUs < this.#worldUs) worldUs = this.#worldUs;
    while (this.localAt(worldUs) < localUs) worldUs++;
    return worldUs;
  }

  /** The clock has stood still since it showed `localUs`, and goes on now. */
  resume(worldUs: number, localUs: number): void {
    this.#localUs = localUs;
    this.#worldUs = worldUs;
  }

  /** The clock goes on at another rate. */
  setDrift(worldUs: number, driftPpm: number): void {
    this.#localUs = this.localAt(worldUs);
    this.#worldUs = worldUs;
    this.#driftPpm = driftPpm;
  }
}
