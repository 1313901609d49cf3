/**
 * HTTP and HTTPS check: one or more requests at once, each over a connection of its own and all
 * within the one timeout. The first that fails is the verdict, and ends the others.
 */
import type { HttpCheckConfig } from '../core/config/check.ts';
import type { CheckTarget } from '../core/health/check-key.ts';
import type { ProbeResult } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import type { Result } from '../core/result.ts';
import { err, ok } from '../core/result.ts';
import type { AttemptOptions } from './attempt.ts';
import { type HttpExchange, probeHttpRequest } from './http-request.ts';
import type { TrustStore } from './trust-store.ts';

/** Runs the check once; never rejects. null when the signal gave up before a verdict. */
type HttpProbe = (options: AttemptOptions) => Promise<ProbeResult | null>;

/** A function that runs the check. What it cannot use, a file or an expression, fails every run. */
export function createHttpProbe(
  check: HttpCheckConfig,
  target: CheckTarget,
  trust: TrustStore,
): HttpProbe {
  const expressions = check.requests.map((request) => compile(request.bodyMatches));
  return async (options) => {
    // Only directors with an HTTP check pay for the library. Loading it is no server's fault, so
    // it is not part of the timed attempt.
    const http1 = check.version === '2' ? null : await import('undici');
    const http2 = check.version === '2' ? await import('node:http2') : null;
    if (options.signal.aborted) return null;
    const context = check.tls ? trust.secureContext(check.caFile, check) : ok(null);
    if (!context.ok) return cannotRun(context.error);
    const exchanges: HttpExchange[] = [];
    for (const [index, request] of check.requests.entries()) {
      const matches = expressions[index] ?? ok(null);
      if (!matches.ok) return cannotRun(matches.error);
      const secure = { secureContext: context.value, matches: matches.value };
      exchanges.push({ check, request, target, http1, http2, ...secure });
    }
    const [first, ...others] = exchanges;
    if (first === undefined) return cannotRun('The check has no request');
    return others.length === 0 ? probeHttpRequest(first, options) : together(exchanges, options);
  };
}

/** All at once; the first failure ends the others. */
async function together(
  exchanges: readonly HttpExchange[],
  { timeoutMs, signal }: AttemptOptions,
): Promise<ProbeResult | null> {
  const others = new AbortController();
  const giveUp = () => others.abort();
  signal.addEventListener('abort', giveUp);
  let verdict: ProbeResult | null = null;
  const run = async (exchange: HttpExchange): Promise<void> => {
    const result = await probeHttpRequest(exchange, { timeoutMs, signal: others.signal });
    if (result === null || verdict?.ok === false) return;
    if (result.ok) {
      const durationUs = Math.max(result.durationUs, verdict?.durationUs ?? 0);
      verdict = { ok: true, durationUs };
      return;
    }
    const { method, path } = exchange.request;
    const { reason, detail } = result.failure;
    const failure = probeFailure(reason, `${method} ${path}: ${detail}`);
    verdict = { ok: false, durationUs: result.durationUs, failure };
    others.abort();
  };
  await Promise.all(exchanges.map(run));
  signal.removeEventListener('abort', giveUp);
  return signal.aborted ? null : verdict;
}

function compile(source: string | null): Result<RegExp | null, string> {
  try {
    return ok(source === null ? null : new RegExp(source, 'u'));
  } catch (error) {
    return err((error as Error).message);
  }
}

function cannotRun(detail: string): ProbeResult {
  return { ok: false, durationUs: 0, failure: probeFailure('cannot-run', detail) };
}
