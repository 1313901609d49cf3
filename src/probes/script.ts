/**
 * Script check: a command that is run once. Exit status 0 is success, any other is failure; with
 * dynamic weight, 2 to 255 are success too, and the server's weight is then 2 less. What cannot be
 * run, or does not end in time, has failed. Programs are run by whoever made the probe.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { ScriptCheckConfig } from '../core/config/check.ts';
import type { ProbeResult } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import type { AttemptOptions } from './attempt.ts';

/** How a command ended. */
export type CommandOutcome =
  | { readonly kind: 'ended'; readonly exitStatus: number; readonly lastLine: string }
  /** It was ended by a signal. */
  | { readonly kind: 'killed'; readonly detail: string }
  /**
   * Its time is over, and it is being ended. `isLeft`: whether something of it is there now; `kill`
   * sends it SIGKILL, which it gets a little later anyway.
   */
  | {
      readonly kind: 'overdue';
      readonly detail: string;
      readonly isLeft: () => boolean;
      readonly kill: () => void;
    }
  | { readonly kind: 'not-run'; readonly detail: string };

/**
 * Runs a command with everything that it starts, for the time that the options give it. Resolves,
 * never rejects, when all of that is gone, or when the time is over.
 */
export type CommandRunner = (
  check: ScriptCheckConfig,
  options: AttemptOptions,
) => Promise<CommandOutcome>;

/** Exit status of a dynamic weight of 0. */
const WEIGHT_STATUS_MIN = 2;

/** How often is looked whether what was left has ended. */
const LOOK_INTERVAL_MS = 5;

/** What becomes of one run; null when the signal gave up before a verdict. Never rejects. */
type ScriptProbe = (options: AttemptOptions) => Promise<ProbeResult | null>;

/**
 * The check of one server. What is being ended when the next run is due is killed first, and is gone
 * in a moment. What is stuck in the kernel, on a dead file server for example, does not end by SIGKILL:
 * until it has ended the check fails without a run, which would leave more of it.
 */
export function scriptProbe(check: ScriptCheckConfig, run: CommandRunner): ScriptProbe {
  let overdue: (CommandOutcome & { readonly kind: 'overdue' }) | null = null;
  return async (options) => {
    const startMs = performance.now();
    let { timeoutMs } = options;
    if (overdue?.isLeft() === true) overdue.kill();
    // What was killed a moment ago may need one to end.
    while (overdue?.isLeft() === true && timeoutMs > 0 && !options.signal.aborted) {
      await delay(LOOK_INTERVAL_MS);
      timeoutMs = Math.ceil(options.timeoutMs - (performance.now() - startMs));
    }
    if (options.signal.aborted) return null;
    if (overdue?.isLeft() === true) {
      const detail = `${overdue.detail}, nor by SIGKILL: it is still there`;
      const durationUs = Math.round((performance.now() - startMs) * 1000);
      return { ok: false, durationUs, failure: probeFailure('timeout', detail) };
    }
    const outcome = await run(check, { ...options, timeoutMs: Math.max(1, timeoutMs) });
    overdue = outcome.kind === 'overdue' ? outcome : null;
    if (options.signal.aborted) return null;
    return resultOf(check, outcome, Math.round((performance.now() - startMs) * 1000));
  };
}

function resultOf(
  check: ScriptCheckConfig,
  outcome: CommandOutcome,
  durationUs: number,
): ProbeResult {
  const failed = (reason: 'status' | 'timeout' | 'cannot-run', detail: string): ProbeResult => ({
    ok: false,
    durationUs,
    failure: probeFailure(reason, detail),
  });
  switch (outcome.kind) {
    case 'ended': {
      const { exitStatus, lastLine } = outcome;
      if (exitStatus === 0) return { ok: true, durationUs };
      if (check.dynamicWeight && exitStatus >= WEIGHT_STATUS_MIN) {
        return { ok: true, durationUs, weight: exitStatus - WEIGHT_STATUS_MIN };
      }
      const said = lastLine === '' ? '' : `: ${lastLine}`;
      return failed('status', `Exit status ${exitStatus}${said}`);
    }
    case 'killed':
      return failed('status', outcome.detail);
    case 'overdue':
      return failed('timeout', outcome.detail);
    case 'not-run':
      return failed('cannot-run', outcome.detail);
  }
}
