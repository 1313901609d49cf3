/**
 * The part of the schema about checks that speak a server's own protocol and mostly log in. What
 * their keys say together is in resolve-check-protocols.ts.
 */
import { DEFAULTS } from '../core/config/defaults.ts';
import { LDAP_SCOPES } from '../core/wire/ldap.ts';
import { parseLdapFilter } from '../core/wire/ldap-filter.ts';
import { isRadiusPassword, RADIUS_ANSWERS, type RadiusAnswerName } from '../core/wire/radius.ts';
import { list, option, Refusal, required, scalar, section, truth, word } from './forms.ts';
import { TEXT_LENGTH_MAX, text } from './scalars.ts';
import { type Per, regularExpression, statusRange, tlsFields } from './schema-check-common.ts';
import { readSecret } from './secret-file.ts';
import * as yaml from './yaml-values.ts';

const anyText = () => text('text', () => true);

/** What is sent to nobody but the server. */
function secret(expects = 'text, or file: and a path', accepts = (_text: string) => true) {
  return scalar(expects, yaml.string({ min: 1, max: TEXT_LENGTH_MAX }), (value) => {
    const read = readSecret(value);
    if (!read.ok) return new Refusal(read.error);
    return accepts(read.value.secret) ? read.value : undefined;
  });
}

function passwordField(per: Per, without: string) {
  return option(per(secret()), {
    about:
      'Its password, or `file:` and the path of a file that holds it alone and is closed to ' +
      'others. It is never shown.',
    without,
  });
}

function queryFields(per: Per) {
  return {
    query: option(per(anyText()), {
      about: 'Query that is made behind the login.',
      without: 'the login alone',
    }),
    result: option(per(anyText()), {
      about: 'What the first value of its first row must be.',
      without: 'anything, also no row',
    }),
    result_matches: option(per(regularExpression()), {
      about: 'Regular expression (JavaScript, flag u) that it must match.',
      without: 'anything, also no row',
    }),
  };
}

function ldapFields(per: Per) {
  const { ldap } = DEFAULTS;
  const filter = scalar(
    'a search filter (RFC 4515) such as (objectClass=*)',
    yaml.string({ min: 1, max: TEXT_LENGTH_MAX }),
    (value) => {
      const filter = parseLdapFilter(value);
      return filter.ok ? value : new Refusal(`expected a search filter: ${filter.error}`);
    },
  );
  const base = scalar('text', yaml.string({ max: TEXT_LENGTH_MAX }), (value) =>
    /\p{Cc}/u.test(value) ? undefined : value,
  );
  return {
    bind_dn: option(per(anyText()), {
      about: 'Distinguished name that is bound as.',
      without: 'an anonymous bind',
    }),
    password: passwordField(per, 'an anonymous bind'),
    base: option(per(base), {
      about: 'Entry that a search, which must find something, begins at; empty for the root.',
      without: 'the bind alone',
    }),
    scope: option(per(word(LDAP_SCOPES)), {
      about: 'Search the entry itself, those right below it, or all below it.',
      default: ldap.scope,
    }),
    filter: option(per(filter), {
      about: 'Search filter (RFC 4515).',
      default: ldap.filter,
    }),
    tls: option(per(word(['none', 'tls', 'starttls'])), {
      about: 'Without TLS, over TLS (LDAPS), or with StartTLS before the bind.',
      default: ldap.tls,
    }),
    ...tlsFields(per, 'the server’s address'),
  };
}

function mysqlSection(per: Per) {
  return section(() => ({
    user: required(per(anyText()), 'Account that logs in; it needs no privileges.'),
    password: passwordField(per, 'an empty password'),
    database: option(per(anyText()), { about: 'Database.', without: 'none' }),
    ...queryFields(per),
    tls: option(per(truth()), { about: 'Speak TLS.', default: DEFAULTS.sql.tls }),
    ...tlsFields(per, 'the server’s address'),
  }));
}

function postgresqlSection(per: Per) {
  return section(() => ({
    user: option(per(anyText()), {
      about: 'Role that logs in.',
      without: 'no login: a server that asks for a password, or wants none, is well',
    }),
    password: passwordField(per, 'none: the server must not ask for one'),
    database: option(per(anyText()), { about: 'Database.', without: 'that of the user’s name' }),
    ...queryFields(per),
    tls: option(per(truth()), { about: 'Speak TLS.', default: DEFAULTS.sql.tls }),
    ...tlsFields(per, 'the server’s address'),
  }));
}

function radiusSection(per: Per) {
  const { radius } = DEFAULTS;
  const short = 'a password of at most 128 bytes, or file: and a path';
  return section(() => ({
    secret: required(
      per(secret()),
      'Secret that is shared with the server, or `file:` and the path of a file that holds it ' +
        'alone. It is never shown.',
    ),
    user: option(per(anyText()), {
      about: 'User that logs in.',
      without: 'the server is asked for its status (Status-Server, RFC 5997)',
    }),
    password: option(per(secret(short, isRadiusPassword)), {
      about: 'Its password, or `file:` and a path. It is never shown.',
      without: '`user` must not be given either',
    }),
    nas_identifier: option(per(text('text of at most 253 bytes', (value) => value.length < 64)), {
      about: 'What the director calls itself (NAS-Identifier).',
      default: radius.nasIdentifier,
    }),
    expect: option(per(list(word(Object.keys(RADIUS_ANSWERS) as RadiusAnswerName[]), 1)), {
      about: 'Answers that mean success.',
      default: radius.expect,
    }),
  }));
}

function sipSection(per: Per) {
  const { sip } = DEFAULTS;
  const uri = () => text('a SIP URI', (value) => /^sips?:[^\s<>"]+$/.test(value));
  return section(() => ({
    transport: option(per(word(['udp', 'tcp', 'tls'])), {
      about: 'How the request is sent.',
      default: sip.transport,
    }),
    uri: option(per(uri()), {
      about: 'Request-URI: what is asked for its capabilities.',
      without: 'the server’s address and port',
    }),
    from: option(per(uri()), {
      about: 'Who asks.',
      without: '`sip:vipkeeper@vipkeeper.invalid`',
    }),
    status: option(per(list(statusRange(), 1)), {
      about: 'Status codes that mean success: codes and ranges.',
      default: sip.status.map((range) => range.join('-')),
    }),
    ...tlsFields(per, 'the server’s address'),
  }));
}

/** Kinds that can be without keys of their own, so that a word stands for them. */
export const PROTOCOL_WORDS = ['ldap', 'postgresql', 'sip'] as const;

/** The kinds by their names. */
export function protocolKinds(per: Per) {
  const without = 'no such check';
  return {
    ldap: option(
      section(() => ldapFields(per)),
      { about: 'Bind, and search, by LDAP.', without },
    ),
    mysql: option(mysqlSection(per), { about: 'Log in to MySQL or MariaDB.', without }),
    postgresql: option(postgresqlSection(per), { about: 'Log in to PostgreSQL.', without }),
    radius: option(radiusSection(per), { about: 'Request by RADIUS.', without }),
    sip: option(sipSection(per), { about: 'Request OPTIONS by SIP.', without }),
  };
}
