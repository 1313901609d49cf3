/**
 * The account that scripts run as. Names are looked up in /etc/passwd and /etc/group only: a
 * director must not wait for a directory server at a failover. Numbers are taken as they are.
 */
import { readFileSync } from 'node:fs';
import type { Problem } from '../../core/problem.ts';
import { err, ok, type Result } from '../../core/result.ts';

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

export interface AccountFiles {
  readonly passwd: string;
  readonly group: string;
}

const SYSTEM_FILES: AccountFiles = { passwd: '/etc/passwd', group: '/etc/group' };
/** The kernel's largest; the one above means "none" (chown(2), setresuid(2)). */
const ID_MAX = 2 ** 32 - 2;

/**
 * The account of a user and a group, by default the user's own; null: as vipkeeper itself.
 * `section` of the configuration has the options, for the problem's words.
 */
export function findAccount(
  user: string | null,
  group: string | null,
  section = 'notify',
  files: AccountFiles = SYSTEM_FILES,
): Result<Account | null, Problem> {
  if (user === null && group === null) return ok(null);
  // passwd(5): name:password:uid:gid:...; group(5): name:password:gid:...
  const entry = user === null ? null : findEntry(files.passwd, user, 4);
  const uid = user === null ? process.getuid?.() : (number(user) ?? number(entry?.[2]));
  const groupEntry = group === null ? null : findEntry(files.group, group, 3);
  const gid = group === null ? number(entry?.[3]) : (number(group) ?? number(groupEntry?.[2]));
  if (uid === undefined) return err(unknown('user', user as string, files.passwd, section));
  if (gid !== undefined) return ok({ uid, gid });
  return group === null
    ? err({
        code: 'VK-SCRIPT',
        message: `No group is known of user ${user}, as ${files.passwd} does not have it`,
        cure: `Set ${section}.group too`,
      })
    : err(unknown('group', group, files.group, section));
}

/** The fields of the first line with this name or, in field 2, this number. */
function findEntry(path: string, name: string, fields: number): readonly string[] | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return null;
  }
  const entries = text.split('\n').map((line) => line.split(':'));
  return (
    entries.find((entry) => entry.length >= fields && (entry[0] === name || entry[2] === name)) ??
    null
  );
}

function number(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= ID_MAX ? id : undefined;
}

function unknown(what: 'user' | 'group', name: string, file: string, section: string): Problem {
  const option = `${section}.${what}`;
  return {
    code: 'VK-SCRIPT',
    message: `The ${what} ${name} of ${option} is not in ${file}, so no script can be run`,
    cure: `Create it (local accounts only), or set ${option} to another name or a number`,
  };
}
