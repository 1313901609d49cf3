/**
 * The configuration of checks that speak a server's own protocol and mostly log in: LDAP, MySQL,
 * PostgreSQL, RADIUS, SIP and SMTP. Part of CheckConfig.
 */
import type { LdapScope } from '../wire/ldap.ts';
import type { RadiusAnswerName } from '../wire/radius.ts';
import type { SipTransport } from '../wire/sip.ts';
import type { SocketCheckConfig, TlsConfig } from './check-base.ts';

/** A password or secret. Only the server is told; wherever else it counts, its digest stands. */
export interface Secret {
  readonly secret: string;
  /** Differs where secrets differ, and cannot be turned back into one. */
  readonly digest: string;
}

/** Without TLS, from the first byte on, or by the protocol's own command. */
export type TlsMode = 'none' | 'tls' | 'starttls';

/** A bind, and a search if there is a base. */
export interface LdapCheckConfig extends SocketCheckConfig, TlsConfig {
  readonly kind: 'ldap';
  readonly tls: TlsMode;
  /** Distinguished name; null for an anonymous bind. */
  readonly bindDn: string | null;
  /** null without bindDn only. */
  readonly password: Secret | null;
  /** Where an entry is searched for, '' for the root; null for no search. */
  readonly base: string | null;
  readonly scope: LdapScope;
  /** RFC 4515. */
  readonly filter: string;
}

/** What a query must give: one value in its first row. */
export interface QueryCheckConfig {
  /** null for the login alone. */
  readonly query: string | null;
  /** What the first value must be; null for anything. */
  readonly result: string | null;
  /** Regular expression (JavaScript, flag u) that it must match; null for none. */
  readonly resultMatches: string | null;
}

/** A login, and a query. */
export interface MysqlCheckConfig extends SocketCheckConfig, TlsConfig, QueryCheckConfig {
  readonly kind: 'mysql';
  readonly tls: boolean;
  readonly user: string;
  /** null for an empty password. */
  readonly password: Secret | null;
  /** null for none. */
  readonly database: string | null;
}

/** A login, and a query; without a user, the server's asking for a password is success. */
export interface PostgresqlCheckConfig extends SocketCheckConfig, TlsConfig, QueryCheckConfig {
  readonly kind: 'postgresql';
  readonly tls: boolean;
  readonly user: string | null;
  readonly password: Secret | null;
  /** null for the user's own. */
  readonly database: string | null;
}

/** A request by UDP: a login, or the server's status (RFC 5997) without a user. */
export interface RadiusCheckConfig extends SocketCheckConfig {
  readonly kind: 'radius';
  readonly secret: Secret;
  readonly user: string | null;
  /** null without user only. */
  readonly password: Secret | null;
  readonly nasIdentifier: string;
  /** Answers that mean success. */
  readonly expect: readonly RadiusAnswerName[];
}

/** An OPTIONS request. */
export interface SipCheckConfig extends SocketCheckConfig, TlsConfig {
  readonly kind: 'sip';
  readonly transport: SipTransport;
  /** Request-URI; null for the server's address and port. */
  readonly uri: string | null;
  /** URI of the sender; null for one with the director's address. */
  readonly from: string | null;
  /** Inclusive ranges of status codes that mean success. */
  readonly status: readonly (readonly [number, number])[];
}

/** A greeting, a hello and a goodbye. */
export interface SmtpCheckConfig extends SocketCheckConfig, TlsConfig {
  readonly kind: 'smtp';
  readonly tls: TlsMode;
}

export type ProtocolCheckConfig =
  | LdapCheckConfig
  | MysqlCheckConfig
  | PostgresqlCheckConfig
  | RadiusCheckConfig
  | SipCheckConfig
  | SmtpCheckConfig;
