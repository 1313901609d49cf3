/**
 * Runs things when they are due, as many at once as there are places: what is due beyond that waits
 * for the end of a run. One timer for all of them.
 */
import { assert } from '../core/assert.ts';
import { DueQueue } from './due-queue.ts';

/** Longest time that the timer is set for: setTimeout takes anything above 2^31 ms for 1 ms. */
const TIMER_MAX_MS = 3_600_000;

export interface DueRunsPorts<T> {
  /** Monotonic microseconds. */
  readonly nowUs: () => number;
  /** One run; must not reject. What it is due for next is added when it has ended. */
  readonly run: (item: T) => Promise<void>;
  /** How many places a run takes, 1 or more: what it holds of what is bounded. */
  readonly places: (item: T) => number;
  /** A run has ended that was due at `dueUs`. */
  readonly onEnd: (item: T, dueUs: number) => void;
}

export class DueRuns<T> {
  readonly #most: number;
  readonly #ports: DueRunsPorts<T>;
  readonly #queue = new DueQueue<T>();
  readonly #runs = new Set<Promise<void>>();
  #taken = 0;
  #timer: NodeJS.Timeout | null = null;
  /** What the timer is set for, in monotonic microseconds. */
  #timerUs = Number.POSITIVE_INFINITY;
  #stopped = false;

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

  /** Drops what waits and does not satisfy the condition. */
  keep(condition: (item: T) => boolean): void {
    this.#queue.keep(condition);
  }

  /** Starts what is due and may run, and sets the timer for what is due next. */
  pump(): void {
    if (this.#stopped) return;
    const nowUs = this.#ports.nowUs();
    while (this.#taken < this.#most) {
      const due = this.#queue.takeDue(nowUs);
      if (due === null) break;
      this.#start(due.item, due.dueUs);
    }
    const firstUs = this.#queue.firstDueUs();
    // When all places are taken, the end of a run is what to wait for.
    if (firstUs === null || this.#taken >= this.#most) return;
    // A timer that comes early costs one look at the queue; setting one for each run costs more.
    if (this.#timerUs <= firstUs) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerUs = firstUs;
    const delayMs = Math.max(1, Math.ceil((firstUs - nowUs) / 1000));
    this.#timer = setTimeout(() => this.#onTimer(), Math.min(delayMs, TIMER_MAX_MS));
  }

  /** Starts nothing more; resolves when all runs have ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    await Promise.all(this.#runs);
  }

  #onTimer(): void {
    this.#timer = null;
    this.#timerUs = Number.POSITIVE_INFINITY;
    this.pump();
  }

  #start(item: T, dueUs: number): void {
    const places = this.#ports.places(item);
    this.#taken += places;
    const run = this.#ports.run(item).then(() => {
      this.#runs.delete(run);
      this.#taken -= places;
      this.#ports.onEnd(item, dueUs);
      this.pump();
    });
    this.#runs.add(run);
  }
}
