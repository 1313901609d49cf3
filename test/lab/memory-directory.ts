/**
 * Directories for what a director writes while it runs: in memory, as its runtime directory is.
 * On a disk the keeper would wait for it now and then, with some file systems for a tenth of a
 * second.
 */
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Memory on every Linux, containers included, where /run may be a disk. */
const MEMORY = '/dev/shm';

/** Makes a directory whose name begins so; the caller removes it. */
export function memoryDirectory(prefix: string): string {
  return mkdtempSync(join(existsSync(MEMORY) ? MEMORY : tmpdir(), prefix));
}
