/**
 * PostgreSQL's frontend/backend protocol 3.0 (PostgreSQL documentation, chapter "Message
 * Formats"): what comes before a login, and as much of the server's messages as is looked at
 * before the client library `pg` gets them.
 *
 *   type (1 byte) | length with itself (32 bits) | content
 *
 * The first messages of a client have no type. The library takes each message at its word: an
 * error without its end lets it read for ever, and a row may announce more values than it has room
 * for. What it would not survive is refused here.
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
  /** What the server wants of a login, by its number; 0 is its success. */
  | { readonly kind: 'authentication'; readonly number: number }
  /** Code (SQLSTATE) and the server's words. */
  | { readonly kind: 'error'; readonly code: string; readonly text: string }
  | { readonly kind: 'ready' | 'other' };

const word32 = (value: number) => [
  (value >>> 24) & 0xff,
  (value >>> 16) & 0xff,
  (value >>> 8) & 0xff,
  value & 0xff,
];
const text0 = (text: string) => concat([utf8(text), [0]]);

/** Asks for TLS; the answer is one byte, S or N, without a head. */
export function encodeSslRequest(): Uint8Array {
  return concat([word32(8), SSL_REQUEST]);
}

export function encodeStartup(parameters: Readonly<Record<string, string>>): Uint8Array {
  const pairs = Object.entries(parameters).flatMap(([name, value]) => [text0(name), text0(value)]);
  const content = concat([PROTOCOL_3_0, ...pairs, [0]]);
  return concat([word32(content.length + 4), content]);
}

export function encodeTerminate(): Uint8Array {
  return concat([utf8('X'), word32(4)]);
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
      if (content.length < 4) return decodeError('truncated', 'An authentication request is cut');
      return ok({ kind: 'authentication', number: readU32(content, 0) });
    case 'E':
      return readError(content);
    case 'N': {
      const notice = readError(content);
      return notice.ok ? ok({ kind: 'other' }) : notice;
    }
    case 'D': {
      // Each value takes four bytes at least.
      const fits = content.length >= 2 && 2 + 4 * readU16(content, 0) <= content.length;
      return fits ? ok({ kind: 'other' }) : decodeError('truncated', 'A row is cut');
    }
    case 'Z':
      return ok({ kind: 'ready' });
    default:
      return ok({ kind: 'other' });
  }
}

/** Fields: a letter and text with NUL, and a NUL behind the last; C is the code, M the message. */
function readError(content: Uint8Array): Result<PostgresqlAnswer, DecodeError> {
  let code = '';
  let text = '';
  let offset = 0;
  while (content[offset] !== 0) {
    const end = findNul(content, offset + 1, content.length);
    if (end === null) return decodeError('truncated', 'An error is cut');
    const field = String.fromCharCode(content[offset] as number);
    if (field === 'C') code = latin1(content, offset + 1, end);
    else if (field === 'M') text = latin1(content, offset + 1, end);
    offset = end + 1;
    if (offset === content.length) return decodeError('truncated', 'An error is cut');
  }
  return ok({ kind: 'error', code, text });
}
