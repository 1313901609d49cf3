/**
 * Scripts that a controller which died has left running. Nobody would end those that hang, and what
 * is run next would run beside them: two scripts of one instance at once, or two readers that share
 * the lines of one FIFO. So which ones run is kept in the runtime directory, and the next controller
 * ends them first. They are known by process id and start time, so nobody else's process is meant.
 * Only the session leader counts: what a script that has ended left behind was left on purpose.
 */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { readBootId, replaceFile } from '../../keeper/record.ts';
import { makeDirectory } from '../../linux/make-directory.ts';
import { type Identity, ProcessTree, readStat } from './process-tree.ts';

/** From SIGTERM to SIGKILL, and from there to the end of all patience. */
const TERMINATE_MS = 2_000;
const KILL_MS = 1_000;
const LOOK_MS = 20;
/** Far more than run at once. */
const FILE_BYTES_MAX = 64 * 1024;

/** Where it is kept which scripts run. */
export type ScriptRecords = Pick<LeftScripts, 'began' | 'ended'>;

export class LeftScripts {
  readonly #directory: string;
  readonly #left: readonly Identity[];
  readonly #running = new Map<number, string>();

  constructor(runtimeDirectory: string) {
    this.#directory = runtimeDirectory;
    this.#left = readLeft(this.#path);
  }

  get #path(): string {
    return join(this.#directory, 'scripts.json');
  }

  /** A script has been started, in a session of its own. */
  began(pid: number): void {
    const stat = readStat(pid);
    if (stat === null) return;
    this.#running.set(pid, stat.startedAt);
    this.#write();
  }

  ended(pid: number): void {
    if (this.#running.delete(pid)) this.#write();
  }

  /** Ends what was left; the process ids of what was still there. Bounded, never rejects. */
  async endLeft(): Promise<readonly number[]> {
    const still = this.#left.filter(isRunning);
    const trees = new Map(still.map(([pid]) => [pid, new ProcessTree(pid)]));
    for (const [signal, limitMs] of [
      ['SIGTERM', TERMINATE_MS],
      ['SIGKILL', KILL_MS],
    ] as const) {
      const rest = still.filter(isRunning);
      for (const [pid] of rest) trees.get(pid)?.signal(signal);
      const endMs = performance.now() + limitMs;
      while (rest.some(isRunning) && performance.now() < endMs) await delay(LOOK_MS);
    }
    return still.map(([pid]) => pid);
  }

  /** The director has stopped properly. */
  clear(): void {
    this.#running.clear();
    rmSync(this.#path, { force: true });
  }

  #write(): void {
    const text = JSON.stringify({ bootId: readBootId(), running: [...this.#running] });
    try {
      makeDirectory(this.#directory);
      replaceFile(this.#path, text);
    } catch {
      // Whoever cannot write there has been told so: memory.ts. Only a crash would need it.
    }
  }
}

/** Those of this boot in the file, or none. Never throws. */
function readLeft(path: string): readonly Identity[] {
  try {
    const text = readFileSync(path, 'utf8');
    if (text.length > FILE_BYTES_MAX) return [];
    const { bootId, running } = JSON.parse(text) as { bootId: unknown; running: unknown };
    if (bootId !== readBootId() || !Array.isArray(running)) return [];
    return running.filter(
      (entry): entry is Identity =>
        Array.isArray(entry) &&
        Number.isSafeInteger(entry[0]) &&
        (entry[0] as number) > 1 &&
        typeof entry[1] === 'string',
    );
  } catch {
    // None was left, or it is not one of ours.
    return [];
  }
}

function isRunning([pid, startedAt]: Identity): boolean {
  const stat = readStat(pid);
  return stat !== null && stat.startedAt === startedAt && stat.session === pid && !stat.ended;
}
