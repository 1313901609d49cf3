/**
 * From configuration and health to the IPVS table that the kernel should hold. Which servers are
 * healthy, slowly starting or drained is decided elsewhere and comes in as `ServerState`.
 */
import type { RealServerConfig, SchedulerFlag, ServiceConfig } from '../config/config.ts';
import type { DesiredService, RealServer, VirtualService } from './model.ts';
import { serverKey, serviceFamily, serviceKey } from './model.ts';

export interface ServerState {
  readonly healthy: boolean;
  /** Instead of the configured weight, 0 to 65535: slow start, drain, an operator's wish. */
  readonly weightOverride?: number;
}

/** State of a server by its service's name and its own key ('10.0.0.11:8080'). */
export type ServerStateOf = (serviceName: string, serverKey: string) => ServerState;

/** The wanted table, sorted by service key; servers sorted by their keys. */
export function desiredTable(
  services: readonly ServiceConfig[],
  serverState: ServerStateOf,
): DesiredService[] {
  return services
    .map((service) => desiredService(service, serverState))
    .map((entry) => ({ key: serviceKey(entry.service.identity), entry }))
    .sort(compareKeys)
    .map(({ entry }) => entry);
}

/** One service as wanted: `desiredTable` for a change that touches one service. */
export function desiredService(config: ServiceConfig, serverState: ServerStateOf): DesiredService {
  const servers: { key: string; server: RealServer }[] = [];
  for (const server of config.servers) {
    const key = serverKey(server);
    const state = serverState(config.name, key);
    if (!state.healthy && config.onFailure === 'remove') continue;
    const weight = state.healthy ? (state.weightOverride ?? server.weight) : 0;
    servers.push({ key, server: realServer(server, weight) });
  }
  return {
    service: virtualService(config),
    servers: servers.sort(compareKeys).map(({ server }) => server),
  };
}

/** A configured service's settings as the kernel takes them. */
export function virtualService(config: ServiceConfig): VirtualService {
  const maxPrefixLength = serviceFamily(config.identity) === 'ipv4' ? 32 : 128;
  return {
    identity: config.identity,
    scheduler: config.scheduler,
    persistenceSeconds: config.persistence?.timeoutSeconds ?? 0,
    persistencePrefixLength: config.persistence?.prefixLength ?? maxPrefixLength,
    persistenceEngine: config.persistenceEngine,
    onePacket: config.onePacket,
    flag1: hasFlag(config, ['sh-fallback', 'mh-fallback', 'flag-1']),
    flag2: hasFlag(config, ['sh-port', 'mh-port', 'flag-2']),
    flag3: hasFlag(config, ['flag-3']),
  };
}

function realServer(config: RealServerConfig, weight: number): RealServer {
  const { address, port, forwarding, tunnel, upperThreshold, lowerThreshold } = config;
  return { address, port, forwarding, weight, upperThreshold, lowerThreshold, tunnel };
}

/** The kernel has three flags; the scheduler decides what each means (linux/ip_vs.h). */
function hasFlag(config: ServiceConfig, names: readonly SchedulerFlag[]): boolean {
  return names.some((name) => config.schedulerFlags.includes(name));
}

function compareKeys(left: { readonly key: string }, right: { readonly key: string }): number {
  return left.key < right.key ? -1 : left.key > right.key ? 1 : 0;
}
