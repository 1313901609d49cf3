/** BFD check: what the keeper's session says. Nothing is sent: the keeper does that all the time. */
import type { BfdCheckConfig } from '../core/config/check.ts';
import type { BfdVerdict } from '../core/health/bfd-verdict.ts';
import type { ProbeResult } from '../core/health/probe-result.ts';

/** The verdict about a session, by its name. */
export type SessionLook = (session: string) => BfdVerdict;

/** Looks once; null while there is no verdict, and when the signal gave up. */
export function probeBfd(
  check: BfdCheckConfig,
  look: SessionLook,
  { signal }: { readonly signal: AbortSignal },
): ProbeResult | null {
  const verdict = signal.aborted ? null : look(check.session);
  if (verdict === null) return null;
  return verdict.ok
    ? { ok: true, durationUs: 0 }
    : { ok: false, durationUs: 0, failure: verdict.error };
}
