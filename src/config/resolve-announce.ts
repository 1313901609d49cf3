/**
 * Announcements from their parsed form: an instance's own values with their defaults, and the
 * switches whose interfaces share a pace. An interface is on one switch only.
 */
import type { AnnounceConfig, AnnounceGroupConfig } from '../core/config/config.ts';
import { DEFAULTS } from '../core/config/defaults.ts';
import type { Report } from './report.ts';
import type { AnnounceGroupInput, VrrpInput } from './schema.ts';

/** An instance's `announce`, with all defaults; undefined for a configuration without it. */
export function resolveAnnounce(input: VrrpInput['announce']): AnnounceConfig {
  const { announce } = DEFAULTS.vrrp;
  const repeat = input?.repeat ?? announce.repeat;
  const intervalUs = input?.interval ?? announce.intervalUs;
  return {
    repeat,
    delayUs: input?.delay ?? announce.delayUs,
    refreshUs: input?.refresh ?? announce.refreshUs,
    refreshRepeat: input?.refresh_repeat ?? announce.refreshRepeat,
    extraInterfaceRefreshUs: input?.extra_interface_refresh ?? announce.extraInterfaceRefreshUs,
    lowerPriorityRepeat: input?.lower_priority_repeat ?? repeat,
    lowerPriorityDelayUs: input?.lower_priority_delay ?? announce.lowerPriorityDelayUs,
    intervalUs,
    naIntervalUs: input?.na_interval ?? intervalUs,
  };
}

export interface NamedAnnounceGroup {
  readonly name: string;
  readonly input: AnnounceGroupInput;
}

/** The switches; `path` of each is announce_groups.NAME. */
export function resolveAnnounceGroups(
  groups: readonly NamedAnnounceGroup[],
  report: Report,
): AnnounceGroupConfig[] {
  const seen = new Map<string, string>();
  for (const { name, input } of groups) {
    for (const [index, interfaceName] of input.interfaces.entries()) {
      const other = seen.get(interfaceName);
      if (other === undefined) seen.set(interfaceName, name);
      else {
        const message = `${interfaceName} is in announce_groups.${other} already`;
        report.error(['announce_groups', name, 'interfaces', index], message, 'bare');
      }
    }
  }
  return groups.map(({ name, input }) => ({
    name,
    interfaces: input.interfaces,
    intervalUs: input.interval,
    naIntervalUs: input.na_interval ?? input.interval,
  }));
}
