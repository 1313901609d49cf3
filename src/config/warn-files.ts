/**
 * Warnings of files that health checks, trackers and notification need and that cannot be used on
 * this machine. No errors, because a file may be checked elsewhere than on its director.
 */
import { accessSync, constants, statSync } from 'node:fs';
import type { NamedFile, Report } from './report.ts';

/** Each file once, at the first place that names it. */
export function warnOfFiles(report: Report): void {
  const seen = new Set<string>();
  for (const named of report.files) {
    const key = `${named.use} ${named.file}`;
    if (seen.has(key)) continue;
    seen.add(key);
    const problem = problemOf(named);
    if (problem === null) continue;
    report.warning(named.path, `${named.file} ${problem}: ${named.consequence} until then`);
  }
}

function problemOf({ file, use }: NamedFile): string | null {
  try {
    if (!statSync(file).isFile()) return 'must be a regular file';
    accessSync(file, use === 'run' ? constants.X_OK : constants.R_OK);
    return null;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    if (code === 'ENOENT') return 'must be made, it does not exist here';
    if (code !== 'EACCES') return `must be made usable here (${code})`;
    return use === 'run'
      ? `must be executable (chmod +x ${file})`
      : 'must be readable, permission is denied';
  }
}
