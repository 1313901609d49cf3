/** How long work in the event loop keeps everything else waiting. */
import { threadCpuMs } from '../lab/thread-cpu.ts';

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
  const startedMs = threadCpuMs();
  let beforeMs = startedMs;
  const look = (): void => {
    const nowMs = threadCpuMs();
    stallMs = Math.max(stallMs, nowMs - beforeMs);
    beforeMs = nowMs;
    if (!done) setImmediate(look);
  };
  setImmediate(look);
  const value = await work();
  done = true;
  look();
  return { value, stallMs, allMs: threadCpuMs() - startedMs };
}
