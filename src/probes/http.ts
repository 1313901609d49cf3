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
import { tcpDestination } from '../linux/tcp-connector.ts';
import type { AttemptOptions } from './attempt.ts';
import { type PlainRequest, startPlainHttp } from './http-plain.ts';
import { probeHttpRequest, requestBytes } from './http-request.ts';
import type { TrustStore } from './trust-store.ts';

/** Runs the check once; never rejects. null when the signal gave up before a verdict. */
type HttpProbe = (options: AttemptOptions) => Promise<ProbeResult | null>;

/** What a run of the check does: its one request, which needs no promise, or everything else. */
export type HttpRuns =
  | { readonly kind: 'plain'; readonly request: PlainRequest }
  | { readonly kind: 'other'; readonly run: HttpProbe };

/** How the check runs. What it cannot use, a file or an expression, fails every run. */
export function httpRuns(check: HttpCheckConfig, target: CheckTarget, trust: TrustStore): HttpRuns {
  const prepared = prepare(check, target);
  if (!prepared.ok) {
    const { error } = prepared;
    return { kind: 'other', run: async () => cannotRun(error) };
  }
  const requests = prepared.value;
  const [first, ...others] = requests;
  if (first === undefined) {
    return { kind: 'other', run: async () => cannotRun('The check has no request') };
  }
  if (check.tls || check.version === '2') {
    return {
      kind: 'other',
      run: (options) => runExchanges(check, target, { requests, trust }, options),
    };
  }
  if (others.length === 0) return { kind: 'plain', request: first };
  return { kind: 'other', run: (options) => together(requests, probePlainHttp, options) };
}

/** The same as startPlainHttp(), as a promise. */
export function probePlainHttp(
  request: PlainRequest,
  { timeoutMs, signal }: AttemptOptions,
): Promise<ProbeResult | null> {
  if (signal.aborted) return Promise.resolve(null);
  return new Promise((resolve) => {
    const giveUp = startPlainHttp(request, timeoutMs, (result) => {
      signal.removeEventListener('abort', giveUp);
      resolve(result);
    });
    signal.addEventListener('abort', giveUp);
  });
}

function prepare(check: HttpCheckConfig, target: CheckTarget): Result<PlainRequest[], string> {
  const destination = tcpDestination(target, check);
  const prepared: PlainRequest[] = [];
  for (const request of check.requests) {
    const matches = compile(request.bodyMatches);
    if (!matches.ok) return matches;
    // Version 2 has frames instead of lines, but the same words.
    const bytes = requestBytes(request, target, check.version === '1.0' ? '1.0' : '1.1');
    if (!bytes.ok) return err(bytes.error.detail);
    prepared.push({ destination, request, matches: matches.value, bytes: bytes.value });
  }
  return ok(prepared);
}

/** Over TLS, or by HTTP/2. */
async function runExchanges(
  check: HttpCheckConfig,
  target: CheckTarget,
  { requests, trust }: { readonly requests: readonly PlainRequest[]; readonly trust: TrustStore },
  options: AttemptOptions,
): Promise<ProbeResult | null> {
  // Only directors with such a check pay for the library. Loading it is no server's fault, so it is
  // not part of the timed attempt.
  const http2 = check.version === '2' ? await import('node:http2') : null;
  if (options.signal.aborted) return null;
  const context = check.tls ? trust.secureContext(check.caFile, check) : ok(null);
  if (!context.ok) return cannotRun(context.error);
  const secureContext = context.value;
  const ask = (exchange: PlainRequest, one: AttemptOptions) =>
    probeHttpRequest({ ...exchange, check, target, http2, secureContext }, one);
  const [first, ...others] = requests;
  if (first !== undefined && others.length === 0) return ask(first, options);
  return together(requests, ask, options);
}

/** All at once; the first failure ends the others. */
async function together(
  requests: readonly PlainRequest[],
  ask: (request: PlainRequest, options: AttemptOptions) => Promise<ProbeResult | null>,
  { timeoutMs, signal }: AttemptOptions,
): Promise<ProbeResult | null> {
  const others = new AbortController();
  const giveUp = () => others.abort();
  signal.addEventListener('abort', giveUp);
  if (signal.aborted) giveUp();
  let verdict: ProbeResult | null = null;
  const run = async (request: PlainRequest): Promise<void> => {
    const result = await ask(request, { timeoutMs, signal: others.signal });
    if (result === null || verdict?.ok === false) return;
    if (result.ok) {
      const durationUs = Math.max(result.durationUs, verdict?.durationUs ?? 0);
      verdict = { ok: true, durationUs };
      return;
    }
    const { method, path } = request.request;
    const { reason, detail } = result.failure;
    const failure = probeFailure(reason, `${method} ${path}: ${detail}`);
    verdict = { ok: false, durationUs: result.durationUs, failure };
    others.abort();
  };
  await Promise.all(requests.map(run));
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
