/**
 * The kernel's IPVS table as a pure function: what each operation does to it, and with which
 * error it fails. Follows net/netfilter/ipvs/ip_vs_ctl.c as far as the table goes: services,
 * servers, their records and counters. Connections and the trash of deleted servers are not
 * modelled. Used by the simulator and as the oracle of property tests.
 */
import { ipFamily } from '../ip.ts';
import type {
  IpvsOperation,
  IpvsStats,
  ObservedRealServer,
  ObservedService,
  RealServer,
} from './model.ts';
import { serverKey, serviceFamily, serviceKey } from './model.ts';

export type IpvsErrorName = 'EEXIST' | 'ESRCH' | 'ENOENT' | 'ERANGE' | 'EINVAL';

export interface AppliedOperation {
  readonly operation: IpvsOperation;
  /** null when it succeeded. */
  readonly error: IpvsErrorName | null;
}

export interface ApplyResult {
  readonly table: readonly ObservedService[];
  /** One for each operation, in order. A failed one changes nothing; those after it go on. */
  readonly results: readonly AppliedOperation[];
}

export const ZERO_STATS: IpvsStats = {
  connections: 0,
  packetsIn: 0,
  packetsOut: 0,
  bytesIn: 0,
  bytesOut: 0,
};

/** Applies operations in order. The table comes back sorted by service and server key. */
export function apply(
  operations: readonly IpvsOperation[],
  observed: readonly ObservedService[],
): ApplyResult {
  const table = new Map<string, Entry>();
  for (const entry of observed) {
    const servers = new Map(entry.servers.map((server) => [serverKey(server), server]));
    table.set(serviceKey(entry.service.identity), { ...entry, servers });
  }
  const results = operations.map((operation) => ({
    operation,
    error: applyOne(table, operation),
  }));
  return {
    table: sorted(table).map((entry) => ({ ...entry, servers: sorted(entry.servers) })),
    results,
  };
}

/**
 * An entry after operations on it that succeeded, all of them its own and in the order of a plan;
 * null when it is not there. Its work is that of the entry.
 */
export function afterwards(
  operations: readonly IpvsOperation[],
  before: ObservedService | null,
): ObservedService | null {
  const first = operations[0];
  const isNew = before === null && first?.kind === 'add-service';
  if (!isNew) return apply(operations, before === null ? [] : [before]).table[0] ?? null;
  const servers: ObservedRealServer[] = [];
  for (let index = 1; index < operations.length; index++) {
    const operation = operations[index] as IpvsOperation;
    if (operation.kind !== 'add-server') return apply(operations, []).table[0] ?? null;
    servers.push(newServer(operation.server));
  }
  return { service: first.service, stats: ZERO_STATS, servers };
}

interface Entry {
  readonly service: ObservedService['service'];
  readonly stats: IpvsStats;
  readonly servers: Map<string, ObservedRealServer>;
}

/** Changes `table`, or says why not. The order of the checks is ip_vs_genl_set_cmd's. */
function applyOne(table: Map<string, Entry>, operation: IpvsOperation): IpvsErrorName | null {
  if (operation.kind === 'add-service') {
    const { service } = operation;
    const key = serviceKey(service.identity);
    if (table.has(key)) return 'EEXIST';
    table.set(key, { service, stats: ZERO_STATS, servers: new Map() });
    return null;
  }
  const identity =
    operation.kind === 'set-service' ? operation.service.identity : operation.identity;
  const key = serviceKey(identity);
  const entry = table.get(key);
  if (entry === undefined) return 'ESRCH';
  switch (operation.kind) {
    case 'set-service':
      table.set(key, { ...entry, service: operation.service });
      return null;
    case 'delete-service':
      table.delete(key);
      return null;
    case 'add-server':
    case 'set-server':
      return putServer(entry, operation);
    case 'delete-server':
      return entry.servers.delete(serverKey(operation)) ? null : 'ENOENT';
  }
}

function putServer(
  entry: Entry,
  { kind, server }: { kind: 'add-server' | 'set-server'; server: RealServer },
): IpvsErrorName | null {
  const mixed = ipFamily(server.address) !== serviceFamily(entry.service.identity);
  if (mixed && server.forwarding !== 'tun') return 'EINVAL';
  if (server.weight < 0 || server.lowerThreshold > server.upperThreshold) return 'ERANGE';
  const record = newServer(server);
  if (record.tunnel.kind === 'gue' && record.tunnel.port === 0) return 'EINVAL';
  const key = serverKey(server);
  const present = entry.servers.get(key);
  if (kind === 'add-server') {
    if (present !== undefined) return 'EEXIST';
    entry.servers.set(key, record);
    return null;
  }
  if (present === undefined) return 'ENOENT';
  const { activeConnections, inactiveConnections, persistentConnections, stats } = present;
  const counters = { activeConnections, inactiveConnections, persistentConnections, stats };
  entry.servers.set(key, { ...record, ...counters });
  return null;
}

/** Our encoder sends a tunnel only for tunnelled servers, and the kernel then assumes IPIP. */
function newServer(server: RealServer): ObservedRealServer {
  const { address, port, forwarding, weight, upperThreshold, lowerThreshold } = server;
  // One literal, so that all servers have one shape, those of dumps included.
  return {
    address,
    port,
    forwarding,
    weight,
    upperThreshold,
    lowerThreshold,
    tunnel: forwarding === 'tun' ? server.tunnel : IPIP,
    activeConnections: 0,
    inactiveConnections: 0,
    persistentConnections: 0,
    stats: ZERO_STATS,
  };
}

const IPIP: RealServer['tunnel'] = { kind: 'ipip' };

function sorted<T>(entries: ReadonlyMap<string, T>): T[] {
  return [...entries.keys()].sort().map((key) => entries.get(key) as T);
}
