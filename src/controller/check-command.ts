/**
 * Runs the command of a script check as trackers and notification run theirs: without a shell, as
 * the configured account, refused if it would run as root and others may change it, and with its
 * whole process group ended when its time is over.
 */
import type { ScriptCheckConfig } from '../core/config/check.ts';
import type { AttemptOptions } from '../probes/attempt.ts';
import type { CommandOutcome } from '../probes/script.ts';
import { findAccount } from './notify/account.ts';
import type { ScriptRecords } from './notify/left-scripts.ts';
import { runScript } from './notify/script.ts';

const NEVER = new AbortController().signal;

/**
 * How long a check's command runs before it is kept that it does: hundreds may run in a second, and
 * what is quicker ends by itself soon after its controller.
 */
const SLOW_MS = 500;

/** `records`: where it is kept that it runs, for whoever comes after a crash. */
export async function runCheckCommand(
  check: ScriptCheckConfig,
  { timeoutMs, signal }: AttemptOptions,
  records?: ScriptRecords,
): Promise<CommandOutcome> {
  const account = findAccount(check.user, check.group, 'check.script');
  if (!account.ok) return { kind: 'not-run', detail: account.error.message };
  let overdue: string | null = null;
  const outcome = await runScript({
    command: check.command,
    args: [],
    variables: {},
    account: account.value,
    security: check.scriptSecurity,
    timeoutMs,
    stopping: NEVER,
    abandoned: signal,
    records,
    leaveNothing: true,
    onOverdue: (detail) => {
      overdue = detail;
    },
  });
  if (outcome.kind === 'not-run') return { kind: 'not-run', detail: outcome.problem.message };
  if (overdue !== null) {
    const isLeft = outcome.kind === 'failed' ? outcome.isLeft : () => false;
    return { kind: 'overdue', detail: `The command ${overdue}`, isLeft };
  }
  const lastLine = outcome.output.slice(outcome.output.lastIndexOf('\n') + 1).trim();
  if (outcome.kind === 'succeeded') return { kind: 'ended', exitStatus: 0, lastLine };
  return outcome.exitStatus === null
    ? { kind: 'killed', detail: `The command ${outcome.detail}` }
    : { kind: 'ended', exitStatus: outcome.exitStatus, lastLine };
}

/** Keeps only of what runs longer than SLOW_MS that it runs. */
export function slowOnly(records: ScriptRecords): ScriptRecords {
  const timers = new Map<number, NodeJS.Timeout>();
  return {
    began: (pid) => {
      timers.set(
        pid,
        setTimeout(() => {
          timers.delete(pid);
          records.began(pid);
        }, SLOW_MS),
      );
    },
    ended: (pid) => {
      clearTimeout(timers.get(pid));
      if (!timers.delete(pid)) records.ended(pid);
    },
  };
}
