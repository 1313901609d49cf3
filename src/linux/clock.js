/**
 * The two clocks of the kernel as integer microseconds. Everything that decides uses the
 * monotonic one; the real-time clock may be stepped at any moment and is used for showing times
 * and for kernel receive stamps only.
 */
import { CLOCK_REALTIME } from './constants.js';
import { clockGettimeUs } from './libc.js';
/**
 * CLOCK_MONOTONIC (since boot, without suspend), rounded down to microseconds. Comparable
 * between processes of one boot, and with timerfd deadlines.
 */
export function monotonicUs() {
  // The pair form needs no bigint and no foreign call; both parts are exact integers.
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1_000_000 + Math.floor(nanoseconds / 1000);
}
/** CLOCK_REALTIME since the Unix epoch, rounded down to microseconds. */
export function realtimeUs() {
  // Date.now() has whole milliseconds only, too coarse beside kernel stamps.
  return clockGettimeUs(CLOCK_REALTIME);
}
//# sourceMappingURL=clock.js.map
