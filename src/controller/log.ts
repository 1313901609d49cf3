/**
 * Logs: JSON lines for journald and collectors, readable lines on a terminal. Every line about a
 * decision has a `reason` field. Only the controller logs; the keeper reports to it.
 */
import pino, { type Logger } from 'pino';
import type { Config } from '../core/config/config.ts';
import type { Problem } from '../core/problem.ts';

export type Log = Logger;

/** A logger for this director; `format: auto` means readable when stdout is a terminal. */
export async function openLog(options: Config['log'], director: string): Promise<Log> {
  const base = {
    base: { director },
    level: options.level,
    timestamp: pino.stdTimeFunctions.isoTime,
  };
  const pretty =
    options.format === 'pretty' || (options.format === 'auto' && process.stdout.isTTY === true);
  if (!pretty) return pino(base, pino.destination({ fd: 1, sync: true }));
  // Loaded for terminals only: a daemon does not pay for it.
  const { default: prettyStream } = await import('pino-pretty');
  return pino(base, prettyStream({ sync: true, ignore: 'pid,hostname,director' }));
}

/** Logs a problem with its code and cure. */
export function logProblem(log: Log, problem: Problem, fields: object = {}): void {
  log.error({ ...fields, code: problem.code, cure: problem.cure }, problem.message);
}
