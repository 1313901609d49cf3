/** How long work in the event loop keeps everything else waiting. */
import { clockGettimeUs } from '../../src/linux/libc.ts';

/** linux/time.h. */
const CLOCK_THREAD_CPUTIME_ID = 3;

/** CPU time of this thread: what other tests take of the processor is not the work's. */
export interface Stall<T> {
  readonly value: T;
  /** Of the longest turn of the event loop meanwhile. */
  readonly stallMs: number;
  /** Of the whole work. */
  readonly allMs: number;
}

/** Work that never rests is one stall as long as itself. */
export async function stallOf<T>(work: () => Promise<T>): Promise<Stall<T>> {
  let stallMs = 0;
  let done = false;
  const startedMs = cpuMs();
  let beforeMs = startedMs;
  const look = (): void => {
    const nowMs = cpuMs();
    stallMs = Math.max(stallMs, nowMs - beforeMs);
    beforeMs = nowMs;
    if (!done) setImmediate(look);
  };
  setImmediate(look);
  const value = await work();
  done = true;
  look();
  return { value, stallMs, allMs: cpuMs() - startedMs };
}

function cpuMs(): number {
  return clockGettimeUs(CLOCK_THREAD_CPUTIME_ID) / 1e3;
}
