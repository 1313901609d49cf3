/**
 * The simulator's source of chance: integers only, so that a seed means the same run for ever
 * and on every machine. Xorshift with 128 bits of state (Marsaglia, 2003), filled from the seed
 * by a mixing function, so that neighbouring seeds have nothing in common.
 *
 * Each part of a world draws from its own stream: taking a fault out of a scenario does not
 * change the luck of the others, which is what makes shrinking work.
 */

const PER_MILLION = 1_000_000;

export class Random {
  #x: number;
  #y: number;
  #z: number;
  #w: number;

  /** `seed` and `stream` are non-negative integers below 2^32. */
  constructor(seed: number, stream: number) {
    let mixed = Math.imul(seed | 0, 0x9e3779b1) ^ Math.imul((stream | 0) + 1, 0x85ebca6b);
    const fill = (): number => {
      mixed = (mixed + 0x9e3779b9) | 0;
      return mix(mixed);
    };
    this.#x = fill();
    this.#y = fill();
    this.#z = fill();
    // All zero is the one state that xorshift never leaves.
    this.#w = fill() | 1;
  }

  /** 0 to 2^32 - 1. */
  next(): number {
    const t = this.#x ^ (this.#x << 11);
    this.#x = this.#y;
    this.#y = this.#z;
    this.#z = this.#w;
    this.#w = this.#w ^ (this.#w >>> 19) ^ t ^ (t >>> 8);
    return this.#w >>> 0;
  }

  /** 0 to `bound` - 1; `bound` is 1 to 2^32. The bias, below 1 in 2^32 / bound, does not matter. */
  below(bound: number): number {
    return this.next() % bound;
  }

  /** `least` to `most`, both included. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }

  /** True `ppm` times in a million. Draws even when the answer is certain. */
  chance(ppm: number): boolean {
    return this.below(PER_MILLION) < ppm;
  }

  /** One of the values, which must not be empty. */
  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T;
  }
}

/** The finaliser of MurmurHash3 (public domain): each bit of the input moves half of the result. */
function mix(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
