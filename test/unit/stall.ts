/** How long work in the event loop keeps everything else waiting. */
import { performance } from 'node:perf_hooks';

export interface Stall<T> {
  readonly value: T;
  /** The longest that something else had to wait meanwhile. */
  readonly stallMs: number;
  /** How long the work took. */
  readonly allMs: number;
}

/** Work that never rests is one stall as long as itself. */
export async function stallOf<T>(work: () => Promise<T>): Promise<Stall<T>> {
  let stallMs = 0;
  let done = false;
  let beforeMs = performance.now();
  const look = (): void => {
    const nowMs = performance.now();
    stallMs = Math.max(stallMs, nowMs - beforeMs);
    beforeMs = nowMs;
    if (!done) setImmediate(look);
  };
  setImmediate(look);
  const startedMs = performance.now();
  const value = await work();
  done = true;
  look();
  return { value, stallMs, allMs: performance.now() - startedMs };
}
