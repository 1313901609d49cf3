/**
 * Maintenance windows as time passes: which server is asked to be out now, what begins and ends,
 * and one timer for the next change. The clock is the wall's, and it may be set: it is looked at
 * once a minute at least.
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
import { serverKey } from '../core/ipvs/model.ts';

export interface MaintenanceChange {
  readonly service: string;
  readonly server: string;
  /** null: no window asks for it any more. */
  readonly before: MaintenanceWish | null;
  readonly after: MaintenanceWish | null;
}

export interface MaintenancePorts {
  readonly nowMs: () => number;
  /** The weights of these servers must be decided anew. */
  readonly onChanged: (changes: readonly MaintenanceChange[]) => void;
}

/** The wall clock may be set, and setTimeout counts another one. */
const LOOK_MS_MAX = 60_000;

export class Maintenance {
  readonly #ports: MaintenancePorts;
  #services: readonly ServiceConfig[] = [];
  /** By overrideKey(), of the servers that a window asks for. */
  #wishes = new Map<string, MaintenanceChange>();
  readonly #phases = new Map<MaintenanceConfig, { readonly atMs: number } & WindowPhase>();
  #timer: NodeJS.Timeout | null = null;

  constructor(ports: MaintenancePorts) {
    this.#ports = ports;
  }

  /** Takes over another configuration; a window that has begun already has begun. */
  configure(services: readonly ServiceConfig[]): void {
    const used = (windows: readonly MaintenanceConfig[]) => windows.length > 0;
    this.#services = services.filter(
      (one) => used(one.maintenance) || allServers(one).some((each) => used(each.maintenance)),
    );
    this.#phases.clear();
    this.#look();
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
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #look(): void {
    const before = this.#wishes;
    const wishes = new Map<string, MaintenanceChange>();
    const changes: MaintenanceChange[] = [];
    for (const service of this.#services) {
      for (const server of allServers(service)) {
        const after = wishOf(windowsOf(service, server), (window) => this.#phaseOf(window));
        const name = { service: service.name, server: serverKey(server) };
        const key = overrideKey(name.service, name.server);
        const was = before.get(key)?.after ?? null;
        if (after !== null) wishes.set(key, { ...name, before: was, after });
        if (!isSame(was, after)) changes.push({ ...name, before: was, after });
      }
    }
    for (const [key, { service, server, after }] of before) {
      const gone = !wishes.has(key) && !changes.some((one) => isOf(one, service, server));
      if (gone) changes.push({ service, server, before: after, after: null });
    }
    this.#wishes = wishes;
    this.#schedule();
    if (changes.length > 0) this.#ports.onChanged(changes);
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
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#services.length === 0) return;
    const changes = [...this.#phases.values()].flatMap(({ changesMs }) => changesMs ?? []);
    const nextMs = Math.min(...changes, this.#ports.nowMs() + LOOK_MS_MAX);
    const delayMs = Math.max(1, Math.ceil(nextMs - this.#ports.nowMs()));
    this.#timer = setTimeout(() => this.#look(), delayMs);
  }
}

function isOf(change: MaintenanceChange, service: string, server: string): boolean {
  return change.service === service && change.server === server;
}

function isSame(left: MaintenanceWish | null, right: MaintenanceWish | null): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}
