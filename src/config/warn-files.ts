/**
 * Warnings of files that health checks, trackers and notification need and that cannot be used on
 * this machine. No errors, because a file may be checked elsewhere than on its director.
 */
import { accessSync, constants, lstatSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { NotifyConfig } from '../core/config/config.ts';
import { othersMayChange } from '../core/root-only.ts';
import type { NamedFile, Report } from './report.ts';

/** Local ones only, as those who run it look there. */
const ACCOUNTS = '/etc/passwd';

type Scripts = Pick<NotifyConfig, 'user' | 'scriptSecurity'>;

/** Each file once, at the first place that names it. */
export function warnOfFiles(scripts: Scripts, report: Report): void {
  const seen = new Set<string>();
  for (const named of report.files) {
    const key = `${named.use} ${named.file}`;
    if (seen.has(key)) continue;
    seen.add(key);
    const problem = problemOf(named) ?? problemAsUser(named, scripts);
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

/** Who runs it must be there, and root runs only what nobody else may change. */
function problemAsUser({ file, use, user }: NamedFile, scripts: Scripts): string | null {
  if (use === 'read') return null;
  const runsAs = user === undefined ? scripts.user : user;
  if (runsAs !== null && !isKnown(runsAs)) {
    return `runs as ${runsAs}, who must be in ${ACCOUNTS} or be a number`;
  }
  const asRoot = [null, 'root', '0'].includes(runsAs);
  return asRoot && scripts.scriptSecurity ? unsafe(file) : null;
}

function isKnown(user: string): boolean {
  if (/^\d+$/.test(user)) return true;
  try {
    const lines = readFileSync(ACCOUNTS, 'utf8').split('\n');
    return lines.some((line) => line.startsWith(`${user}:`));
  } catch {
    return false;
  }
}

/** What others than root may change on the way to a program that is there. */
function unsafe(file: string): string | null {
  const found = [...wayTo(file), ...wayTo(realpathSync(file))].find((path) =>
    othersMayChange(lstatSync(path)),
  );
  if (found === undefined) return null;
  return (
    `runs as root, so ${found} must be changeable by root alone (chown root ${found}; ` +
    `chmod go-w ${found}), or it another user's (notify.user)`
  );
}

/** The root, each directory, and the file. */
function wayTo(file: string): readonly string[] {
  const above = dirname(file);
  return above === file ? [file] : [...wayTo(above), file];
}
