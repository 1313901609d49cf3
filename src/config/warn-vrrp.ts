/**
 * Warnings about VRRP: what is allowed and works, but does nothing or not what was probably meant.
 * They keep nobody from starting.
 */
import type { Config, VrrpConfig } from '../core/config/config.ts';
import { parseIp } from '../core/ip.ts';
import type { Report } from './report.ts';

export function warnOfVrrp(config: Config, report: Report): void {
  for (const instance of config.vrrp) {
    warnOfPreemption(instance, report);
    warnOfOwnersWeights(instance, report);
    warnOfLateTrackers(instance, config, report);
    warnOfLonelyUnicast(instance, report);
    warnOfPeculiarAddresses(instance, report);
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
  if (priority === 255) {
    const message = 'an owner (priority 255) preempts at once, whatever this says';
    if (!preempt) report.warning(['vrrp', name, 'preempt'], message);
    if (preemptDelayUs > 0) report.warning(['vrrp', name, 'preempt_delay'], message);
    return;
  }
  if (preempt || preemptDelayUs === 0) return;
  report.warning(['vrrp', name, 'preempt_delay'], 'without preempt it delays nothing');
}

/** Which of the peers is this director is known by its addresses alone, unless `source` tells. */
function warnOfLonelyUnicast(instance: VrrpConfig, report: Report): void {
  const { name, unicast, sourceAddress } = instance;
  if (unicast === null || unicast.peers.some(({ address }) => address !== sourceAddress)) return;
  const message =
    'no other director is among them: it speaks to nobody, so that each director is active for itself';
  report.warning(['vrrp', name, 'peers'], message);
}

/** The kernel takes them, and hosts do not talk to them. */
function warnOfPeculiarAddresses({ name, addresses }: VrrpConfig, report: Report): void {
  for (const [index, { address, prefixLength, attributes }] of addresses.entries()) {
    const what = peculiarity(parseIp(address), prefixLength);
    if (what === null || attributes.peer !== null) continue;
    report.warning(['vrrp', name, 'addresses', index], `${address} is ${what}`);
  }
}

function peculiarity(bytes: Uint8Array | null, prefixLength: number): string | null {
  if (bytes === null || bytes.length !== 4) return null;
  if (bytes[0] === 127) return 'a loopback address: no other host reaches it';
  // RFC 3021: networks of two addresses have neither.
  if (prefixLength > 30) return null;
  const hostBits = 2 ** (32 - prefixLength) - 1;
  const number = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
  const host = number % (hostBits + 1);
  if (host === 0) return `the address of its network itself: no host is reached by it`;
  return host === hostBits
    ? 'the broadcast address of its network: no host is reached by it'
    : null;
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
