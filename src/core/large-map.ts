/**
 * LargeMap and LargeSet: for tens of thousands of keys. A Map that grows is made anew as a whole,
 * which takes milliseconds when it is that large; these are made of many small ones, each of which
 * grows by itself. With few keys they are one Map and cost no more.
 *
 * Order: that of insertion up to FIRST_SIZE keys; any further key comes behind those, in an order that
 * depends on the keys alone. What is added while somebody iterates may or may not be seen, what was
 * there before and stays is seen once.
 */
/** Keys of the first map, which all lookups begin with: it grows in some tens of microseconds. */
export const FIRST_SIZE = 1_024;
/** Of the other keys; a power of 2. Each of these maps has 2,000 keys of a hundred thousand. */
export const PARTS = 64;
/** Characters at the end of a key that decide about its part: an IPv6 address, a port, what closes JSON. */
const END_LOOKED_AT = 64;
/** Of those before, some that are as far from each other. */
const OTHERS_LOOKED_AT = 12;

/** What it has in common with a Map, which may take its place. */
export interface MutableMap<V> extends ReadonlyMap<string, V> {
  set(key: string, value: V): unknown;
  delete(key: string): boolean;
}

export class LargeMap<V> implements MutableMap<V> {
  readonly #first = new Map<string, V>();
  /** By the hash of the key; null while the first is enough. */
  #parts: readonly Map<string, V>[] | null = null;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(key: string): V | undefined {
    // Most keys are there, once there are parts.
    const value = this.#parts?.[partOf(key)]?.get(key);
    return value === undefined ? this.#first.get(key) : value;
  }

  has(key: string): boolean {
    return this.#parts?.[partOf(key)]?.has(key) === true || this.#first.has(key);
  }

  set(key: string, value: V): this {
    const map = this.#mapFor(key);
    const before = map.size;
    map.set(key, value);
    this.#size += map.size - before;
    return this;
  }

  delete(key: string): boolean {
    const deleted = this.#first.delete(key) || this.#parts?.[partOf(key)]?.delete(key) === true;
    if (!deleted) return false;
    this.#size--;
    if (this.#size === 0) this.#parts = null;
    return true;
  }

  clear(): void {
    this.#first.clear();
    this.#parts = null;
    this.#size = 0;
  }

  // Not `yield*`: handing each of them through costs ten times as much.
  *entries(): Generator<[string, V], undefined> {
    for (const entry of this.#first) yield entry;
    for (const part of this.#parts ?? []) for (const entry of part) yield entry;
  }

  *keys(): Generator<string, undefined> {
    for (const key of this.#first.keys()) yield key;
    for (const part of this.#parts ?? []) for (const key of part.keys()) yield key;
  }

  *values(): Generator<V, undefined> {
    for (const value of this.#first.values()) yield value;
    for (const part of this.#parts ?? []) for (const value of part.values()) yield value;
  }

  [Symbol.iterator](): Generator<[string, V], undefined> {
    return this.entries();
  }

  forEach(act: (value: V, key: string, map: ReadonlyMap<string, V>) => void): void {
    for (const [key, value] of this.entries()) act(value, key, this);
  }

  /** The map that has the key, or is to get it. */
  #mapFor(key: string): Map<string, V> {
    if (this.#parts === null && this.#first.size < FIRST_SIZE) return this.#first;
    if (this.#first.has(key)) return this.#first;
    this.#parts ??= Array.from({ length: PARTS }, () => new Map<string, V>());
    return this.#parts[partOf(key)] as Map<string, V>;
  }
}

export class LargeSet {
  readonly #keys = new LargeMap<true>();

  get size(): number {
    return this.#keys.size;
  }

  has(key: string): boolean {
    return this.#keys.has(key);
  }

  add(key: string): this {
    this.#keys.set(key, true);
    return this;
  }

  delete(key: string): boolean {
    return this.#keys.delete(key);
  }

  clear(): void {
    this.#keys.clear();
  }

  [Symbol.iterator](): Generator<string, undefined> {
    return this.#keys.keys();
  }
}

/**
 * The part that has a key, 0 to PARTS - 1. Keys of ours differ in their ends, as addresses and ports do,
 * or somewhere, as names do.
 */
export function partOf(key: string): number {
  const { length } = key;
  const end = Math.max(0, length - END_LOOKED_AT);
  const step = 1 + Math.floor(end / OTHERS_LOOKED_AT);
  // FNV-1a
  let hash = 0x811c9dc5 ^ length;
  for (let index = 0; index < end; index += step) {
    hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193);
  }
  for (let index = end; index < length; index++) {
    hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193);
  }
  return hash & (PARTS - 1);
}
