/**
 * A binary heap of things that are due at a time: the earliest is first, and of equals the one
 * that was added first. It is what lets any number of checks share a single timer.
 */

interface Entry<T> {
  readonly dueUs: number;
  readonly order: number;
  readonly item: T;
}

export class DueQueue<T> {
  #heap: Entry<T>[] = [];
  #added = 0;

  get size(): number {
    return this.#heap.length;
  }

  add(dueUs: number, item: T): void {
    this.#heap.push({ dueUs, order: this.#added++, item });
    let index = this.#heap.length - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!this.#before(index, parent)) return;
      this.#swap(index, parent);
      index = parent;
    }
  }

  /** When the first item is due; null when there is none. */
  firstDueUs(): number | null {
    return this.#heap[0]?.dueUs ?? null;
  }

  /** Takes the first item out, if it is due at `nowUs`; null otherwise. */
  takeDue(nowUs: number): { readonly dueUs: number; readonly item: T } | null {
    const first = this.#heap[0];
    if (first === undefined || first.dueUs > nowUs) return null;
    const last = this.#heap.pop() as Entry<T>;
    if (this.#heap.length > 0) {
      this.#heap[0] = last;
      this.#sink(0);
    }
    return first;
  }

  /** Drops all items that do not satisfy the condition. */
  keep(condition: (item: T) => boolean): void {
    this.#heap = this.#heap.filter((entry) => condition(entry.item));
    // Each half that is a heap already, from the smallest ones up.
    for (let index = (this.#heap.length >> 1) - 1; index >= 0; index--) this.#sink(index);
  }

  #sink(from: number): void {
    let index = from;
    for (;;) {
      let first = index;
      const left = 2 * index + 1;
      if (left < this.#heap.length && this.#before(left, first)) first = left;
      if (left + 1 < this.#heap.length && this.#before(left + 1, first)) first = left + 1;
      if (first === index) return;
      this.#swap(index, first);
      index = first;
    }
  }

  #before(left: number, right: number): boolean {
    const a = this.#heap[left] as Entry<T>;
    const b = this.#heap[right] as Entry<T>;
    return a.dueUs < b.dueUs || (a.dueUs === b.dueUs && a.order < b.order);
  }

  #swap(left: number, right: number): void {
    const entry = this.#heap[left] as Entry<T>;
    this.#heap[left] = this.#heap[right] as Entry<T>;
    this.#heap[right] = entry;
  }
}
