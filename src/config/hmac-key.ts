/**
 * The keys of HMAC authentication from their text: `hex:` and digits, `file:` and a path, or any
 * other text as it is. A file holds one of the other two forms, with or without a line end.
 * Nothing here puts a key, or part of one, into a message.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { err, ok, type Result } from '../core/result.ts';

/** keepalived's bounds: below 32 bytes a key is weaker than the hash, above 64 it is hashed. */
const KEY_BYTES_MIN = 32;
const KEY_BYTES_MAX = 64;
/** A key in hexadecimal with its prefix and line end takes 134 bytes. */
const FILE_BYTES_MAX = 1024;
/** Permissions of others: read, write, execute. */
const OTHERS_MODE = 0o007;

/** A file that a configuration was read from, as it was. */
export interface SourceFile {
  readonly path: string;
  /** Type and permissions: st_mode. */
  readonly mode: number;
  readonly content: Uint8Array;
}

let onKeyFile: (source: SourceFile) => void = () => {};

/** Tells `listener` of the key files that are read while `work` runs, which is synchronous. */
export function watchKeyFiles<T>(listener: (source: SourceFile) => void, work: () => T): T {
  const before = onKeyFile;
  onKeyFile = listener;
  try {
    return work();
  } finally {
    onKeyFile = before;
  }
}

/** The key as lower-case hexadecimal digits, or what is wrong, for a message. */
export function readHmacKey(text: string): Result<string, string> {
  if (!text.startsWith('file:')) return parseKey(text);
  const path = text.slice('file:'.length);
  if (!path.startsWith('/')) return err('expected an absolute path behind file:');
  const content = readKeyFile(path);
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

function readKeyFile(path: string): Result<string, string> {
  let fd: number | null = null;
  try {
    // Not blocking, so that a FIFO in place of the file cannot hold us.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stat = fstatSync(fd);
    if (!stat.isFile()) return err(`the key file ${path} is not a regular file`);
    if ((stat.mode & OTHERS_MODE) !== 0) {
      return err(`the key file ${path} is open to everybody, run: chmod 600 ${path}`);
    }
    if (stat.size > FILE_BYTES_MAX) {
      return err(`the key file ${path} is larger than ${FILE_BYTES_MAX} bytes`);
    }
    const content = readFileSync(fd);
    onKeyFile({ path, mode: stat.mode, content });
    return ok(content.toString('utf8').replace(/\r?\n$/, ''));
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    return err(`the key file ${path} cannot be read: ${reason}`);
  } finally {
    if (fd !== null) closeSync(fd);
  }
}
