/**
 * Health checks from their parsed form: what a server's check leaves out is taken from its
 * service's, what that leaves out from the defaults.
 */
import type { CheckConfig, HttpCheckConfig } from '../core/config/config.ts';
import { DEFAULTS } from '../core/config/defaults.ts';
import type { Path } from './document.ts';
import type { Report } from './report.ts';
import type { CheckInput } from './schema.ts';
import { joinWords } from './suggest.ts';

const KINDS = ['tcp', 'http', 'https'] as const;
type Kind = (typeof KINDS)[number];
type LongCheck = Exclude<CheckInput, 'none'>;

function kindsOf(input: CheckInput | undefined): Kind[] {
  if (input === undefined || input === 'none') return [];
  return KINDS.filter((kind) => input[kind] !== undefined);
}

/** A server's check with what its service's adds; undefined when neither is given. */
export function inheritCheck(
  own: CheckInput | undefined,
  inherited: CheckInput | undefined,
): CheckInput | undefined {
  if (own === undefined) return inherited;
  if (own === 'none' || inherited === undefined || inherited === 'none') return own;
  const merged: LongCheck = { ...inherited };
  if (kindsOf(own).length > 0) for (const kind of KINDS) delete merged[kind];
  return { ...merged, ...own };
}

/** Reports what is wrong with a check as written at `path`, with what it inherited. */
export function reportCheck(
  written: CheckInput,
  complete: CheckInput,
  where: { readonly path: Path; readonly tcpByDefault: boolean; readonly report: Report },
): void {
  const { path, report } = where;
  if (written === 'none' || complete === 'none') return;
  const kinds = kindsOf(written);
  if (kinds.length > 1) {
    report.error(path, `expected only one of ${joinWords(kinds, 'and')}`, 'bare');
  }
  if (kindsOf(complete).length === 0 && !where.tcpByDefault) {
    report.error(path, 'expected one of the keys tcp, http and https', 'bare');
  }
  const { intervalUs, timeoutUs } = timing(complete);
  if (timeoutUs > intervalUs) {
    const message = 'the timeout is longer than the interval, so a late check delays the next one';
    report.warning(path, message);
  }
}

function timing(input: LongCheck) {
  const { check } = DEFAULTS;
  return {
    intervalUs: input.interval ?? check.intervalUs,
    timeoutUs: input.timeout ?? check.timeoutUs,
    fall: input.fall ?? check.fall,
    rise: input.rise ?? check.rise,
    port: input.port ?? null,
  };
}

/** The check with its defaults; null for none. A check without kind is one by TCP. */
export function resolveCheck(input: CheckInput): CheckConfig | null {
  if (input === 'none') return null;
  const http = input.https ?? input.http;
  if (http === undefined) return { kind: 'tcp', ...timing(input) };
  const { https } = input;
  const config: HttpCheckConfig = {
    kind: 'http',
    ...timing(input),
    tls: https !== undefined,
    tlsVerify: https?.verify ?? DEFAULTS.http.tlsVerify,
    serverName: https?.server_name ?? null,
    caFile: https?.ca_file ?? null,
    path: http.path ?? DEFAULTS.http.path,
    host: http.host ?? null,
    status: http.status ?? DEFAULTS.http.status.map(([first, last]) => [first, last] as const),
    bodyContains: http.body_contains ?? null,
    bodyMatches: http.body_matches ?? null,
  };
  return config;
}
