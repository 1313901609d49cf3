/**
 * MySQL check, of MariaDB too: a login and a query. Logins by mysql_native_password and
 * caching_sha2_password; a password never goes over the wire as it is, but within TLS. Nothing
 * less than a login is a check here: a server counts handshakes that were left (max_connect_errors)
 * and then refuses the director.
 */
import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import type { MysqlCheckConfig } from '../core/config/check-protocols.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import type { Result } from '../core/result.ts';
import type { DecodeError } from '../core/wire/decode-error.ts';
import {
  decodeMysqlColumnCount,
  decodeMysqlHandshake,
  decodeMysqlPacket,
  decodeMysqlReply,
  decodeMysqlRow,
  encodeMysqlLogin,
  encodeMysqlPacket,
  encodeMysqlQuery,
  encodeMysqlQuit,
  encodeMysqlTlsRequest,
  type MysqlHandshake,
  type MysqlPacket,
} from '../core/wire/mysql.ts';
import { beginWithTls, type Exchange, exchangeProbe, protocolFailure, taking } from './exchange.ts';
import { judgeRow } from './query-result.ts';

const NATIVE = 'mysql_native_password';
const SHA2 = 'caching_sha2_password';
const CLEAR = 'mysql_clear_password';
/** What caching_sha2_password says: it has the password, or wants it. */
const FAST_SUCCESS = 3;
const FULL_LOGIN = 4;
/** Packets of one login, or of one query. */
const PACKETS_MAX = 5000;

const TAKE = taking(decodeMysqlPacket);

/** Asks once: see ExchangeProbe. */
export const probeMysql = exchangeProbe<MysqlCheckConfig>(async (exchange, check, security) => {
  const greeting = await exchange.next('the handshake', TAKE);
  if (greeting === null) return;
  const handshake = read(exchange, decodeMysqlHandshake(greeting.payload));
  if (handshake === null) return refused(exchange, greeting);
  let sequence = greeting.sequence;
  if (check.tls) {
    if (!handshake.tls) return exchange.fail(probeFailure('tls', 'The server does not speak TLS'));
    exchange.send(encodeMysqlPacket(++sequence, encodeMysqlTlsRequest(check.database)));
    if (!(await beginWithTls(exchange, security))) return;
  }
  if (!(await logIn(exchange, check, handshake, sequence + 1))) return;
  if (check.query !== null && !(await ask(exchange, check, check.query))) return;
  exchange.succeed(encodeMysqlPacket(0, encodeMysqlQuit()));
});

/** What was decoded; null with a verdict, or for what decoded to null. */
function read<T>(exchange: Exchange, decoded: Result<T, DecodeError>): T | null {
  if (decoded.ok) return decoded.value;
  exchange.fail(protocolFailure(decoded.error));
  return null;
}

/** An error in place of a handshake: too many connections, a host that is not allowed. */
function refused(exchange: Exchange, { payload }: MysqlPacket): void {
  if (exchange.settled) return;
  const reply = read(exchange, decodeMysqlReply(payload));
  if (reply?.kind === 'error') exchange.fail(errorFailure(reply));
}

const errorFailure = ({ code, text }: { readonly code: number; readonly text: string }) =>
  probeFailure('status', `Error ${code}: ${text}`);

/** Until the server says yes; false with a verdict. */
async function logIn(
  exchange: Exchange,
  check: MysqlCheckConfig,
  { plugin: offered, nonce: firstNonce }: MysqlHandshake,
  sequence: number,
): Promise<boolean> {
  const { tls, user, database } = check;
  const password = check.password?.secret ?? '';
  // The server asks again where the account has another plugin.
  let plugin = offered === SHA2 ? SHA2 : NATIVE;
  const response = answer(plugin, password, firstNonce);
  const login = encodeMysqlLogin({ tls, user, database, plugin, response });
  exchange.send(encodeMysqlPacket(sequence, login));
  const refuse = (detail: string): false => {
    exchange.fail(probeFailure('status', detail));
    return false;
  };
  for (let count = 0; count < PACKETS_MAX; count++) {
    const packet = await exchange.next('the end of the login', TAKE);
    const reply = packet === null ? null : read(exchange, decodeMysqlReply(packet.payload));
    if (packet === null || reply === null) return false;
    const say = (payload: Uint8Array) =>
      exchange.send(encodeMysqlPacket(packet.sequence + 1, payload));
    const plain = Buffer.from(`${password}\0`);
    switch (reply.kind) {
      case 'ok':
        return true;
      case 'error':
        exchange.fail(errorFailure(reply));
        return false;
      case 'switch':
        ({ plugin } = reply);
        if (plugin === CLEAR && !tls) {
          return refuse('The server wants the password as it is, which goes by TLS only');
        }
        if (plugin !== CLEAR && plugin !== NATIVE && plugin !== SHA2) {
          return refuse(`The account has the plugin ${plugin}; expected ${NATIVE} or ${SHA2}`);
        }
        say(plugin === CLEAR ? plain : answer(plugin, password, reply.nonce));
        break;
      case 'more':
        if (reply.data[0] === FAST_SUCCESS) break;
        if (plugin !== SHA2 || reply.data[0] !== FULL_LOGIN) {
          return refuse(`The plugin ${plugin} asks for something that is not known`);
        }
        if (!tls) return refuse('The server wants the password itself, which goes by TLS only');
        say(plain);
        break;
      default:
        exchange.fail(probeFailure('protocol', `Not expected in a login: ${reply.kind}`));
        return false;
    }
  }
  return refuse('The login does not end');
}

/** A plugin's answer to a nonce; empty for an empty password. */
function answer(plugin: string, password: string, nonce: Uint8Array): Uint8Array {
  if (password === '') return new Uint8Array(0);
  const hash = (...inputs: Uint8Array[]) => {
    const sum = createHash(plugin === SHA2 ? 'sha256' : 'sha1');
    for (const input of inputs) sum.update(input);
    return sum.digest();
  };
  const once = hash(Buffer.from(password));
  const twice = hash(once);
  const mask = plugin === SHA2 ? hash(twice, nonce) : hash(nonce, twice);
  return once.map((byte, index) => byte ^ (mask[index] as number));
}

async function ask(exchange: Exchange, check: MysqlCheckConfig, query: string): Promise<boolean> {
  exchange.send(encodeMysqlPacket(0, encodeMysqlQuery(query)));
  const first = await exchange.next('the result of the query', TAKE);
  if (first === null) return false;
  const head = read(exchange, decodeMysqlReply(first.payload));
  if (head === null) return false;
  if (head.kind === 'error') {
    exchange.fail(errorFailure(head));
    return false;
  }
  const rows = head.kind === 'ok' ? { row: null } : await firstRow(exchange, first.payload);
  if (rows === null) return false;
  return judgeRow(exchange, check, rows.row);
}

/** Behind the number of columns: their definitions, an end, the rows, an end. Null: a verdict. */
async function firstRow(
  exchange: Exchange,
  head: Uint8Array,
): Promise<{ readonly row: readonly (Uint8Array | null)[] | null } | null> {
  const columns = read(exchange, decodeMysqlColumnCount(head));
  if (columns === null) return null;
  let row: readonly (Uint8Array | null)[] | null = null;
  let ends = 0;
  for (let count = 0; count < PACKETS_MAX; count++) {
    const packet = await exchange.next('the rows of the result', TAKE);
    if (packet === null) return null;
    const { payload } = packet;
    const reply = payload[0] === 0xfe || payload[0] === 0xff ? decodeMysqlReply(payload) : null;
    if (reply?.ok && reply.value.kind === 'error') {
      exchange.fail(errorFailure(reply.value));
      return null;
    }
    if (reply?.ok && reply.value.kind === 'end') ends++;
    if (ends === 2) return { row };
    if (ends === 1 && row === null && reply === null) {
      row = read(exchange, decodeMysqlRow(payload, columns));
      if (row === null) return null;
    }
  }
  exchange.fail(probeFailure('too-large', `More than ${PACKETS_MAX} packets`));
  return null;
}
