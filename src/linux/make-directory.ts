/**
 * Makes a directory and those above it. Node's own recursive mkdir does not come back where the
 * kernel answers ENOENT below a directory that exists, as /proc does; this tries each level once.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * The directory exists afterwards, or the file system's error is thrown. What is made has mode
 * 0755, less the umask; what exists stays as it is.
 */
export function makeDirectory(path: string): void {
  const missing: string[] = [];
  for (let at = path; !existsSync(at) && dirname(at) !== at; at = dirname(at)) missing.unshift(at);
  for (const directory of missing) {
    try {
      mkdirSync(directory, { mode: 0o755 });
    } catch (error) {
      // Somebody else was faster.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}
