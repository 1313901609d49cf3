/**
 * Cleanup: what the lab owns outside its own process (QEMU, namespaces, children) and must not
 * outlive it. Every owner registers a synchronous function; it runs when the process exits by
 * itself or by SIGINT, SIGTERM or SIGHUP, newest owner first. Being killed by SIGKILL is not
 * covered here: QEMU has a parent-death signal, namespaces are found by `lab down`.
 */
import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const cleanups = new Set<() => void>();
let installed = false;

function runAll(): void {
  for (const cleanup of [...cleanups].reverse()) {
    cleanups.delete(cleanup);
    try {
      cleanup();
    } catch (error) {
      process.stderr.write(`lab: clean-up failed: ${String(error)}\n`);
    }
  }
}

function install(): void {
  installed = true;
  process.on('exit', runAll);
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      runAll();
      // Someone else (a test runner, `lab up`) who listens decides when to end the process.
      if (process.listenerCount(signal) === 1) process.exit(128 + constants.signals[signal]);
    });
  }
}

/** Runs `cleanup` when the process ends, unless the returned function was called before. */
export function onProcessEnd(cleanup: () => void): () => void {
  if (!installed) install();
  cleanups.add(cleanup);
  return () => {
    cleanups.delete(cleanup);
  };
}
