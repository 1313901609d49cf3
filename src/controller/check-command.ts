/**
 * Runs the command of a script check as trackers and notification run theirs: without a shell, as
 * the configured account, refused if it would run as root and others may change it, and with its
 * whole process group ended when its time is over, beside whatever comes next.
 */
import type { ScriptCheckConfig } from '../core/config/check.ts';
import type { AttemptOptions } from '../probes/attempt.ts';
import type { CommandOutcome } from '../probes/script.ts';
import { findAccount } from './notify/account.ts';
import type { ScriptRecords } from './notify/left-scripts.ts';
import { runScript, type ScriptOutcome } from './notify/script.ts';

const NEVER = new AbortController().signal;

/**
 * How long a check's command runs before it is kept that it does: hundreds may run in a second, and
 * what is quicker ends by itself soon after its controller.
 */
const SLOW_MS = 500;

/** Commands whose time is over and that are being ended, at once: as many as may run. */
const ENDING_MAX = 64;

/**
 * Commands that had their verdict and are not gone: what ignores SIGTERM has two seconds until
 * SIGKILL, for which no verdict waits. Whoever stops running checks stops them.
 */
export class EndingCommands {
  /** What kills each, by its end. */
  readonly #kills = new Map<Promise<unknown>, () => void>();

  /** False when there are too many: then it must be waited for. `end` never rejects. */
  add(end: Promise<unknown>, kill: () => void): boolean {
    if (this.#kills.size >= ENDING_MAX) return false;
    this.#kills.set(end, kill);
    void end.then(() => this.#kills.delete(end));
    return true;
  }

  /** Kills them all; resolves when they are gone, or will not go (runScript). */
  async stop(): Promise<void> {
    for (const kill of this.#kills.values()) kill();
    await Promise.all(this.#kills.keys());
  }
}

/**
 * `records`: where it is kept that it runs, for whoever comes after a crash. `ending` has it from the
 * end of its time until it is gone.
 */
export async function runCheckCommand(
  check: ScriptCheckConfig,
  { timeoutMs, signal }: AttemptOptions,
  records?: ScriptRecords,
  ending = new EndingCommands(),
): Promise<CommandOutcome> {
  const account = findAccount(check.user, check.group, 'check.script');
  if (!account.ok) return { kind: 'not-run', detail: account.error.message };
  const abandon = new AbortController();
  const kill = (): void => abandon.abort();
  signal.addEventListener('abort', kill);
  if (signal.aborted) kill();
  return new Promise((resolve) => {
    let overdue: string | null = null;
    let outcome: ScriptOutcome | null = null;
    const isLeft = (): boolean =>
      outcome === null || (outcome.kind === 'failed' && outcome.isLeft());
    const tellOverdue = (detail: string): void =>
      resolve({ kind: 'overdue', detail: `The command ${detail}`, isLeft, kill });
    const end = runScript({
      command: check.command,
      args: [],
      variables: {},
      account: account.value,
      security: check.scriptSecurity,
      timeoutMs,
      stopping: NEVER,
      abandoned: abandon.signal,
      records,
      leaveNothing: true,
      onOverdue: (detail) => {
        overdue = detail;
        if (ending.add(end, kill)) tellOverdue(detail);
      },
    }).then((ended) => {
      outcome = ended;
      signal.removeEventListener('abort', kill);
      if (overdue === null || ended.kind === 'not-run') resolve(outcomeOf(ended));
      else tellOverdue(overdue);
    });
  });
}

/** Of a command that ended in its time, or was never started. */
function outcomeOf(outcome: ScriptOutcome): CommandOutcome {
  if (outcome.kind === 'not-run') return { kind: 'not-run', detail: outcome.problem.message };
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
