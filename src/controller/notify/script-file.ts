/**
 * Why a script cannot or must not be run, found before it is tried: it is missing, is no program,
 * or would give root's rights to whoever may change it. For the last, every directory and every
 * symbolic link on the way to it must be root's and not writable by others (a sticky directory
 * such as /tmp is: only owners replace entries there).
 */
import type { Stats } from 'node:fs';
import { lstat, readlink } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import type { Problem } from '../../core/problem.ts';
import { othersMayChange } from '../../core/root-only.ts';

/** As the kernel: path_resolution(7). */
const LINKS_MAX = 40;
const ANY_EXECUTE = 0o111;

export interface ScriptPolicy {
  /** User id that it will run as. */
  readonly uid: number;
  /** Refuse what runs as root and others may change. */
  readonly security: boolean;
}

/** Why the program at this absolute path will not be run, or null. Never rejects. */
export async function findScriptFault(path: string, policy: ScriptPolicy): Promise<Problem | null> {
  let found: { readonly stats: Stats; readonly unsafe: string | null };
  try {
    found = await walk(path);
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return missing
      ? problem(path, 'it does not exist', 'Install it, or correct its path')
      : problem(
          path,
          error instanceof Error ? error.message : String(error),
          'Make it and the directories on the way to it readable',
        );
  }
  if (!found.stats.isFile()) {
    return problem(path, 'it is not a file', 'Name a program by its absolute path');
  }
  if ((found.stats.mode & ANY_EXECUTE) === 0) {
    return problem(path, 'it is not executable', `Make it so: chmod 755 ${path}`);
  }
  if (policy.security && policy.uid === 0 && found.unsafe !== null) {
    return problem(
      path,
      `it would run as root, but others than root may change ${found.unsafe}`,
      `Make root the owner of ${found.unsafe} and take write permission from group and others, ` +
        'set notify.user to another user, or set notify.script_security to false',
    );
  }
  return null;
}

/** A script that is not run, and what to do about it. */
export function problem(path: string, why: string, cure: string): Problem {
  return { code: 'VK-SCRIPT', message: `${path} cannot be run: ${why}`, cure };
}

/** What the path leads to, and the first thing on the way that others than root may change. */
async function walk(path: string): Promise<{ stats: Stats; unsafe: string | null }> {
  let unsafe: string | null = null;
  let links = 0;
  let at = '/';
  let stats = await lstat(at);
  if (othersMayChange(stats)) unsafe = at;
  let rest = parts(path);
  while (rest.length > 0) {
    const [name, ...after] = rest as [string, ...string[]];
    const next = name === '..' ? dirname(at) : join(at, name);
    stats = await lstat(next);
    if (othersMayChange(stats)) unsafe ??= next;
    if (!stats.isSymbolicLink()) {
      at = next;
      rest = after;
      continue;
    }
    if (++links > LINKS_MAX) throw new Error('too many symbolic links');
    const target = await readlink(next);
    // What a link leads to is not normalised: `..` behind another link is that one's parent.
    if (target.startsWith('/')) at = '/';
    rest = [...target.split('/').filter((part) => part !== '' && part !== '.'), ...after];
  }
  return { stats, unsafe };
}

function parts(path: string): string[] {
  return normalize(path)
    .split('/')
    .filter((part) => part !== '');
}
