/**
 * What will happen in a simulated world, in order of time and, within one microsecond, in order
 * of planning: a binary heap. The order is total, so a run is the same every time.
 */

interface Entry {
  readonly atUs: number;
  readonly order: number;
  readonly run: () => void;
}

export class Agenda {
  readonly #heap: Entry[] = [];
  #order = 0;
  #nowUs = 0;

  /** Time of the event that runs now, or ran last. */
  get nowUs(): number {
    return this.#nowUs;
  }

  /** Events that ran and that wait. */
  get planned(): number {
    return this.#order;
  }

  /** Plans `run` for `atUs`, or for now if that has passed. */
  at(atUs: number, run: () => void): void {
    const entry = { atUs: Math.max(atUs, this.#nowUs), order: this.#order++, run };
    const heap = this.#heap;
    let index = heap.length;
    heap.push(entry);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!before(entry, heap[parent] as Entry)) break;
      heap[index] = heap[parent] as Entry;
      index = parent;
    }
    heap[index] = entry;
  }

  /** Runs everything up to and including `untilUs`, or until `enough` says so. */
  run(untilUs: number, enough: () => boolean): void {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined || first.atUs > untilUs || enough()) return;
      this.#removeFirst();
      this.#nowUs = first.atUs;
      first.run();
    }
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop() as Entry;
    const size = heap.length;
    if (size === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= size) break;
      if (child + 1 < size && before(heap[child + 1] as Entry, heap[child] as Entry)) child++;
      if (!before(heap[child] as Entry, last)) break;
      heap[index] = heap[child] as Entry;
      index = child;
    }
    heap[index] = last;
  }
}

function before(left: Entry, right: Entry): boolean {
  return left.atUs < right.atUs || (left.atUs === right.atUs && left.order < right.order);
}
