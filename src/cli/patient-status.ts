/**
 * Asks a director for its status as a command does that follows what goes on there: a controller
 * that hangs for a while, or is started again, is waited for. Bounded, and told while it lasts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Problem } from '../core/problem.ts';
import type { Result } from '../core/result.ts';
import type { DirectorStatus } from '../core/status.ts';
import { ANSWER_TIMEOUT_MS, askStatus } from './control-client.ts';

const RETRY_MS = 500;
/** What is slower than this is told; the next time after as long again. */
const TELL_MS = 2_000;

export interface Patience {
  readonly interrupted: AbortSignal;
  /** Without an answer for this long there is none. */
  readonly silenceMaxMs: number;
  /** There is no answer yet; called again and again. */
  readonly onSilent: (seconds: number) => void;
}

/** The latest problem when nothing came in time; null when it was interrupted. */
export async function patientStatus(
  runtimeDirectory: string,
  { interrupted, silenceMaxMs, onSilent }: Patience,
): Promise<Result<DirectorStatus, Problem> | null> {
  const sinceMs = performance.now();
  const silentMs = () => performance.now() - sinceMs;
  const telling = setInterval(() => onSilent(Math.round(silentMs() / 1000)), TELL_MS);
  try {
    for (;;) {
      // In whole seconds, which the problem names.
      const leftMs = Math.max(1, Math.ceil((silenceMaxMs - silentMs()) / 1000)) * 1000;
      const timeoutMs = Math.min(ANSWER_TIMEOUT_MS, leftMs);
      const status = await askStatus(runtimeDirectory, timeoutMs, interrupted);
      if (interrupted.aborted) return null;
      if (status.ok || silentMs() >= silenceMaxMs) return status;
      await sleep(RETRY_MS, undefined, { signal: interrupted }).catch(() => {});
    }
  } finally {
    clearInterval(telling);
  }
}
