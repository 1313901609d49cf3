/**
 * What operators decided about real servers: kept in a file of the state directory, so that it
 * outlives reloads, restarts and reboots, or in the runtime directory where that cannot be written;
 * ended by a timer, and marked as drained when the last connection of a draining server is gone.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  connectionsOf,
  hasEnded,
  OVERRIDES_MAX,
  type Override,
  type OverrideAction,
  overrideKey,
  overridesFromJson,
} from '../core/health/override.ts';
import type { ServerCounts } from '../core/ipvs/entries.ts';
import type { Problem } from '../core/problem.ts';
import { err, ok, type Result } from '../core/result.ts';
import { replaceFile } from '../keeper/record.ts';
import { stateDirectory } from '../keeper/stored-plan.ts';
import { makeDirectory } from '../linux/make-directory.ts';

/** What of a server in the kernel tells whether it is drained. */
export type KernelCounts = Pick<
  ServerCounts,
  'weight' | 'activeConnections' | 'inactiveConnections' | 'persistentConnections'
>;

export interface OverridePorts {
  readonly nowMs: () => number;
  /** False where a server is not in the table, and will not come: no connections are its own. */
  readonly mayBeHere: (service: string, server: string) => boolean;
  /** The weights of these services must be decided anew. */
  readonly onChanged: (services: readonly string[]) => void;
  readonly onEnded: (override: Override) => void;
  readonly onDrained: (override: Override, connectionsLeft: number) => void;
  readonly onProblem: (problem: Problem) => void;
}

/** Where decisions are kept. */
export interface OverrideFiles {
  /** Outlives a reboot. */
  readonly kept: string;
  /** There while the first one cannot be written, and then newer; outlives a restart. */
  readonly instead: string;
}

/** Those of the director with this runtime directory: several may have one state directory. */
export function overrideFiles(runtimeDirectory: string): OverrideFiles {
  const name = runtimeDirectory.split('/').filter((part) => part !== '');
  return {
    kept: join(stateDirectory(), `overrides-${name.join('-')}.json`),
    instead: join(runtimeDirectory, 'overrides.json'),
  };
}

/** What is kept; nothing where there is no file. The error says what is damaged. */
export function readOverrides({
  kept,
  instead,
}: OverrideFiles): Result<readonly Override[], string> {
  const path = existsSync(instead) ? instead : kept;
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    // Nobody has decided anything yet.
    return ok([]);
  }
  const read = readJson(text);
  return read.ok ? read : err(`${path} is damaged, ${read.error}`);
}

function readJson(text: string): Result<readonly Override[], string> {
  try {
    return overridesFromJson(JSON.parse(text));
  } catch {
    return err('it is not JSON');
  }
}

/** How often the connections of draining servers are looked at, and ends are looked for. */
const LOOK_INTERVAL_MS = 1_000;

export class Overrides {
  readonly #files: OverrideFiles;
  readonly #ports: OverridePorts;
  readonly #overrides = new Map<string, Override>();
  #timer: NodeJS.Timeout | null = null;
  /** A write at the end of this turn: thousands of servers may be drained in it. */
  #pending: NodeJS.Immediate | null = null;

  constructor(files: OverrideFiles, ports: OverridePorts) {
    this.#files = files;
    this.#ports = ports;
    for (const override of this.#read()) this.#overrides.set(keyOf(override), override);
    this.#watch();
  }

  /** All of them, in the order in which they were made. */
  list(): readonly Override[] {
    return [...this.#overrides.values()];
  }

  get(service: string, server: string): Override | null {
    // Asked for each server of a table, and mostly in vain.
    if (this.#overrides.size === 0) return null;
    return this.#overrides.get(overrideKey(service, server)) ?? null;
  }

  /**
   * What is to be done about a server now; `observed` as in all entries of the
   * service in the kernel. A draining server whose
   * connections are gone is drained from this call on.
   */
  actionFor(
    service: string,
    server: string,
    observed: KernelCounts | undefined,
  ): OverrideAction | null {
    const override = this.get(service, server);
    if (override === null) return null;
    const { action } = override;
    if (action.kind !== 'drain' || action.drained) return action;
    const left = connectionsOf(observed);
    // Weight 0 first: new connections may still be on their way to it.
    const quiet = observed === undefined || (observed.weight === 0 && left === 0);
    const late = action.deadlineMs !== null && this.#ports.nowMs() >= action.deadlineMs;
    if (!quiet && !late) return action;
    const drained = { ...action, drained: true };
    this.#drained({ ...override, action: drained }, left);
    return drained;
  }

  #drained(override: Override, left: number): void {
    this.#overrides.set(keyOf(override), override);
    this.#pending ??= setImmediate(() => this.#write());
    this.#ports.onDrained(override, left);
  }

  /** Sets or clears several at once; false when there are too many. */
  change(
    changes: readonly { readonly key: string; readonly override: Override | null }[],
  ): boolean {
    const added = changes.filter(({ override }) => override !== null).length;
    if (this.#overrides.size + added > OVERRIDES_MAX) return false;
    for (const { key, override } of changes) {
      this.#overrides.delete(key);
      if (override !== null) this.#overrides.set(key, override);
    }
    this.#write();
    this.#watch();
    return true;
  }

  close(): void {
    this.#stopLooking();
    if (this.#pending !== null) this.#write();
  }

  #stopLooking(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** The timer runs while something can end by itself. */
  #watch(): void {
    const needed = this.list().some(
      ({ action, untilMs }) => untilMs !== null || (action.kind === 'drain' && !action.drained),
    );
    if (needed === (this.#timer !== null)) return;
    if (needed) this.#timer = setInterval(() => this.#look(), LOOK_INTERVAL_MS);
    else this.#stopLooking();
  }

  #look(): void {
    const nowMs = this.#ports.nowMs();
    const services = new Set<string>();
    const ended = this.list().filter((override) => hasEnded(override, nowMs));
    for (const override of ended) {
      this.#overrides.delete(keyOf(override));
      services.add(override.service);
      this.#ports.onEnded(override);
    }
    if (ended.length > 0) this.#write();
    for (const override of this.list()) {
      const { service, server, action } = override;
      if (action.kind !== 'drain' || action.drained) continue;
      // Nobody decides the weights of what is not here, and nothing is left to wait for.
      if (this.#ports.mayBeHere(service, server)) services.add(service);
      else this.#drained({ ...override, action: { ...action, drained: true } }, 0);
    }
    this.#watch();
    if (services.size > 0) this.#ports.onChanged([...services]);
  }

  #read(): readonly Override[] {
    const read = readOverrides(this.#files);
    if (read.ok) return read.value;
    this.#ports.onProblem({
      code: 'VK-STATE-DIRECTORY',
      message: `What operators decided about servers is lost: ${read.error}`,
      cure: 'Give the commands (drain, override) again where they are still wanted',
    });
    return [];
  }

  #write(): void {
    if (this.#pending !== null) clearImmediate(this.#pending);
    this.#pending = null;
    const { kept, instead } = this.#files;
    const text = JSON.stringify(this.list());
    const failure = write(kept, text);
    if (failure === null) return forget(instead);
    const forgets = write(instead, text) === null ? 'reboot' : 'restart';
    this.#ports.onProblem({
      code: 'VK-STATE-DIRECTORY',
      message: `What operators decided about servers cannot be kept: ${failure}`,
      cure: `Make the state directory writable (StateDirectory= of systemd); until then a ${forgets} forgets it`,
    });
  }
}

/** Null, or why not. */
function write(file: string, text: string): string | null {
  try {
    makeDirectory(dirname(file));
    replaceFile(file, text);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** What was written in place of a file that can be written again. */
function forget(file: string): void {
  try {
    rmSync(file, { force: true });
  } catch {
    // Nobody could have written it either.
  }
}

function keyOf({ service, server }: Override): string {
  return overrideKey(service, server);
}
