/**
 * ProcessTree: a script with all that it has started, to be ended. Its process group is not all of
 * it: a child may have made a group or a session of its own (set -m, setsid). Who descends from
 * whom only the living tell, since a child whose parent has ended is another one's, so what was
 * found once is remembered. A daemon, whose parent ended long before, is none of it.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** A process: its id, and when it was started, in ticks since the boot (proc_pid_stat(5)). */
export type Identity = readonly [pid: number, startedAt: string];

export type EndingSignal = 'SIGTERM' | 'SIGKILL';

/** Far more than a script starts; of one that forks without end, its group is ended in any case. */
const PROCESSES_MAX = 256;
/** The kernel leaves a child out now and then when another one ends meanwhile. */
const LOOKS_MAX = 4;

export class ProcessTree {
  readonly #leader: number;
  readonly #startedAt: string | null;
  /** When each was started, by process id; without the leader. */
  readonly #found = new Map<number, string>();

  /** `leader` was started in a session, and so in a group, of its own. */
  constructor(leader: number) {
    this.#leader = leader;
    this.#startedAt = readStat(leader)?.startedAt ?? null;
  }

  /** Signals what there is of it now. Never throws. */
  signal(signal: EndingSignal): void {
    this.#look();
    send(-this.#leader, signal);
    for (const [pid, startedAt] of this.#found) {
      const stat = readStat(pid);
      if (stat?.startedAt !== startedAt) this.#found.delete(pid);
      // The others have got it with the group.
      else if (stat.group !== this.#leader) send(pid, signal);
    }
  }

  /** Whether something of what is known of it has not ended. */
  isThere(): boolean {
    return [[this.#leader, this.#startedAt] as const, ...this.#found].some(([pid, startedAt]) => {
      const stat = readStat(pid);
      return stat !== null && stat.startedAt === startedAt && !stat.ended;
    });
  }

  #look(): void {
    for (let look = 0; look < LOOKS_MAX; look++) {
      const before = this.#found.size;
      for (const [pid, startedAt] of [[this.#leader, this.#startedAt] as const, ...this.#found]) {
        // Who has its process id now is another one.
        if (readStat(pid)?.startedAt === startedAt) this.#follow(pid);
      }
      if (this.#found.size === before) return;
    }
  }

  #follow(parent: number): void {
    for (const pid of childrenOf(parent)) {
      if (this.#found.has(pid) || this.#found.size >= PROCESSES_MAX) continue;
      const stat = readStat(pid);
      if (stat === null) continue;
      this.#found.set(pid, stat.startedAt);
      this.#follow(pid);
    }
  }
}

/** None where the kernel does not tell them (CONFIG_PROC_CHILDREN). */
function childrenOf(pid: number): readonly number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) => {
      const text = readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1');
      return text.split(' ').filter(Boolean).map(Number);
    });
  } catch {
    // It, or one of its threads, has just ended.
    return [];
  }
}

function send(target: number, signal: EndingSignal): void {
  try {
    process.kill(target, signal);
  } catch {
    // It has just ended, or changed its user: then it is not ours to end.
  }
}

export interface ProcessStat {
  readonly startedAt: string;
  readonly group: number;
  readonly session: number;
  /** It has ended, and its parent has not been told yet. */
  readonly ended: boolean;
}

/** What the kernel says of a process; null when there is none. */
export function readStat(pid: number): ProcessStat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name, in parentheses, may have spaces and parentheses of its own.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const state = fields[0] as string;
    return {
      startedAt: fields[19] as string,
      group: Number(fields[2]),
      session: Number(fields[3]),
      ended: state === 'Z' || state === 'X',
    };
  } catch {
    return null;
  }
}
