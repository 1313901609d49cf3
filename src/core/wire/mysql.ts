/**
 * MySQL's and MariaDB's client/server protocol (MySQL internals manual, "Client/Server Protocol";
 * MariaDB knowledge base, "Clientserver protocol"): as much of the server's packets as is looked
 * at before the client library `mysql2` gets them. It would hand a password to whoever asks.
 *
 *   length (24 bits, little endian) | sequence number | payload
 */
import { ok, type Result } from '../result.ts';
import { type DecodeError, decodeError } from './decode-error.ts';
import { type Framed, findNul, latin1 } from './parts.ts';

/** Longest payload that is read. */
export const MYSQL_PAYLOAD_BYTES_MAX: number = 1024 * 1024;

const HEAD_BYTES = 4;
const PROTOCOL_10 = 10;
const ERROR = 0xff;

/** What a server says while a client logs in. */
export type MysqlReply =
  /** The account has another plugin. */
  | { readonly kind: 'switch'; readonly plugin: string }
  /** What a plugin says: the first byte of it. */
  | { readonly kind: 'more'; readonly first: number | null }
  | { readonly kind: 'second-factor' | 'other' };

/** The payload of the packet that `bytes` begin with, not empty; null while it is not complete. */
export function decodeMysqlPacket(
  bytes: Uint8Array,
): Result<Framed<Uint8Array> | null, DecodeError> {
  if (bytes.length < HEAD_BYTES) return ok(null);
  const length = (bytes[0] as number) | ((bytes[1] as number) << 8) | ((bytes[2] as number) << 16);
  if (length === 0 || length > MYSQL_PAYLOAD_BYTES_MAX) {
    return decodeError('malformed', `A packet of ${length} bytes`);
  }
  const end = HEAD_BYTES + length;
  if (bytes.length < end) return ok(null);
  return ok({ message: bytes.subarray(HEAD_BYTES, end), lengthBytes: end });
}

/** Whether a server's first payload is a handshake, or an error in its place. */
export function checkMysqlGreeting(payload: Uint8Array): Result<null, DecodeError> {
  const first = payload[0] as number;
  if (first === PROTOCOL_10 || first === ERROR) return ok(null);
  return decodeError('unsupported', `Protocol ${first}`);
}

/** An answer to a login, of a payload that is not empty. */
export function decodeMysqlReply(payload: Uint8Array): Result<MysqlReply, DecodeError> {
  switch (payload[0]) {
    case 0x01:
      return ok({ kind: 'more', first: payload.length > 1 ? (payload[1] as number) : null });
    case 0x02:
      return ok({ kind: 'second-factor' });
    case 0xfe: {
      const end = findNul(payload, 1, payload.length);
      if (end === null) return decodeError('truncated', 'The name of a plugin is cut');
      return ok({ kind: 'switch', plugin: latin1(payload, 1, end) });
    }
    default:
      return ok({ kind: 'other' });
  }
}
