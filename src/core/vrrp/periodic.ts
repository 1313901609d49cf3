/**
 * The two steps of the machine that are taken all the time: an active director advertises and
 * nothing else is due, and a backup hears from it what it heard before. Done in place, because a
 * thousand instances at 100 ms take them 10,000 times a second, and states that live for as long
 * as an interval are what a garbage collector is worst at; step() is what they must agree with,
 * and a property test holds them to that.
 */

import { nextBurstUs } from './announce.ts';
import type { VrrpState } from './instance.ts';
import { activeDownIntervalUs } from './timing.ts';
import type { Advertisement, InstanceOptions } from './types.ts';

type Active = Extract<VrrpState, { kind: 'active' }>;
type Backup = Extract<VrrpState, { kind: 'backup' }>;

/** A state that its holder has made for itself and shows to nobody who keeps it. */
export type OwnActive = { -readonly [Field in keyof Active]: Active[Field] };
/** The same of a backup. */
export type OwnBackup = { -readonly [Field in keyof Backup]: Backup[Field] };

/**
 * Makes `own` the state after 'deadline-reached' at `nowUs` and returns true, if it is less than
 * an interval late and sending one advertisement is all that step() would ask for; else changes
 * nothing and returns false.
 */
export function advertiseInPlace(
  options: Pick<InstanceOptions, 'advertIntervalUs' | 'timerExpiredBackup'>,
  own: OwnActive,
  nowUs: number,
): boolean {
  const burstAtUs = nextBurstUs(own.announce);
  if (nowUs < own.advertAtUs || (burstAtUs !== null && nowUs >= burstAtUs)) return false;
  // An instance with this option looks at its own lateness before it advertises.
  if ((options.timerExpiredBackup ?? null) !== null) return false;
  // After a stall there is more to think of.
  const nextUs = own.advertAtUs + options.advertIntervalUs;
  if (nextUs <= nowUs) return false;
  own.advertAtUs = nextUs;
  own.lastAdvertAtUs = nowUs;
  return true;
}

/**
 * Makes `own` the state after hearing this advertisement at `atUs` and returns true, if it comes
 * from an active director that this one does not preempt, whose interval is known already; else
 * changes nothing and returns false.
 */
export function hearInPlace(
  options: InstanceOptions,
  own: OwnBackup,
  { priority, advertIntervalUs }: Pick<Advertisement, 'priority' | 'advertIntervalUs'>,
  atUs: number,
): boolean {
  // A resignation; and whoever might preempt, or hear nothing as the owner, has more to think of.
  if (priority === 0 || priority < options.priority || options.priority === 255) return false;
  const intervalUs = options.version === 3 ? advertIntervalUs : options.advertIntervalUs;
  if (intervalUs !== own.activeAdvertIntervalUs) return false;
  own.activeDownAtUs = atUs + activeDownIntervalUs(options, intervalUs);
  own.takeoverReason = 'peers-silent';
  own.preemptAtUs = null;
  own.wantsActive = false;
  own.late = 'no';
  own.heardOwner = priority === 255;
  return true;
}
