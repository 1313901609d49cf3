/**
 * Real-time scheduling of the keeper's only busy thread: SCHED_RR, so that no ordinary process
 * delays an advertisement, with reset-on-fork, so that what it starts is ordinary again.
 * Memory is not locked: V8 aborts on locked pages.
 */
import { existsSync } from 'node:fs';
import { assert } from '../core/assert.ts';
import type { Problem } from '../core/problem.ts';
import { err, ok, type Result } from '../core/result.ts';
import { SystemError, schedSetNormal, schedSetRealtime, schedSetRealtimeForAll } from './libc.ts';

/** sched(7): SCHED_RR priorities are 1 (lowest) to 99. */
export const REALTIME_PRIORITY_MAX = 99;
/** The keeper's: above every ordinary process is enough, so the lowest one. */
export const REALTIME_PRIORITY = 1;

/**
 * Schedules the calling thread SCHED_RR | SCHED_RESET_ON_FORK at `priority` (1 to 99). A refusal
 * (no CAP_SYS_NICE, no real-time budget in the control group) changes nothing.
 */
export function enterRealtime(priority: number): Result<void, Problem> {
  const allowed = priority >= 1 && priority <= REALTIME_PRIORITY_MAX;
  assert(Number.isInteger(priority) && allowed, 'A real-time priority is 1 to 99');
  return attempt(() => schedSetRealtime(priority), `real-time scheduling at priority ${priority}`);
}

/** chrt(1) of util-linux, which every distribution has. */
const CHRT = '/usr/bin/chrt';

/**
 * Starts a process by `spawn` from a real-time thread without waiting behind ordinary ones:
 * whoever starts a process waits until it executes its program, and an ordinary child may not get
 * to that for hundreds of milliseconds on a busy machine. So the child is a real-time one until
 * chrt(1) makes it ordinary, before its program begins. Where that is not to be had, it is plain.
 */
export function spawnFromRealtime<T>(
  priority: number,
  argv: readonly string[],
  spawn: (argv: readonly string[]) => T,
): T {
  const inherited = () => schedSetRealtimeForAll(priority);
  const prompt = existsSync(CHRT) && attempt(inherited, 'real-time scheduling of a child').ok;
  if (!prompt) return spawn(argv);
  try {
    return spawn([CHRT, '--other', '0', ...argv]);
  } finally {
    enterRealtime(priority);
  }
}

/**
 * Starts a process by `spawn` whose first thread is a real-time one from its very beginning, and
 * what that starts is ordinary: an ordinary one would come up late on a busy machine, and become a
 * real-time one too late. Without chrt(1) it is plain; whoever asks knows that it may be done.
 */
export function spawnIntoRealtime<T>(
  priority: number,
  argv: readonly string[],
  spawn: (argv: readonly string[]) => T,
): T {
  if (!existsSync(CHRT)) return spawn(argv);
  return spawn([CHRT, '--reset-on-fork', '--rr', String(priority), ...argv]);
}

/** Schedules the calling thread as an ordinary one again. */
export function leaveRealtime(): Result<void, Problem> {
  return attempt(schedSetNormal, 'a return to normal scheduling');
}

function attempt(change: () => void, what: string): Result<void, Problem> {
  try {
    change();
    return ok(undefined);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    return err({
      code: error.code === 'EPERM' ? 'VK-NOT-ROOT' : 'VK-SYSTEM',
      message: `The kernel refuses ${what} (${error.code})`,
      cure:
        'Give the process CAP_SYS_NICE and, where control groups ration it, real-time budget, ' +
        'or set its scheduling to normal in the configuration',
    });
  }
}
