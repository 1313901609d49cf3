/**
 * Checks that speak a server's own protocol from their parsed form.
 */
import type { CheckBase, SocketPath, TlsConfig } from '../core/config/check.ts';
import type {
  LdapCheckConfig,
  MysqlCheckConfig,
  PostgresqlCheckConfig,
  ProtocolCheckConfig,
  RadiusCheckConfig,
  SipCheckConfig,
} from '../core/config/check-protocols.ts';
import { DEFAULTS } from '../core/config/defaults.ts';
import type { Path } from './document.ts';
import type { Report } from './report.ts';
import type { CheckInput } from './schema.ts';

type LongCheck = Exclude<CheckInput, 'none'>;

export const PROTOCOL_KINDS = ['ldap', 'mysql', 'postgresql', 'radius', 'sip'] as const;
export type ProtocolKind = (typeof PROTOCOL_KINDS)[number];

/** Reports what the keys of one kind say together, as they are written at `path`. */
export function reportProtocol(written: LongCheck, path: Path, report: Report): void {
  const { ldap, radius } = written;
  if (ldap !== undefined) {
    const place = [...path, 'ldap'];
    // A bind with a name and no password is taken for an anonymous one: RFC 4513 section 5.1.2.
    if (ldap.bind_dn !== undefined && ldap.password === undefined) {
      report.error([...place, 'bind_dn'], 'a name needs a password', 'bare');
    } else if (ldap.bind_dn === undefined && ldap.password !== undefined) {
      report.error([...place, 'password'], 'a password needs bind_dn', 'bare');
    }
    for (const key of ['scope', 'filter'] as const) {
      if (ldap.base !== undefined || ldap[key] === undefined) continue;
      report.error([...place, key], 'a search needs a base', 'bare');
    }
  }
  for (const kind of ['mysql', 'postgresql'] as const) reportQuery(written, kind, path, report);
  if (radius !== undefined && (radius.user === undefined) !== (radius.password === undefined)) {
    report.error([...path, 'radius'], 'user and password go together', 'bare');
  }
}

function reportQuery(
  written: LongCheck,
  kind: 'mysql' | 'postgresql',
  path: Path,
  report: Report,
): void {
  const input = written[kind];
  if (input === undefined) return;
  for (const key of ['result', 'result_matches'] as const) {
    if (input.query !== undefined || input[key] === undefined) continue;
    report.error([...path, kind, key], 'a result needs a query', 'bare');
  }
  for (const key of ['password', 'query', 'database'] as const) {
    if (input.user !== undefined || input[key] === undefined) continue;
    report.error([...path, kind, key], 'expected a user beside it', 'bare');
  }
}

type Base = CheckBase & SocketPath;
type ResolveTls = (input: LongCheck['sip']) => TlsConfig;

/** The check with its defaults. */
export function resolveProtocol(
  kind: ProtocolKind,
  input: LongCheck,
  base: Base,
  tls: ResolveTls,
): ProtocolCheckConfig {
  switch (kind) {
    case 'ldap':
      return resolveLdap(input, base, tls);
    case 'mysql':
      return resolveMysql(input, base, tls);
    case 'postgresql':
      return resolvePostgresql(input, base, tls);
    case 'radius':
      return resolveRadius(input, base);
    case 'sip':
      return resolveSip(input, base, tls);
  }
}

function resolveLdap({ ldap }: LongCheck, base: Base, tls: ResolveTls): LdapCheckConfig {
  return {
    kind: 'ldap',
    ...base,
    ...tls(ldap),
    tls: ldap?.tls ?? DEFAULTS.ldap.tls,
    bindDn: ldap?.bind_dn ?? null,
    password: ldap?.password ?? null,
    base: ldap?.base ?? null,
    scope: ldap?.scope ?? DEFAULTS.ldap.scope,
    filter: ldap?.filter ?? DEFAULTS.ldap.filter,
  };
}

function resolveMysql({ mysql }: LongCheck, base: Base, tls: ResolveTls): MysqlCheckConfig {
  return {
    kind: 'mysql',
    ...base,
    ...tls(mysql),
    tls: mysql?.tls ?? DEFAULTS.sql.tls,
    user: mysql?.user ?? '',
    password: mysql?.password ?? null,
    database: mysql?.database ?? null,
    query: mysql?.query ?? null,
    result: mysql?.result ?? null,
    resultMatches: mysql?.result_matches ?? null,
  };
}

function resolvePostgresql(
  { postgresql }: LongCheck,
  base: Base,
  tls: ResolveTls,
): PostgresqlCheckConfig {
  return {
    kind: 'postgresql',
    ...base,
    ...tls(postgresql),
    tls: postgresql?.tls ?? DEFAULTS.sql.tls,
    user: postgresql?.user ?? null,
    password: postgresql?.password ?? null,
    database: postgresql?.database ?? null,
    query: postgresql?.query ?? null,
    result: postgresql?.result ?? null,
    resultMatches: postgresql?.result_matches ?? null,
  };
}

function resolveRadius({ radius }: LongCheck, base: Base): RadiusCheckConfig {
  return {
    kind: 'radius',
    ...base,
    secret: radius?.secret ?? { secret: '', digest: '' },
    user: radius?.user ?? null,
    password: radius?.password ?? null,
    nasIdentifier: radius?.nas_identifier ?? DEFAULTS.radius.nasIdentifier,
    expect: radius?.expect ?? DEFAULTS.radius.expect,
  };
}

function resolveSip({ sip }: LongCheck, base: Base, tls: ResolveTls): SipCheckConfig {
  return {
    kind: 'sip',
    ...base,
    ...tls(sip),
    transport: sip?.transport ?? DEFAULTS.sip.transport,
    uri: sip?.uri ?? null,
    from: sip?.from ?? null,
    status: sip?.status ?? DEFAULTS.sip.status.map(([first, last]) => [first, last] as const),
  };
}
