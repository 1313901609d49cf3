/**
 * MySQL's and MariaDB's client/server protocol (MySQL internals manual, "Client/Server Protocol";
 * MariaDB knowledge base, "Clientserver protocol"), as much of it as a check needs: handshake,
 * login, one query in text form.
 *
 *   length (24 bits, little endian) | sequence number | payload
 *
 * Capabilities that would change the form of answers (DEPRECATE_EOF, LOCAL_FILES, MULTI_RESULTS)
 * are not asked for.
 */
import { ok, type Result } from '../result.ts';
import { type DecodeError, decodeError } from './decode-error.ts';
import { concat, type Framed, findNul, latin1, utf8 } from './parts.ts';

/** Longest payload that is read. */
export const MYSQL_PAYLOAD_BYTES_MAX: number = 1024 * 1024;

const HEAD_BYTES = 4;
const PROTOCOL_10 = 10;
const NONCE_BYTES = 20;
/** utf8mb4_general_ci. */
const CHARACTER_SET = 45;
const CONNECT_WITH_DB = 0x8;
const SSL = 0x800;
const COMMAND_QUIT = 0x01;
const COMMAND_QUERY = 0x03;
const NULL_VALUE = 0xfb;

/** LONG_PASSWORD, PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH. */
const CAPABILITIES = 0x1 | 0x200 | 0x8000 | 0x8_0000;

export interface MysqlPacket {
  readonly sequence: number;
  readonly payload: Uint8Array;
}

export interface MysqlHandshake {
  readonly version: string;
  /** Of the server; it can speak TLS. */
  readonly tls: boolean;
  readonly plugin: string;
  /** 20 bytes. */
  readonly nonce: Uint8Array;
}

export type MysqlReply =
  | { readonly kind: 'ok' | 'end' }
  /** Number of the error, and the server's words. */
  | { readonly kind: 'error'; readonly code: number; readonly text: string }
  | { readonly kind: 'switch'; readonly plugin: string; readonly nonce: Uint8Array }
  /** What a plugin wants to be told or says, without its first byte. */
  | { readonly kind: 'more'; readonly data: Uint8Array }
  | { readonly kind: 'other' };

const little = (value: number, count: number) =>
  Array.from({ length: count }, (_, index) => Math.floor(value / 256 ** index) % 256);

function readLittle(bytes: Uint8Array, offset: number, count: number): number {
  let value = 0;
  for (let index = count - 1; index >= 0; index--) {
    value = value * 256 + (bytes[offset + index] as number);
  }
  return value;
}

/** `sequence` is one more than that of the packet that is answered; 0 begins a command. */
export function encodeMysqlPacket(sequence: number, payload: Uint8Array): Uint8Array {
  return concat([little(payload.length, 3), [sequence & 0xff], payload]);
}

function clientHead(tls: boolean, database: string | null): number[] {
  const capabilities = CAPABILITIES + (tls ? SSL : 0) + (database === null ? 0 : CONNECT_WITH_DB);
  const zeros = Array.from({ length: 23 }, () => 0);
  return [...little(capabilities, 4), ...little(2 ** 24, 4), CHARACTER_SET, ...zeros];
}

/** Payload that asks for TLS: the login comes behind the handshake. */
export function encodeMysqlTlsRequest(database: string | null): Uint8Array {
  return Uint8Array.from(clientHead(true, database));
}

export interface MysqlLogin {
  readonly tls: boolean;
  readonly user: string;
  readonly database: string | null;
  readonly plugin: string;
  /** The plugin's answer to the nonce, at most 250 bytes. */
  readonly response: Uint8Array;
}

/** Payload of a login. */
export function encodeMysqlLogin(login: MysqlLogin): Uint8Array {
  const { tls, user, database, plugin, response } = login;
  return concat([
    clientHead(tls, database),
    utf8(`${user}\0`),
    [response.length],
    response,
    ...(database === null ? [] : [utf8(`${database}\0`)]),
    utf8(`${plugin}\0`),
  ]);
}

export function encodeMysqlQuery(query: string): Uint8Array {
  return concat([[COMMAND_QUERY], utf8(query)]);
}

export function encodeMysqlQuit(): Uint8Array {
  return Uint8Array.from([COMMAND_QUIT]);
}

/** The packet that `bytes` begin with; null while it is not complete. */
export function decodeMysqlPacket(
  bytes: Uint8Array,
): Result<Framed<MysqlPacket> | null, DecodeError> {
  if (bytes.length < HEAD_BYTES) return ok(null);
  const length = readLittle(bytes, 0, 3);
  if (length > MYSQL_PAYLOAD_BYTES_MAX) {
    return decodeError('malformed', `A packet of ${length} bytes`);
  }
  const end = HEAD_BYTES + length;
  if (bytes.length < end) return ok(null);
  const message = { sequence: bytes[3] as number, payload: bytes.slice(HEAD_BYTES, end) };
  return ok({ message, lengthBytes: end });
}

/** The server's first payload; null when it is an error instead, which decodeMysqlReply() reads. */
export function decodeMysqlHandshake(
  payload: Uint8Array,
): Result<MysqlHandshake | null, DecodeError> {
  if (payload[0] === 0xff) return ok(null);
  if (payload[0] !== PROTOCOL_10) return decodeError('unsupported', `Protocol ${payload[0]}`);
  const end = findNul(payload, 1, payload.length);
  // Thread, 8 bytes of the nonce, capabilities, character set, status, 10 reserved, 12 of nonce.
  if (end === null || payload.length < end + 1 + 31 + 12) {
    return decodeError('truncated', `A handshake of ${payload.length} bytes`);
  }
  const start = end + 1;
  const capabilities =
    readLittle(payload, start + 13, 2) + readLittle(payload, start + 18, 2) * 0x1_0000;
  if ((capabilities & 0x200) === 0) return decodeError('unsupported', 'A server before 4.1');
  const second = start + 31;
  const nonce = concat([
    payload.slice(start + 4, start + 12),
    payload.slice(second, second + NONCE_BYTES - 8),
  ]);
  const name = Math.min(second + NONCE_BYTES - 8 + 1, payload.length);
  const nameEnd = findNul(payload, name, payload.length) ?? payload.length;
  const plugin = latin1(payload, name, nameEnd);
  return ok({
    version: latin1(payload, 1, end),
    tls: (capabilities & SSL) !== 0,
    plugin: plugin === '' ? 'mysql_native_password' : plugin,
    nonce,
  });
}

/** An answer to a login or a command. */
export function decodeMysqlReply(payload: Uint8Array): Result<MysqlReply, DecodeError> {
  switch (payload[0]) {
    case undefined:
      return decodeError('truncated', 'An empty packet');
    case 0x00:
      return ok({ kind: 'ok' });
    case 0x01:
      return ok({ kind: 'more', data: payload.slice(1) });
    case 0xff: {
      if (payload.length < 3) return decodeError('truncated', 'An error is cut');
      // '#' and five characters of SQLSTATE, which the handshake's errors lack.
      const marked = payload.length >= 9 && payload[3] === 0x23;
      return ok({
        kind: 'error',
        code: readLittle(payload, 1, 2),
        text: latin1(payload, marked ? 9 : 3),
      });
    }
    case 0xfe: {
      if (payload.length < 9) return ok({ kind: 'end' });
      const end = findNul(payload, 1, payload.length);
      if (end === null) return decodeError('truncated', 'The name of a plugin is cut');
      const nonce = payload.slice(end + 1, Math.min(end + 1 + NONCE_BYTES, payload.length));
      return ok({ kind: 'switch', plugin: latin1(payload, 1, end), nonce });
    }
    default:
      return ok({ kind: 'other' });
  }
}

/** Number of columns that the payload behind a query announces, 1 to 4096. */
export function decodeMysqlColumnCount(payload: Uint8Array): Result<number, DecodeError> {
  const count = readLength(payload, 0);
  if (!count.ok) return count;
  const { value, end } = count.value;
  if (value === null || value < 1 || value > 4096 || end !== payload.length) {
    return decodeError('malformed', 'No number of columns');
  }
  return ok(value);
}

/** The first `count` values of a row, as text in UTF-8; null for NULL. */
export function decodeMysqlRow(
  payload: Uint8Array,
  count: number,
): Result<(Uint8Array | null)[], DecodeError> {
  const values: (Uint8Array | null)[] = [];
  let offset = 0;
  for (let index = 0; index < count; index++) {
    const length = readLength(payload, offset);
    if (!length.ok) return length;
    const { value, end } = length.value;
    offset = end + (value ?? 0);
    if (offset > payload.length) return decodeError('truncated', 'A value is cut');
    values.push(value === null ? null : payload.slice(end, offset));
  }
  return ok(values);
}

/** A length-encoded integer and where it ends; null stands for NULL. */
function readLength(
  bytes: Uint8Array,
  offset: number,
): Result<{ readonly value: number | null; readonly end: number }, DecodeError> {
  const first = offset < bytes.length ? (bytes[offset] as number) : 0xff;
  if (first === NULL_VALUE) return ok({ value: null, end: offset + 1 });
  if (first < NULL_VALUE) return ok({ value: first, end: offset + 1 });
  const count = first === 0xfc ? 2 : first === 0xfd ? 3 : first === 0xfe ? 8 : 0;
  if (count === 0 || offset + 1 + count > bytes.length) {
    return decodeError('truncated', 'A length is cut');
  }
  return ok({ value: readLittle(bytes, offset + 1, count), end: offset + 1 + count });
}
