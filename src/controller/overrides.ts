/**
 * What operators decided about real servers: kept in a file of the runtime directory, so that it
 * outlives reloads and restarts, ended by a timer, and marked as drained when the last connection
 * of a draining server is gone.
 */
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
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
import { replaceFile } from '../keeper/record.ts';
import { makeDirectory } from '../linux/make-directory.ts';

/** What of a server in the kernel tells whether it is drained. */
export type KernelCounts = Pick<
  ServerCounts,
  'weight' | 'activeConnections' | 'inactiveConnections' | 'persistentConnections'
>;

export interface OverridePorts {
  readonly nowMs: () => number;
  /** The weights of these services must be decided anew. */
  readonly onChanged: (services: readonly string[]) => void;
  readonly onEnded: (override: Override) => void;
  readonly onDrained: (override: Override, connectionsLeft: number) => void;
  readonly onProblem: (problem: Problem) => void;
}

/** How often the connections of draining servers are looked at, and ends are looked for. */
const LOOK_INTERVAL_MS = 1_000;

export class Overrides {
  readonly #file: string;
  readonly #ports: OverridePorts;
  readonly #overrides = new Map<string, Override>();
  #timer: NodeJS.Timeout | null = null;

  constructor(file: string, ports: OverridePorts) {
    this.#file = file;
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
    const drained: Override = { ...override, action: { ...action, drained: true } };
    this.#overrides.set(keyOf(override), drained);
    this.#write();
    this.#ports.onDrained(drained, left);
    return drained.action;
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
    else this.close();
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
    for (const { service, action } of this.list()) {
      if (action.kind === 'drain' && !action.drained) services.add(service);
    }
    this.#watch();
    if (services.size > 0) this.#ports.onChanged([...services]);
  }

  #read(): readonly Override[] {
    let text: string;
    try {
      text = readFileSync(this.#file, 'utf8');
    } catch {
      // The first start since boot.
      return [];
    }
    let reason = 'it is not JSON';
    try {
      const overrides = overridesFromJson(JSON.parse(text));
      if (overrides.ok) return overrides.value;
      reason = overrides.error;
    } catch {
      // The reason above says it.
    }
    this.#ports.onProblem({
      code: 'VK-RUNTIME-DIRECTORY',
      message: `What operators decided about servers is lost: ${this.#file} is damaged, ${reason}`,
      cure: 'Give the commands (drain, override) again where they are still wanted',
    });
    return [];
  }

  #write(): void {
    try {
      makeDirectory(dirname(this.#file));
      replaceFile(this.#file, JSON.stringify(this.list()));
    } catch (error) {
      this.#ports.onProblem({
        code: 'VK-RUNTIME-DIRECTORY',
        message: `What operators decided about servers cannot be written: ${error instanceof Error ? error.message : String(error)}`,
        cure: 'Make the runtime directory writable; until then a restart forgets it',
      });
    }
  }
}

function keyOf({ service, server }: Override): string {
  return overrideKey(service, server);
}
