/**
 * Which entries of the kernel's table are ours, in memory and in a file of the runtime directory.
 * A change is appended to the file before the call returns, so that the kernel can be changed
 * after it; when the file has grown long it is written anew, some entries in each turn of the
 * event loop. Invariant: at every moment the file says what was last said here (a crash loses
 * nothing), or `onProblem` was told.
 */
import { closeSync, constants, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import {
  type MutableOwned,
  makeChange,
  type OwnedChange,
  type OwnedServers,
  type OwnedSet,
} from '../core/ipvs/owned.ts';
import { changeLine, readOwnedLines } from '../core/ipvs/owned-journal.ts';
import { LargeMap } from '../core/large-map.ts';
import type { Problem } from '../core/problem.ts';
import { Turn } from '../core/turn.ts';
import { replaceFile } from '../keeper/record.ts';
import { makeDirectory } from '../linux/make-directory.ts';
import { TURNS } from '../linux/turns.ts';

/** A file with fewer changes than this, and than twice its entries, is left as it is. */
const CHANGES_MIN = 1_000;
/** Services whose lines are made in one turn of the event loop. */
const SERVICES_PER_TURN = 256;
/** Lines that are read between two looks at how long the turn has lasted. */
const LINES_PER_LOOK = 32;

export class OwnedFile {
  readonly #path: string;
  readonly #onProblem: (problem: Problem) => void;
  #owned: MutableOwned = new LargeMap();
  /** Changes in the file, beside its first line. */
  #changes = 0;
  /** The file does not hold what is here: it must be written as a whole. */
  #stale = true;
  /** Lines that were appended while the file is being written anew; null while it is not. */
  #meanwhile: string[] | null = null;
  #told = false;

  /** Nothing is ours before load(). */
  constructor(path: string, onProblem: (problem: Problem) => void) {
    this.#path = path;
    this.#onProblem = onProblem;
  }

  /**
   * Reads the file, in turns, before the first change: without one nothing is ours, of a damaged one
   * what can be read is.
   */
  async load(): Promise<void> {
    const text = readText(this.#path);
    const steps = readOwnedLines(text ?? '');
    const turn = new Turn(TURNS);
    let step = steps.next();
    for (let lines = 1; step.done !== true; lines++) {
      if (lines % LINES_PER_LOOK === 0 && turn.hasLasted()) await turn.rest();
      step = steps.next();
    }
    const { owned, changes, whole, damaged } = step.value;
    [this.#owned, this.#changes, this.#stale] = [owned, changes, !whole];
    if (text !== null && damaged > 0) this.#onProblem(damagedProblem(this.#path, damaged));
  }

  get entries(): OwnedSet {
    return this.#owned;
  }

  /** Our servers in a service, or null when the service is not ours. */
  of(service: string): OwnedServers | null {
    return this.#owned.get(service) ?? null;
  }

  /** Makes the changes, in memory and in the file. */
  change(changes: readonly OwnedChange[]): void {
    if (changes.length === 0) return;
    for (const change of changes) makeChange(this.#owned, change);
    this.#changes += changes.length;
    if (this.#stale) return this.#writeAll();
    const text = changes.map(changeLine).join('');
    if (!appended(this.#path, text)) return this.#writeAll();
    this.#meanwhile?.push(text);
    const long = this.#changes > CHANGES_MIN + 2 * this.#owned.size;
    if (long && this.#meanwhile === null) void this.#writeAnew();
  }

  /** At once: at the first change, and when appending failed. */
  #writeAll(): void {
    this.#meanwhile = null;
    try {
      makeDirectory(dirname(this.#path));
      replaceFile(this.#path, `{}\n${[...linesOf(this.#owned)].join('')}`);
      this.#written();
    } catch (error) {
      this.#failed(error);
    }
  }

  async #writeAnew(): Promise<void> {
    const meanwhile: string[] = [];
    this.#meanwhile = meanwhile;
    const temporary = `${this.#path}.compact`;
    try {
      const handle = await open(temporary, 'w', 0o600);
      try {
        let lines = ['{}\n'];
        let count = 0;
        for (const line of linesOf(this.#owned)) {
          lines.push(line);
          if (++count % SERVICES_PER_TURN !== 0) continue;
          await handle.write(lines.splice(0).join(''));
          await TURNS.nextTurn();
        }
        lines = lines.splice(0);
        await handle.write(lines.join(''));
      } finally {
        await handle.close();
      }
      // Written as a whole meanwhile, because appending failed.
      if (this.#meanwhile !== meanwhile) return;
      this.#meanwhile = null;
      // In the order in which they were made: saying again what a line above says does no harm.
      if (!appended(temporary, meanwhile.join(''))) throw new Error(`${temporary} is gone`);
      renameSync(temporary, this.#path);
      this.#written();
    } catch (error) {
      if (this.#meanwhile === meanwhile) this.#meanwhile = null;
      // The long file is still whole.
      this.#changes = 0;
      this.#failed(error, false);
    }
  }

  #written(): void {
    this.#changes = 0;
    this.#stale = false;
    this.#told = false;
  }

  #failed(error: unknown, stale = true): void {
    this.#stale = stale;
    if (this.#told) return;
    this.#told = true;
    this.#onProblem({
      code: 'VK-RUNTIME-DIRECTORY',
      message: `The list of our IPVS entries cannot be written: ${error instanceof Error ? error.message : String(error)}`,
      cure: 'Make the runtime directory writable; until then a restart takes our entries for foreign ones',
    });
  }
}

/** The list as changes to nothing, one line a service. */
function* linesOf(owned: OwnedSet): Generator<string> {
  for (const [service, servers] of owned) {
    yield changeLine({ kind: 'own', service, servers: [...servers] });
  }
}

/** Whether all of the text is in the file, which must be there already. */
function appended(path: string, text: string): boolean {
  try {
    const bytes = Buffer.from(text);
    const fd = openSync(path, constants.O_WRONLY | constants.O_APPEND);
    try {
      return writeSync(fd, bytes) === bytes.length;
    } finally {
      closeSync(fd);
    }
  } catch {
    // Removed by somebody, or no room left.
    return false;
  }
}

/** null before the first start since boot: what is desired is claimed anew. */
function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

function damagedProblem(path: string, lines: number): Problem {
  return {
    code: 'VK-RUNTIME-DIRECTORY',
    message: `Which IPVS entries are ours is not known of all: ${path} is damaged in ${lines} ${lines === 1 ? 'line' : 'lines'}. What is configured is ours again; the rest is taken for foreign and stays`,
    cure: 'Look at the foreign entries (`vipkeeper plan`) and delete with ipvsadm what was ours',
  };
}
