/**
 * Scheduling of whole process trees. In a tree in the background, what has a session of its own,
 * as the emulator, runs when nothing else wants a processor. The others, who start it and wait for
 * it, get a little always: vitest gives up a worker that does not start within a minute. Can be
 * brought back. Plain JavaScript, like run.mjs.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/** What a command is prefixed with to be in the background, with all that it starts. */
export const BACKGROUND = ['nice', '-n', '10'];
/** SCHED_IDLE (sched(7)). */
const IDLE_CLASS = 5;
/** A process may start another one while its tree is being read. */
const ROUNDS_MAX = 5;

/**
 * To be called again and again, for what was started meanwhile. Kernels with automatic groups
 * (sched(7)) weigh sessions, and classes only within them: each gets the lowest weight, too.
 */
export function weakenSessions(root) {
  const own = processOf(String(process.pid))?.session;
  for (const { pid, session, policy } of treeOf(root)) {
    if (session === own) continue;
    if (policy !== IDLE_CLASS) schedule(pid, '--idle');
    weighSession(pid, 19);
  }
}

/** Gives a tree that began with BACKGROUND the class and weight of any other. */
export function toForeground(root) {
  const own = getPriority();
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const behind = treeOf(root).filter(({ policy, nice }) => policy === IDLE_CLASS || nice > own);
    if (behind.length === 0) return;
    for (const { pid } of behind) {
      schedule(pid, '--other');
      for (const thread of threadsOf(pid)) favour(thread, own);
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

function schedule(pid, policy) {
  spawnSync('chrt', ['--all-tasks', policy, '--pid', '0', String(pid)]);
}

function favour(thread, nice) {
  try {
    setPriority(thread, nice);
  } catch {
    // It has ended.
  }
}

function threadsOf(pid) {
  try {
    return readdirSync(`/proc/${pid}/task`).map(Number);
  } catch {
    return [];
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
    const [parent, session, nice, policy] = [1, 3, 16, 38].map((at) => Number(fields[at]));
    return { pid: Number(name), parent, session, nice, policy };
  } catch {
    return null;
  }
}
