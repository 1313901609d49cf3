/**
 * PostgreSQL check: a login and a query by the client library `pg`; without a user, a server that
 * asks for a password, or lets anybody in, is well. A password never goes over the wire as it is,
 * but within TLS. The library is loaded with the first check that logs in.
 */
import type { Client } from 'pg';
import type { PostgresqlCheckConfig } from '../core/config/check-protocols.ts';
import type { ProbeFailure } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import { ok } from '../core/result.ts';
import {
  decodePostgresqlAnswer,
  encodeSslRequest,
  encodeStartup,
  encodeTerminate,
  type PostgresqlAnswer,
} from '../core/wire/postgresql.ts';
import {
  beginWithTls,
  type Exchange,
  type ExchangeProbe,
  exchangeProbe,
  type Security,
  taking,
} from './exchange.ts';
import { LibraryStream, takingWhole } from './library.ts';
import { judgeRow } from './query-result.ts';

/** Of a check without user: it is in the server's log. */
const NOBODY = 'vipkeeper';
const APPLICATION = 'vipkeeper';
/** The server names the number; more than this would keep a processor busy for it. */
const SCRAM = { scramMaxIterations: 1_000_000 };
/** Messages before a request to authenticate: notices. */
const ANSWERS_MAX = 1000;
const ANSWER_TO_SSL = { S: 'yes', N: 'no' } as const;

/** Requests to authenticate: PostgreSQL documentation, "Message Formats". */
const DONE = 0;
const CLEARTEXT = 3;
const MD5 = 5;
const SASL = 10;
const SASL_CONTINUE = 11;
const SASL_FINAL = 12;
/** What may follow what; the library would be content without the server's proof. */
const FOLLOWING: Readonly<Record<number, readonly number[]>> = {
  [CLEARTEXT]: [DONE],
  [MD5]: [DONE],
  [SASL]: [SASL_CONTINUE],
  [SASL_CONTINUE]: [SASL_FINAL],
  [SASL_FINAL]: [DONE],
};

const TAKE = taking(decodePostgresqlAnswer);
const TAKE_WHOLE = takingWhole(decodePostgresqlAnswer);

/** Values as the text that the server sends. */
const AS_TEXT = { getTypeParser: () => (value: string) => value };

/** PGOPTIONS and PGREPLICATION, which would be sent as if they were the check's. */
const NOT_FROM_ENVIRONMENT = { options: undefined, replication: undefined };
/** What its types leave out. */
interface Inside {
  readonly connectionParameters: object;
}

type Library = typeof import('pg');
const load = (): Promise<Library> => import('pg');

const ask = exchangeProbe<PostgresqlCheckConfig>(async (exchange, check, security) => {
  if (check.tls && !(await beginSsl(exchange, security))) return;
  const { user } = check;
  if (user === null) return judgeGreeting(exchange, check);
  const session = new Session(exchange, { ...check, user }, await load());
  const row = await session.run();
  if (row === 'failed') return;
  if (await judgeRow(exchange, check, row)) exchange.succeed(encodeTerminate());
});

/** Asks once: see ExchangeProbe. */
export const probePostgresql: ExchangeProbe<PostgresqlCheckConfig> = async (check, ...rest) => {
  // Before the check's time runs.
  if (check.user !== null) await load();
  return ask(check, ...rest);
};

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

/** Without a login: says who we would be, and hears whether the server would have us. */
async function judgeGreeting(exchange: Exchange, check: PostgresqlCheckConfig): Promise<void> {
  exchange.send(
    encodeStartup({
      user: NOBODY,
      database: check.database ?? NOBODY,
      application_name: APPLICATION,
      client_encoding: 'UTF8',
    }),
  );
  for (let count = 0; count < ANSWERS_MAX; count++) {
    const answer = await exchange.next('the request to authenticate', TAKE);
    if (answer === null) return;
    if (answer.kind === 'authentication') return exchange.succeed(encodeTerminate());
    if (answer.kind === 'error') return exchange.fail(errorFailure(answer.code, answer.text));
    if (answer.kind === 'ready') {
      return exchange.fail(probeFailure('protocol', 'Expected a request to authenticate: ready'));
    }
  }
  exchange.fail(probeFailure('protocol', `${ANSWERS_MAX} messages, and no answer among them`));
}

function errorFailure(code: string, text: string): ProbeFailure {
  return probeFailure('status', `${code}: ${text}`);
}

type Login = PostgresqlCheckConfig & { readonly user: string };
type Row = readonly (string | null)[] | null;

/** A login, and the query behind it. */
class Session {
  readonly #exchange: Exchange;
  readonly #check: Login;
  readonly #library: Library;
  readonly #stream: LibraryStream;
  /** The last request to authenticate; null before the first. */
  #request: number | null = null;
  #waitingFor = 'the end of the login';
  /** The first row of the query, null for none; undefined as long as it is not known. */
  #row: Row | undefined;

  constructor(exchange: Exchange, check: Login, library: Library) {
    this.#exchange = exchange;
    this.#check = check;
    this.#library = library;
    this.#stream = new LibraryStream(exchange, 'PostgreSQL');
  }

  /** The query's first row, null when there is none or no query. */
  async run(): Promise<Row | 'failed'> {
    this.#stream.guard(() => this.#logIn());
    while (this.#row === undefined) {
      const answer = await this.#exchange.next(this.#waitingFor, TAKE_WHOLE);
      if (answer === null) return 'failed';
      const refusal = this.#refuse(answer.message);
      if (refusal !== null) {
        this.#exchange.fail(refusal);
        return 'failed';
      }
      this.#stream.deliver(answer.bytes);
    }
    return this.#exchange.settled ? 'failed' : this.#row;
  }

  #logIn(): void {
    const { user, database, password, query } = this.#check;
    const client = new this.#library.Client({
      user,
      database: database ?? user,
      // A function: for no password it would look into the environment and the home directory.
      password: () => password?.secret ?? '',
      application_name: APPLICATION,
      stream: () => this.#stream,
      ssl: false,
      sslnegotiation: 'postgres',
      types: AS_TEXT,
      ...SCRAM,
    });
    Object.assign((client as unknown as Inside).connectionParameters, NOT_FROM_ENVIRONMENT);
    client.on('error', (error) => this.#fail(error));
    client.connect((error: Error | null | undefined) => {
      if (error) return this.#fail(error);
      if (query === null) this.#row = null;
      else this.#ask(client, query);
    });
    this.#stream.emit('connect');
  }

  #ask(client: Client, query: string): void {
    this.#waitingFor = 'the result of the query';
    client.query<string[]>({ text: query, rowMode: 'array' }, (error, result) => {
      if (error) return this.#fail(error);
      // Several statements have several results.
      this.#row = [result].flat().flatMap(({ rows }) => rows)[0] ?? null;
    });
  }

  /** Why the library does not get an answer; null when it does. */
  #refuse(answer: PostgresqlAnswer): ProbeFailure | null {
    const before = this.#request;
    if (answer.kind === 'ready' && before !== DONE) {
      return probeFailure('protocol', 'Not expected in a login: ready');
    }
    if (answer.kind !== 'authentication') return null;
    const { number } = answer;
    this.#request = number;
    if (before === null) return this.#refuseFirst(number);
    if (FOLLOWING[before]?.includes(number)) return null;
    if (number === DONE && (before === SASL || before === SASL_CONTINUE)) {
      return probeFailure('protocol', 'The server has not proved that it knows the password');
    }
    return probeFailure('protocol', `Not expected in a login: request ${number} after ${before}`);
  }

  #refuseFirst(number: number): ProbeFailure | null {
    if (number === DONE) return null;
    const { password, tls } = this.#check;
    const refuse = (detail: string) => probeFailure('status', detail);
    if (password === null) return refuse('The server wants a password, and the check has none');
    if (number === MD5 || number === SASL) return null;
    if (number !== CLEARTEXT) {
      return refuse(`The server wants a way to authenticate that is not known: ${number}`);
    }
    return tls ? null : refuse('The server wants the password as it is, which goes by TLS only');
  }

  #fail(error: Error): void {
    const { DatabaseError } = this.#library;
    const said = error instanceof DatabaseError && error.code !== undefined;
    this.#exchange.fail(
      said ? errorFailure(error.code ?? '', error.message) : this.#stream.failure(error.message),
    );
  }
}
