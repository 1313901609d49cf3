/**
 * What one probe of a real server says. The reasons of a failure are a closed set: they are
 * metric labels, so their number is bounded; everything particular goes into the detail, which is
 * for people, bounded in length and free of control characters, whatever a server sent.
 */

/** Every reason with its meaning; documentation and metrics use this very table. */
export const PROBE_FAILURE_REASONS = {
  'connection-refused': 'The server refused the connection',
  timeout: 'No verdict within the timeout of the check',
  unreachable: 'The network has no way to the server',
  reset: 'The server closed or reset the connection before a verdict',
  tls: 'The TLS handshake failed',
  'tls-untrusted': "The server's certificate is not trusted, expired or for another name",
  protocol: 'The answer is not valid in the protocol of the check',
  status: 'The answer carries a status that does not mean success',
  body: 'The body of the answer does not match',
  'too-large': 'The body of the answer is longer than what a check reads',
  session: 'The BFD session is not up',
  'cannot-run': 'This director could not run the check',
} as const;

export type ProbeFailureReason = keyof typeof PROBE_FAILURE_REASONS;

export interface ProbeFailure {
  readonly reason: ProbeFailureReason;
  /** What exactly was seen: at most DETAIL_LENGTH_MAX characters on one line. */
  readonly detail: string;
}

/** A verdict. The duration is connect to verdict, in microseconds. */
export type ProbeResult =
  | {
      readonly ok: true;
      readonly durationUs: number;
      /** Weight that the server should have, 0 to 65535; absent for the configured one. */
      readonly weight?: number;
    }
  | { readonly ok: false; readonly durationUs: number; readonly failure: ProbeFailure };

/** Longest detail: it is kept for each check and repeated in logs, status and events. */
export const DETAIL_LENGTH_MAX = 200;

/** A failure whose detail, which may hold a server's own words, is made safe to print and keep. */
export function probeFailure(reason: ProbeFailureReason, detail: string): ProbeFailure {
  const head = detail.slice(0, DETAIL_LENGTH_MAX);
  return { reason, detail: head.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]+/gu, ' ').trim() };
}
