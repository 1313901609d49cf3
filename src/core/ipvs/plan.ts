/**
 * plan(desired, observed) → operations for the IPVS table. Invariants, held by property tests:
 * plan(d, d) is empty; applying the plan yields the desired entries and the foreign ones; in
 * shared mode nothing that is not ours is deleted; no operation fails on the observed table.
 *
 * Order: every service is added or set before its servers, capacity grows before it shrinks
 * (additions, raised weights, lowered weights), and all deletions come last.
 */
import type { IpvsConfig, ServiceIdentity } from '../config/config.ts';
import { serverDifference, serviceDifference } from './compare.ts';
import type {
  DesiredService,
  IpvsOperation,
  ObservedRealServer,
  ObservedService,
  RealServer,
} from './model.ts';
import { serverKey, serversInKeyOrder, serviceKey } from './model.ts';
import type { OwnedServers, OwnedSet } from './owned.ts';

/** How an entry of the table differs from what is wanted. */
export type DriftClass =
  /** Wanted and not there. */
  | 'missing'
  /** There with other settings. */
  | 'altered'
  /** There and not wanted; deleted. */
  | 'leftover'
  /** There, not wanted, and not ours to delete. */
  | 'foreign';

export interface DriftItem {
  /** Service key, or for a server 'service key -> server key'. */
  readonly key: string;
  readonly class: DriftClass;
  readonly detail: string;
}

export interface PlanInput {
  readonly desired: readonly DesiredService[];
  readonly observed: readonly ObservedService[];
  readonly owned: OwnedSet;
  readonly ownership: IpvsConfig['ownership'];
}

export interface ServicePlanInput {
  /** Of the entry, as serviceKey(). */
  readonly key: string;
  readonly desired: DesiredService | null;
  readonly observed: ObservedService | null;
  /** Our servers in this service, or null when the service is not ours. */
  readonly owned: OwnedServers | null;
  readonly ownership: IpvsConfig['ownership'];
  /** False for a plan without items, whose words are most of the work of a new service. */
  readonly items?: boolean;
}

export interface Plan {
  readonly operations: readonly IpvsOperation[];
  /**
   * One item for each operation, in no particular order, and one for each foreign entry; none if
   * that was asked for.
   */
  readonly drift: readonly DriftItem[];
  /** Entries that stay although they are not desired. */
  readonly foreign: { readonly services: number; readonly servers: number };
}

const NO_DRIFT: readonly DriftItem[] = [];
/** Of nearly all services in nearly all comparisons. */
const NOTHING_TO_DO: Plan = {
  operations: [],
  drift: NO_DRIFT,
  foreign: { services: 0, servers: 0 },
};

/** Collects a plan; deletions apart, because they come after the changes of all services. */
class Draft {
  readonly changes: IpvsOperation[] = [];
  readonly deletions: IpvsOperation[] = [];
  drift: DriftItem[] | null = null;
  readonly foreign = { services: 0, servers: 0 };
  readonly #items: boolean;

  constructor(items: boolean) {
    this.#items = items;
  }

  /** `server`: its key, or null for the service itself. */
  item(kind: DriftClass, service: string, server: string | null, detail: string): void {
    if (!this.#items) return;
    const key = server === null ? service : serverPath(service, server);
    this.drift ??= [];
    this.drift.push({ key, class: kind, detail });
  }

  add(service: string, identity: ServiceIdentity, server: RealServer): void {
    this.changes.push({ kind: 'add-server', identity, server });
    if (!this.#items) return;
    this.item('missing', service, serverKey(server), 'server is not in the kernel');
  }

  finish(): Plan {
    const { changes, deletions, drift, foreign } = this;
    const operations = deletions.length === 0 ? changes : [...changes, ...deletions];
    return { operations, drift: drift ?? NO_DRIFT, foreign };
  }
}

/**
 * Plan for the whole table. Work grows with the number of entries.
 * `desired` and `observed` hold each service once, and each server once in its service.
 */
export function plan(input: PlanInput): Plan {
  const desired = byServiceKey(input.desired);
  const observed = byServiceKey(input.observed);
  const keys = [...new Set([...desired.keys(), ...observed.keys()])].sort();
  const draft = new Draft(true);
  for (const key of keys) {
    draftService(draft, {
      key,
      desired: desired.get(key) ?? null,
      observed: observed.get(key) ?? null,
      owned: input.owned.get(key) ?? null,
      ownership: input.ownership,
    });
  }
  return draft.finish();
}

/** Plan for one service alone: work grows with the number of its servers. */
export function planService(input: ServicePlanInput): Plan {
  if (isAsWanted(input)) return NOTHING_TO_DO;
  const draft = new Draft(input.items ?? true);
  draftService(draft, input);
  return draft.finish();
}

/** Key of a drift item of a server. */
export function serverPath(service: string, server: string): string {
  return `${service} -> ${server}`;
}

/** Whether nothing is to be done, where that is seen at a glance: the servers in one order. */
function isAsWanted({ desired, observed }: ServicePlanInput): boolean {
  if (desired === null || observed === null) return false;
  const { servers } = desired;
  if (servers.length !== observed.servers.length) return false;
  if (serviceDifference(observed.service, desired.service) !== null) return false;
  let index = 0;
  for (const server of servers) {
    const is = observed.servers[index++] as ObservedRealServer;
    if (is.address !== server.address || is.port !== server.port) return false;
    if (serverDifference(is, server) !== null) return false;
  }
  return true;
}

function draftService(draft: Draft, input: ServicePlanInput): void {
  const { key, desired, observed } = input;
  if (desired === null) {
    if (observed !== null) draftUnwantedService(draft, key, observed, input);
    return;
  }
  if (observed === null) {
    draft.changes.push({ kind: 'add-service', service: desired.service });
    draft.item('missing', key, null, 'service is not in the kernel');
  } else {
    const detail = serviceDifference(observed.service, desired.service);
    if (detail !== null) {
      draft.changes.push({ kind: 'set-service', service: desired.service });
      draft.item('altered', key, null, detail);
    }
  }
  draftServers(draft, key, desired, input);
}

function draftServers(
  draft: Draft,
  key: string,
  desired: DesiredService,
  { observed, owned, ownership }: ServicePlanInput,
): void {
  const { identity } = desired.service;
  if (observed === null) {
    for (const server of serversInKeyOrder(desired.servers)) draft.add(key, identity, server);
    return;
  }
  const present = new Map<string, ObservedRealServer>();
  for (const server of observed.servers) present.set(serverKey(server), server);
  const raised: RealServer[] = [];
  const lowered: RealServer[] = [];
  for (const [name, server] of byServerKey(desired.servers)) {
    const is = present.get(name);
    present.delete(name);
    if (is === undefined) {
      draft.add(key, identity, server);
      continue;
    }
    const detail = serverDifference(is, server);
    if (detail === null) continue;
    (server.weight < is.weight ? lowered : raised).push(server);
    draft.item('altered', key, name, detail);
  }
  for (const server of [...raised, ...lowered]) {
    draft.changes.push({ kind: 'set-server', identity, server });
  }
  if (present.size === 0) return;
  for (const [name, server] of [...present].sort(byKey)) {
    if (ownership === 'exclusive' || owned?.has(name) === true) {
      const { address, port } = server;
      draft.deletions.push({ kind: 'delete-server', identity, address, port });
      draft.item('leftover', key, name, 'server is not wanted');
    } else {
      draft.foreign.servers++;
      draft.item('foreign', key, name, 'server in a service of ours');
    }
  }
}

/**
 * A service that nobody wants. Ours goes in one operation, and the kernel drops its servers with
 * it; but while somebody else's servers are in it, only our servers go.
 */
function draftUnwantedService(
  draft: Draft,
  key: string,
  observed: ObservedService,
  { owned, ownership }: ServicePlanInput,
): void {
  const { identity } = observed.service;
  const servers = byServerKey(observed.servers);
  const strangers = servers.filter(([name]) => owned?.has(name) !== true);
  if (ownership === 'exclusive' || (owned !== null && strangers.length === 0)) {
    draft.deletions.push({ kind: 'delete-service', identity });
    draft.item('leftover', key, null, 'service is not wanted');
    return;
  }
  draft.foreign.services++;
  draft.foreign.servers += strangers.length;
  const detail = `service of ours, kept for ${strangers.length} foreign`;
  draft.item('foreign', key, null, owned === null ? 'service' : detail);
  for (const [name, { address, port }] of servers) {
    if (owned?.has(name) === true) {
      draft.deletions.push({ kind: 'delete-server', identity, address, port });
      draft.item('leftover', key, name, 'server is not wanted');
    } else {
      draft.item('foreign', key, name, 'server');
    }
  }
}

function byServiceKey<T extends DesiredService>(services: readonly T[]): Map<string, T> {
  return new Map(services.map((entry) => [serviceKey(entry.service.identity), entry]));
}

/** By their keys, in the order of these. */
function byServerKey<T extends RealServer>(servers: readonly T[]): [string, T][] {
  const keyed = servers.map((server): [string, T] => [serverKey(server), server]);
  const inOrder = keyed.every((one, index) => {
    const before = keyed[index - 1];
    return before === undefined || before[0] < one[0];
  });
  return inOrder ? keyed : keyed.sort(byKey);
}

function byKey(left: readonly [string, unknown], right: readonly [string, unknown]): number {
  return left[0] < right[0] ? -1 : left[0] > right[0] ? 1 : 0;
}
