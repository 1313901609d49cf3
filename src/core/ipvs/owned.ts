/**
 * Ownership: which entries of the kernel's IPVS table vipkeeper created or adopted. What is not
 * in this set is foreign, and in shared mode is never deleted. The set outlives the process, so
 * it has a JSON form. Invariant: a server is owned only within an owned service.
 *
 * Order of use: `claimed` and save before applying (a crash in between must not turn our entries
 * into foreign ones), `disowned` with what the kernel accepted afterwards.
 */
import type { MutableMap } from '../large-map.ts';
import type { Result } from '../result.ts';
import { err, ok } from '../result.ts';
import type { DesiredService, IpvsOperation, ObservedService } from './model.ts';
import { serverKey, serviceKey } from './model.ts';

/** Server keys of one owned service. */
export type OwnedServers = ReadonlySet<string>;

/** Owned services by service key. */
export type OwnedSet = ReadonlyMap<string, OwnedServers>;

/** The same for whoever keeps the list. */
export type MutableOwned = MutableMap<Set<string>>;

/** JSON form: service keys to sorted server keys. */
export type OwnedJson = Readonly<Record<string, readonly string[]>>;

export const NOTHING_OWNED: OwnedSet = new Map();

/** The set as JSON, sorted, so that equal sets are equal text. */
export function ownedToJson(owned: OwnedSet): OwnedJson {
  const keys = [...owned.keys()].sort();
  return Object.fromEntries(keys.map((key) => [key, sortedServers(owned.get(key))]));
}

/** The server keys of a service in the JSON form. */
export function sortedServers(servers: OwnedServers | undefined): readonly string[] {
  return [...(servers ?? [])].sort();
}

/** Reads the JSON form of any value; the error says where it is none. Never throws. */
export function ownedFromJson(json: unknown): Result<OwnedSet, string> {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    return err('owned entries: not an object');
  }
  const owned = new Map<string, OwnedServers>();
  for (const [key, servers] of Object.entries(json)) {
    if (!Array.isArray(servers) || !servers.every((server) => typeof server === 'string')) {
      return err(`owned entries: '${key}' is not a list of server keys`);
    }
    owned.set(key, new Set(servers));
  }
  return ok(owned);
}

/** A change of the set. */
export type OwnedChange =
  | { readonly kind: 'own'; readonly service: string; readonly servers: readonly string[] }
  | {
      readonly kind: 'disown-servers';
      readonly service: string;
      readonly servers: readonly string[];
    }
  | { readonly kind: 'disown-service'; readonly service: string };

/** Makes the change in `owned`; its work is that of the change. */
export function makeChange(owned: MutableOwned, change: OwnedChange): void {
  const { service } = change;
  const present = owned.get(service);
  switch (change.kind) {
    case 'own': {
      if (present === undefined) owned.set(service, new Set(change.servers));
      else for (const server of change.servers) present.add(server);
      return;
    }
    case 'disown-servers':
      for (const server of change.servers) present?.delete(server);
      return;
    case 'disown-service':
      owned.delete(service);
  }
}

/** What makes all of these ours, by their keys: what exists already is thereby adopted. */
export function claimed(
  owned: OwnedSet,
  desired: Iterable<readonly [string, DesiredService]>,
): OwnedChange[] {
  const changes: OwnedChange[] = [];
  for (const [key, { servers }] of desired) {
    const known = owned.get(key);
    const keys: string[] = [];
    for (const server of servers) {
      const one = serverKey(server);
      if (known?.has(one) !== true) keys.push(one);
    }
    if (known !== undefined && keys.length === 0) continue;
    changes.push({ kind: 'own', service: key, servers: keys });
  }
  return changes;
}

/**
 * What follows from operations that the kernel accepted, in their order: what was deleted is not
 * ours any more. Deleting a service disowns its servers, because the kernel deletes them with it.
 */
export function disowned(operations: readonly IpvsOperation[]): OwnedChange[] {
  const changes: OwnedChange[] = [];
  for (const operation of operations) {
    if (operation.kind === 'delete-service') {
      changes.push({ kind: 'disown-service', service: serviceKey(operation.identity) });
    } else if (operation.kind === 'delete-server') {
      const service = serviceKey(operation.identity);
      changes.push({ kind: 'disown-servers', service, servers: [serverKey(operation)] });
    }
  }
  return changes;
}

/**
 * What follows from a service of ours as it is and as it is wanted: `ours` of its servers that are
 * neither have been deleted by somebody else, and whoever creates them again owns them.
 */
export function vanished(
  ours: OwnedServers,
  key: string,
  present: readonly (DesiredService | ObservedService | null)[],
): OwnedChange[] {
  const left = new Set(ours);
  let there = false;
  for (const entry of present) {
    if (entry === null) continue;
    there = true;
    for (const server of entry.servers) {
      if (left.size === 0) return [];
      left.delete(serverKey(server));
    }
  }
  if (!there) return [{ kind: 'disown-service', service: key }];
  const servers = [...left];
  return servers.length === 0 ? [] : [{ kind: 'disown-servers', service: key, servers }];
}
