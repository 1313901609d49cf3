/**
 * A virtual service of which nothing is said but what it must have: everything else as it is by
 * default. For services that the configuration does not have, as those that carry checks.
 */
import type { ServiceConfig } from './config.ts';
import { DEFAULTS } from './defaults.ts';

/** `changes` take the place of the defaults. */
export function plainService(
  required: Pick<ServiceConfig, 'name' | 'entries' | 'servers'>,
  changes: Partial<ServiceConfig> = {},
): ServiceConfig {
  const { service, ipvs, passive } = DEFAULTS;
  return {
    scheduler: service.scheduler,
    schedulerFlags: [],
    persistence: null,
    persistenceEngine: service.persistenceEngine,
    onePacket: service.onePacket,
    onFailure: service.onFailure,
    quorum: { ...service.quorum, below: 'serve' },
    minHealthyPercent: service.minHealthyPercent,
    slowStartUs: service.slowStartUs,
    onlyOnActive: ipvs.onlyOnActive,
    checkWhen: service.checkWhen,
    onRemove: ipvs.onRemove,
    drainTimeoutUs: ipvs.drainTimeoutUs,
    passive,
    notify: null,
    maintenance: [],
    sorryServers: [],
    ...required,
    ...changes,
  };
}
