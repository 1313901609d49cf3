/**
 * Says when no process ran on the processor that this program is bound to: it wants to wake up
 * every millisecond, with a real-time priority above all others, and writes a line whenever it is
 * late by more: from and to, in milliseconds of the wall clock. Runs until it is ended.
 */
import { writeSync } from 'node:fs';

const PERIOD_MS = 1;
/** Less is what the kernel's timers and this program itself may take. */
const LATE_MS = 2;

const cell = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
let lastMs = performance.now();
for (;;) {
  Atomics.wait(cell, 0, 0, PERIOD_MS);
  const nowMs = performance.now();
  const lateMs = nowMs - lastMs - PERIOD_MS;
  if (lateMs > LATE_MS) {
    const toMs = performance.timeOrigin + nowMs;
    writeSync(1, `${toMs - lateMs} ${toMs}\n`);
  }
  lastMs = performance.now();
}
