/**
 * PostgreSQL's frontend/backend protocol 3.0 (PostgreSQL documentation, chapter "Message
 * Formats"), as much of it as a check needs: start, TLS, passwords, one simple query.
 *
 *   type (1 byte) | length with itself (32 bits) | content
 *
 * The first messages of a client have no type. Answers that a check does not need are 'other'.
 */
import { ok, type Result } from '../result.ts';
import { readU16 } from './bytes.ts';
import { type DecodeError, decodeError } from './decode-error.ts';
import { concat, type Framed, findNul, latin1, utf8 } from './parts.ts';

/** Longest message that is read. */
export const POSTGRESQL_MESSAGE_BYTES_MAX: number = 1024 * 1024;

const HEAD_BYTES = 5;
const PROTOCOL_3_0 = [0, 3, 0, 0];
const SSL_REQUEST = [0x04, 0xd2, 0x16, 0x2f];

export type PostgresqlAnswer =
  | { readonly kind: 'authenticated' | 'cleartext-password' | 'ready' | 'other' }
  | { readonly kind: 'md5-password'; readonly salt: Uint8Array }
  | { readonly kind: 'sasl'; readonly mechanisms: readonly string[] }
  | { readonly kind: 'sasl-continue' | 'sasl-final'; readonly data: string }
  /** A way to authenticate that is not known here, by its number. */
  | { readonly kind: 'other-authentication'; readonly number: number }
  /** Code (SQLSTATE) and the server's words. */
  | { readonly kind: 'error'; readonly code: string; readonly text: string }
  /** Values as text in UTF-8, null for NULL. */
  | { readonly kind: 'row'; readonly values: readonly (Uint8Array | null)[] };

const word32 = (value: number) => [
  (value >>> 24) & 0xff,
  (value >>> 16) & 0xff,
  (value >>> 8) & 0xff,
  value & 0xff,
];
const text0 = (text: string) => concat([utf8(text), [0]]);

function typed(type: string, content: Uint8Array | readonly number[]): Uint8Array {
  return concat([[type.charCodeAt(0)], word32(content.length + 4), content]);
}

/** Asks for TLS; the answer is one byte, S or N, without a head. */
export function encodeSslRequest(): Uint8Array {
  return concat([word32(8), SSL_REQUEST]);
}

export function encodeStartup(parameters: Readonly<Record<string, string>>): Uint8Array {
  const pairs = Object.entries(parameters).flatMap(([name, value]) => [text0(name), text0(value)]);
  const content = concat([PROTOCOL_3_0, ...pairs, [0]]);
  return concat([word32(content.length + 4), content]);
}

export function encodePassword(password: string): Uint8Array {
  return typed('p', text0(password));
}

/** The first message of SASL. */
export function encodeSaslInitial(mechanism: string, data: string): Uint8Array {
  const bytes = utf8(data);
  return typed('p', concat([text0(mechanism), word32(bytes.length), bytes]));
}

export function encodeSaslResponse(data: string): Uint8Array {
  return typed('p', utf8(data));
}

export function encodeQuery(query: string): Uint8Array {
  return typed('Q', text0(query));
}

export function encodeTerminate(): Uint8Array {
  return typed('X', []);
}

function readU32(bytes: Uint8Array, offset: number): number {
  return readU16(bytes, offset) * 0x1_0000 + readU16(bytes, offset + 2);
}

/** The answer that `bytes` begin with; null while it is not complete. */
export function decodePostgresqlAnswer(
  bytes: Uint8Array,
): Result<Framed<PostgresqlAnswer> | null, DecodeError> {
  if (bytes.length === 0) return ok(null);
  const type = bytes[0] as number;
  // All types are letters; anything else is another protocol, whose length means nothing.
  if (!/[A-Za-z]/.test(String.fromCharCode(type))) {
    return decodeError('unsupported', `A message of type ${type}`);
  }
  if (bytes.length < HEAD_BYTES) return ok(null);
  const length = readU32(bytes, 1);
  if (length < 4 || length > POSTGRESQL_MESSAGE_BYTES_MAX) {
    return decodeError('malformed', `A message of ${length} bytes`);
  }
  const end = 1 + length;
  if (bytes.length < end) return ok(null);
  const message = readContent(String.fromCharCode(type), bytes.subarray(HEAD_BYTES, end));
  return message.ok ? ok({ message: message.value, lengthBytes: end }) : message;
}

function readContent(type: string, content: Uint8Array): Result<PostgresqlAnswer, DecodeError> {
  switch (type) {
    case 'R':
      return readAuthentication(content);
    case 'E':
      return readError(content);
    case 'D':
      return readRow(content);
    case 'Z':
      return ok({ kind: 'ready' });
    default:
      return ok({ kind: 'other' });
  }
}

function readAuthentication(content: Uint8Array): Result<PostgresqlAnswer, DecodeError> {
  if (content.length < 4) return decodeError('truncated', 'An authentication request is cut');
  const number = readU32(content, 0);
  switch (number) {
    case 0:
      return ok({ kind: 'authenticated' });
    case 3:
      return ok({ kind: 'cleartext-password' });
    case 5:
      if (content.length !== 8) return decodeError('malformed', 'A salt that has not 4 bytes');
      return ok({ kind: 'md5-password', salt: content.slice(4, 8) });
    case 10: {
      const mechanisms = latin1(content, 4)
        .split('\0')
        .filter((name) => name !== '');
      return ok({ kind: 'sasl', mechanisms });
    }
    case 11:
      return ok({ kind: 'sasl-continue', data: latin1(content, 4) });
    case 12:
      return ok({ kind: 'sasl-final', data: latin1(content, 4) });
    default:
      return ok({ kind: 'other-authentication', number });
  }
}

/** Fields: a letter and text with NUL; C is the code, M the message. */
function readError(content: Uint8Array): Result<PostgresqlAnswer, DecodeError> {
  let code = '';
  let text = '';
  for (let offset = 0; content[offset] !== undefined && content[offset] !== 0; ) {
    const field = String.fromCharCode(content[offset] as number);
    const end = findNul(content, offset + 1, content.length);
    if (end === null) return decodeError('truncated', 'An error is cut');
    if (field === 'C') code = latin1(content, offset + 1, end);
    else if (field === 'M') text = latin1(content, offset + 1, end);
    offset = end + 1;
  }
  return ok({ kind: 'error', code, text });
}

function readRow(content: Uint8Array): Result<PostgresqlAnswer, DecodeError> {
  if (content.length < 2) return decodeError('truncated', 'A row is cut');
  const values: (Uint8Array | null)[] = [];
  let offset = 2;
  // Each value takes four bytes at least, so the message's length bounds their number.
  for (let count = readU16(content, 0); count > 0; count--) {
    if (offset + 4 > content.length) return decodeError('truncated', 'A row is cut');
    const length = readU32(content, offset);
    offset += 4;
    if (length === 0xffff_ffff) {
      values.push(null);
      continue;
    }
    if (offset + length > content.length) return decodeError('truncated', 'A value is cut');
    values.push(content.slice(offset, offset + length));
    offset += length;
  }
  return ok({ kind: 'row', values });
}
