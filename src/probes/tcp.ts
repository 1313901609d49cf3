/** TCP check: success is an established connection, which is then closed in order. */
import type { SocketPath } from '../core/config/check.ts';
import type { CheckTarget } from '../core/health/check-key.ts';
import type { ProbeResult } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import { SystemError } from '../linux/libc.ts';
import { type ConnectOutcome, TcpConnector } from '../linux/tcp-connector.ts';
import type { AttemptOptions } from './attempt.ts';
import { openFailure, pathOf } from './connection.ts';

/** Shared by all TCP checks of the thread. */
const connector = new TcpConnector();

/** Connects to a server. Never rejects; null when the signal gave up before a verdict. */
export function probeTcp(
  path: SocketPath,
  target: CheckTarget,
  { timeoutMs, signal }: AttemptOptions,
): Promise<ProbeResult | null> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve(null);
    const finish = (outcome: ConnectOutcome) => {
      signal.removeEventListener('abort', giveUp);
      resolve(resultOf(outcome, path, timeoutMs));
    };
    let giveUp = (): void => {};
    try {
      giveUp = connector.open({ ...pathOf(path), ...target }, timeoutMs, finish);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      return resolve(resultOf({ kind: 'failed', durationMs: 0, error }, path, timeoutMs));
    }
    signal.addEventListener('abort', giveUp);
  });
}

function resultOf(
  outcome: ConnectOutcome,
  path: SocketPath,
  timeoutMs: number,
): ProbeResult | null {
  if (outcome === null) return null;
  const durationUs = Math.round(outcome.durationMs * 1000);
  if (outcome.kind === 'established') return { ok: true, durationUs };
  const failure =
    outcome.kind === 'timeout'
      ? probeFailure('timeout', `Waited ${timeoutMs} ms for the connection`)
      : openFailure(outcome.error, path);
  return { ok: false, durationUs, failure };
}
