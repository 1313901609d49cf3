/**
 * Servers that were taken out of the configuration and wait in the table for their connections to
 * end (core/ipvs/leaving.ts decides). They are kept by the entries that they leave, so that a look
 * at one service costs nothing for the others, and in a file of the runtime directory, so that a
 * restart does not begin their time anew. A timer has their entries looked at.
 */
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import {
  type ConfiguredEntry,
  type Leaving,
  type LeavingLook,
  type LeavingPolicy,
  leavingFromJson,
  leavingPath,
  look,
} from '../core/ipvs/leaving.ts';
import { type ObservedService, serviceKey } from '../core/ipvs/model.ts';
import type { OwnedSet } from '../core/ipvs/owned.ts';
import type { Problem } from '../core/problem.ts';
import { replaceFile } from '../keeper/record.ts';
import { makeDirectory } from '../linux/make-directory.ts';

/** How often the connections of leaving servers are looked at. */
const LOOK_MS = 1_000;

export interface LeavingPorts {
  /** Which servers leave has changed: those that begin, and those that are gone. */
  readonly onLeaving: (began: readonly Leaving[], ended: LeavingLook['ended']) => void;
  /** These entries, by their keys, should be compared again. */
  readonly onDue: (entries: readonly string[]) => void;
  readonly onProblem: (problem: Problem) => void;
}

/** Entries that are looked at together, as they are in the kernel. */
export interface LookedAt {
  readonly keys: readonly string[];
  readonly observed: readonly ObservedService[];
  readonly configured: ReadonlyMap<string, ConfiguredEntry>;
  readonly owned: OwnedSet;
  /** For entries that are not configured. */
  readonly policy: LeavingPolicy;
  readonly nameOf: (entry: string) => string | null;
}

export class LeavingServers {
  readonly #file: string;
  readonly #ports: LeavingPorts;
  /** By the keys of entries, then by leavingPath(). */
  readonly #leaving = new Map<string, ReadonlyMap<string, Leaving>>();
  #unwritten = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(file: string, ports: LeavingPorts) {
    this.#file = file;
    this.#ports = ports;
    for (const one of readLeaving(file)) {
      const others = this.#leaving.get(one.entry) ?? [];
      this.#leaving.set(one.entry, new Map([...others, [leavingPath(one), one]]));
    }
  }

  list(): readonly Leaving[] {
    return [...this.#leaving.values()].flatMap((servers) => [...servers.values()]);
  }

  /** Whether servers of this entry were leaving at the last look. */
  has(entry: string): boolean {
    return this.#leaving.has(entry);
  }

  /** Who leaves these entries now; `write` must follow. */
  look({ keys, ...entries }: LookedAt): LeavingLook {
    const before = new Map(keys.flatMap((key) => [...(this.#leaving.get(key) ?? [])]));
    const found = look({ ...entries, before, nowMs: Date.now() });
    this.#watch();
    const began = [...found.leaving].flatMap(([path, one]) => (before.has(path) ? [] : [one]));
    if (began.length === 0 && found.leaving.size === before.size) return found;
    for (const key of keys) this.#leaving.delete(key);
    for (const { service } of entries.observed) {
      const key = serviceKey(service.identity);
      const servers = [...found.leaving].filter(([, one]) => one.entry === key);
      if (servers.length > 0) this.#leaving.set(key, new Map(servers));
    }
    this.#unwritten = true;
    this.#watch();
    this.#ports.onLeaving(began, found.ended);
    return found;
  }

  /** Writes down what the looks since the last call have changed. */
  write(): void {
    if (!this.#unwritten) return;
    this.#unwritten = false;
    try {
      makeDirectory(dirname(this.#file));
      replaceFile(this.#file, JSON.stringify(this.list()));
    } catch (error) {
      this.#ports.onProblem({
        code: 'VK-RUNTIME-DIRECTORY',
        message: `The list of servers that leave cannot be written: ${error instanceof Error ? error.message : String(error)}`,
        cure: 'Make the runtime directory writable; until then a restart begins their time anew',
      });
    }
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  #watch(): void {
    if (this.#leaving.size === 0) this.close();
    else this.#timer ??= setInterval(() => this.#ports.onDue([...this.#leaving.keys()]), LOOK_MS);
  }
}

/** Nothing at the first start since boot, or of a damaged file: whoever leaves begins anew. */
function readLeaving(path: string): readonly Leaving[] {
  try {
    const leaving = leavingFromJson(JSON.parse(readFileSync(path, 'utf8')));
    return leaving.ok ? leaving.value : [];
  } catch {
    return [];
  }
}
