/**
 * Runs things when they are due, as many at once as there are places: what is due beyond that waits
 * for the end of a run. One timer for all of them.
 */
import { assert } from '../core/assert.ts';
import { DueQueue } from './due-queue.ts';

/**
 * What starting takes of a turn of the event loop, and about as much again what comes of it at once:
 * what is due beyond that starts in the next one.
 */
const STARTS_US = 750;

/** Longest time that the timer is set for: setTimeout takes anything above 2^31 ms for 1 ms. */
const TIMER_MAX_MS = 3_600_000;

export interface DueRunsPorts<T> {
  /** Monotonic microseconds. */
  readonly nowUs: () => number;
  /** Starts a run that was due at `dueUs`; its end is told to ended(), never within this call. */
  readonly start: (item: T, dueUs: number) => void;
  /** How many places a run takes, 1 or more: what it holds of what is bounded. */
  readonly places: (item: T) => number;
}

export class DueRuns<T> {
  readonly #most: number;
  readonly #ports: DueRunsPorts<T>;
  readonly #queue = new DueQueue<T>();
  #running = 0;
  #taken = 0;
  #timer: NodeJS.Timeout | null = null;
  /** Instead of the timer, while more is due than starts in one turn. */
  #nextTurn: NodeJS.Immediate | null = null;
  /** What the timer is set for, in monotonic microseconds. */
  #timerUs = Number.POSITIVE_INFINITY;
  /** Since stop(): resolved by #onIdle, when the last run has ended. */
  #stopped: Promise<void> | null = null;
  #onIdle = (): void => {};

  /**
   * `most` places, 1 or more. A run starts while one is free, though it may take more: that is how
   * one that takes many gets its turn.
   */
  constructor(most: number, ports: DueRunsPorts<T>) {
    assert(most >= 1, 'At least one must be able to run');
    this.#most = most;
    this.#ports = ports;
  }

  /** To be run at `dueUs`; nothing starts before pump() or a turn of the event loop. */
  add(dueUs: number, item: T): void {
    this.#queue.add(dueUs, item);
  }

  /** A run has ended: its places are free. What waits for them starts with pump(). */
  ended(item: T): void {
    this.#running--;
    this.#taken -= this.#ports.places(item);
    if (this.#running === 0) this.#onIdle();
  }

  /** Drops what waits and does not satisfy the condition. */
  keep(condition: (item: T) => boolean): void {
    this.#queue.keep(condition);
  }

  /** Starts what is due and may run, for STARTS_US, and sees to it that the rest follows. */
  pump(): void {
    // The timer that is set does it, or when all places are taken the end of a run.
    if (this.#stopped !== null || !this.#isWaiting()) return;
    const nowUs = this.#ports.nowUs();
    while (this.#taken < this.#most) {
      const due = this.#queue.takeDue(nowUs);
      if (due === null) break;
      this.#running++;
      this.#taken += this.#ports.places(due.item);
      this.#ports.start(due.item, due.dueUs);
      if (this.#ports.nowUs() - nowUs >= STARTS_US) return this.#goOn();
    }
    if (this.#isWaiting()) this.#setTimer(this.#queue.firstDueUs() as number, nowUs);
  }

  /** Starts nothing more; resolves when all runs have ended. */
  stop(): Promise<void> {
    this.#stopped ??= new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
    this.#clearTimer();
    if (this.#running === 0) this.#onIdle();
    return this.#stopped;
  }

  /** Whether something may run, and sooner than the timer is set for. */
  #isWaiting(): boolean {
    const firstUs = this.#queue.firstDueUs();
    return firstUs !== null && this.#taken < this.#most && firstUs < this.#timerUs;
  }

  /** A timer that comes early costs one look at the queue; setting one for each run costs more. */
  #setTimer(atUs: number, nowUs: number): void {
    this.#clearTimer();
    this.#timerUs = atUs;
    const delayMs = Math.max(1, Math.ceil((atUs - nowUs) / 1000));
    this.#timer = setTimeout(() => this.#onTimer(), Math.min(delayMs, TIMER_MAX_MS));
  }

  /** Lets others run; the end of a run starts nothing until then. */
  #goOn(): void {
    this.#clearTimer();
    this.#timerUs = Number.NEGATIVE_INFINITY;
    this.#nextTurn = setImmediate(() => this.#onTimer());
  }

  #clearTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#nextTurn !== null) clearImmediate(this.#nextTurn);
    [this.#timer, this.#nextTurn] = [null, null];
  }

  #onTimer(): void {
    [this.#timer, this.#nextTurn] = [null, null];
    this.#timerUs = Number.POSITIVE_INFINITY;
    this.pump();
  }
}
