/**
 * From configuration and health to the IPVS table that the kernel should hold. Which servers
 * get which weight is decided in health/pool.ts and comes in as `WeightOf`.
 */
import type {
  RealServerConfig,
  SchedulerFlag,
  ServiceConfig,
  ServiceIdentity,
} from '../config/config.ts';
import { allServers } from '../health/check-key.ts';
import { configuredKey, keyInEntry, portInEntry, servesEntry } from './entries.ts';
import type { DesiredService, RealServer, VirtualService } from './model.ts';
import { compareKeys, serversInKeyOrder, serviceFamily, serviceKey } from './model.ts';

/** Weight of a server by its service's name and its own key; null: it is not in the table. */
export type WeightOf = (serviceName: string, serverKey: string) => number | null;

/** The wanted table, sorted by service key; servers sorted by their keys. */
export function desiredTable(
  services: readonly ServiceConfig[],
  weightOf: WeightOf,
): DesiredService[] {
  return services
    .flatMap((service) => desiredEntries(service, weightOf))
    .map((entry) => ({ key: serviceKey(entry.service.identity), entry }))
    .sort(compareKeys)
    .map(({ entry }) => entry);
}

/** The entries of one service as wanted: `desiredTable` for a change that touches one service. */
export function desiredEntries(config: ServiceConfig, weightOf: WeightOf): DesiredService[] {
  return config.entries.map(({ identity }) => desiredEntry(config, identity, weightOf));
}

/** One entry of a service as wanted. */
export function desiredEntry(
  config: ServiceConfig,
  identity: ServiceIdentity,
  weightOf: WeightOf,
): DesiredService {
  const servers: RealServer[] = [];
  let inOrder = true;
  let before = '';
  for (const server of allServers(config)) {
    if (!servesEntry(server, identity, config.entries)) continue;
    const ownKey = configuredKey(server);
    const weight = weightOf(config.name, ownKey);
    if (weight === null) continue;
    const port = portInEntry(server, identity);
    const key = keyInEntry(server, identity);
    inOrder &&= before < key;
    before = key;
    servers.push(realServer(server, port, weight));
  }
  const sorted = inOrder ? servers : serversInKeyOrder(servers);
  return { service: virtualService(config, identity), servers: sorted };
}

/** A configured service's settings as the kernel takes them. */
export function virtualService(config: ServiceConfig, identity: ServiceIdentity): VirtualService {
  const maxPrefixLength = serviceFamily(identity) === 'ipv4' ? 32 : 128;
  return {
    identity,
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

function realServer(config: RealServerConfig, port: number, weight: number): RealServer {
  const { address, forwarding, tunnel, upperThreshold, lowerThreshold } = config;
  return { address, port, forwarding, weight, upperThreshold, lowerThreshold, tunnel };
}

/** The kernel has three flags; the scheduler decides what each means (linux/ip_vs.h). */
function hasFlag(config: ServiceConfig, names: readonly SchedulerFlag[]): boolean {
  const { schedulerFlags } = config;
  return schedulerFlags.length > 0 && names.some((name) => schedulerFlags.includes(name));
}
