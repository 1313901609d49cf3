/**
 * SharedParts: makes equal parts of plain data one. What comes from another process comes with every
 * text and object anew; tens of thousands of servers have the same few checks and words, and a heap of
 * fewer objects is collected in less time.
 */
import { sameData } from './same-data.ts';

type Data = Record<string, unknown>;

export class SharedParts {
  readonly #partsMax: number;
  /** Keys of members that are different in each. */
  readonly #own: ReadonlySet<string>;
  readonly #texts = new Map<string, string>();
  /** By their JSON. */
  readonly #values = new Map<string, object>();

  /**
   * At most so many texts, and so many objects and arrays, are shared: the first that come. `own`: keys
   * of members that are not worth a look, only what is in them.
   */
  constructor(partsMax: number, own: readonly string[]) {
    this.#partsMax = partsMax;
    this.#own = new Set(own);
  }

  /** Changes `data`, which nobody else has yet: its parts are those that came before, where equal. */
  share<T extends object>(data: T): T {
    const members = data as Data;
    for (const key in members) {
      const value = members[key];
      const isOwn = this.#own.has(key);
      if (typeof value === 'string') {
        if (!isOwn) members[key] = this.#text(value);
      } else if (typeof value === 'object' && value !== null) {
        if (!isOwn) members[key] = this.#value(value);
        else for (const one of Array.isArray(value) ? value : [value]) this.#shareIn(one);
      }
    }
    return data;
  }

  #shareIn(value: unknown): void {
    if (typeof value === 'object' && value !== null) this.share(value);
  }

  #text(text: string): string {
    const known = this.#texts.get(text);
    if (known === undefined && this.#texts.size < this.#partsMax) this.#texts.set(text, text);
    return known ?? text;
  }

  #value(value: object): object {
    const json = JSON.stringify(value);
    const known = this.#values.get(json);
    // JSON has one word for several values.
    if (known !== undefined) return sameData(known, value) ? known : value;
    if (this.#values.size < this.#partsMax) this.#values.set(json, value);
    return value;
  }
}
