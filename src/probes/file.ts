/**
 * File check: a file that says `up`, `down`, or the server's weight, a whole number from 0 to
 * 65535. It is read at every run, so that it may be replaced. A file that is missing, empty or
 * says anything else is a failure: nobody knows then what was meant.
 */
import { Buffer } from 'node:buffer';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileCheckConfig } from '../core/config/check.ts';
import type { ProbeFailure, ProbeResult } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import type { Result } from '../core/result.ts';
import { err, ok } from '../core/result.ts';

/** A word or a number: more is not read. */
const LENGTH_BYTES_MAX = 64;
const WEIGHT_MAX = 65_535;

/** Reads it once. Never rejects; null when the signal gave up before a verdict. */
export async function probeFile(
  check: FileCheckConfig,
  { signal }: { readonly signal: AbortSignal },
): Promise<ProbeResult | null> {
  if (signal.aborted) return null;
  const startMs = performance.now();
  const text = await readStart(check.path);
  if (signal.aborted) return null;
  const durationUs = Math.round((performance.now() - startMs) * 1000);
  const said = text.ok ? judge(check.path, text.value) : text;
  if (!said.ok) return { ok: false, durationUs, failure: said.error };
  return said.value === null
    ? { ok: true, durationUs }
    : { ok: true, durationUs, weight: said.value };
}

async function readStart(path: string): Promise<Result<string, ProbeFailure>> {
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
