/** The part of a configuration that the keeper carries out. */
import type { Config } from '../core/config/config.ts';
import type { KeeperPlan } from '../keeper/messages.ts';

export function keeperPlan(config: Config): KeeperPlan {
  return {
    director: config.director,
    instances: config.vrrp,
    announceGroups: config.announceGroups,
    bfd: config.bfd,
    static: config.static,
    trackers: config.trackers,
    runtimeDirectory: config.runtimeDirectory,
    fifo: config.notify.fifo,
    tuning: config.keeper,
  };
}
