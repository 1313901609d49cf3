/**
 * The one step of the machine that is taken all the time: an active director advertises, and
 * nothing else is due. Done in place, because a thousand instances at 100 ms take it 10,000 times
 * a second; step() is what it must agree with, and a property test holds it to that.
 */

import { nextBurstUs } from './announce.ts';
import type { VrrpState } from './instance.ts';
import type { InstanceOptions } from './types.ts';

type Active = Extract<VrrpState, { kind: 'active' }>;

/** A state that its holder has made for itself and shows to nobody who keeps it. */
export type OwnActive = { -readonly [Field in keyof Active]: Active[Field] };

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
