/**
 * Files that hold one secret: a key or a password, alone, with or without a line end. Nothing here
 * puts a secret, or part of one, into a message.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import type { Secret } from '../core/config/check-protocols.ts';
import { err, ok, type Result } from '../core/result.ts';

/** A key in hexadecimal with its prefix and line end takes 134 bytes. */
const FILE_BYTES_MAX = 1024;
/** Permissions of others: read, write, execute. */
const OTHERS_MODE = 0o007;
/** Short, so that many texts have the same: a digest is no way to a secret. */
const DIGEST_DIGITS = 8;
const FILE = 'file:';

/** A file that a configuration was read from, as it was. */
export interface SourceFile {
  readonly path: string;
  /** Type and permissions: st_mode. */
  readonly mode: number;
  readonly content: Uint8Array;
}

let onSecretFile: (source: SourceFile) => void = () => {};

/** Tells `listener` of the secret files that are read while `work` runs, which is synchronous. */
export function watchSecretFiles<T>(listener: (source: SourceFile) => void, work: () => T): T {
  const before = onSecretFile;
  onSecretFile = (source) => {
    before(source);
    listener(source);
  };
  try {
    return work();
  } finally {
    onSecretFile = before;
  }
}

/** The text of a file; the error calls it by `noun`, such as 'key file'. */
export function readSecretFile(path: string, noun: string): Result<string, string> {
  let fd: number | null = null;
  try {
    // Not blocking, so that a FIFO in place of the file cannot hold us.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stat = fstatSync(fd);
    if (!stat.isFile()) return err(`the ${noun} ${path} is not a regular file`);
    if ((stat.mode & OTHERS_MODE) !== 0) {
      return err(`the ${noun} ${path} is open to everybody, run: chmod 600 ${path}`);
    }
    if (stat.size > FILE_BYTES_MAX) {
      return err(`the ${noun} ${path} is larger than ${FILE_BYTES_MAX} bytes`);
    }
    const content = readFileSync(fd);
    onSecretFile({ path, mode: stat.mode, content });
    return ok(content.toString('utf8').replace(/\r?\n$/, ''));
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    return err(`the ${noun} ${path} cannot be read: ${reason}`);
  } finally {
    if (fd !== null) closeSync(fd);
  }
}

/**
 * The secret that a configuration's text stands for: `file:` and a path, or any other text as it
 * is. The error is what is wrong, for a message.
 */
export function readSecret(text: string): Result<Secret, string> {
  if (!text.startsWith(FILE)) return ok(secretOf(text));
  const path = text.slice(FILE.length);
  if (!path.startsWith('/')) return err(`expected an absolute path behind ${FILE}`);
  const content = readSecretFile(path, 'password file');
  if (!content.ok) return content;
  return content.value === ''
    ? err(`the password file ${path} is empty`)
    : ok(secretOf(content.value));
}

function secretOf(secret: string): Secret {
  // Loaded here: few files have passwords, and Node's hashes take long to load.
  const { createHash } = process.getBuiltinModule('node:crypto');
  const sum = createHash('sha256').update(`vipkeeper check\0${secret}`).digest('hex');
  return { secret, digest: sum.slice(0, DIGEST_DIGITS) };
}
