/**
 * What one run of a check costs a thread, in microseconds of a current processor, the kernel's
 * part of it included: roughly, to know how many threads all checks need (check-pool.ts).
 *
 * Measured natively with servers on loopback, at 1,000 to 5,000 runs a second where the server
 * kept up (docs/benchmarks.md, checks): a run among few costs up to twice as much, which does not
 * matter then.
 */

import { assertNever } from '../core/assert.ts';
import { type CheckConfig, connectionsOf } from '../core/config/check.ts';

const COST_US: Readonly<Record<CheckConfig['kind'], number>> = {
  tcp: 45,
  http: 80,
  dns: 100,
  udp: 80,
  ping: 135,
  dialogue: 200,
  smtp: 220,
  ldap: 240,
  radius: 200,
  sip: 150,
  mysql: 400,
  postgresql: 400,
  // Not of a thread that could be another: they start processes, or ask nobody.
  script: 0,
  file: 0,
  bfd: 0,
};
/** A TLS handshake on top. */
const TLS_US = 1_400;
/** A password of PostgreSQL on top: thousands of digests (SCRAM). */
const SCRAM_US = 2_000;
/** HTTP/2 on top of TLS. */
const HTTP2_US = 1_100;

/** Microseconds of one thread's time for one run. */
export function costUs(check: CheckConfig): number {
  const tlsUs = speaksTls(check) ? TLS_US : 0;
  const http2Us = check.kind === 'http' && check.version === '2' ? HTTP2_US : 0;
  const scramUs = check.kind === 'postgresql' && check.password !== null ? SCRAM_US : 0;
  return (COST_US[check.kind] + tlsUs + http2Us + scramUs) * connectionsOf(check);
}

function speaksTls(check: CheckConfig): boolean {
  switch (check.kind) {
    case 'http':
    case 'mysql':
    case 'postgresql':
      return check.tls;
    case 'ldap':
    case 'smtp':
      return check.tls !== 'none';
    case 'sip':
      return check.transport === 'tls';
    case 'dialogue':
      return check.tls || check.steps.some(({ starttls }) => starttls);
    case 'tcp':
    case 'dns':
    case 'udp':
    case 'ping':
    case 'radius':
    case 'script':
    case 'file':
    case 'bfd':
      return false;
    default:
      return assertNever(check);
  }
}
