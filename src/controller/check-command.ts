/**
 * Runs the command of a script check as trackers and notification run theirs: without a shell, as
 * the configured account, refused if it would run as root and others may change it, and with its
 * whole process group ended when its time is over.
 */
import type { CommandRunner } from '../probes/script.ts';
import { findAccount } from './notify/account.ts';
import { runScript } from './notify/script.ts';

const NEVER = new AbortController().signal;

export const runCheckCommand: CommandRunner = async (check, { timeoutMs, signal }) => {
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
    leaveNothing: true,
    onOverdue: (detail) => {
      overdue = detail;
    },
  });
  if (outcome.kind === 'not-run') return { kind: 'not-run', detail: outcome.problem.message };
  if (overdue !== null) return { kind: 'overdue', detail: `The command ${overdue}` };
  const lastLine = outcome.output.slice(outcome.output.lastIndexOf('\n') + 1).trim();
  if (outcome.kind === 'succeeded') return { kind: 'ended', exitStatus: 0, lastLine };
  return outcome.exitStatus === null
    ? { kind: 'killed', detail: `The command ${outcome.detail}` }
    : { kind: 'ended', exitStatus: outcome.exitStatus, lastLine };
};
