/**
 * How fast and how steady the machine is while something else is measured: the CPU time of one and
 * the same piece of work, again and again. On a virtual machine that time varies, with what the other
 * thread of a core does and what the host takes away in parts too short to be seen as a standstill;
 * figures measured beside it vary as much.
 */
import { threadCpuMs } from '../lab/thread-cpu.ts';

const WORDS = 1 << 14;
/** Some milliseconds. */
const ROUNDS = 200;
/** Until it is compiled. */
const WARM_UP = 50;
const INTERVAL_MS = 250;
const TIMES_MAX = 100_000;

export class FixedWork {
  readonly #memory = new Uint32Array(WORDS);
  readonly #timesMs: number[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor() {
    for (let time = 0; time < WARM_UP; time++) this.#work();
    this.#timer = setInterval(() => {
      const beganMs = threadCpuMs();
      this.#work();
      const tookMs = threadCpuMs() - beganMs;
      if (this.#timesMs.length < TIMES_MAX) this.#timesMs.push(tookMs);
    }, INTERVAL_MS);
  }

  /** Ends it, and tells in milliseconds of CPU time what it took. */
  end(): { readonly leastMs: number; readonly medianMs: number; readonly mostMs: number } {
    clearInterval(this.#timer);
    const sorted = this.#timesMs.toSorted((left, right) => left - right);
    const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] ?? 0;
    return { leastMs: at(0), medianMs: at(0.5), mostMs: at(1) };
  }

  #work(): void {
    const memory = this.#memory;
    let state = 1;
    for (let round = 0; round < ROUNDS; round++) {
      for (let at = 0; at < WORDS; at++) {
        state = (Math.imul(state, 1_103_515_245) + 12_345) | 0;
        memory[at] = (memory[at] as number) ^ state;
      }
    }
  }
}
