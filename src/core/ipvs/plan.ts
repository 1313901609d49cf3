/**
 * plan(desired, observed) → operations for the IPVS table. Invariants, held by property tests:
 * plan(d, d) is empty; applying the plan yields the desired entries and the foreign ones; in
 * shared mode nothing that is not ours is deleted; no operation fails on the observed table.
 *
 * Order: every service is added or set before its servers, capacity grows before it shrinks
 * (additions, raised weights, lowered weights), and all deletions come last.
 */
import type { IpvsConfig } from '../config/config.ts';
import { serverDifference, serviceDifference } from './compare.ts';
import type {
  DesiredService,
  IpvsOperation,
  ObservedRealServer,
  ObservedService,
  RealServer,
} from './model.ts';
import { serverKey, serviceKey } from './model.ts';
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
  readonly desired: DesiredService | null;
  readonly observed: ObservedService | null;
  /** Our servers in this service, or null when the service is not ours. */
  readonly owned: OwnedServers | null;
  readonly ownership: IpvsConfig['ownership'];
}

export interface Plan {
  readonly operations: readonly IpvsOperation[];
  /** One item for each operation, in no particular order, and one for each foreign entry. */
  readonly drift: readonly DriftItem[];
  /** Entries that stay although they are not desired. */
  readonly foreign: { readonly services: number; readonly servers: number };
}

/** Collects a plan; deletions apart, because they come after the changes of all services. */
interface Draft {
  readonly changes: IpvsOperation[];
  readonly deletions: IpvsOperation[];
  readonly drift: DriftItem[];
  readonly foreign: { services: number; servers: number };
}

/**
 * Plan for the whole table. Work grows with the number of entries.
 * `desired` and `observed` hold each service once, and each server once in its service.
 */
export function plan(input: PlanInput): Plan {
  const desired = byServiceKey(input.desired);
  const observed = byServiceKey(input.observed);
  const keys = [...new Set([...desired.keys(), ...observed.keys()])].sort();
  const draft = emptyDraft();
  for (const key of keys) {
    draftService(draft, key, {
      desired: desired.get(key) ?? null,
      observed: observed.get(key) ?? null,
      owned: input.owned.get(key) ?? null,
      ownership: input.ownership,
    });
  }
  return finish(draft);
}

/** Plan for one service alone: work grows with the number of its servers. */
export function planService(input: ServicePlanInput): Plan {
  const entry = input.desired ?? input.observed;
  const draft = emptyDraft();
  if (entry !== null) draftService(draft, serviceKey(entry.service.identity), input);
  return finish(draft);
}

/** Key of a drift item of a server. */
export function serverPath(service: string, server: string): string {
  return `${service} -> ${server}`;
}

function emptyDraft(): Draft {
  return { changes: [], deletions: [], drift: [], foreign: { services: 0, servers: 0 } };
}

function finish(draft: Draft): Plan {
  return {
    operations: [...draft.changes, ...draft.deletions],
    drift: draft.drift,
    foreign: draft.foreign,
  };
}

function draftService(draft: Draft, key: string, input: ServicePlanInput): void {
  const { desired, observed } = input;
  if (desired === null) {
    if (observed !== null) draftUnwantedService(draft, key, observed, input);
    return;
  }
  if (observed === null) {
    draft.changes.push({ kind: 'add-service', service: desired.service });
    draft.drift.push({ key, class: 'missing', detail: 'service is not in the kernel' });
  } else {
    const detail = serviceDifference(observed.service, desired.service);
    if (detail !== null) {
      draft.changes.push({ kind: 'set-service', service: desired.service });
      draft.drift.push({ key, class: 'altered', detail });
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
  const present = new Map<string, ObservedRealServer>();
  for (const server of observed?.servers ?? []) present.set(serverKey(server), server);
  const raised: RealServer[] = [];
  const lowered: RealServer[] = [];
  for (const [name, server] of byServerKey(desired.servers)) {
    const is = present.get(name);
    present.delete(name);
    const path = serverPath(key, name);
    if (is === undefined) {
      draft.changes.push({ kind: 'add-server', identity, server });
      draft.drift.push({ key: path, class: 'missing', detail: 'server is not in the kernel' });
      continue;
    }
    const detail = serverDifference(is, server);
    if (detail === null) continue;
    (server.weight < is.weight ? lowered : raised).push(server);
    draft.drift.push({ key: path, class: 'altered', detail });
  }
  for (const server of [...raised, ...lowered]) {
    draft.changes.push({ kind: 'set-server', identity, server });
  }
  for (const [name, server] of [...present].sort(byKey)) {
    const path = serverPath(key, name);
    if (ownership === 'exclusive' || owned?.has(name) === true) {
      const { address, port } = server;
      draft.deletions.push({ kind: 'delete-server', identity, address, port });
      draft.drift.push({ key: path, class: 'leftover', detail: 'server is not wanted' });
    } else {
      draft.foreign.servers++;
      draft.drift.push({ key: path, class: 'foreign', detail: 'server in a service of ours' });
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
    draft.drift.push({ key, class: 'leftover', detail: 'service is not wanted' });
    return;
  }
  draft.foreign.services++;
  draft.foreign.servers += strangers.length;
  draft.drift.push({
    key,
    class: 'foreign',
    detail: owned === null ? 'service' : `service of ours, kept for ${strangers.length} foreign`,
  });
  for (const [name, { address, port }] of servers) {
    const path = serverPath(key, name);
    if (owned?.has(name) === true) {
      draft.deletions.push({ kind: 'delete-server', identity, address, port });
      draft.drift.push({ key: path, class: 'leftover', detail: 'server is not wanted' });
    } else {
      draft.drift.push({ key: path, class: 'foreign', detail: 'server' });
    }
  }
}

function byServiceKey<T extends DesiredService>(services: readonly T[]): Map<string, T> {
  return new Map(services.map((entry) => [serviceKey(entry.service.identity), entry]));
}

function byServerKey<T extends RealServer>(servers: readonly T[]): [string, T][] {
  return servers.map((server): [string, T] => [serverKey(server), server]).sort(byKey);
}

function byKey(left: readonly [string, unknown], right: readonly [string, unknown]): number {
  return left[0] < right[0] ? -1 : left[0] > right[0] ? 1 : 0;
}
