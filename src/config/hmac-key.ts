/**
 * The keys of HMAC authentication from their text: `hex:` and digits, `file:` and a path, or any
 * other text as it is. A file holds one of the other two forms, with or without a line end.
 * Nothing here puts a key, or part of one, into a message.
 */
import { err, ok, type Result } from '../core/result.ts';
import { readSecretFile } from './secret-file.ts';

/** keepalived's bounds: below 32 bytes a key is weaker than the hash, above 64 it is hashed. */
const KEY_BYTES_MIN = 32;
const KEY_BYTES_MAX = 64;

/** The key as lower-case hexadecimal digits, or what is wrong, for a message. */
export function readHmacKey(text: string): Result<string, string> {
  if (!text.startsWith('file:')) return parseKey(text);
  const path = text.slice('file:'.length);
  if (!path.startsWith('/')) return err('expected an absolute path behind file:');
  const content = readSecretFile(path, 'key file');
  if (!content.ok) return content;
  if (content.value.startsWith('file:')) return err(`expected a key in ${path}, not another path`);
  const key = parseKey(content.value);
  return key.ok ? key : err(`${key.error} in ${path}`);
}

function parseKey(text: string): Result<string, string> {
  const isHex = text.startsWith('hex:');
  const digits = isHex ? text.slice('hex:'.length).toLowerCase() : hexOf(text);
  if (isHex && !/^(?:[0-9a-f]{2})*$/.test(digits)) {
    return err('expected pairs of hexadecimal digits behind hex:');
  }
  const lengthBytes = digits.length / 2;
  if (lengthBytes < KEY_BYTES_MIN || lengthBytes > KEY_BYTES_MAX) {
    return err(`expected a key of ${KEY_BYTES_MIN} to ${KEY_BYTES_MAX} bytes`);
  }
  return ok(digits);
}

function hexOf(text: string): string {
  return Buffer.from(text, 'utf8').toString('hex');
}
