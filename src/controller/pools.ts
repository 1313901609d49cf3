/**
 * Decides the weights of all servers (core/health/pool.ts) for the table, and remembers what must
 * be remembered from one decision to the next: whether the quorum was met, and who served. One
 * timer calls for a new decision when a slow start takes its next step.
 */
import { asksForWeight } from '../core/config/check.ts';
import type { AddressFamily, RealServerConfig, ServiceConfig } from '../core/config/config.ts';
import { DEFAULTS } from '../core/config/defaults.ts';
import { servicesByName } from '../core/config/services-by-name.ts';
import { type Consequence, consequenceOf } from '../core/health/consequence.ts';
import type { MaintenanceWish } from '../core/health/maintenance.ts';
import type { Override, OverrideAction } from '../core/health/override.ts';
import type { Target } from '../core/health/override-request.ts';
import {
  decide,
  isSameDecision,
  type PoolDecision,
  type PoolMember,
  type PoolState,
  type PoolWeight,
  type ServerHealth,
} from '../core/health/pool.ts';
import { templatesLeadAstray } from '../core/health/templates.ts';
import { inTurns } from '../core/in-turns.ts';
import {
  configuredKey,
  countsOfServers,
  familyServed,
  type ObservedTable,
  type ServerCounts,
} from '../core/ipvs/entries.ts';
import { LargeMap, LargeSet } from '../core/large-map.ts';

import { TURNS } from '../linux/turns.ts';

/** What the checks say of a server. */
export interface HealthReport {
  readonly health: ServerHealth;
  readonly sinceUs: number | null;
  readonly recoveredAtUs: number | null;
  /** Weight that the check asks for; null for the configured one. */
  readonly checkWeight: number | null;
}

export interface PoolReport {
  readonly quorumMet: boolean | null;
  readonly healthyWeight: number;
  /** Families without a healthy server, while the quorum is met by those of the other one. */
  readonly bereft: readonly AddressFamily[];
  /** Servers that a maintenance window asks for, and that stay in. */
  readonly heldBack: readonly string[];
  readonly weights: ReadonlyMap<string, PoolWeight>;
}

export interface PoolPorts {
  /** Monotonic microseconds. */
  readonly nowUs: () => number;
  readonly health: (server: RealServerConfig) => HealthReport;
  /** What an operator decided about a server; null for nothing. */
  readonly override: (
    service: string,
    server: string,
    counts: ServerCounts | undefined,
  ) => OverrideAction | null;
  /** What a maintenance window asks of a server; null for nothing. */
  readonly maintenance: (service: string, server: string) => MaintenanceWish | null;
  /** Whether a server accepts nothing and should get no new connections for a while. */
  readonly passive: (service: string, server: string) => boolean;
  /** Servers that a maintenance window asks for are needed and stay in, or no longer. */
  readonly onHeldBack: (service: ServiceConfig, servers: readonly string[]) => void;
  /** `templatesLeadAstray` has changed. */
  readonly onTemplates: () => void;
  /** The quorum of a service was lost, or is met again; also when that is first known. */
  readonly onQuorum: (service: ServiceConfig, met: boolean, healthyWeight: number) => void;
  /** A family of a service has no healthy server while the quorum is met, or has one again. */
  readonly onBereft: (service: ServiceConfig, families: readonly AddressFamily[]) => void;
  /** Weights of this service change by the passing of time: the table should follow. */
  readonly onDue: (service: string) => void;
}

/** The slowest step of a slow start is three minutes; setTimeout takes up to 24 days. */
const TIMER_MIN_MS = 1;

export class Pools {
  readonly #ports: PoolPorts;
  readonly #decisions = new LargeMap<PoolDecision>();
  /** Names of the services whose templates lead to servers that are out. */
  readonly #astray = new Set<string>();
  #timer: NodeJS.Timeout | null = null;
  /** When the timer fires, by the monotonic clock; null while it is not set. */
  #timerAtUs: number | null = null;

  constructor(ports: PoolPorts) {
    this.#ports = ports;
  }

  /** Forgets services that are no longer configured, in turns. */
  async keep(services: readonly ServiceConfig[]): Promise<void> {
    const names = new LargeSet();
    await inTurns(services, ({ name }) => void names.add(name), TURNS);
    const forget = (name: string) => {
      if (names.has(name)) return;
      this.#decisions.delete(name);
      this.#lead(name, false);
    };
    await inTurns(this.#decisions.keys(), forget, TURNS);
  }

  /** Weights of a service's servers by their keys, now; `observed`: the table as in the kernel. */
  decide(service: ServiceConfig, observed: ObservedTable): PoolDecision['weights'] {
    const before = this.#decisions.get(service.name);
    const kernel = countsOfServers(service, observed);
    const decided = this.#decisionOf(service, kernel, (key) =>
      this.#ports.override(service.name, key, kernel.get(key)),
    );
    const decision = before !== undefined && isSameDecision(decided, before) ? before : decided;
    this.#decisions.set(service.name, decision);
    const met = decision.state.quorumMet;
    if (met !== null && met !== (before?.state.quorumMet ?? null)) {
      this.#ports.onQuorum(service, met, decision.healthyWeight);
    }
    if (decision.bereft.join() !== (before?.bereft ?? []).join()) {
      this.#ports.onBereft(service, decision.bereft);
    }
    if (decision.heldBack.join() !== (before?.heldBack ?? []).join()) {
      this.#ports.onHeldBack(service, decision.heldBack);
    }
    const templatesOf = (key: string) => kernel.get(key)?.persistentConnections ?? 0;
    const persistent = service.persistence !== null;
    this.#lead(service.name, persistent && templatesLeadAstray(decision.weights, templatesOf));
    this.#schedule(decision.nextAtUs);
    return decision.weights;
  }

  /**
   * What would become of services if operators had decided this of their servers; null takes a
   * decision back. Made in turns, and changes nothing.
   */
  consequencesOf(
    services: readonly ServiceConfig[],
    observed: ObservedTable,
    decided: Iterable<Target & { readonly after: Override | null }>,
  ): Promise<readonly Consequence[]> {
    const actions = new Map<string, Map<string, OverrideAction | null>>();
    for (const { service, server, after } of decided) {
      const ofService = actions.get(service) ?? new Map<string, OverrideAction | null>();
      actions.set(service, ofService.set(server, after?.action ?? null));
    }
    const byName = servicesByName(services);
    const meant = [...actions.keys()].flatMap((name) => byName.get(name) ?? []);
    const consequence = (service: ServiceConfig) =>
      this.#consequenceOf(service, observed, actions.get(service.name) ?? new Map());
    return inTurns(meant, consequence, TURNS);
  }

  #consequenceOf(
    service: ServiceConfig,
    observed: ObservedTable,
    actions: ReadonlyMap<string, OverrideAction | null>,
  ): Consequence {
    const kernel = countsOfServers(service, observed);
    const now = (key: string) => this.#ports.override(service.name, key, kernel.get(key));
    const before = this.#decisionOf(service, kernel, now);
    const after = this.#decisionOf(service, kernel, (key) => {
      const action = actions.get(key);
      return action === undefined ? now(key) : action;
    });
    return consequenceOf(service, before, after);
  }

  #decisionOf(
    service: ServiceConfig,
    kernel: ReadonlyMap<string, ServerCounts>,
    override: (key: string) => OverrideAction | null,
  ): PoolDecision {
    const familyOf = familyServed(service.entries);
    const member = (server: RealServerConfig): PoolMember => {
      const key = configuredKey(server);
      const { health, sinceUs, recoveredAtUs, checkWeight } = this.#ports.health(server);
      return {
        key,
        family: familyOf(server),
        weight: server.weight,
        initial: server.check?.initial ?? DEFAULTS.check.initial,
        health,
        sinceUs,
        recoveredAtUs,
        checkWeight,
        dynamic: server.check !== null && asksForWeight(server.check),
        kernelWeight: kernel.get(key)?.weight ?? null,
        override: override(key),
        maintenance: this.#ports.maintenance(service.name, key),
        passive: this.#ports.passive(service.name, key),
      };
    };
    return decide(
      service,
      this.#decisions.get(service.name)?.state ?? null,
      service.servers.map(member),
      service.sorryServers.map(member),
      this.#ports.nowUs(),
    );
  }

  /** Templates of persistent clients lead to servers that are out: they should expire. */
  get templatesLeadAstray(): boolean {
    return this.#astray.size > 0;
  }

  /** These services leave the table, and their templates with them. */
  async left(services: readonly string[]): Promise<void> {
    await inTurns(services, (name) => this.#lead(name, false), TURNS);
  }

  #lead(service: string, astray: boolean): void {
    const before = this.templatesLeadAstray;
    if (astray) this.#astray.add(service);
    else this.#astray.delete(service);
    if (this.templatesLeadAstray !== before) this.#ports.onTemplates();
  }

  /** As last decided; null before that. */
  report(service: string): PoolReport | null {
    const decision = this.#decisions.get(service);
    if (decision === undefined) return null;
    const { healthyWeight, bereft, weights, state, heldBack } = decision;
    return { quorumMet: state.quorumMet, healthyWeight, bereft, weights, heldBack };
  }

  /** What must be remembered of each service, by name. */
  states(): Promise<readonly (readonly [string, PoolState])[]> {
    return inTurns(this.#decisions, ([name, { state }]) => [name, state] as const, TURNS);
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** Sets the timer for a decision, unless it fires before that anyway. */
  #schedule(nextAtUs: number | null): void {
    if (nextAtUs === null || (this.#timerAtUs !== null && this.#timerAtUs <= nextAtUs)) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    const delayMs = Math.max(TIMER_MIN_MS, Math.ceil((nextAtUs - this.#ports.nowUs()) / 1000));
    this.#timerAtUs = nextAtUs;
    this.#timer = setTimeout(() => this.#due(), delayMs);
  }

  #due(): void {
    this.#timerAtUs = null;
    const nowUs = this.#ports.nowUs();
    let laterUs: number | null = null;
    for (const [name, { nextAtUs }] of this.#decisions) {
      if (nextAtUs === null) continue;
      if (nextAtUs <= nowUs) this.#ports.onDue(name);
      else if (laterUs === null || nextAtUs < laterUs) laterUs = nextAtUs;
    }
    this.#schedule(laterUs);
  }
}
