/**
 * Ownership: which entries of the kernel's IPVS table vipkeeper created or adopted. What is not
 * in this set is foreign, and in shared mode is never deleted. The set outlives the process, so
 * it has a JSON form. Invariant: a server is owned only within an owned service.
 *
 * Order of use: `claim` and save before applying (a crash in between must not turn our entries
 * into foreign ones), `updateOwned` with what the kernel accepted afterwards.
 */
import type { Result } from '../result.ts';
import { err, ok } from '../result.ts';
import type { DesiredService, IpvsOperation, ObservedService } from './model.ts';
import { serverKey, serviceKey } from './model.ts';

/** Server keys of one owned service. */
export type OwnedServers = ReadonlySet<string>;

/** Owned services by service key. */
export type OwnedSet = ReadonlyMap<string, OwnedServers>;

/** JSON form: service keys to sorted server keys. */
export type OwnedJson = Readonly<Record<string, readonly string[]>>;

export const NOTHING_OWNED: OwnedSet = new Map();

/** The set as JSON, sorted, so that equal sets are equal text. */
export function ownedToJson(owned: OwnedSet): OwnedJson {
  const keys = [...owned.keys()].sort();
  return Object.fromEntries(keys.map((key) => [key, [...(owned.get(key) ?? [])].sort()]));
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

/** `owned` and all that is desired: what exists already is thereby adopted. */
export function claim(owned: OwnedSet, desired: readonly DesiredService[]): OwnedSet {
  const next = new Map(owned);
  for (const { service, servers } of desired) {
    const key = serviceKey(service.identity);
    next.set(key, claimServers(next.get(key) ?? null, servers));
  }
  return next;
}

/** `claim` for one service: its work is that of the service, not of the table. */
export function claimServers(
  owned: OwnedServers | null,
  servers: DesiredService['servers'],
): OwnedServers {
  const next = new Set(owned ?? []);
  for (const server of servers) next.add(serverKey(server));
  return next;
}

/**
 * The set after operations that the kernel accepted, in their order. Deleting a service disowns
 * its servers, because the kernel deletes them with it.
 */
export function updateOwned(owned: OwnedSet, operations: readonly IpvsOperation[]): OwnedSet {
  const next = new Map<string, OwnedServers>(owned);
  const fresh = new Map<string, Set<string>>();
  // Copies a service's servers once, however many operations follow.
  const writable = (key: string): Set<string> => {
    const servers = fresh.get(key) ?? new Set(next.get(key) ?? []);
    fresh.set(key, servers);
    next.set(key, servers);
    return servers;
  };
  for (const operation of operations) {
    switch (operation.kind) {
      case 'add-service':
      case 'set-service':
        writable(serviceKey(operation.service.identity));
        break;
      case 'delete-service':
        next.delete(serviceKey(operation.identity));
        fresh.delete(serviceKey(operation.identity));
        break;
      case 'add-server':
      case 'set-server':
        writable(serviceKey(operation.identity)).add(serverKey(operation.server));
        break;
      case 'delete-server': {
        const key = serviceKey(operation.identity);
        if (next.has(key)) writable(key).delete(serverKey(operation));
        break;
      }
    }
  }
  return next;
}

/**
 * Forgets entries that are neither desired nor observed any more: somebody else deleted them, and
 * whoever creates them again owns them.
 */
export function pruneOwned(
  owned: OwnedSet,
  desired: readonly DesiredService[],
  observed: readonly ObservedService[],
): OwnedSet {
  const present = new Map<string, Set<string>>();
  for (const { service, servers } of [...desired, ...observed]) {
    const key = serviceKey(service.identity);
    const keys = present.get(key) ?? new Set();
    for (const server of servers) keys.add(serverKey(server));
    present.set(key, keys);
  }
  const next = new Map<string, OwnedServers>();
  for (const [key, servers] of owned) {
    const keys = present.get(key);
    if (keys === undefined) continue;
    next.set(key, new Set([...servers].filter((server) => keys.has(server))));
  }
  return next;
}
