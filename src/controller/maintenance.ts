/**
 * Maintenance windows as time passes: which server is asked to be out now, what begins and ends,
 * and one timer for the next change. The clock is the wall's, and it may be set: it is looked at
 * once a minute at least. A look is made in turns of the event loop, and counts as a whole.
 */
import type { MaintenanceConfig, RealServerConfig, ServiceConfig } from '../core/config/config.ts';
import { allServers } from '../core/health/check-key.ts';
import {
  type MaintenanceWish,
  phaseAt,
  type WindowPhase,
  windowsOf,
  wishOf,
} from '../core/health/maintenance.ts';
import { overrideKey } from '../core/health/override.ts';
import { inTurns } from '../core/in-turns.ts';
import { configuredKey } from '../core/ipvs/entries.ts';
import { Turn } from '../core/turn.ts';
import { TURNS } from '../linux/turns.ts';

export interface MaintenanceChange {
  readonly service: string;
  readonly server: string;
  /** null: no window asks for it any more. */
  readonly before: MaintenanceWish | null;
  readonly after: MaintenanceWish | null;
}

export interface MaintenancePorts {
  readonly nowMs: () => number;
  /** The weights of these servers must be decided anew; several calls for very many of them. */
  readonly onChanged: (changes: readonly MaintenanceChange[]) => void;
}

/** The wall clock may be set, and setTimeout counts another one. */
const LOOK_MS_MAX = 60_000;
/** Services that are looked at between two looks at how long the turn has lasted. */
const SERVICES_PER_LOOK = 32;
/** Changes that are told at once. */
const CHANGES_AT_ONCE = 64;

export class Maintenance {
  readonly #ports: MaintenancePorts;
  #services: readonly ServiceConfig[] = [];
  /** By overrideKey(), of the servers that a window asks for. */
  #wishes = new Map<string, MaintenanceChange>();
  readonly #phases = new Map<MaintenanceConfig, { readonly atMs: number } & WindowPhase>();
  #timer: NodeJS.Timeout | null = null;
  /** Of looks: one that another has taken the place of ends. */
  #latest = 0;

  constructor(ports: MaintenancePorts) {
    this.#ports = ports;
  }

  /** Takes over another configuration; a window that has begun already has begun when it resolves. */
  async configure(services: readonly ServiceConfig[]): Promise<void> {
    const found: ServiceConfig[] = [];
    const add = (service: ServiceConfig): void => {
      if (hasWindows(service)) found.push(service);
    };
    await inTurns(services, add, TURNS);
    this.#services = found;
    this.#phases.clear();
    await this.#look();
  }

  /** What is asked of a server now; null for nothing. */
  wish(service: string, server: string): MaintenanceWish | null {
    if (this.#wishes.size === 0) return null;
    return this.#wishes.get(overrideKey(service, server))?.after ?? null;
  }

  /** When the next window of a server begins; null for never. */
  nextStartMs(service: ServiceConfig, server: RealServerConfig): number | null {
    const starts = windowsOf(service, server).flatMap((window) => {
      const { kind, startMs } = this.#phaseOf(window);
      return kind === 'in' || startMs === null ? [] : [startMs];
    });
    return starts.length === 0 ? null : Math.min(...starts);
  }

  close(): void {
    this.#latest++;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  async #look(): Promise<void> {
    const look = ++this.#latest;
    // The one that follows is set when this one is done: none takes its place by itself.
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const turn = new Turn(TURNS);
    const before = this.#wishes;
    const wishes = new Map<string, MaintenanceChange>();
    const changes: MaintenanceChange[] = [];
    const seen = new Set<string>();
    for (const [index, service] of this.#services.entries()) {
      for (const server of allServers(service)) {
        const after = wishOf(windowsOf(service, server), (window) => this.#phaseOf(window));
        const name = { service: service.name, server: configuredKey(server) };
        const key = overrideKey(name.service, name.server);
        const was = before.get(key)?.after ?? null;
        if (was !== null) seen.add(key);
        if (after !== null) wishes.set(key, { ...name, before: was, after });
        if (!isSame(was, after)) changes.push({ ...name, before: was, after });
      }
      if (index % SERVICES_PER_LOOK !== 0 || !turn.hasLasted()) continue;
      await turn.rest();
      if (look !== this.#latest) return;
    }
    for (const [key, { service, server, after }] of before) {
      if (!seen.has(key)) changes.push({ service, server, before: after, after: null });
    }
    this.#wishes = wishes;
    this.#schedule();
    for (let first = 0; first < changes.length; first += CHANGES_AT_ONCE) {
      if (turn.hasLasted()) await turn.rest();
      this.#ports.onChanged(changes.slice(first, first + CHANGES_AT_ONCE));
    }
  }

  #phaseOf(window: MaintenanceConfig): WindowPhase {
    const nowMs = this.#ports.nowMs();
    const known = this.#phases.get(window);
    const holds = known?.changesMs == null || nowMs < known.changesMs;
    if (known !== undefined && holds && nowMs >= known.atMs) return known;
    const phase = { ...phaseAt(window, nowMs), atMs: nowMs };
    this.#phases.set(window, phase);
    return phase;
  }

  #schedule(): void {
    if (this.#services.length === 0) return;
    const changes = [...this.#phases.values()].flatMap(({ changesMs }) => changesMs ?? []);
    const nextMs = Math.min(...changes, this.#ports.nowMs() + LOOK_MS_MAX);
    const delayMs = Math.max(1, Math.ceil(nextMs - this.#ports.nowMs()));
    this.#timer = setTimeout(() => void this.#look(), delayMs);
  }
}

function hasWindows(service: ServiceConfig): boolean {
  if (service.maintenance.length > 0) return true;
  return allServers(service).some(({ maintenance }) => maintenance.length > 0);
}

function isSame(left: MaintenanceWish | null, right: MaintenanceWish | null): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}
