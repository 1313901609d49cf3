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
import type {
  IpvsConfig,
  ServiceConfig,
  ServiceEntry,
  ServiceIdentity,
} from '../core/config/config.ts';
import { allServers } from '../core/health/check-key.ts';
import type { PoolWeight } from '../core/health/pool.ts';
import { inTurns } from '../core/in-turns.ts';
import { ipFamily } from '../core/ip.ts';
import { afterwards } from '../core/ipvs/apply.ts';
import { desiredEntry } from '../core/ipvs/desired.ts';
import { driftOf } from '../core/ipvs/drift.ts';
import { configuredEntries, configuredKey, type ObservedTable } from '../core/ipvs/entries.ts';
import { type Leaving, withLeaving } from '../core/ipvs/leaving.ts';
import {
  type DesiredService,
  type IpvsOperation,
  type ObservedService,
  serverKey,
  serviceFamily,
  serviceKey,
} from '../core/ipvs/model.ts';
import { claimed, disowned, sortedServers, vanished } from '../core/ipvs/owned.ts';
import { type DriftItem, plan, planService, serverPath } from '../core/ipvs/plan.ts';
import { LargeMap, LargeSet } from '../core/large-map.ts';
import type { Problem } from '../core/problem.ts';
import { ok, type Result } from '../core/result.ts';
import { sameData } from '../core/same-data.ts';
import type { StrangerReport } from '../core/status.ts';
import { Turn } from '../core/turn.ts';
import { monotonicUs } from '../linux/clock.ts';
import type { IpvsClient } from '../linux/ipvs/client.ts';
import { PATIENT_TURNS, TURNS } from '../linux/turns.ts';
import { type LeavingPorts, LeavingServers } from './leaving-servers.ts';
import { OwnedFile } from './owned-file.ts';

/** Operations that are handed to the kernel together: one send of the client's. */
const BATCH_SIZE = 256;
/** Services with at most so many servers are read in one turn of the event loop. */
const FEW_SERVERS = 32;
/** Services that changed together and are read before the first of them is programmed. */
const BATCH_SERVICES = 32;
/** A turn that has lasted so long leaves a batch to the next one. */
const TURN_BEFORE_BATCH_US = 500;
/** After a read that took so long, a comparison is the work of another turn. */
const LONG_READ_US = 3_000;
/** Keys that are looked at between two looks at the clock. */
const KEYS_PER_LOOK = 128;
/** The same of services that are activated, each in some ten microseconds. */
const ACTIVATED_PER_LOOK = 16;
/** The same of services that were programmed. */
const NOTED_PER_LOOK = 16;
/** Foreign servers that are told of one by one. */
const STRANGERS_MAX = 20;
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
  /** Foreign servers in services of ours, up to a number. */
  readonly strangers: readonly StrangerReport[];
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
  readonly onCompared: (observed: ObservedTable) => Promise<void> | void;
  /** Which servers leave has changed: those that begin, and those that are gone. */
  readonly onLeaving: LeavingPorts['onLeaving'];
  /** `found`: what each of the operations repairs; empty where they are our own wish. */
  readonly onChanges: (
    operations: readonly IpvsOperation[],
    cause: ChangeCause,
    found: readonly DriftItem[],
  ) => void;
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

/** A service with the keys of its entries, in their order: they are made once. */
interface Unit {
  readonly service: ServiceConfig;
  readonly keys: readonly string[];
}

/** The services of a configuration, beside those before it. */
interface Index {
  readonly byName: ReadonlyMap<string, Unit>;
  readonly byKey: ReadonlyMap<string, Unit>;
  /** Names of those that are new or not as they were. */
  readonly changed: LargeSet;
  /** Keys of the entries that are not configured any more, with the names of their services. */
  readonly gone: ReadonlyMap<string, string>;
}

/** Operations on one entry that were planned and not yet handed to the kernel. */
interface Planned {
  /** Of the entry. */
  readonly key: string;
  readonly operations: readonly IpvsOperation[];
  /** What they repair, by its key; null for nothing. */
  readonly drifted: ReadonlyMap<string, DriftItem> | null;
}

/** An entry of the kernel's table; null for one that is not there. */
interface ReadEntry {
  readonly key: string;
  readonly observed: ObservedService | null;
}

/** Entries of one service in the order of its keys, or one that is not configured. */
type Read = readonly ReadEntry[];

/** With what was known of it before, and what is wanted. */
interface Compared extends ReadEntry {
  readonly known: ObservedService | null;
  readonly desired: DesiredService | null;
}

/** What went wrong in a comparison of the whole table, and of changes since. */
interface Troubles {
  /** Messages of present problems: each is told once, however often it is met. */
  readonly told: Set<string>;
  /** Keys, as in drift items, of entries that the kernel refused. */
  readonly refused: Set<string>;
  lastError: string | null;
}

/** The kernel's table now, by service key, made in turns; null when it cannot be read. */
export async function readTable(
  client: IpvsClient,
): Promise<ReadonlyMap<string, ObservedService> | null> {
  const observed = await client.dump();
  if (!observed.ok) return null;
  const turn = new Turn(TURNS);
  const byKey = new LargeMap<ObservedService>();
  for (const entry of observed.value) {
    byKey.set(serviceKey(entry.service.identity), entry);
    if (byKey.size % KEYS_PER_LOOK === 0 && turn.hasLasted()) await turn.rest();
  }
  return byKey;
}

export class Table {
  #options: TableOptions;
  readonly #ports: TablePorts;
  readonly #owned: OwnedFile;
  /** By the keys of their entries. */
  #byKey: ReadonlyMap<string, Unit> = new Map();
  /** Services by their names. */
  #byName: ReadonlyMap<string, Unit> = new Map();
  /** Services to be compared before anything else: configured ones by their names. */
  #dirty = new LargeSet();
  /** The same of entries that are not configured any more, by their keys. */
  readonly #removed = new LargeSet();
  /** Names of the services that the entries had which the last configuration removed. */
  #formerNames: ReadonlyMap<string, string> = new Map();
  readonly #leaving: LeavingServers;
  /** Entries as they were last read or programmed. */
  readonly #observed = new LargeMap<ObservedService>();
  /** Keys of entries that were compared since the comparison of the whole table began. */
  readonly #touched = new LargeSet();
  readonly #batch: Planned[] = [];
  /** Operations in it. */
  #batchSize = 0;
  /** Entries that are wanted and were planned, with their keys: ours before the kernel is changed. */
  readonly #claims: (readonly [string, DesiredService])[] = [];
  /** Deletions come after the changes of all services; by the keys of entries, as last planned. */
  readonly #deletions = new Map<string, Planned>();
  /** How often entries were read again, by their keys. */
  readonly #retries = new Map<string, number>();
  /** By service, what drifted and whose repair was outdated: it comes again. */
  readonly #repairsAgain = new Map<string, Map<string, DriftItem>>();
  /** What stays although it is not desired, by service key. */
  readonly #foreign = new Map<string, { readonly services: number; readonly servers: number }>();
  /** Resolved when no service is left that changed. */
  readonly #waiting: (() => void)[] = [];
  /** The latest batch that was handed to the kernel. */
  #flushing: Promise<void> = Promise.resolve();
  /** What was programmed is noted in the order of the batches. */
  #noting: Promise<unknown> = Promise.resolve();
  /** Raised when the table is changed beside a service that is being read. */
  #epoch = 0;
  #fullWanted = false;
  /** Until the services of the start are taken over. */
  #starting: Promise<void> | null = null;
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
  }

  /** First comparison now, further ones on the interval. Resolves when the first is done. */
  async start(): Promise<void> {
    this.#starting = this.#begin();
    await this.#starting;
    // Not before: a comparison with services that are not known yet would delete what is theirs.
    this.#schedule();
    await TURNS.nextTurn();
    return this.reconcile();
  }

  /** Learns what is ours, and what is wanted. */
  async #begin(): Promise<void> {
    await this.#owned.load();
    const index = await this.#indexOf(this.#options.services);
    this.#starting = null;
    // All of them are compared now.
    this.#adopt({ ...index, changed: new LargeSet() });
  }

  /** Compares and repairs the whole table. */
  reconcile(): Promise<void> {
    this.#fullWanted = true;
    return this.#work();
  }

  /** The health of a server of these services changed: their entries follow at once. */
  changed(serviceNames: Iterable<string>): void {
    void this.#mark([...serviceNames]);
  }

  /** To be compared; in turns when they are many. */
  async #mark(serviceNames: readonly string[]): Promise<void> {
    const turn = new Turn(TURNS);
    for (const [index, name] of serviceNames.entries()) {
      if (index > 0 && index % KEYS_PER_LOOK === 0 && turn.hasLasted()) {
        void this.#work();
        await turn.rest();
      }
      this.#dirty.add(name);
    }
    if (serviceNames.length > 0) void this.#work();
  }

  /**
   * These services are wanted from now on: they are programmed from what is known of the table,
   * beginning in this very turn of the event loop, which is enough for some hundreds, and compared
   * with it afterwards.
   */
  activate(serviceNames: readonly string[]): void {
    void this.#activate(serviceNames);
  }

  async #activate(serviceNames: readonly string[]): Promise<void> {
    if (serviceNames.length === 0) return;
    if (this.#starting !== null) await this.#starting;
    const turn = new Turn(TURNS);
    for (let first = 0; first < serviceNames.length; first += ACTIVATED_PER_LOOK) {
      if (this.#closed) return;
      this.#epoch++;
      for (const name of serviceNames.slice(first, first + ACTIVATED_PER_LOOK)) {
        this.#activateOne(name);
      }
      if (!turn.hasLasted()) continue;
      await this.#flush();
      await turn.rest();
    }
    await this.#flush();
    await this.#mark(serviceNames);
  }

  #activateOne(name: string): void {
    const unit = this.#byName.get(name);
    if (unit === undefined) return;
    for (const [index, desired] of this.#desired(unit).entries()) {
      // Not wanted, or not known to be.
      if (desired === null || desired === undefined) continue;
      const key = unit.keys[index] as string;
      const observed = this.#observed.get(key) ?? null;
      this.#plan({ key, desired, observed, known: observed });
      // What is to go can wait for the comparison, which knows its connections.
      this.#deletions.delete(key);
      this.#touched.add(key);
    }
  }

  /**
   * Takes over another configuration. Services that are the same objects are left alone; entries
   * that it lacks are deleted if they are ours. `onAdopted` is called when from then on services are
   * those of this configuration. Resolves when the table is as configured.
   */
  async reconfigure(options: TableOptions, onAdopted = () => {}): Promise<void> {
    const before = this.#options.ipvs;
    const index = await this.#indexOf(options.services);
    this.#options = options;
    this.#adopt(index);
    onAdopted();
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
    await this.#starting;
    await this.#working;
    if (this.#options.ipvs.onStop === 'keep') return;
    this.#batch.length = 0;
    this.#batchSize = 0;
    this.#deletions.clear();
    const observed = await this.#ports.client.dump();
    if (!observed.ok) return this.#ports.onProblem(observed.error);
    // Never 'exclusive' here: on the way out, foreign entries are not ours to clear away.
    const input = { desired: [], observed: observed.value, owned: this.#owned.entries };
    const { operations } = plan({ ...input, ownership: 'shared' });
    for (const operation of operations) {
      this.#add({ key: keyOf(operation), operations: [operation], drifted: null });
    }
    await this.#flush();
  }

  /** The table as it was last read or programmed; null before it was read as a whole. */
  get known(): ObservedTable | null {
    return this.#settled ? this.#observed : null;
  }

  /** Servers that are no longer configured and wait for their connections to end. */
  leaving(): readonly Leaving[] {
    return this.#leaving.list();
  }

  /**
   * False when a configured service has no such server, or none of its entries here: what there is
   * of it leaves the table. True before the services are known.
   */
  mayHave(serviceName: string, server: string): boolean {
    if (this.#starting !== null) return true;
    const service = this.#byName.get(serviceName)?.service;
    if (service === undefined) return false;
    const { entries } = service;
    if (entries.every((entry) => this.#ports.wanted(service, entry) === false)) return false;
    return allServers(service).some((one) => configuredKey(one) === server);
  }

  /** Our servers in the table that are of another family than their service, by their paths. */
  ofOtherFamily(): readonly string[] {
    const found: string[] = [];
    for (const [key, { service, servers }] of this.#observed) {
      const family = serviceFamily(service.identity);
      for (const server of servers) {
        if (ipFamily(server.address) === family) continue;
        const ours = this.#owned.of(key)?.has(serverKey(server)) === true;
        if (ours) found.push(serverPath(key, serverKey(server)));
      }
    }
    return found;
  }

  /** Which entries are ours: service keys with sorted server keys. */
  owned(): Promise<readonly (readonly [string, readonly string[]])[]> {
    const entry = ([key, servers]: readonly [string, ReadonlySet<string>]) =>
      [key, sortedServers(servers)] as const;
    return inTurns(this.#owned.entries, entry, TURNS);
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
      strangers: this.#strangers(),
      observed: observed ?? this.#observed,
    };
  }

  #strangers(): StrangerReport[] {
    const found: StrangerReport[] = [];
    for (const [key, { servers }] of this.#foreign) {
      const service = servers > 0 ? this.#byKey.get(key)?.service.name : undefined;
      if (service === undefined) continue;
      const ours = this.#owned.of(key);
      for (const server of this.#observed.get(key)?.servers ?? []) {
        const name = serverKey(server);
        if (ours?.has(name) === true) continue;
        found.push({ service, entry: key, server: name, weight: server.weight });
        if (found.length === STRANGERS_MAX) return found;
      }
    }
    return found;
  }

  /**
   * Reads the kernel's table now, for a status with fresh counters; null when it cannot. What is
   * known of the table stays as it is: else a repair would look like our own wish.
   */
  refresh(): Promise<ReadonlyMap<string, ObservedService> | null> {
    this.#refreshing ??= readTable(this.#ports.client).finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  /** What is to be known of another configuration's services, made in turns. */
  async #indexOf(services: readonly ServiceConfig[]): Promise<Index> {
    const turn = new Turn(TURNS);
    const byName = new LargeMap<Unit>();
    const byKey = new LargeMap<Unit>();
    const changed = new LargeSet();
    let looked = 0;
    for (const service of services) {
      const was = this.#byName.get(service.name);
      const unit = was?.service === service ? was : unitOf(service);
      byName.set(service.name, unit);
      for (const key of unit.keys) byKey.set(key, unit);
      if (was !== unit) changed.add(service.name);
      if (++looked % KEYS_PER_LOOK === 0 && turn.hasLasted()) await turn.rest();
    }
    const gone = new LargeMap<string>();
    for (const [key, { service }] of this.#byKey) {
      if (!byKey.has(key)) gone.set(key, service.name);
      if (++looked % KEYS_PER_LOOK === 0 && turn.hasLasted()) await turn.rest();
    }
    return { byName, byKey, changed, gone };
  }

  /** Takes services over; those that are not as before are to be compared. */
  #adopt({ byName, byKey, changed, gone }: Index): void {
    this.#byName = byName;
    this.#byKey = byKey;
    this.#formerNames = gone;
    for (const key of this.#removed) if (byKey.has(key)) this.#removed.delete(key);
    for (const key of gone.keys()) this.#removed.add(key);
    // All of them may be in either, which is no work for one turn of the event loop.
    if (changed.size > 0 && this.#dirty.size === 0) this.#dirty = changed;
    else for (const name of changed) this.#dirty.add(name);
  }

  #lookAgain(keys: readonly string[]): void {
    for (const key of keys) {
      this.#compareSoon(key);
    }
    void this.#work();
  }

  #compareSoon(key: string): void {
    const unit = this.#byKey.get(key);
    if (unit === undefined) this.#removed.add(key);
    else this.#dirty.add(unit.service.name);
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

  /** Programs services that changed: some are read, then all of them change at once. In turns. */
  async #compareChanged(): Promise<void> {
    // What is planned already must be there when a service is read.
    await this.#flush();
    const turn = new Turn(TURNS);
    const compared = new Set<string>();
    for (const name of this.#dirty) {
      if (this.#closed || compared.has(name) || compared.size === BATCH_SERVICES) break;
      if (turn.hasLasted(TURN_BEFORE_BATCH_US)) break;
      this.#dirty.delete(name);
      compared.add(name);
      const unit = this.#byName.get(name);
      if (unit !== undefined) await this.#compareService(unit, turn);
    }
    await this.#flush();
    if (this.#dirty.size === 0) await this.#compareRemoved();
    await this.#flushDeletions();
    if (this.#isDirty) await turn.rest();
    else this.#wake();
  }

  /** Entries that are not configured any more, after all that took their place. */
  async #compareRemoved(): Promise<void> {
    for (const key of this.#removed) {
      if (this.#closed || this.#deletions.size >= BATCH_SIZE) return;
      this.#removed.delete(key);
      const identity = this.#observed.get(key)?.service.identity;
      if (identity === undefined) continue;
      const read = await this.#read([key], [identity]);
      if (!read.ok) this.#tell(read.error);
      else if (!this.#byKey.has(key)) this.#compare(null, read.value);
    }
  }

  async #compareService(unit: Unit, turn: Turn): Promise<void> {
    const epoch = this.#epoch;
    const identities = unit.service.entries.map(({ identity }) => identity);
    const read = await this.#read(unit.keys, identities);
    if (!read.ok) return this.#tell(read.error);
    // The first of all, whose code is not compiled yet.
    if (turn.hasLasted(LONG_READ_US)) await turn.rest();
    // What was read may be older than what was programmed since.
    const outdated = epoch !== this.#epoch || !this.#isConfigured(unit);
    if (outdated) this.#dirty.add(unit.service.name);
    else this.#compare(unit, read.value);
  }

  async #read(
    keys: readonly string[],
    identities: readonly ServiceIdentity[],
  ): Promise<Result<Read, Problem>> {
    const found: ReadEntry[] = [];
    for (const identity of identities) {
      const observed = await this.#ports.client.dumpService(identity);
      if (!observed.ok) return observed;
      found.push({ key: keys[found.length] as string, observed: observed.value });
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
    // Whoever asks for something, and a reload, go before it.
    const turn = new Turn(PATIENT_TURNS);
    const unconfigured: string[] = [];
    let looked = 0;
    for (const key of services.value.keys()) {
      if (!this.#byKey.has(key)) unconfigured.push(key);
      if (++looked % KEYS_PER_LOOK === 0 && turn.hasLasted()) await turn.rest();
    }
    for (const unit of [...this.#byName.values(), ...unconfigured]) {
      if (this.#closed) return;
      if (this.#isDirty) await this.#compareChanged();
      const keys = typeof unit === 'string' ? [unit] : unit.keys;
      const read = keys.some((key) => services.value.has(key))
        ? await this.#readServers(keys, services.value)
        : ok(this.#isTouched(keys) ? null : keys.map((key) => ({ key, observed: null })));
      if (!read.ok) return this.#abandon(read.error);
      if (read.value !== null && this.#isConfigured(unit)) {
        this.#compare(typeof unit === 'string' ? null : unit, read.value);
      }
      if (Math.max(this.#batchSize, this.#claims.length) >= BATCH_SIZE) {
        // A batch is a turn of its own.
        if (turn.hasLasted(TURN_BEFORE_BATCH_US)) await turn.rest();
        await this.#flush();
        await turn.rest();
      }
      if (turn.hasLasted()) await turn.rest();
    }
    await this.#flush();
    await this.#flushDeletions();
    while (this.#isDirty && !this.#closed) await this.#compareChanged();
    await this.#forgetAllBut(services.value);
    this.#nextTroubles = null;
    this.#troubles = troubles;
    this.#settled = true;
    this.#reconciles++;
    this.#lastReconcileAtMs = Date.now();
    this.#lastReconcileUs = monotonicUs() - startedUs;
    await this.#ports.onCompared(this.#observed);
  }

  /** False for what another configuration has taken the place of: that is compared by itself. */
  #isConfigured(unit: Unit | string): boolean {
    if (typeof unit === 'string') return !this.#byKey.has(unit);
    return this.#byName.get(unit.service.name) === unit;
  }

  #isTouched(keys: readonly string[]): boolean {
    return keys.some((key) => this.#touched.has(key));
  }

  /**
   * Entries with their servers as they are now, of services that were read before; null when one
   * was compared or programmed since then, or while its servers were read.
   */
  async #readServers(
    keys: readonly string[],
    services: ReadonlyMap<string, Omit<ObservedService, 'servers'>>,
  ): Promise<Result<Read | null, Problem>> {
    if (this.#isTouched(keys)) return ok(null);
    const found: ReadEntry[] = [];
    for (const key of keys) {
      const entry = services.get(key);
      if (entry === undefined) {
        found.push({ key, observed: null });
        continue;
      }
      const { identity } = entry.service;
      const now = this.#hasFew(key) ? this.#ports.client.dumpServersNow(identity) : null;
      const servers = now ?? (await this.#ports.client.dumpServers(identity));
      if (!servers.ok) return servers;
      const { service, stats } = entry;
      found.push({ key, observed: { service, stats, servers: servers.value } });
    }
    return ok(this.#isTouched(keys) ? null : found);
  }

  /** Of an entry that is known; another may have any number. */
  #hasFew(key: string): boolean {
    const known = this.#observed.get(key);
    return known !== undefined && known.servers.length <= FEW_SERVERS;
  }

  /** What is neither wanted nor there any more. */
  async #forgetAllBut(keys: ReadonlyMap<string, unknown>): Promise<void> {
    const gone = (key: string) =>
      !this.#byKey.has(key) && !this.#touched.has(key) && !keys.has(key);
    const turn = new Turn(TURNS);
    let looked = 0;
    for (const key of this.#observed.keys()) {
      if (gone(key)) this.#note(key, null);
      if (++looked % KEYS_PER_LOOK === 0 && turn.hasLasted()) await turn.rest();
    }
    const lost: string[] = [];
    for (const key of this.#owned.entries.keys()) {
      if (gone(key)) lost.push(key);
      if (++looked % KEYS_PER_LOOK === 0 && turn.hasLasted()) await turn.rest();
    }
    // Meanwhile some may have become ours again.
    const changes = lost
      .filter(gone)
      .map((service) => ({ kind: 'disown-service', service }) as const);
    this.#owned.change(changes);
  }

  /** Takes note of a service's entries as they were read just now, and plans their changes. */
  #compare(unit: Unit | null, read: Read): void {
    const before: (ObservedService | null)[] = [];
    for (const { key, observed } of read) {
      const known = this.#observed.get(key) ?? null;
      before.push(known);
      if (observed !== known) this.#note(key, observed);
      this.#touched.add(key);
    }
    const wanted = unit === null ? null : this.#desired(unit);
    const compared: Compared[] = [];
    let index = 0;
    for (const { key, observed } of read) {
      const desired = wanted === null ? null : wanted[index];
      const known = before[index++] ?? null;
      // Entries stay as they are while nobody knows whether they are wanted.
      if (desired !== undefined) compared.push({ key, desired, observed, known });
    }
    if (!compared.some((one) => this.#mayLeave(one))) {
      for (const one of compared) this.#plan(one);
      return;
    }
    const staying = this.#withLeaving(unit?.service ?? null, compared);
    for (const one of compared) this.#plan({ ...one, desired: staying.get(one.key) ?? null });
  }

  /** False where it is seen at a glance that no server leaves an entry, and none did. */
  #mayLeave({ key, observed, desired }: Compared): boolean {
    if (this.#leaving.has(key)) return true;
    if (observed === null || this.#owned.of(key) === null) return false;
    if (desired === null) return true;
    // Both are in the order of their keys.
    let at = 0;
    for (const { address, port } of observed.servers) {
      let one = desired.servers[at++];
      while (one !== undefined && (one.address !== address || one.port !== port)) {
        one = desired.servers[at++];
      }
      if (one === undefined) return true;
    }
    return false;
  }

  /** What is wanted of these entries, and what is to stay for a while of what was. */
  #withLeaving(
    service: ServiceConfig | null,
    compared: readonly Compared[],
  ): ReadonlyMap<string, DesiredService> {
    const observed = compared.flatMap((one) => one.observed ?? []);
    const configured = configuredEntries(service === null ? [] : [service]);
    const { onRemove, drainTimeoutUs } = this.#options.ipvs;
    const look = this.#leaving.look({
      ...{ keys: compared.map(({ key }) => key), observed, configured },
      owned: this.#owned.entries,
      policy: { onRemove, drainTimeoutUs },
      nameOf: (key) => this.#formerNames.get(key) ?? null,
    });
    const wanted = compared.flatMap(({ desired }) => desired ?? []);
    const desired = withLeaving(wanted, observed, look, configured);
    return new Map(desired.map((entry) => [serviceKey(entry.service.identity), entry]));
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
  #plan({ key, desired, observed, known }: Compared): void {
    const owned = this.#owned.of(key);
    const { ownership } = this.#options.ipvs;
    const found = planService({ key, desired, observed, owned, ownership, items: this.#settled });
    if (found.foreign.services + found.foreign.servers > 0) this.#foreign.set(key, found.foreign);
    else this.#foreign.delete(key);
    this.#deletions.delete(key);
    const again = this.#repairsAgain.get(key) ?? null;
    this.#repairsAgain.delete(key);
    if (found.operations.length > 0) {
      const drifted = this.#countDrift(driftOf(found.drift, key, { known, observed }), again);
      const deletions = found.operations.filter(isDeletion);
      const operations =
        deletions.length === 0
          ? found.operations
          : found.operations.filter((operation) => !isDeletion(operation));
      if (operations.length > 0) this.#add({ key, operations, drifted });
      if (deletions.length > 0) this.#deletions.set(key, { key, operations: deletions, drifted });
    }
    if (owned !== null) this.#owned.change(vanished(owned, key, [desired, observed]));
    if (desired !== null) this.#claims.push([key, desired]);
  }

  /** What drifted, and what is repaired `again`, which was counted before; by its key. */
  #countDrift(
    items: readonly DriftItem[],
    again: ReadonlyMap<string, DriftItem> | null,
  ): ReadonlyMap<string, DriftItem> | null {
    if (items.length === 0 && again === null) return null;
    const drifted = new Map(again);
    for (const item of items) {
      const { key, class: kind } = item;
      if (again?.has(key) === true) continue;
      this.#drift[kind] = (this.#drift[kind] ?? 0) + 1;
      drifted.set(key, item);
    }
    return drifted.size === 0 ? null : drifted;
  }

  /**
   * What is wanted of each entry of a service now, in their order: null for nothing, undefined
   * while nobody knows.
   */
  #desired({ service }: Unit): readonly (DesiredService | null | undefined)[] {
    const wanted = service.entries.map((entry) => this.#ports.wanted(service, entry));
    const absent = (one: boolean | null) => (one === null ? undefined : null);
    if (!wanted.includes(true)) return wanted.map(absent);
    const weights = this.#ports.weights(service, this.#observed);
    const weightOf = (_name: string, key: string) => weights.get(key)?.weight ?? null;
    return service.entries.map(({ identity }, index) => {
      const one = wanted[index] as boolean | null;
      return one === true ? desiredEntry(service, identity, weightOf) : absent(one);
    });
  }

  #add(planned: Planned): void {
    this.#batch.push(planned);
    this.#batchSize += planned.operations.length;
  }

  #flushDeletions(): Promise<void> {
    for (const planned of this.#deletions.values()) this.#add(planned);
    this.#deletions.clear();
    return this.#flush();
  }

  /** Hands what is planned to the kernel, in this very turn as far as nothing is under way. */
  #flush(): Promise<void> {
    this.#owned.change(claimed(this.#owned.entries, this.#claims.splice(0)));
    this.#leaving.write();
    const batch = this.#batch.splice(0);
    this.#batchSize = 0;
    if (batch.length > 0) this.#flushing = this.#send(batch);
    return this.#flushing;
  }

  async #send(batch: readonly Planned[]): Promise<void> {
    const operations = batch.flatMap((planned) => planned.operations);
    const results = await this.#ports.client.apply(operations);
    const done: Planned[] = [];
    const again = new Set<string>();
    let index = 0;
    for (const planned of batch) {
      const { key } = planned;
      let failed: Set<IpvsOperation> | null = null;
      for (const operation of planned.operations) {
        const { problem = null, outdated = false } = results[index++] ?? {};
        if (problem === null) continue;
        failed ??= new Set();
        failed.add(operation);
        if (outdated && this.#mayRetry(operation, key)) {
          again.add(key);
          this.#repairAgain(driftKey(operation, key), planned);
        } else this.#refuse(operation, key, problem);
      }
      if (failed === null) done.push(planned);
      else {
        const succeeded = planned.operations.filter((one) => failed?.has(one) !== true);
        done.push({ ...planned, operations: succeeded });
      }
    }
    for (const key of again) {
      this.#retries.set(key, (this.#retries.get(key) ?? 0) + 1);
      this.#compareSoon(key);
    }
    const noted = this.#noting.then(() => this.#noteDone(done));
    // A defect that ends one must not swallow those after it.
    this.#noting = noted.catch(() => undefined);
    await noted;
  }

  /** What drifted before it was known to be gone altogether is a repair the next time, too. */
  #repairAgain(path: string, { key, drifted }: Planned): void {
    const item = drifted?.get(path);
    if (item === undefined) return;
    const items = this.#repairsAgain.get(key) ?? new Map<string, DriftItem>();
    this.#repairsAgain.set(key, items.set(path, item));
  }

  /** In turns. */
  async #noteDone(done: readonly Planned[]): Promise<void> {
    const turn = new Turn(TURNS);
    if (done.length > NOTED_PER_LOOK) await turn.rest();
    let looked = 0;
    const repairs: IpvsOperation[] = [];
    const found: DriftItem[] = [];
    const wishes: IpvsOperation[] = [];
    for (const { key, operations, drifted } of done) {
      if (operations.length === 0) continue;
      this.#note(key, afterwards(operations, this.#observed.get(key) ?? null));
      for (const operation of operations) {
        this.#operations[operation.kind] = (this.#operations[operation.kind] ?? 0) + 1;
        const item = drifted?.get(driftKey(operation, key));
        if (item === undefined) wishes.push(operation);
        else {
          repairs.push(operation);
          found.push(item);
        }
      }
      this.#owned.change(disowned(operations));
      if (++looked % NOTED_PER_LOOK === 0 && turn.hasLasted()) await turn.rest();
    }
    if (wishes.length > 0) this.#ports.onChanges(wishes, 'plan', []);
    if (repairs.length > 0) this.#ports.onChanges(repairs, 'drift', found);
  }

  /** Servers of a service that was refused are refused with it: reading it again is in vain. */
  #mayRetry(operation: IpvsOperation, key: string): boolean {
    if (operation.kind === 'add-server' && this.#refused.has(key)) return false;
    return (this.#retries.get(key) ?? 0) < RETRIES_MAX;
  }

  /** What the kernel did not do, and would not do again. */
  #refuse(operation: IpvsOperation, key: string, problem: Problem): void {
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

function unitOf(service: ServiceConfig): Unit {
  return { service, keys: service.entries.map(({ identity }) => serviceKey(identity)) };
}

function isDeletion({ kind }: IpvsOperation): boolean {
  return kind === 'delete-service' || kind === 'delete-server';
}

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
