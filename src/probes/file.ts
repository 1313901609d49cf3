/**
 * File check: a file that says `up`, `down`, or the server's weight, a whole number from 0 to
 * 65535. It is read at every run, so that it may be replaced. A file that is missing, empty or
 * says anything else is a failure: nobody knows then what was meant. So is one that cannot be read
 * in time: what waits for a dead file server waits in one of the few threads that all of this
 * process has for files, so that two read at once, and a file that is being read is not read twice.
 */
import { Buffer } from 'node:buffer';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileCheckConfig } from '../core/config/check.ts';
import type { ProbeFailure, ProbeResult } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import type { Result } from '../core/result.ts';
import { err, ok } from '../core/result.ts';
import type { AttemptOptions } from './attempt.ts';

/** A word or a number: more is not read. */
const LENGTH_BYTES_MAX = 64;
const WEIGHT_MAX = 65_535;

/** Of the four threads that Node.js has for files. */
const READS_MAX = 2;

type Text = Result<string, ProbeFailure>;

/** Reads of all file checks of this process; READS_MAX at once. */
class Reads {
  /** Of files that are read or wait for it, by their paths. */
  readonly #pending = new Map<string, Promise<Text>>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  /** What is being read already is not read again. */
  read(path: string, read: (path: string) => Promise<Text>): Promise<Text> {
    const pending = this.#pending.get(path) ?? this.#begin(path, read);
    this.#pending.set(path, pending);
    return pending;
  }

  async #begin(path: string, read: (path: string) => Promise<Text>): Promise<Text> {
    if (this.#running >= READS_MAX) await new Promise<void>((go) => this.#waiting.push(go));
    else this.#running++;
    const text = await read(path);
    this.#pending.delete(path);
    const next = this.#waiting.shift();
    if (next === undefined) this.#running--;
    else next();
    return text;
  }
}

const reads = new Reads();

/** Reads it once. Never rejects; null when the signal gave up before a verdict. */
export async function probeFile(
  check: FileCheckConfig,
  { timeoutMs, signal }: AttemptOptions,
  read: (path: string) => Promise<Text> = readStart,
): Promise<ProbeResult | null> {
  if (signal.aborted) return null;
  const startMs = performance.now();
  const text = await inTime(reads.read(check.path, read), check.path, { timeoutMs, signal });
  if (signal.aborted) return null;
  const durationUs = Math.round((performance.now() - startMs) * 1000);
  const said = text.ok ? judge(check.path, text.value) : text;
  if (!said.ok) return { ok: false, durationUs, failure: said.error };
  return said.value === null
    ? { ok: true, durationUs }
    : { ok: true, durationUs, weight: said.value };
}

/** The text, or that it took too long, or nothing that counts when nobody waits any more. */
function inTime(
  text: Promise<Text>,
  path: string,
  { timeoutMs, signal }: AttemptOptions,
): Promise<Text> {
  return new Promise((resolve) => {
    const late = err(probeFailure('timeout', `Waited ${timeoutMs} ms for ${path}`));
    const done = (result: Text): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', giveUp);
      resolve(result);
    };
    const giveUp = () => done(late);
    const timer = setTimeout(giveUp, timeoutMs);
    signal.addEventListener('abort', giveUp);
    void text.then(done);
  });
}

async function readStart(path: string): Promise<Text> {
  try {
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      if (!(await file.stat()).isFile()) {
        return err(probeFailure('cannot-run', `${path} is not a regular file`));
      }
      const { buffer, bytesRead } = await file.read(Buffer.alloc(LENGTH_BYTES_MAX + 1), 0);
      return ok(buffer.toString('utf8', 0, bytesRead));
    } finally {
      await file.close();
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const detail = code === 'ENOENT' ? `${path} does not exist` : message;
    return err(probeFailure('cannot-run', detail));
  }
}

/** The weight that it says, null for the configured one. */
function judge(path: string, text: string): Result<number | null, ProbeFailure> {
  const word = text.trim();
  if (word === 'up') return ok(null);
  if (word === 'down') return err(probeFailure('status', `${path} says down`));
  const weight = /^\d{1,5}$/.test(word) ? Number(word) : Number.NaN;
  if (weight <= WEIGHT_MAX && text.length <= LENGTH_BYTES_MAX) return ok(weight);
  const found = word === '' ? 'nothing' : word;
  const expected = 'expected up, down or a weight from 0 to 65535';
  return err(probeFailure('cannot-run', `${path} says ${found}; ${expected}`));
}
