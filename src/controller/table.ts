/**
 * Keeps the kernel's IPVS table equal to what is wanted: the whole table is compared and repaired
 * on an interval (the kernel tells nobody of changes), one service at once when a server's health
 * changes. One operation at a time; requests that come meanwhile are joined.
 *
 * Ownership is written down before the kernel is changed, so that a crash in between cannot turn
 * our entries into foreign ones.
 */
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type {
  IpvsConfig,
  ServiceConfig,
  ServiceEntry,
  ServiceIdentity,
} from '../core/config/config.ts';
import type { PoolWeight } from '../core/health/pool.ts';
import { desiredEntry } from '../core/ipvs/desired.ts';
import { configuredEntries, type ObservedTable } from '../core/ipvs/entries.ts';
import {
  type ConfiguredEntry,
  type Leaving,
  type LeavingLook,
  leavingFromJson,
  leavingPath,
  look,
  withLeaving,
} from '../core/ipvs/leaving.ts';
import {
  type DesiredService,
  type IpvsOperation,
  type ObservedService,
  serverKey,
  serviceKey,
} from '../core/ipvs/model.ts';
import {
  claim,
  claimServers,
  NOTHING_OWNED,
  type OwnedJson,
  type OwnedSet,
  ownedFromJson,
  ownedToJson,
  pruneOwned,
  updateOwned,
} from '../core/ipvs/owned.ts';
import { type DriftItem, type Plan, plan, planService, serverPath } from '../core/ipvs/plan.ts';
import type { Problem } from '../core/problem.ts';
import { ok, type Result } from '../core/result.ts';
import { replaceFile } from '../keeper/record.ts';
import { monotonicUs } from '../linux/clock.ts';
import type { IpvsClient, OperationResult } from '../linux/ipvs/client.ts';
import { makeDirectory } from '../linux/make-directory.ts';

/** How often the connections of leaving servers are looked at. */
const LEAVING_LOOK_MS = 1_000;

/** Services that are read one by one: for more, one dump of the whole table costs less. */
const DUMPS_MAX = 16;

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
  /** Which servers leave has changed: those that begin, and those that are gone. */
  readonly onLeaving: (began: readonly Leaving[], ended: LeavingLook['ended']) => void;
  readonly onChanges: (operations: readonly IpvsOperation[], cause: 'plan' | 'drift') => void;
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

export class Table {
  #options: TableOptions;
  readonly #ports: TablePorts;
  readonly #dirty = new Set<string>();
  readonly #byName = new Map<string, ServiceConfig>();
  #owned: OwnedSet;
  #observed = new Map<string, ObservedService>();
  #fullWanted = false;
  #working: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #settled = false;
  /** Raised when the table is changed beside the comparison that may be under way. */
  #epoch = 0;
  #closed = false;
  #reconciles = 0;
  #lastReconcileAtMs: number | null = null;
  #lastReconcileUs: number | null = null;
  #lastError: string | null = null;
  #operationErrors = 0;
  /** Messages of present problems: each is told once, however often it is met. */
  #told = new Set<string>();
  /** Keys, as in drift items, of entries that the kernel refused: their lack is not drift. */
  #refused = new Set<string>();
  #foreign = { services: 0, servers: 0 };
  readonly #configured = new Map<string, ConfiguredEntry>();
  /** Names of entries that an earlier configuration had. */
  readonly #formerNames = new Map<string, string>();
  #leaving: ReadonlyMap<string, Leaving>;
  #leavingTimer: NodeJS.Timeout | null = null;
  /** Identities of entries with leaving servers that are not configured, by their keys. */
  readonly #removed = new Map<string, ServiceIdentity>();
  #removedDirty = false;
  readonly #operations: Record<string, number> = {};
  readonly #drift: Record<string, number> = { missing: 0, altered: 0, leftover: 0 };

  constructor(options: TableOptions, ports: TablePorts) {
    this.#options = options;
    this.#ports = ports;
    this.#owned = readOwned(options.ownedFile);
    this.#leaving = readLeaving(options.leavingFile);
    this.#index();
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
    const operations: IpvsOperation[] = [];
    const owned = new Map(this.#owned);
    for (const name of serviceNames) {
      const service = this.#byName.get(name);
      if (service === undefined) continue;
      for (const desired of this.#desired(service)) {
        const key = serviceKey(desired.service.identity);
        const observed = this.#observed.get(key) ?? null;
        const { ownership } = this.#options.ipvs;
        const ours = owned.get(key) ?? null;
        const found = planService({ desired, observed, owned: ours, ownership });
        operations.push(...found.operations);
        owned.set(key, claimServers(ours, desired.servers));
      }
    }
    this.#own(owned);
    const found = { operations, drift: [], foreign: { services: 0, servers: 0 } };
    void this.#apply(found, { cause: 'plan', whole: false });
    this.changed(serviceNames);
  }

  /** Takes over another configuration; entries that it lacks are deleted if they are ours. */
  reconfigure(options: TableOptions): Promise<void> {
    this.#options = options;
    this.#settled = false;
    this.#formerNames.clear();
    for (const [key, { name }] of this.#configured) this.#formerNames.set(key, name);
    this.#index();
    this.#schedule();
    return this.reconcile();
  }

  /** Ends the repairs; removes our entries if so configured. Resolves when the kernel is done. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearInterval(this.#timer);
    if (this.#leavingTimer !== null) clearInterval(this.#leavingTimer);
    await this.#working;
    if (this.#options.ipvs.onStop === 'keep') return;
    const observed = await this.#ports.client.dump();
    if (!observed.ok) return this.#ports.onProblem(observed.error);
    // Never 'exclusive' here: on the way out, foreign entries are not ours to clear away.
    const input = { desired: [], observed: observed.value, owned: this.#owned };
    const found = plan({ ...input, ownership: 'shared' });
    await this.#apply(found, { cause: 'plan', whole: true });
  }

  /** Servers that are no longer configured and wait for their connections to end. */
  leaving(): readonly Leaving[] {
    return [...this.#leaving.values()];
  }

  /** Which entries are ours. */
  owned(): OwnedJson {
    return ownedToJson(this.#owned);
  }

  report(): TableReport {
    return {
      reconciles: this.#reconciles,
      lastReconcileAtMs: this.#lastReconcileAtMs,
      lastReconcileUs: this.#lastReconcileUs,
      lastError: this.#lastError,
      operations: { ...this.#operations },
      operationErrors: this.#operationErrors,
      drift: { ...this.#drift },
      foreignServices: this.#foreign.services,
      foreignServers: this.#foreign.servers,
      observed: this.#observed,
    };
  }

  /** Reads the kernel's table now, for a status with fresh counters; false when it cannot. */
  async refresh(): Promise<boolean> {
    const observed = await this.#ports.client.dump();
    if (observed.ok) this.#remember(observed.value);
    return observed.ok;
  }

  #index(): void {
    this.#byName.clear();
    this.#configured.clear();
    for (const service of this.#options.services) this.#byName.set(service.name, service);
    for (const [key, entry] of configuredEntries(this.#options.services)) {
      this.#configured.set(key, entry);
    }
  }

  #schedule(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    const intervalMs = this.#options.ipvs.reconcileIntervalUs / 1000;
    this.#timer = setInterval(() => void this.reconcile(), intervalMs);
  }

  #work(): Promise<void> {
    this.#working ??= this.#drainRequests().finally(() => {
      this.#working = null;
    });
    return this.#working;
  }

  async #drainRequests(): Promise<void> {
    while (!this.#closed) {
      if (this.#fullWanted) {
        this.#fullWanted = false;
        await this.#reconcileAll();
        continue;
      }
      if (this.#removedDirty) {
        this.#removedDirty = false;
        await this.#reconcileRemoved();
        continue;
      }
      const name = this.#dirty.values().next().value;
      if (name === undefined) return;
      this.#dirty.delete(name);
      const service = this.#byName.get(name);
      if (service !== undefined) await this.#reconcileService(service);
    }
  }

  async #reconcileAll(): Promise<void> {
    const startedUs = monotonicUs();
    const epoch = this.#epoch;
    const observed = await this.#ports.client.dump();
    if (!observed.ok) return this.#failed(observed.error);
    if (epoch !== this.#epoch) {
      // What was read is older than what was programmed since.
      this.#fullWanted = true;
      return;
    }
    // What changed by our own wish, up to this moment, is not drift.
    const ownWish = !this.#settled || this.#dirty.size > 0;
    this.#dirty.clear();
    this.#remember(observed.value);
    const configured = this.#options.services.flatMap((service) => this.#desired(service));
    const { ownership } = this.#options.ipvs;
    const compared = this.#withoutUndecided(observed.value);
    const left = this.#lookForLeaving(compared, null);
    const desired = withLeaving(configured, compared, left, this.#configured);
    const found = plan({ desired, observed: compared, owned: this.#owned, ownership });
    this.#foreign = { ...found.foreign };
    const gone = new Set(
      left.ended.flatMap(({ leaving }) => [leaving.entry, leavingPath(leaving)]),
    );
    const drifted = ownWish
      ? []
      : found.drift.filter((item) => this.#isDrift(item) && !gone.has(item.key));
    for (const item of drifted) this.#drift[item.class] = (this.#drift[item.class] ?? 0) + 1;
    this.#own(claim(pruneOwned(this.#owned, desired, observed.value), desired));
    await this.#apply(found, { cause: drifted.length > 0 ? 'drift' : 'plan', whole: true });
    if (found.operations.length > 0) await this.refresh();
    this.#settled = true;
    this.#reconciles++;
    this.#lastReconcileAtMs = Date.now();
    this.#lastReconcileUs = monotonicUs() - startedUs;
  }

  /** All entries of one service: read, then decided once, then changed in one go. */
  async #reconcileService(service: ServiceConfig): Promise<void> {
    const known = service.entries.map(
      (entry) => [entry, this.#ports.wanted(service, entry)] as const,
    );
    const decided = known.filter(([, wanted]) => wanted !== null);
    if (decided.length === 0) return;
    const epoch = this.#epoch;
    const read = await this.#read(decided.map(([{ identity }]) => identity));
    if (!read.ok) {
      // The next comparison of the whole table does it: still our own wish, not drift.
      this.#settled = false;
      return this.#failed(read.error);
    }
    const stale = known.some(([entry, wanted]) => wanted !== this.#ports.wanted(service, entry));
    if (epoch !== this.#epoch || stale) {
      this.#dirty.add(service.name);
      return;
    }
    for (const [key, observed] of read.value) this.#keep(key, observed);
    const present = [...read.value.values()].filter((one) => one !== null);
    const left = this.#lookForLeaving(present, new Set(read.value.keys()));
    const desiredNow = withLeaving(this.#desired(service), present, left, this.#configured);
    const wanted = new Map(desiredNow.map((entry) => [serviceKey(entry.service.identity), entry]));
    const { ownership } = this.#options.ipvs;
    const operations: IpvsOperation[] = [];
    let claimed: OwnedSet = this.#owned;
    for (const [key, observed] of read.value) {
      const desired = wanted.get(key) ?? null;
      const owned = this.#owned.get(key) ?? null;
      operations.push(...planService({ desired, observed, owned, ownership }).operations);
      if (desired === null) continue;
      const servers = claimServers(owned, desired.servers);
      if (servers.size !== owned?.size) claimed = new Map(claimed).set(key, servers);
    }
    if (claimed !== this.#owned) this.#own(claimed);
    const found = { operations, drift: [], foreign: { services: 0, servers: 0 } };
    await this.#apply(found, { cause: 'plan', whole: false });
    const after = await this.#read(decided.map(([{ identity }]) => identity));
    if (!after.ok) return;
    for (const [key, observed] of after.value) this.#keep(key, observed);
  }

  /** Entries that are no longer configured and still have leaving servers. */
  async #reconcileRemoved(): Promise<void> {
    const epoch = this.#epoch;
    const identities = [...this.#removed.values()];
    const read = await this.#read(identities);
    if (!read.ok) return this.#failed(read.error);
    if (epoch !== this.#epoch) return;
    const present = [...read.value.values()].filter((one) => one !== null);
    const left = this.#lookForLeaving(present, new Set(read.value.keys()));
    const desired = withLeaving([], present, left, this.#configured);
    const wanted = new Map(desired.map((entry) => [serviceKey(entry.service.identity), entry]));
    const { ownership } = this.#options.ipvs;
    const operations = [...read.value].flatMap(([key, observed]) => {
      const owned = this.#owned.get(key) ?? null;
      const input = { desired: wanted.get(key) ?? null, observed, owned, ownership };
      return planService(input).operations;
    });
    const found = { operations, drift: [], foreign: { services: 0, servers: 0 } };
    await this.#apply(found, { cause: 'plan', whole: false });
    const after = await this.#read(identities);
    if (!after.ok) return;
    for (const [key, observed] of after.value) this.#keep(key, observed);
  }

  /** Who leaves; `keys`: the entries that are looked at, null for the whole table. */
  #lookForLeaving(
    observed: readonly ObservedService[],
    keys: ReadonlySet<string> | null,
  ): LeavingLook {
    const { onRemove, drainTimeoutUs } = this.#options.ipvs;
    const found = look({
      configured: this.#configured,
      policy: { onRemove, drainTimeoutUs },
      nameOf: (entry) => this.#formerNames.get(entry) ?? null,
      observed,
      owned: this.#owned,
      before: this.#leaving,
      nowMs: Date.now(),
    });
    const leaving = new Map(found.leaving);
    for (const [path, one] of this.#leaving) {
      if (keys !== null && !keys.has(one.entry)) leaving.set(path, one);
    }
    const began = [...found.leaving].flatMap(([path, one]) =>
      this.#leaving.has(path) ? [] : [one],
    );
    const changed = began.length > 0 || leaving.size !== this.#leaving.size;
    this.#leaving = leaving;
    for (const key of keys ?? [...this.#removed.keys()]) this.#removed.delete(key);
    for (const { service } of observed) {
      const key = serviceKey(service.identity);
      if (found.keep.has(key) && !this.#configured.has(key)) {
        this.#removed.set(key, service.identity);
      }
    }
    this.#watchLeaving();
    if (!changed) return found;
    this.#write(this.#options.leavingFile, JSON.stringify([...leaving.values()]));
    this.#ports.onLeaving(began, found.ended);
    return found;
  }

  #watchLeaving(): void {
    if (this.#leaving.size > 0 === (this.#leavingTimer !== null)) return;
    if (this.#leavingTimer !== null) {
      clearInterval(this.#leavingTimer);
      this.#leavingTimer = null;
    } else this.#leavingTimer = setInterval(() => this.#lookAgain(), LEAVING_LOOK_MS);
  }

  #lookAgain(): void {
    for (const { entry } of this.#leaving.values()) {
      const configured = this.#configured.get(entry);
      if (configured === undefined) this.#removedDirty = true;
      else this.#dirty.add(configured.name);
    }
    void this.#work();
  }

  /** What the kernel has of some services, by their keys; null for one that is not there. */
  async #read(
    identities: readonly ServiceIdentity[],
  ): Promise<Result<ReadonlyMap<string, ObservedService | null>, Problem>> {
    const found = new Map<string, ObservedService | null>();
    if (identities.length > DUMPS_MAX) {
      const table = await this.#ports.client.dump();
      if (!table.ok) return table;
      const all = new Map(table.value.map((one) => [serviceKey(one.service.identity), one]));
      for (const key of identities.map(serviceKey)) found.set(key, all.get(key) ?? null);
      return ok(found);
    }
    for (const identity of identities) {
      const observed = await this.#ports.client.dumpService(identity);
      if (!observed.ok) return observed;
      found.set(serviceKey(identity), observed.value);
    }
    return ok(found);
  }

  #keep(key: string, observed: ObservedService | null): void {
    if (observed === null) this.#observed.delete(key);
    else this.#observed.set(key, observed);
  }

  /** Services stay as they are while nobody knows whether they are wanted. */
  #withoutUndecided(observed: readonly ObservedService[]): readonly ObservedService[] {
    const keys = new Set<string>();
    for (const service of this.#options.services) {
      for (const entry of service.entries) {
        if (this.#ports.wanted(service, entry) === null) keys.add(serviceKey(entry.identity));
      }
    }
    if (keys.size === 0) return observed;
    return observed.filter(({ service }) => !keys.has(serviceKey(service.identity)));
  }

  /** The entries of a service that are wanted now. */
  #desired(service: ServiceConfig): DesiredService[] {
    const wanted = service.entries.filter((entry) => this.#ports.wanted(service, entry) === true);
    if (wanted.length === 0) return [];
    const weights = this.#ports.weights(service, this.#observed);
    const weightOf = (_name: string, key: string) => weights.get(key)?.weight ?? null;
    return wanted.map(({ identity }) => desiredEntry(service, identity, weightOf));
  }

  #isDrift(item: DriftItem): boolean {
    return item.class !== 'foreign' && !this.#refused.has(item.key);
  }

  /** `whole`: the plan is that of the whole table, so that no other problem is present. */
  async #apply(
    found: Plan,
    { cause, whole }: { readonly cause: 'plan' | 'drift'; readonly whole: boolean },
  ): Promise<void> {
    const results =
      found.operations.length === 0 ? [] : await this.#ports.client.apply(found.operations);
    const told = this.#told;
    if (whole) {
      this.#told = new Set();
      this.#refused = new Set();
      this.#lastError = null;
    }
    const done: IpvsOperation[] = [];
    for (const result of results) {
      const { operation, problem } = result;
      if (problem === null) {
        done.push(operation);
        this.#operations[operation.kind] = (this.#operations[operation.kind] ?? 0) + 1;
      } else this.#refuse(result, problem, told);
    }
    this.#own(updateOwned(this.#owned, done));
    if (done.length > 0) this.#ports.onChanges(done, cause);
  }

  #refuse({ operation }: OperationResult, problem: Problem, told: ReadonlySet<string>): void {
    const key = serviceKey(
      'identity' in operation ? operation.identity : operation.service.identity,
    );
    // Servers of a service that was refused are refused with it: no problem of their own.
    const consequence = operation.kind === 'add-server' && this.#refused.has(key);
    this.#refused.add(driftKey(operation, key));
    if (consequence) return;
    this.#operationErrors++;
    this.#tell(problem, told);
  }

  #failed(problem: Problem): void {
    this.#lastError = null;
    this.#tell(problem, this.#told);
  }

  #tell(problem: Problem, told: ReadonlySet<string>): void {
    this.#lastError ??= problem.message;
    if (!told.has(problem.message)) this.#ports.onProblem(problem);
    this.#told.add(problem.message);
  }

  #remember(services: readonly ObservedService[]): void {
    this.#observed = new Map(services.map((entry) => [serviceKey(entry.service.identity), entry]));
  }

  #own(owned: OwnedSet): void {
    const before = JSON.stringify(ownedToJson(this.#owned));
    this.#owned = owned;
    const text = JSON.stringify(ownedToJson(owned));
    if (text === before) return;
    this.#write(this.#options.ownedFile, text);
  }

  #write(file: string, text: string): void {
    try {
      makeDirectory(dirname(file));
      replaceFile(file, text);
    } catch (error) {
      this.#ports.onProblem({
        code: 'VK-RUNTIME-DIRECTORY',
        message: `What is known of our IPVS entries cannot be written: ${error instanceof Error ? error.message : String(error)}`,
        cure: 'Make the runtime directory writable; until then a restart takes our entries for foreign ones',
      });
    }
  }
}

/** Key of an operation's entry as in drift items; `key` is that of its service. */
function driftKey(operation: IpvsOperation, key: string): string {
  if (operation.kind === 'delete-server') return serverPath(key, serverKey(operation));
  return 'server' in operation ? serverPath(key, serverKey(operation.server)) : key;
}

function readLeaving(path: string): ReadonlyMap<string, Leaving> {
  try {
    const leaving = leavingFromJson(JSON.parse(readFileSync(path, 'utf8')));
    if (leaving.ok) return new Map(leaving.value.map((one) => [leavingPath(one), one]));
  } catch {
    // The first start since boot, or a damaged file: whoever leaves begins anew.
  }
  return new Map();
}

function readOwned(path: string): OwnedSet {
  try {
    const owned = ownedFromJson(JSON.parse(readFileSync(path, 'utf8')));
    return owned.ok ? owned.value : NOTHING_OWNED;
  } catch {
    // The first start since boot, or a damaged file: what is desired is claimed anew.
    return NOTHING_OWNED;
  }
}
