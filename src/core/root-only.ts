/** What others than root may change, by what the file system says of it. */

/** As fs.Stats has it. */
interface FileStats {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  isSymbolicLink(): boolean;
  isDirectory(): boolean;
}

const GROUP_WRITE = 0o020;
const OTHERS_WRITE = 0o002;
const STICKY = 0o1000;

/**
 * Whether others than root may change a file, or what a directory holds. A group may write if it is
 * root's, a link has no permissions of its own, and in a sticky directory such as /tmp only owners
 * replace entries.
 */
export function othersMayChange(stats: FileStats): boolean {
  if (stats.uid !== 0) return true;
  if (stats.isSymbolicLink()) return false;
  const writable =
    (stats.mode & OTHERS_WRITE) !== 0 || ((stats.mode & GROUP_WRITE) !== 0 && stats.gid !== 0);
  return writable && !(stats.isDirectory() && (stats.mode & STICKY) !== 0);
}
