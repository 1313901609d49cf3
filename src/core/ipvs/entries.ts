/**
 * A virtual service of the configuration is one entry of the kernel's table, or many: one for each
 * address, port and firewall mark. Which servers are in which entry, under which key, and what all
 * entries together say of a server. Operators deal with the service and its servers alone.
 */
import type {
  AddressFamily,
  RealServerConfig,
  ServiceConfig,
  ServiceEntry,
  ServiceIdentity,
} from '../config/config.ts';
import { allServers } from '../health/check-key.ts';
import { ipFamily } from '../ip.ts';
import { kept } from '../kept.ts';
import type { ConfiguredEntry } from './leaving.ts';
import {
  type ObservedRealServer,
  type ObservedService,
  serverKey,
  serviceFamily,
  serviceKey,
} from './model.ts';

/** By service key. */
export type ObservedTable = ReadonlyMap<string, ObservedService>;

/** What is known of a server in all entries of its service. */
export interface ServerCounts {
  /** Weight in the kernel: the highest of all entries. */
  readonly weight: number;
  readonly activeConnections: number;
  readonly inactiveConnections: number;
  readonly persistentConnections: number;
  readonly connections: number;
  readonly packetsIn: number;
  readonly packetsOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** The port that a server has in an entry: its own, or the entry's. */
export function portInEntry(server: { readonly port: number }, identity: ServiceIdentity): number {
  return server.port === 0 && identity.kind === 'address' ? identity.port : server.port;
}

/**
 * Whether a server serves an entry. Servers serve their own family; a tunnel carries the other
 * one too, but only for a service that has no entry of the server's own.
 */
export function servesEntry(
  server: Pick<RealServerConfig, 'address' | 'forwarding'>,
  identity: ServiceIdentity,
  entries: readonly ServiceEntry[],
): boolean {
  const family = ipFamily(server.address);
  if (serviceFamily(identity) === family) return true;
  return (
    server.forwarding === 'tun' &&
    entries.every((entry) => serviceFamily(entry.identity) !== family)
  );
}

/**
 * Tells of each server of a service with entries of both families the one that it serves; null of
 * all others, whose servers are in the same entries.
 */
export function familyServed(
  entries: readonly ServiceEntry[],
): (server: Pick<RealServerConfig, 'address'>) => AddressFamily | null {
  const [first, ...rest] = entries.map(({ identity }) => serviceFamily(identity));
  if (rest.every((family) => family === first)) return () => null;
  return ({ address }) => ipFamily(address);
}

/** serverKey() of a configured server, made once for each. */
export const configuredKey = kept((server: Pick<RealServerConfig, 'address' | 'port'>) =>
  serverKey(server),
);

/** Key of a server in an entry, of which its key in the service may differ by the port. */
export function keyInEntry(
  server: Pick<RealServerConfig, 'address' | 'port'>,
  identity: ServiceIdentity,
): string {
  const port = portInEntry(server, identity);
  return port === server.port
    ? configuredKey(server)
    : serverKey({ address: server.address, port });
}

/**
 * What the entries of a service together say of its servers, by the servers' keys in the service;
 * a server that no entry has is missing.
 */
export function countsOfServers(
  service: ServiceConfig,
  observed: ObservedTable,
): ReadonlyMap<string, ServerCounts> {
  const counts = new Map<string, ServerCounts>();
  for (const { identity } of service.entries) {
    const entry = observed.get(serviceKey(identity));
    if (entry === undefined) continue;
    const present = new Map<string, ObservedRealServer>();
    for (const server of entry.servers) present.set(serverKey(server), server);
    for (const server of allServers(service)) {
      const found = present.get(keyInEntry(server, identity));
      if (found === undefined) continue;
      const key = configuredKey(server);
      const before = counts.get(key);
      counts.set(key, before === undefined ? countsIn(found) : add(before, found));
    }
  }
  return counts;
}

/** What the configuration has of each entry, by the entries' keys. */
export function configuredEntries(
  services: readonly ServiceConfig[],
): ReadonlyMap<string, ConfiguredEntry> {
  const configured = new Map<string, ConfiguredEntry>();
  for (const service of services) {
    const { name, entries, onRemove, drainTimeoutUs } = service;
    for (const { identity } of entries) {
      const servers = allServers(service).filter((one) => servesEntry(one, identity, entries));
      const keys = new Set(servers.map((server) => keyInEntry(server, identity)));
      const policy = { onRemove, drainTimeoutUs };
      configured.set(serviceKey(identity), { name, servers: keys, policy });
    }
  }
  return configured;
}

/** 'tcp 192.0.2.10:80', or for several 'tcp 192.0.2.10:80 and 4 more'. */
export function entriesText(entries: readonly ServiceEntry[]): string {
  const [first, ...others] = entries;
  if (first === undefined) return 'nothing';
  const key = serviceKey(first.identity);
  return others.length === 0 ? key : `${key} and ${others.length} more`;
}

function countsIn(server: ObservedRealServer): ServerCounts {
  const { weight, activeConnections, inactiveConnections, persistentConnections, stats } = server;
  const { connections, packetsIn, packetsOut, bytesIn, bytesOut } = stats;
  // One literal, unlike two that are spread, costs next to nothing: this is called for each server.
  return {
    weight,
    activeConnections,
    inactiveConnections,
    persistentConnections,
    connections,
    packetsIn,
    packetsOut,
    bytesIn,
    bytesOut,
  };
}

function add(counts: ServerCounts, server: ObservedRealServer): ServerCounts {
  const more = countsIn(server);
  return {
    weight: Math.max(counts.weight, more.weight),
    activeConnections: counts.activeConnections + more.activeConnections,
    inactiveConnections: counts.inactiveConnections + more.inactiveConnections,
    persistentConnections: counts.persistentConnections + more.persistentConnections,
    connections: counts.connections + more.connections,
    packetsIn: counts.packetsIn + more.packetsIn,
    packetsOut: counts.packetsOut + more.packetsOut,
    bytesIn: counts.bytesIn + more.bytesIn,
    bytesOut: counts.bytesOut + more.bytesOut,
  };
}
