/**
 * Keeps the kernel's IPVS table equal to what is wanted: the whole table is compared and repaired
 * on an interval (the kernel tells nobody of changes), one service at once when a server's health
 * changes. The comparison goes from service to service, and whatever changed meanwhile is
 * programmed between two of them: a change of one server costs the work of its service, and waits
 * for no more than one other.
 *
 *   changed, reconfigure ──> services that changed ──┐
 *   interval ──────────────> all, one by one ────────┴─> read, plan, own ──> batch ──> kernel
 *
 * Ownership is written down before the kernel is changed, so that a crash in between cannot turn
 * our entries into foreign ones.
 */
import { setImmediate } from 'node:timers/promises';
import type {
  IpvsConfig,
  ServiceConfig,
  ServiceEntry,
  ServiceIdentity,
} from '../core/config/config.ts';
import type { PoolWeight } from '../core/health/pool.ts';
import { apply } from '../core/ipvs/apply.ts';
import { desiredEntry } from '../core/ipvs/desired.ts';
import { driftOf } from '../core/ipvs/drift.ts';
import { configuredEntries, type ObservedTable } from '../core/ipvs/entries.ts';
import { type Leaving, withLeaving } from '../core/ipvs/leaving.ts';
import {
  type DesiredService,
  type IpvsOperation,
  type ObservedService,
  serverKey,
  serviceKey,
} from '../core/ipvs/model.ts';
import { claimed, disowned, type OwnedJson, ownedToJson, vanished } from '../core/ipvs/owned.ts';
import { plan, planService, serverPath } from '../core/ipvs/plan.ts';
import type { Problem } from '../core/problem.ts';
import { ok, type Result } from '../core/result.ts';
import { sameData } from '../core/same-data.ts';
import { monotonicUs } from '../linux/clock.ts';
import type { IpvsClient } from '../linux/ipvs/client.ts';
import { type LeavingPorts, LeavingServers } from './leaving-servers.ts';
import { OwnedFile } from './owned-file.ts';

/** Operations that are handed to the kernel together: one send of the client's. */
const BATCH_SIZE = 256;
/** Services that changed together and are read before the first of them is programmed. */
const BATCH_SERVICES = 32;
/** Between two turns of the event loop, while nothing has to be read from the kernel. */
const TURN_US = 4_000;
/** How often a service is read again when the kernel's table was not as it had been read. */
const RETRIES_MAX = 2;

export type ChangeCause = 'plan' | 'drift';

export interface TableReport {
  readonly reconciles: number;
  readonly lastReconcileAtMs: number | null;
  readonly lastReconcileUs: number | null;
  readonly lastError: string | null;
  readonly operations: Readonly<Record<string, number>>;
  readonly operationErrors: number;
  readonly drift: Readonly<Record<string, number>>;
  readonly foreignServices: number;
  readonly foreignServers: number;
  /** As last read from the kernel, by service key. */
  readonly observed: ObservedTable;
}

export interface TablePorts {
  readonly client: IpvsClient;
  /** Weights of a service's servers by their keys; `observed`: the table as in the kernel. */
  readonly weights: (
    service: ServiceConfig,
    observed: ObservedTable,
  ) => ReadonlyMap<string, PoolWeight>;
  /**
   * Whether an entry should be in the table: false while its VRRP instance is not active here,
   * null while nobody knows, when it stays as it is.
   */
  readonly wanted: (service: ServiceConfig, entry: ServiceEntry) => boolean | null;
  /** The whole table was compared; `observed` as it was read. */
  readonly onCompared: (observed: ObservedTable) => void;
  /** Which servers leave has changed: those that begin, and those that are gone. */
  readonly onLeaving: LeavingPorts['onLeaving'];
  readonly onChanges: (operations: readonly IpvsOperation[], cause: ChangeCause) => void;
  readonly onProblem: (problem: Problem) => void;
}

export interface TableOptions {
  readonly services: readonly ServiceConfig[];
  readonly ipvs: IpvsConfig;
  /** File that remembers which entries are ours. */
  readonly ownedFile: string;
  /** File that remembers which servers leave, since when and until when. */
  readonly leavingFile: string;
}

/** An operation that was planned and not yet handed to the kernel. */
interface Planned {
  readonly operation: IpvsOperation;
  /** Of its service. */
  readonly key: string;
  readonly cause: ChangeCause;
}

/** Some entries of the kernel's table, by their keys; null for one that is not there. */
type Read = ReadonlyMap<string, ObservedService | null>;

/** What went wrong in a comparison of the whole table, and of changes since. */
interface Troubles {
  /** Messages of present problems: each is told once, however often it is met. */
  readonly told: Set<string>;
  /** Keys, as in drift items, of entries that the kernel refused. */
  readonly refused: Set<string>;
  lastError: string | null;
}

export class Table {
  #options: TableOptions;
  readonly #ports: TablePorts;
  readonly #owned: OwnedFile;
  /** By the keys of their entries. */
  readonly #byKey = new Map<string, ServiceConfig>();
  readonly #byName = new Map<string, ServiceConfig>();
  /** Services to be compared before anything else: configured ones by their names. */
  readonly #dirty = new Set<string>();
  /** The same of entries that are not configured any more, by their keys. */
  readonly #removed = new Set<string>();
  /** Names of the services that the entries had which the last configuration removed. */
  readonly #formerNames = new Map<string, string>();
  readonly #leaving: LeavingServers;
  /** Entries as they were last read or programmed. */
  readonly #observed = new Map<string, ObservedService>();
  /** Keys of entries that were compared since the comparison of the whole table began. */
  readonly #touched = new Set<string>();
  readonly #batch: Planned[] = [];
  /** Services that are wanted and were planned: ours before the kernel is changed. */
  readonly #claims: DesiredService[] = [];
  /** Deletions come after the changes of all services; by the keys of entries, as last planned. */
  readonly #deletions = new Map<string, Planned[]>();
  /** How often entries were read again, by their keys. */
  readonly #retries = new Map<string, number>();
  /** What stays although it is not desired, by service key. */
  readonly #foreign = new Map<string, { readonly services: number; readonly servers: number }>();
  /** Resolved when no service is left that changed. */
  readonly #waiting: (() => void)[] = [];
  /** The latest batch that was handed to the kernel. */
  #flushing: Promise<void> = Promise.resolve();
  /** Raised when the table is changed beside a service that is being read. */
  #epoch = 0;
  #fullWanted = false;
  #working: Promise<void> | null = null;
  #refreshing: Promise<ReadonlyMap<string, ObservedService> | null> | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** The whole table was compared at least once: what differs from then on is known. */
  #settled = false;
  #closed = false;
  #reconciles = 0;
  #lastReconcileAtMs: number | null = null;
  #lastReconcileUs: number | null = null;
  #operationErrors = 0;
  #troubles = noTroubles();
  /** Those of the comparison that is under way; null between two. */
  #nextTroubles: Troubles | null = null;
  readonly #operations: Record<string, number> = {};
  readonly #drift: Record<string, number> = { missing: 0, altered: 0, leftover: 0 };

  constructor(options: TableOptions, ports: TablePorts) {
    this.#options = options;
    this.#ports = ports;
    this.#owned = new OwnedFile(options.ownedFile, ports.onProblem);
    this.#leaving = new LeavingServers(options.leavingFile, {
      onLeaving: ports.onLeaving,
      onDue: (keys) => this.#lookAgain(keys),
      onProblem: ports.onProblem,
    });
    this.#index();
    // All of them are compared at the start.
    this.#dirty.clear();
  }

  /** First comparison now, further ones on the interval. Resolves when the first is done. */
  start(): Promise<void> {
    this.#schedule();
    return this.reconcile();
  }

  /** Compares and repairs the whole table. */
  reconcile(): Promise<void> {
    this.#fullWanted = true;
    return this.#work();
  }

  /** The health of a server of these services changed: their entries follow at once. */
  changed(serviceNames: Iterable<string>): void {
    for (const name of serviceNames) this.#dirty.add(name);
    void this.#work();
  }

  /**
   * These services are wanted from now on: they are programmed in this very turn of the event
   * loop, from what is known of the table, and compared with it afterwards.
   */
  activate(serviceNames: readonly string[]): void {
    if (this.#closed) return;
    this.#epoch++;
    for (const name of serviceNames) {
      const service = this.#byName.get(name);
      if (service === undefined) continue;
      for (const [key, desired] of this.#desired(service)) {
        const observed = this.#observed.get(key) ?? null;
        this.#plan(key, { desired, observed, known: observed });
        // What is to go can wait for the comparison, which knows its connections.
        this.#deletions.delete(key);
        this.#touched.add(key);
      }
    }
    void this.#flush();
    this.changed(serviceNames);
  }

  /**
   * Takes over another configuration. Services that are the same objects are left alone; entries
   * that it lacks are deleted if they are ours. Resolves when the table is as configured.
   */
  async reconfigure(options: TableOptions): Promise<void> {
    const before = this.#options.ipvs;
    this.#options = options;
    this.#index();
    if (before.reconcileIntervalUs !== options.ipvs.reconcileIntervalUs) this.#schedule();
    if (!sameData(before, options.ipvs)) return this.reconcile();
    if (!this.#isDirty || this.#closed) return;
    const done = new Promise<void>((resolve) => this.#waiting.push(resolve));
    void this.#work();
    // Not the end of a comparison of all that happens to be under way.
    return done;
  }

  /** Ends the repairs; removes our entries if so configured. Resolves when the kernel is done. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#leaving.close();
    await this.#working;
    if (this.#options.ipvs.onStop === 'keep') return;
    this.#batch.length = 0;
    this.#deletions.clear();
    const observed = await this.#ports.client.dump();
    if (!observed.ok) return this.#ports.onProblem(observed.error);
    // Never 'exclusive' here: on the way out, foreign entries are not ours to clear away.
    const input = { desired: [], observed: observed.value, owned: this.#owned.entries };
    const { operations } = plan({ ...input, ownership: 'shared' });
    for (const operation of operations) {
      this.#batch.push({ operation, key: keyOf(operation), cause: 'plan' });
    }
    await this.#flush();
  }

  /** Servers that are no longer configured and wait for their connections to end. */
  leaving(): readonly Leaving[] {
    return this.#leaving.list();
  }

  /** Which entries are ours. */
  owned(): OwnedJson {
    return ownedToJson(this.#owned.entries);
  }

  /** `observed`: the table as refresh() has just read it; null for what is known of it. */
  report(observed: ReadonlyMap<string, ObservedService> | null = null): TableReport {
    let [foreignServices, foreignServers] = [0, 0];
    for (const { services, servers } of this.#foreign.values()) {
      foreignServices += services;
      foreignServers += servers;
    }
    return {
      reconciles: this.#reconciles,
      lastReconcileAtMs: this.#lastReconcileAtMs,
      lastReconcileUs: this.#lastReconcileUs,
      lastError: this.#troubles.lastError,
      operations: { ...this.#operations },
      operationErrors: this.#operationErrors,
      drift: { ...this.#drift },
      foreignServices,
      foreignServers,
      observed: observed ?? this.#observed,
    };
  }

  /**
   * Reads the kernel's table now, for a status with fresh counters; null when it cannot. What is
   * known of the table stays as it is: else a repair would look like our own wish.
   */
  refresh(): Promise<ReadonlyMap<string, ObservedService> | null> {
    this.#refreshing ??= this.#readAll().finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  async #readAll(): Promise<ReadonlyMap<string, ObservedService> | null> {
    const observed = await this.#ports.client.dump();
    if (!observed.ok) return null;
    return new Map(observed.value.map((entry) => [serviceKey(entry.service.identity), entry]));
  }

  /** Takes the services of the options over; those that are not as before are to be compared. */
  #index(): void {
    const gone = new Map(this.#byKey);
    const before = new Map(this.#byName);
    this.#formerNames.clear();
    this.#byName.clear();
    this.#byKey.clear();
    for (const service of this.#options.services) {
      const { name, entries } = service;
      this.#byName.set(name, service);
      for (const { identity } of entries) {
        const key = serviceKey(identity);
        this.#byKey.set(key, service);
        gone.delete(key);
        this.#removed.delete(key);
      }
      if (before.get(name) !== service) this.#dirty.add(name);
    }
    for (const [key, { name }] of gone) {
      this.#removed.add(key);
      this.#formerNames.set(key, name);
    }
  }

  #lookAgain(keys: readonly string[]): void {
    for (const key of keys) {
      const service = this.#byKey.get(key);
      if (service === undefined) this.#removed.add(key);
      else this.#dirty.add(service.name);
    }
    void this.#work();
  }

  get #isDirty(): boolean {
    return this.#dirty.size > 0 || this.#removed.size > 0;
  }

  /** The interval counts from the end of a comparison: a long one leaves room for others. */
  #schedule(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#closed) return;
    const intervalMs = this.#options.ipvs.reconcileIntervalUs / 1000;
    this.#timer = setTimeout(() => {
      void this.reconcile().finally(() => this.#schedule());
    }, intervalMs);
  }

  #work(): Promise<void> {
    this.#working ??= this.#drainRequests();
    return this.#working;
  }

  async #drainRequests(): Promise<void> {
    try {
      // What begins in a later turn of the microtasks finds `#working` set.
      await null;
      while (!this.#closed) {
        if (this.#isDirty) await this.#compareChanged();
        else if (this.#fullWanted) {
          this.#fullWanted = false;
          await this.#compareAll();
        } else break;
      }
    } finally {
      // In the same moment as the last look at what is wanted: nothing falls between.
      this.#working = null;
    }
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** Programs the services that changed: some are read, then all of them change at once. */
  async #compareChanged(): Promise<void> {
    // What is planned already must be there when a service is read.
    await this.#flush();
    const compared = new Set<string>();
    for (const name of this.#dirty) {
      if (this.#closed || compared.has(name) || compared.size === BATCH_SERVICES) break;
      this.#dirty.delete(name);
      compared.add(name);
      const service = this.#byName.get(name);
      if (service !== undefined) await this.#compareService(service);
    }
    await this.#flush();
    if (this.#dirty.size === 0) await this.#compareRemoved();
    await this.#flushDeletions();
    if (!this.#isDirty) this.#wake();
  }

  /** Entries that are not configured any more, after all that took their place. */
  async #compareRemoved(): Promise<void> {
    for (const key of this.#removed) {
      if (this.#closed || this.#deletions.size >= BATCH_SIZE) return;
      this.#removed.delete(key);
      const identity = this.#observed.get(key)?.service.identity;
      const read = await this.#read(identity === undefined ? [] : [identity]);
      if (!read.ok) this.#tell(read.error);
      else if (!this.#byKey.has(key)) this.#compare(null, read.value);
    }
  }

  async #compareService(service: ServiceConfig): Promise<void> {
    const epoch = this.#epoch;
    const read = await this.#read(service.entries.map(({ identity }) => identity));
    if (!read.ok) return this.#tell(read.error);
    // What was read may be older than what was programmed since.
    const outdated = epoch !== this.#epoch || this.#byName.get(service.name) !== service;
    if (outdated) this.#dirty.add(service.name);
    else this.#compare(service, read.value);
  }

  async #read(identities: readonly ServiceIdentity[]): Promise<Result<Read, Problem>> {
    const found = new Map<string, ObservedService | null>();
    for (const identity of identities) {
      const observed = await this.#ports.client.dumpService(identity);
      if (!observed.ok) return observed;
      found.set(serviceKey(identity), observed.value);
    }
    return ok(found);
  }

  async #compareAll(): Promise<void> {
    const startedUs = monotonicUs();
    this.#touched.clear();
    this.#retries.clear();
    const troubles = noTroubles();
    this.#nextTroubles = troubles;
    const services = await this.#ports.client.dumpServices();
    if (!services.ok) return this.#abandon(services.error);
    const unconfigured = [...services.value.keys()].filter((key) => !this.#byKey.has(key));
    let turnEndsUs = monotonicUs() + TURN_US;
    for (const unit of [...this.#options.services, ...unconfigured]) {
      if (this.#closed) return;
      if (this.#isDirty) await this.#compareChanged();
      const service = typeof unit === 'string' ? null : unit;
      const keys = service?.entries.map(({ identity }) => serviceKey(identity)) ?? [unit as string];
      const read = await this.#readServers(keys, services.value);
      if (!read.ok) return this.#abandon(read.error);
      if (read.value !== null && this.#isConfigured(unit)) this.#compare(service, read.value);
      if (Math.max(this.#batch.length, this.#claims.length) >= BATCH_SIZE) await this.#flush();
      if (monotonicUs() < turnEndsUs) continue;
      await setImmediate();
      turnEndsUs = monotonicUs() + TURN_US;
    }
    await this.#flush();
    await this.#flushDeletions();
    while (this.#isDirty && !this.#closed) await this.#compareChanged();
    this.#forgetAllBut(services.value);
    this.#nextTroubles = null;
    this.#troubles = troubles;
    this.#settled = true;
    this.#reconciles++;
    this.#lastReconcileAtMs = Date.now();
    this.#lastReconcileUs = monotonicUs() - startedUs;
    this.#ports.onCompared(this.#observed);
  }

  /** False for what another configuration has taken the place of: that is compared by itself. */
  #isConfigured(unit: ServiceConfig | string): boolean {
    if (typeof unit === 'string') return !this.#byKey.has(unit);
    return this.#byName.get(unit.name) === unit;
  }

  /**
   * Entries with their servers as they are now, of services that were read before; null when one
   * was compared or programmed since then, or while its servers were read.
   */
  async #readServers(
    keys: readonly string[],
    services: ReadonlyMap<string, Omit<ObservedService, 'servers'>>,
  ): Promise<Result<Read | null, Problem>> {
    const found = new Map<string, ObservedService | null>();
    const touched = () => keys.some((key) => this.#touched.has(key));
    if (touched()) return ok(null);
    for (const key of keys) {
      const entry = services.get(key);
      if (entry === undefined) found.set(key, null);
      else {
        const servers = await this.#ports.client.dumpServers(entry.service.identity);
        if (!servers.ok) return servers;
        found.set(key, { ...entry, servers: servers.value });
      }
    }
    return ok(touched() ? null : found);
  }

  /** What is neither wanted nor there any more. */
  #forgetAllBut(keys: ReadonlyMap<string, unknown>): void {
    const gone = (key: string) =>
      !keys.has(key) && !this.#touched.has(key) && !this.#byKey.has(key);
    for (const key of this.#observed.keys()) if (gone(key)) this.#note(key, null);
    const lost = [...this.#owned.entries.keys()].filter(gone);
    this.#owned.change(lost.map((service) => ({ kind: 'disown-service', service })));
  }

  /** Takes note of a service's entries as they were read just now, and plans their changes. */
  #compare(service: ServiceConfig | null, read: Read): void {
    const before = new Map<string, ObservedService | null>();
    for (const [key, observed] of read) {
      before.set(key, this.#observed.get(key) ?? null);
      this.#note(key, observed);
      this.#touched.add(key);
    }
    const undecided = service === null ? NONE : this.#undecided(service);
    const decided = new Map([...read].filter(([key]) => !undecided.has(key)));
    const desired = this.#desiredOf(service, decided);
    for (const [key, observed] of decided) {
      const known = before.get(key) ?? null;
      this.#plan(key, { desired: desired.get(key) ?? null, observed, known });
    }
  }

  /** What is wanted of these entries, and what is to stay for a while of what was. */
  #desiredOf(service: ServiceConfig | null, read: Read): ReadonlyMap<string, DesiredService> {
    const wanted = service === null ? [] : this.#desired(service).values();
    const observed = [...read.values()].filter((entry) => entry !== null);
    const configured = configuredEntries(service === null ? [] : [service]);
    const { onRemove, drainTimeoutUs } = this.#options.ipvs;
    const look = this.#leaving.look({
      ...{ keys: [...read.keys()], observed, configured, owned: this.#owned.entries },
      policy: { onRemove, drainTimeoutUs },
      nameOf: (key) => this.#formerNames.get(key) ?? null,
    });
    const desired = withLeaving([...wanted], observed, look, configured);
    return new Map(desired.map((entry) => [serviceKey(entry.service.identity), entry]));
  }

  /** Entries stay as they are while nobody knows whether they are wanted. */
  #undecided(service: ServiceConfig): ReadonlySet<string> {
    const entries = service.entries.filter((one) => this.#ports.wanted(service, one) === null);
    return new Set(entries.map(({ identity }) => serviceKey(identity)));
  }

  #note(key: string, entry: ObservedService | null): void {
    if (entry !== null) this.#observed.set(key, entry);
    else {
      this.#observed.delete(key);
      this.#foreign.delete(key);
    }
  }

  /**
   * Plans the changes of one entry, and claims what they make. `observed` is the entry in the
   * kernel, `known` what was known before that was read; the same when nothing was read.
   */
  #plan(
    key: string,
    {
      desired,
      observed,
      known,
    }: {
      readonly desired: DesiredService | null;
      readonly observed: ObservedService | null;
      readonly known: ObservedService | null;
    },
  ): void {
    const owned = this.#owned.of(key);
    const { ownership } = this.#options.ipvs;
    const found = planService({ desired, observed, owned, ownership });
    if (found.foreign.services + found.foreign.servers > 0) this.#foreign.set(key, found.foreign);
    else this.#foreign.delete(key);
    const drift = this.#settled ? driftOf(found.drift, key, { known, observed }) : [];
    for (const item of drift) this.#drift[item.class] = (this.#drift[item.class] ?? 0) + 1;
    const drifted = new Set(drift.map((item) => item.key));
    const deletions: Planned[] = [];
    for (const operation of found.operations) {
      const cause = drifted.has(driftKey(operation, key)) ? 'drift' : 'plan';
      const deletes = operation.kind === 'delete-service' || operation.kind === 'delete-server';
      (deletes ? deletions : this.#batch).push({ operation, key, cause });
    }
    if (deletions.length > 0) this.#deletions.set(key, deletions);
    else this.#deletions.delete(key);
    this.#owned.change(vanished(this.#owned.entries, key, [desired, observed]));
    if (desired !== null) this.#claims.push(desired);
  }

  /** The entries of a service that are wanted now, by their keys. */
  #desired(service: ServiceConfig): ReadonlyMap<string, DesiredService> {
    const wanted = service.entries.filter((entry) => this.#ports.wanted(service, entry) === true);
    if (wanted.length === 0) return new Map();
    const weights = this.#ports.weights(service, this.#observed);
    const weightOf = (_name: string, key: string) => weights.get(key)?.weight ?? null;
    return new Map(
      wanted.map(({ identity }) => {
        return [serviceKey(identity), desiredEntry(service, identity, weightOf)];
      }),
    );
  }

  #flushDeletions(): Promise<void> {
    for (const planned of this.#deletions.values()) this.#batch.push(...planned);
    this.#deletions.clear();
    return this.#flush();
  }

  /** Hands what is planned to the kernel, in this very turn as far as nothing is under way. */
  #flush(): Promise<void> {
    this.#owned.change(claimed(this.#owned.entries, this.#claims.splice(0)));
    this.#leaving.write();
    const batch = this.#batch.splice(0);
    if (batch.length > 0) this.#flushing = this.#send(batch);
    return this.#flushing;
  }

  async #send(batch: readonly Planned[]): Promise<void> {
    const results = await this.#ports.client.apply(batch.map(({ operation }) => operation));
    const done: Planned[] = [];
    const again = new Set<string>();
    for (const [index, planned] of batch.entries()) {
      const { problem = null, outdated = false } = results[index] ?? {};
      if (problem === null) done.push(planned);
      else if (outdated && this.#mayRetry(planned)) again.add(planned.key);
      else this.#refuse(planned, problem);
    }
    for (const key of again) {
      this.#retries.set(key, (this.#retries.get(key) ?? 0) + 1);
      const service = this.#byKey.get(key);
      if (service === undefined) this.#removed.add(key);
      else this.#dirty.add(service.name);
    }
    this.#noteDone(done);
  }

  #noteDone(done: readonly Planned[]): void {
    const byKey = new Map<string, IpvsOperation[]>();
    for (const { operation, key } of done) {
      this.#operations[operation.kind] = (this.#operations[operation.kind] ?? 0) + 1;
      const operations = byKey.get(key);
      if (operations === undefined) byKey.set(key, [operation]);
      else operations.push(operation);
    }
    for (const [key, operations] of byKey) {
      const known = this.#observed.get(key);
      const { table } = apply(operations, known === undefined ? [] : [known]);
      this.#note(key, table[0] ?? null);
    }
    this.#owned.change(disowned(done.map(({ operation }) => operation)));
    for (const cause of ['plan', 'drift'] as const) {
      const operations = done.filter((one) => one.cause === cause).map((one) => one.operation);
      if (operations.length > 0) this.#ports.onChanges(operations, cause);
    }
  }

  /** Servers of a service that was refused are refused with it: reading it again is in vain. */
  #mayRetry({ operation, key }: Planned): boolean {
    if (operation.kind === 'add-server' && this.#refused.has(key)) return false;
    return (this.#retries.get(key) ?? 0) < RETRIES_MAX;
  }

  /** What the kernel did not do, and would not do again. */
  #refuse({ operation, key }: Planned, problem: Problem): void {
    // Not a problem of its own.
    const consequence = operation.kind === 'add-server' && this.#refused.has(key);
    this.#refused.add(driftKey(operation, key));
    if (consequence) return;
    this.#operationErrors++;
    this.#tell(problem);
  }

  get #refused(): Set<string> {
    return (this.#nextTroubles ?? this.#troubles).refused;
  }

  /** The table cannot be read: what is told of it is that. */
  #abandon(problem: Problem): void {
    // What was planned so far is right; what is to go waits for all that takes its place.
    this.#deletions.clear();
    void this.#flush();
    this.#nextTroubles = null;
    this.#troubles.lastError = null;
    this.#tell(problem);
  }

  #tell(problem: Problem): void {
    const { told } = this.#troubles;
    const next = this.#nextTroubles;
    if (!told.has(problem.message) && next?.told.has(problem.message) !== true) {
      this.#ports.onProblem(problem);
    }
    for (const troubles of [this.#troubles, next]) {
      if (troubles === null) continue;
      troubles.lastError ??= problem.message;
      troubles.told.add(problem.message);
    }
  }
}

const NONE: ReadonlySet<string> = new Set();

function noTroubles(): Troubles {
  return { told: new Set(), refused: new Set(), lastError: null };
}

function keyOf(operation: IpvsOperation): string {
  return serviceKey('identity' in operation ? operation.identity : operation.service.identity);
}

/** Key of an operation's entry as in drift items; `key` is that of its service. */
function driftKey(operation: IpvsOperation, key: string): string {
  if (operation.kind === 'delete-server') return serverPath(key, serverKey(operation));
  return 'server' in operation ? serverPath(key, serverKey(operation.server)) : key;
}
