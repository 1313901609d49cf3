/**
 * The two clocks of the kernel as integer microseconds. Everything that decides uses the
 * monotonic one; the real-time clock may be stepped at any moment and is used for showing times
 * and for kernel receive stamps only.
 */
import { uptime } from 'node:os';
import { CLOCK_REALTIME } from './constants.ts';
import { clockGettimeUs } from './libc.ts';

/**
 * CLOCK_MONOTONIC (since boot, without suspend), rounded down to microseconds. Comparable
 * between processes of one boot, and with timerfd deadlines.
 */
export function monotonicUs(): number {
  // The pair form needs no bigint and no foreign call; both parts are exact integers.
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1_000_000 + Math.floor(nanoseconds / 1000);
}

/** Time since the machine booted, suspend included (CLOCK_BOOTTIME), in centiseconds' steps. */
export function uptimeUs(): number {
  return Math.round(uptime() * 1_000_000);
}

/** CLOCK_REALTIME since the Unix epoch, rounded down to microseconds. */
export function realtimeUs(): number {
  // Date.now() has whole milliseconds only, too coarse beside kernel stamps.
  return clockGettimeUs(CLOCK_REALTIME);
}
