/**
 * Warnings about VRRP: what is allowed and works, but does nothing or not what was probably meant.
 * They keep nobody from starting.
 */
import type { Config, VrrpConfig } from '../core/config/config.ts';
import type { Report } from './report.ts';

export function warnOfVrrp(config: Config, report: Report): void {
  for (const instance of config.vrrp) {
    warnOfPreemption(instance, report);
    warnOfOwnersWeights(instance, report);
    warnOfLateTrackers(instance, config, report);
  }
  const tracked = new Set(config.vrrp.flatMap(({ track }) => track.map((use) => use.tracker)));
  for (const { name } of config.trackers) {
    if (!tracked.has(name)) report.warning(['trackers', name], 'nothing tracks it');
  }
  for (const { name, members } of config.groups) {
    if (members.length > 1) continue;
    report.warning(['groups', name, 'instances'], 'a group of one instance changes nothing');
  }
}

/** An owner preempts whatever the option says (RFC 9568 section 6.1, Preempt_Mode). */
function warnOfPreemption({ name, preempt, preemptDelayUs, priority }: VrrpConfig, report: Report) {
  if (preempt || preemptDelayUs === 0 || priority === 255) return;
  report.warning(['vrrp', name, 'preempt_delay'], 'without preempt it delays nothing');
}

/** Trackers of its group are said once for all members, who are owners all or none. */
function warnOfOwnersWeights({ name, priority, track, group }: VrrpConfig, report: Report) {
  if (priority !== 255 || group !== null) return;
  for (const [index, { tracker, weight }] of track.entries()) {
    if (weight === 0) continue;
    const message = `the priority of an owner does not change, whatever ${tracker} says`;
    report.warning(['vrrp', name, 'track', index], message);
  }
}

/**
 * A backup whose own link is down hears nothing: when that counts later than its timer runs out,
 * it becomes active meanwhile. It sees its link itself, unless track_interface is off.
 */
function warnOfLateTrackers(instance: VrrpConfig, { trackers }: Config, report: Report): void {
  if (instance.trackInterface) return;
  const silenceUs = (instance.downTimerAdverts - 1) * instance.advertIntervalUs;
  const used = new Set(instance.track.map(({ tracker }) => tracker));
  for (const tracker of trackers) {
    if (!used.has(tracker.name) || tracker.kind !== 'interface') continue;
    if (tracker.interface !== instance.interface || tracker.downDelayUs < silenceUs) continue;
    const message =
      `longer than ${instance.name} may hear nothing: with its link down it becomes active ` +
      'before this counts';
    report.warning(['trackers', tracker.name, 'down_delay'], message);
  }
}
