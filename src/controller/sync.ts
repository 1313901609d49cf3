/**
 * Makes the kernel's connection sync daemon follow a VRRP instance: at every transition, and on
 * the reconcile interval, because other tools can stop it too.
 */
import type { SyncConfig } from '../core/config/config.ts';
import {
  planDaemons,
  type SyncOperation,
  type SyncRole,
  syncRole,
} from '../core/ipvs/sync-daemons.ts';
import type { Problem } from '../core/problem.ts';
import { ok, type Result } from '../core/result.ts';
import type { VrrpStateName } from '../core/vrrp/types.ts';
import type { IpvsClient } from '../linux/ipvs/client.ts';

export interface SyncPorts {
  readonly client: IpvsClient;
  /**
   * Our servers in the table, by their paths, that the kernel has no sync daemon beside and that
   * are on their way out.
   */
  readonly waitsFor: () => readonly string[];
  /** It waits for these, told once; `report` says for how many it still does. */
  readonly onWait: (servers: readonly string[]) => void;
  readonly onRole: (role: SyncRole) => void;
  readonly onProblem: (problem: Problem) => void;
}

export class SyncDaemonFollower {
  readonly #config: SyncConfig;
  readonly #ports: SyncPorts;
  readonly #timer: NodeJS.Timeout;
  #wanted: SyncRole | null = null;
  #role: SyncRole | null = null;
  #error: string | null = null;
  #waitsFor = 0;

  constructor(config: SyncConfig, intervalMs: number, ports: SyncPorts) {
    this.#config = config;
    this.#ports = ports;
    this.#timer = setInterval(() => this.#reconcile(), intervalMs);
  }

  get config(): SyncConfig {
    return this.#config;
  }

  /** Role as last set in the kernel, why the last attempt failed, and for how many it waits. */
  report(): {
    readonly role: SyncRole | null;
    readonly error: string | null;
    readonly waitsFor: number;
  } {
    return { role: this.#role, error: this.#error, waitsFor: this.#waitsFor };
  }

  /** Entries were deleted: what it waits for may be gone. */
  entriesDeleted(): void {
    if (this.#waitsFor > 0) this.#reconcile();
  }

  follow(state: VrrpStateName): void {
    this.#wanted = syncRole(state);
    this.#reconcile();
  }

  /** Stops our daemon, if it runs. */
  close(): void {
    clearInterval(this.#timer);
    this.#wanted = null;
    if (this.#role === null) return;
    const stopped = this.#ports.client.stopDaemon(this.#role);
    if (!stopped.ok) this.#ports.onProblem(stopped.error);
  }

  #reconcile(): void {
    const role = this.#wanted;
    if (role === null) return;
    const result = this.#apply(role);
    if (!result.ok) {
      // Told once, not on every interval.
      if (result.error.message !== this.#error) this.#ports.onProblem(result.error);
      this.#error = result.error.message;
      return;
    }
    this.#error = null;
    if (this.#waitsFor > 0) return;
    if (this.#role !== role) this.#ports.onRole(role);
    this.#role = role;
  }

  #apply(role: SyncRole): Result<null, Problem> {
    const { client } = this.#ports;
    const observed = client.daemons();
    if (!observed.ok) return observed;
    const operations = planDaemons(this.#config, role, observed.value);
    if (this.#mustWait(operations)) return ok(null);
    for (const operation of operations) {
      const result =
        operation.kind === 'start-daemon'
          ? client.startDaemon(operation)
          : client.stopDaemon(operation.role);
      if (!result.ok) return result;
    }
    return ok(null);
  }

  /** Starting it now would only have it refused. */
  #mustWait(operations: readonly SyncOperation[]): boolean {
    const starts = operations.some(({ kind }) => kind === 'start-daemon');
    const servers = starts ? this.#ports.waitsFor() : [];
    if (servers.length > 0 && this.#waitsFor === 0) this.#ports.onWait(servers);
    this.#waitsFor = servers.length;
    return servers.length > 0;
  }
}
