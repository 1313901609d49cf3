/**
 * DeadlineQueue: the deadlines of many owners, of which one timer needs the earliest. A binary
 * heap whose entries know their places, so that moving one costs the logarithm of their number
 * and finding those that are due costs no more than there are.
 *
 * Invariants: an entry is in the heap exactly when it has a time; no entry is earlier than its
 * parent. Nothing is allocated after add(), but for the heap's growth.
 */
import { assert } from './assert.ts';

/** Not in the heap. */
const NOWHERE = -1;

/** One owner's place in a queue; changed through the queue only. */
export class Deadline<T> {
  readonly owner: T;
  /** Microseconds of the monotonic clock; null for none. */
  atUs: number | null = null;
  /** Where it is in the heap. */
  index: number = NOWHERE;

  constructor(owner: T) {
    this.owner = owner;
  }
}

export class DeadlineQueue<T> {
  readonly #heap: Deadline<T>[] = [];

  /** A place for one more owner, without a deadline yet. */
  add(owner: T): Deadline<T> {
    return new Deadline(owner);
  }

  /** Number of owners that have a deadline. */
  get size(): number {
    return this.#heap.length;
  }

  /** The earliest of all, or null when nobody has one. */
  get earliestUs(): number | null {
    return this.#heap[0]?.atUs ?? null;
  }

  /** Gives the owner another deadline; null takes it out. */
  set(deadline: Deadline<T>, atUs: number | null): void {
    const before = deadline.atUs;
    if (before === atUs) return;
    deadline.atUs = atUs;
    if (atUs === null) return this.#remove(deadline);
    if (before === null) {
      deadline.index = this.#heap.length;
      this.#heap.push(deadline);
      this.#up(deadline, atUs);
    } else if (atUs < before) this.#up(deadline, atUs);
    else this.#down(deadline, atUs);
  }

  /**
   * Puts the owners whose deadlines are at `nowUs` or before into `into`, from `into[0]` on, and
   * returns their number. They stay in the queue; those of `into` behind them are left as they are.
   * The earliest is first, the others are in no order: all of them are dealt with in one turn, and
   * most have one deadline, as advertisements of one interval do. After a stall the earliest is not
   * the most urgent one either, which is that of the shortest interval.
   */
  due(nowUs: number, into: T[]): number {
    return this.#collect(0, nowUs, into, 0);
  }

  #collect(index: number, nowUs: number, into: T[], found: number): number {
    const deadline = this.#heap[index];
    // What is below a deadline is not earlier.
    if (deadline === undefined || (deadline.atUs as number) > nowUs) return found;
    into[found] = deadline.owner;
    const left = this.#collect(2 * index + 1, nowUs, into, found + 1);
    return this.#collect(2 * index + 2, nowUs, into, left);
  }

  #remove(deadline: Deadline<T>): void {
    const { index } = deadline;
    assert(this.#heap[index] === deadline, 'the deadline is of another queue');
    deadline.index = NOWHERE;
    const last = this.#heap.pop() as Deadline<T>;
    if (last === deadline) return;
    this.#heap[index] = last;
    last.index = index;
    const atUs = last.atUs as number;
    const parent = this.#heap[(index - 1) >> 1];
    if (index > 0 && (parent?.atUs as number) > atUs) this.#up(last, atUs);
    else this.#down(last, atUs);
  }

  #up(deadline: Deadline<T>, atUs: number): void {
    const heap = this.#heap;
    let { index } = deadline;
    assert(heap[index] === deadline, 'the deadline is of another queue');
    while (index > 0) {
      const above = (index - 1) >> 1;
      const parent = heap[above] as Deadline<T>;
      if ((parent.atUs as number) <= atUs) break;
      heap[index] = parent;
      parent.index = index;
      index = above;
    }
    heap[index] = deadline;
    deadline.index = index;
  }

  #down(deadline: Deadline<T>, atUs: number): void {
    const heap = this.#heap;
    let { index } = deadline;
    assert(heap[index] === deadline, 'the deadline is of another queue');
    for (;;) {
      let below = 2 * index + 1;
      if (below >= heap.length) break;
      const right = heap[below + 1];
      if (right !== undefined && (right.atUs as number) < (heap[below]?.atUs as number)) below++;
      const child = heap[below] as Deadline<T>;
      if ((child.atUs as number) >= atUs) break;
      heap[index] = child;
      child.index = index;
      index = below;
    }
    heap[index] = deadline;
    deadline.index = index;
  }
}
