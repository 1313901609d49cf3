/** CPU time of the calling thread: what others take of the processor is not in it. */
import { clockGettimeUs } from '../../src/linux/libc.ts';

/** clock_gettime(2), include/uapi/linux/time.h */
const CLOCK_THREAD_CPUTIME_ID = 3;

/** Milliseconds since the thread began. */
export function threadCpuMs(): number {
  return clockGettimeUs(CLOCK_THREAD_CPUTIME_ID) / 1e3;
}
