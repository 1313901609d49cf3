/**
 * DeadlineTimer: the one timer of an event loop, on a timerfd. setTimeout counts whole
 * milliseconds and fires up to 0.4 ms early, which VRRP's skew times cannot bear.
 * Invariants: never fires before its deadline, fires once for each arming. Putting a deadline off
 * costs no system call: the descriptor expires as it was set, and is set anew then.
 */
import { assert } from '../core/assert.ts';
import { monotonicUs } from './clock.ts';
import { close, type PollHandle, poll, read, timerfdCreate, timerfdSet } from './libc.ts';

const EXPIRATIONS_BYTES = 8;

export class DeadlineTimer {
  readonly #onFire: () => void;
  readonly #fd: number;
  readonly #poll: PollHandle;
  readonly #expirations = new Uint8Array(EXPIRATIONS_BYTES);
  #deadlineUs: number | null = null;
  /** When the descriptor expires: at the deadline, or before a deadline that was put off. */
  #expiresUs: number | null = null;
  #closed = false;

  /** `onFire` runs on the event loop. Throws SystemError when there is no descriptor left. */
  constructor(onFire: () => void) {
    this.#onFire = onFire;
    this.#fd = timerfdCreate();
    this.#poll = poll(this.#fd, () => this.#readable());
  }

  /**
   * Fires once when the monotonic clock has reached `atUs` (at once when that is past), instead
   * of at the earlier set deadline; null disarms.
   */
  arm(atUs: number | null): void {
    assert(!this.#closed, 'A closed timer is not armed');
    if (atUs === this.#deadlineUs) return;
    this.#deadlineUs = atUs;
    if (atUs !== null && this.#expiresUs !== null && atUs >= this.#expiresUs) return;
    this.#set(atUs);
  }

  /** Disarms for good. May be called from `onFire`, and again. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#deadlineUs = null;
    this.#expiresUs = null;
    this.#poll.close();
    close(this.#fd);
  }

  #readable(): void {
    if (this.#closed) return;
    // Arming anew forgets an expiry that the event loop has already been told of.
    if (read(this.#fd, this.#expirations) !== EXPIRATIONS_BYTES) return;
    this.#expiresUs = null;
    const deadlineUs = this.#deadlineUs;
    if (deadlineUs === null) return;
    if (monotonicUs() < deadlineUs) return this.#set(deadlineUs);
    this.#deadlineUs = null;
    this.#onFire();
  }

  #set(atUs: number | null): void {
    this.#expiresUs = atUs;
    // 0 would disarm; any past time fires at once.
    timerfdSet(this.#fd, atUs === null ? 0 : Math.max(atUs, 1));
  }
}
