/**
 * Scheduling of whole process trees: a tree in the background runs when nothing else wants a
 * processor, and can be brought back. Plain JavaScript, like run.mjs.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

/** What a command is prefixed with to be in the background, with all that it starts (chrt(1)). */
export const BACKGROUND = ['chrt', '--idle', '0'];
/** SCHED_IDLE (sched(7)); field 41 of /proc/PID/stat. */
const IDLE_CLASS = 5;
/** A process may start another one while its tree is being read. */
const ROUNDS_MAX = 5;

/**
 * Kernels with automatic groups (sched(7)) weigh sessions, and classes only within them, and the
 * emulator has a session of its own: it needs the lowest weight of a session, too.
 */
export function weakenSessions(root) {
  for (const { pid } of treeOf(root)) weighSession(pid, 19);
}

/** Gives a tree that began with BACKGROUND the class and weight of any other. */
export function toForeground(root) {
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const behind = treeOf(root).filter(({ policy }) => policy === IDLE_CLASS);
    if (behind.length === 0) return;
    for (const { pid } of behind) {
      spawnSync('chrt', ['--all-tasks', '--other', '--pid', '0', String(pid)]);
      weighSession(pid, 0);
    }
  }
}

function weighSession(pid, nice) {
  try {
    writeFileSync(`/proc/${pid}/autogroup`, String(nice));
  } catch {
    // A kernel without such groups, or a process that has ended.
  }
}

/** The process and its descendants. */
function treeOf(root) {
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const all = processes.map(processOf).filter((found) => found !== null);
  const tree = all.filter(({ pid }) => pid === root);
  // Grows while it is gone through.
  for (const { pid } of tree) tree.push(...all.filter(({ parent }) => parent === pid));
  return tree;
}

/** Null when it has ended. */
function processOf(name) {
  try {
    const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
    // The second field, a name in parentheses, may hold blanks.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { pid: Number(name), parent: Number(fields[1]), policy: Number(fields[38]) };
  } catch {
    return null;
  }
}
