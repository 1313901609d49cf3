/**
 * MySQL check, of MariaDB too: a login and a query by the client library `mysql2`, which is loaded
 * with the first such check. Logins by mysql_native_password and caching_sha2_password; a password
 * never goes over the wire as it is, but within TLS. Nothing less than a login is a check here: a
 * server counts handshakes that were left (max_connect_errors) and then refuses the director.
 */
import type { Buffer } from 'node:buffer';
import type { Connection } from 'mysql2';
import type { MysqlCheckConfig } from '../core/config/check-protocols.ts';
import type { ProbeFailure } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import { checkMysqlGreeting, decodeMysqlPacket, decodeMysqlReply } from '../core/wire/mysql.ts';
import {
  beginWithTls,
  type Exchange,
  type ExchangeProbe,
  exchangeProbe,
  protocolFailure,
  type Security,
} from './exchange.ts';
import { LibraryStream, takingWhole } from './library.ts';
import { judgeRow } from './query-result.ts';

const NATIVE = 'mysql_native_password';
const SHA2 = 'caching_sha2_password';
const CLEAR = 'mysql_clear_password';
/** What caching_sha2_password says when it wants the password itself. */
const FULL_LOGIN = 4;

const TAKE = takingWhole(decodeMysqlPacket);

/** What changes the form of answers or the meaning of queries, or offers files, is not asked for. */
const FLAGS = [
  '-CLIENT_QUERY_ATTRIBUTES',
  '-CONNECT_ATTRS',
  '-FOUND_ROWS',
  '-IGNORE_SPACE',
  '-LOCAL_FILES',
  '-MULTI_RESULTS',
  '-ODBC',
  '-SESSION_TRACK',
];

type Library = typeof import('mysql2');
const load = (): Promise<Library> => import('mysql2');

const ask = exchangeProbe<MysqlCheckConfig>(async (exchange, check, security) => {
  const session = new Session(exchange, check, await load());
  const row = await session.run(security);
  if (row === 'failed' || !(await judgeRow(exchange, check, row))) return;
  session.quit();
  exchange.succeed(null);
});

/** Asks once: see ExchangeProbe. */
export const probeMysql: ExchangeProbe<MysqlCheckConfig> = async (...parameters) => {
  // Before the check's time runs.
  await load();
  return ask(...parameters);
};

type Row = readonly (string | null)[] | null;

/** What mysql2 says in an error: the server's number and words, or a name of its own. */
interface LibraryError extends Error {
  readonly code?: string;
  readonly errno?: number;
  readonly sqlMessage?: string;
}

/** A login, and the query behind it. */
class Session {
  readonly #exchange: Exchange;
  readonly #check: MysqlCheckConfig;
  readonly #library: Library;
  readonly #stream: LibraryStream;
  #connection: Connection | null = null;
  #waitingFor = 'the handshake';
  #state: 'greeting' | 'login' | 'query' = 'greeting';
  /** Goes on behind the TLS handshake that the library asked for. */
  #secured: (() => void) | null = null;
  #firstRow: Row = null;
  #over = false;

  constructor(exchange: Exchange, check: MysqlCheckConfig, library: Library) {
    this.#exchange = exchange;
    this.#check = check;
    this.#library = library;
    this.#stream = new LibraryStream(exchange, 'MySQL');
  }

  /** The query's first row, null when there is none or no query. */
  async run(security: Security): Promise<Row | 'failed'> {
    this.#stream.guard(() => this.#logIn());
    while (!this.#over) {
      const packet = await this.#exchange.next(this.#waitingFor, TAKE);
      if (packet === null) return 'failed';
      const refusal = this.#refuse(packet.message);
      if (refusal !== null) {
        this.#exchange.fail(refusal);
        return 'failed';
      }
      this.#stream.deliver(packet.bytes);
      const secured = this.#secured;
      if (secured === null) continue;
      this.#secured = null;
      if (!(await beginWithTls(this.#exchange, security))) return 'failed';
      this.#stream.guard(secured);
    }
    return this.#exchange.settled ? 'failed' : this.#firstRow;
  }

  /** Takes leave of the server. */
  quit(): void {
    this.#stream.guard(() => this.#connection?.end());
  }

  #logIn(): void {
    const { user, password, database, tls, query } = this.#check;
    const connection = this.#library.createConnection({
      stream: this.#stream,
      user,
      ...(password === null ? {} : { password: password.secret }),
      ...(database === null ? {} : { database }),
      ...(tls ? { ssl: {} } : {}),
      enableCleartextPlugin: tls,
      flags: FLAGS,
      // Time, and the end of everything, are the exchange's.
      connectTimeout: 0,
      // Values as they come, and no code made of what a server names its columns.
      typeCast: false,
      rowsAsArray: true,
      disableEval: true,
      maxPreparedStatements: 1,
    });
    this.#connection = connection;
    // In place of its own TLS, of which we would not catch what it throws, and which trusts others.
    const startTLS = (secured: () => void): void => {
      this.#secured = secured;
    };
    Object.assign(connection, { startTLS });
    connection.on('error', (error: LibraryError) => this.#fail(error));
    connection.on('connect', () => {
      this.#state = 'query';
      if (query === null) this.#over = true;
      else this.#ask(connection, query);
    });
  }

  #ask(connection: Connection, query: string): void {
    this.#waitingFor = 'the result of the query';
    const command = connection.query(query);
    command.on('error', (error: LibraryError) => this.#fail(error));
    // Also the counts of a statement that has no rows.
    command.on('result', (row: unknown) => {
      if (!Array.isArray(row)) return;
      this.#firstRow ??= row.map((value: Buffer | null) => value?.toString('utf8') ?? null);
    });
    command.on('end', () => {
      this.#over = true;
    });
  }

  /** Why the library does not get a packet; null when it does. */
  #refuse(payload: Uint8Array): ProbeFailure | null {
    const refuse = (detail: string) => probeFailure('status', detail);
    if (this.#state === 'query') return null;
    if (this.#state === 'greeting') {
      this.#state = 'login';
      this.#waitingFor = 'the end of the login';
      const greeting = checkMysqlGreeting(payload);
      return greeting.ok ? null : protocolFailure(greeting.error);
    }
    const reply = decodeMysqlReply(payload);
    if (!reply.ok) return protocolFailure(reply.error);
    const { tls } = this.#check;
    switch (reply.value.kind) {
      case 'switch': {
        const { plugin } = reply.value;
        if (plugin === NATIVE || plugin === SHA2) return null;
        if (plugin !== CLEAR) {
          return refuse(`The account has the plugin ${plugin}; expected ${NATIVE} or ${SHA2}`);
        }
        return tls
          ? null
          : refuse('The server wants the password as it is, which goes by TLS only');
      }
      case 'more':
        // The library would take a key of whoever asks, and tell the password with it.
        if (reply.value.first !== FULL_LOGIN || tls) return null;
        return refuse('The server wants the password itself, which goes by TLS only');
      case 'second-factor':
        return refuse('The account wants a second factor');
      default:
        return null;
    }
  }

  #fail(error: LibraryError): void {
    this.#exchange.fail(this.#explain(error));
  }

  #explain({ code, errno, sqlMessage, message }: LibraryError): ProbeFailure {
    if (sqlMessage !== undefined) return probeFailure('status', `Error ${errno}: ${sqlMessage}`);
    if (code === 'HANDSHAKE_NO_SSL_SUPPORT') {
      return probeFailure('tls', 'The server does not speak TLS');
    }
    if (code === 'AUTH_SWITCH_PLUGIN_ERROR') return probeFailure('status', message);
    return this.#stream.failure(message);
  }
}
