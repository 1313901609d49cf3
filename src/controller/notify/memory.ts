/**
 * What was told last of each instance, group, virtual service and real server, in the runtime directory: a controller that is started
 * again tells only what has changed meanwhile. It is written when the scripts of a transition
 * have ended, so a transition is told again rather than never. It holds within one boot, and is
 * removed at a proper stop: its presence also says that the startup script has run.
 */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ServiceState } from '../../core/notify/service-words.ts';
import type { Problem } from '../../core/problem.ts';
import type { VrrpStateName } from '../../core/vrrp/types.ts';
import { readBootId, replaceFile } from '../../keeper/record.ts';
import { makeDirectory } from '../../linux/make-directory.ts';

const VRRP_STATES: readonly unknown[] = ['initialize', 'backup', 'active', 'fault'];
const SERVICE_STATES: readonly unknown[] = ['up', 'down'];
/** Far more than 255 VRIDs on a few hundred interfaces, and 100,000 servers, need. */
const FILE_BYTES_MAX = 16 * 1024 * 1024;
/** Thousands of servers come up together at a start: the file is written for all of them at once. */
const SOON_MS = 200;

/** By name: instances as they are, all others with a word and a space before it. */
export type ToldState = VrrpStateName | ServiceState;

export function isVrrpState(state: ToldState): state is VrrpStateName {
  return VRRP_STATES.includes(state);
}

export class NotifyMemory {
  readonly #directory: string;
  readonly #onProblem: (problem: Problem) => void;
  readonly #states: Map<string, ToldState>;
  readonly #continued: boolean;
  #told: string | null = null;
  #soon: NodeJS.Timeout | null = null;

  constructor(directory: string, onProblem: (problem: Problem) => void) {
    this.#directory = directory;
    this.#onProblem = onProblem;
    const left = read(this.#path);
    this.#continued = left !== null;
    this.#states = left ?? new Map();
  }

  get #path(): string {
    return join(this.#directory, 'notified.json');
  }

  /** True when this controller takes the place of one that died. */
  get continued(): boolean {
    return this.#continued;
  }

  get states(): ReadonlyMap<string, ToldState> {
    return this.#states;
  }

  set(instance: string, state: ToldState): void {
    if (state === 'initialize') this.#states.delete(instance);
    else this.#states.set(instance, state);
    this.save();
  }

  /** The same, written within SOON_MS: if the controller dies before, it is told again. */
  setSoon(name: string, state: ServiceState | null): void {
    if (state === null) this.#states.delete(name);
    else this.#states.set(name, state);
    this.#soon ??= setTimeout(() => this.save(), SOON_MS);
  }

  save(): void {
    if (this.#soon !== null) clearTimeout(this.#soon);
    this.#soon = null;
    const text = JSON.stringify({ bootId: readBootId(), states: [...this.#states] });
    try {
      makeDirectory(this.#directory);
      replaceFile(this.#path, text);
      this.#told = null;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (why === this.#told) return;
      this.#told = why;
      this.#onProblem({
        code: 'VK-RUNTIME-DIRECTORY',
        message: `What was notified cannot be recorded: ${why}`,
        cure: 'Make the runtime directory writable; until then a restart notifies states again',
      });
    }
  }

  /** The director has stopped properly: the next start is a new one. */
  clear(): void {
    if (this.#soon !== null) clearTimeout(this.#soon);
    this.#soon = null;
    this.#states.clear();
    rmSync(this.#path, { force: true });
  }
}

/** The states in the file, if it is of this boot and ours; else null. */
function read(path: string): Map<string, ToldState> | null {
  try {
    const text = readFileSync(path, 'utf8');
    if (text.length > FILE_BYTES_MAX) return null;
    const { bootId, states } = JSON.parse(text) as { bootId: unknown; states: unknown };
    if (bootId !== readBootId() || !Array.isArray(states)) return null;
    const valid = states.filter(
      (entry): entry is [string, ToldState] =>
        Array.isArray(entry) &&
        typeof entry[0] === 'string' &&
        (VRRP_STATES.includes(entry[1]) || SERVICE_STATES.includes(entry[1])),
    );
    return new Map(valid);
  } catch {
    // None was left, or it is not one of ours: everything is news.
    return null;
  }
}
