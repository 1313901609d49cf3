/**
 * PostgreSQL check: a login and a query; without a user, a server that asks for a password, or
 * lets anybody in, is well. A password never goes over the wire as it is, but within TLS.
 */
import { Buffer } from 'node:buffer';
import { createHash, randomBytes } from 'node:crypto';
import type { PostgresqlCheckConfig } from '../core/config/check-protocols.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import { ok } from '../core/result.ts';
import {
  decodePostgresqlAnswer,
  encodePassword,
  encodeQuery,
  encodeSaslInitial,
  encodeSaslResponse,
  encodeSslRequest,
  encodeStartup,
  encodeTerminate,
  type PostgresqlAnswer,
} from '../core/wire/postgresql.ts';
import { beginWithTls, type Exchange, exchangeProbe, type Security, taking } from './exchange.ts';
import { judgeRow } from './query-result.ts';
import { isServerFinal, scramFirst, scramProof } from './scram.ts';

/** Of a check without user: it is in the server's log. */
const NOBODY = 'vipkeeper';
const SCRAM = 'SCRAM-SHA-256';
/** RFC 5802 section 5.1: printable, no comma. */
const NONCE_BYTES = 18;
/** Messages before the login is over, and of a query: parameters, notices, rows. */
const ANSWERS_MAX = 1000;
const ANSWER_TO_SSL = { S: 'yes', N: 'no' } as const;

const TAKE = taking(decodePostgresqlAnswer);
type Authentication = Exclude<
  PostgresqlAnswer['kind'],
  'authenticated' | 'ready' | 'other' | 'error' | 'row'
>;
const AUTHENTICATIONS: readonly string[] = [
  'cleartext-password',
  'md5-password',
  'sasl',
  'sasl-continue',
  'sasl-final',
  'other-authentication',
] satisfies Authentication[];

/** Asks once: see ExchangeProbe. */
export const probePostgresql = exchangeProbe<PostgresqlCheckConfig>(
  async (exchange, check, security) => {
    if (check.tls && !(await beginSsl(exchange, security))) return;
    const user = check.user ?? NOBODY;
    exchange.send(
      encodeStartup({
        user,
        database: check.database ?? user,
        application_name: 'vipkeeper',
        client_encoding: 'UTF8',
      }),
    );
    if (check.user === null) return judgeGreeting(exchange);
    if (!(await logIn(exchange, { ...check, user }))) return;
    if (check.query !== null && !(await ask(exchange, check, check.query))) return;
    exchange.succeed(encodeTerminate());
  },
);

async function beginSsl(exchange: Exchange, security: Security): Promise<boolean> {
  exchange.send(encodeSslRequest());
  const answer = await exchange.next('the answer to the request for TLS', (bytes) =>
    ok({ message: String.fromCharCode(bytes[0] as number), lengthBytes: 1 }),
  );
  if (answer === null) return false;
  if (answer === 'S') return beginWithTls(exchange, security);
  const detail = answer in ANSWER_TO_SSL ? 'The server does not speak TLS' : 'No PostgreSQL server';
  exchange.fail(probeFailure(answer in ANSWER_TO_SSL ? 'tls' : 'protocol', detail));
  return false;
}

/** The next answer that says something; null with a verdict. Errors are verdicts. */
async function nextAnswer(
  exchange: Exchange,
  waitingFor: string,
): Promise<PostgresqlAnswer | null> {
  for (let count = 0; count < ANSWERS_MAX; count++) {
    const answer = await exchange.next(waitingFor, TAKE);
    if (answer === null) return null;
    if (answer.kind === 'error') {
      exchange.fail(probeFailure('status', `${answer.code}: ${answer.text}`));
      return null;
    }
    if (answer.kind !== 'other') return answer;
  }
  exchange.fail(probeFailure('protocol', `${ANSWERS_MAX} messages, and no answer among them`));
  return null;
}

async function judgeGreeting(exchange: Exchange): Promise<void> {
  const answer = await nextAnswer(exchange, 'the request to authenticate');
  if (answer === null) return;
  if (answer.kind === 'authenticated' || AUTHENTICATIONS.includes(answer.kind)) {
    return exchange.succeed(encodeTerminate());
  }
  exchange.fail(probeFailure('protocol', `Expected a request to authenticate: ${answer.kind}`));
}

type Login = PostgresqlCheckConfig & { readonly user: string };

/** Until the server is ready for a query; false with a verdict. */
async function logIn(exchange: Exchange, check: Login): Promise<boolean> {
  let authenticated = false;
  for (;;) {
    const answer = await nextAnswer(exchange, 'the end of the login');
    if (answer === null) return false;
    if (answer.kind === 'ready' && authenticated) return true;
    if (answer.kind === 'authenticated') authenticated = true;
    else if (authenticated || !(await authenticate(exchange, check, answer))) {
      exchange.fail(probeFailure('protocol', `Not expected in a login: ${answer.kind}`));
      return false;
    }
  }
}

/** Answers a request to authenticate; false for one that cannot be answered. */
async function authenticate(
  exchange: Exchange,
  check: Login,
  request: PostgresqlAnswer,
): Promise<boolean> {
  const { user, password, tls } = check;
  const secret = password?.secret ?? null;
  const refuse = (detail: string): true => {
    exchange.fail(probeFailure('status', detail));
    return true;
  };
  if (!AUTHENTICATIONS.includes(request.kind)) return false;
  if (secret === null) return refuse('The server wants a password, and the check has none');
  switch (request.kind) {
    case 'cleartext-password':
      if (!tls) return refuse('The server wants the password as it is, which goes by TLS only');
      exchange.send(encodePassword(secret));
      return true;
    case 'md5-password': {
      const inner = md5(Buffer.from(`${secret}${user}`));
      const salted = md5(Buffer.concat([Buffer.from(inner), request.salt]));
      exchange.send(encodePassword(`md5${salted}`));
      return true;
    }
    case 'sasl':
      if (!request.mechanisms.includes(SCRAM)) {
        return refuse(`The server offers ${request.mechanisms.join(', ')}, and not ${SCRAM}`);
      }
      await scram(exchange, secret);
      return true;
    case 'other-authentication':
      return refuse(`The server wants a way to authenticate that is not known: ${request.number}`);
    default:
      return false;
  }
}

/** Leaves a verdict where it fails. */
async function scram(exchange: Exchange, password: string): Promise<void> {
  const nonce = randomBytes(NONCE_BYTES).toString('base64');
  exchange.send(encodeSaslInitial(SCRAM, scramFirst(nonce)));
  const first = await nextAnswer(exchange, 'the first message of SCRAM');
  if (first === null) return;
  if (first.kind !== 'sasl-continue') {
    return exchange.fail(probeFailure('protocol', `Not expected in SCRAM: ${first.kind}`));
  }
  const proof = await scramProof(password, nonce, first.data);
  if (!proof.ok) return exchange.fail(probeFailure('protocol', proof.error));
  exchange.send(encodeSaslResponse(proof.value.message));
  const last = await nextAnswer(exchange, 'the last message of SCRAM');
  if (last === null) return;
  if (last.kind !== 'sasl-final' || !isServerFinal(proof.value, last.data)) {
    exchange.fail(probeFailure('protocol', 'The server has not proved that it knows the password'));
  }
}

async function ask(
  exchange: Exchange,
  check: PostgresqlCheckConfig,
  query: string,
): Promise<boolean> {
  exchange.send(encodeQuery(query));
  let row: readonly (Uint8Array | null)[] | null = null;
  for (let count = 0; count < ANSWERS_MAX; count++) {
    const answer = await nextAnswer(exchange, 'the result of the query');
    if (answer === null) return false;
    if (answer.kind === 'row') row ??= answer.values;
    else if (answer.kind === 'ready') {
      return judgeRow(exchange, check, row);
    } else {
      exchange.fail(probeFailure('protocol', `Not expected from a query: ${answer.kind}`));
      return false;
    }
  }
  exchange.fail(probeFailure('too-large', `More than ${ANSWERS_MAX} rows`));
  return false;
}

function md5(input: Uint8Array): string {
  return createHash('md5').update(input).digest('hex');
}
