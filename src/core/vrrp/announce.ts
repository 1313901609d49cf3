/**
 * When an active director announces its VIPs: one burst at once, a second one after a delay (the
 * first may be lost while switches relearn), then periodically if configured.
 *
 * A peer that lost an election has announced the VIPs too, so hosts and switches must hear from
 * us again: a burst at once, and one more after a delay. In between, however often losing peers
 * speak, nothing is sent; what they said then is answered by the burst at the end. So there is
 * one burst per delay, and after the last word of a losing peer there is always one to come.
 */
import type { AnnounceConfig } from '../config/config.ts';

export interface AnnounceSchedule {
  /** When the second burst after the takeover is due; null once it is sent, or for none. */
  readonly repeatAtUs: number | null;
  /** When a losing peer is answered again; null for never. */
  readonly lowerPriorityAtUs: number | null;
  /** Next periodic burst; null for none. */
  readonly refreshAtUs: number | null;
  /** Next periodic packet on interfaces that carry no advertisements; null for none. */
  readonly extraAtUs: number | null;
  /** Before this moment a losing peer's advertisement causes no burst at once. */
  readonly quietUntilUs: number;
}

/** What is to be announced. */
export interface Burst {
  /** Packets for each VIP, 1 to 100. */
  readonly repeat: number;
  /** 'extra-interfaces': one VIP of each interface other than the instance's own. */
  readonly scope: 'all' | 'extra-interfaces';
}

/** A schedule, and the burst that is to be sent now; null for none. */
export interface Announcement {
  readonly schedule: AnnounceSchedule;
  readonly burst: Burst | null;
}

/** The schedule after the burst that is sent on becoming active. */
export function scheduleAfterTakeover(config: AnnounceConfig, nowUs: number): AnnounceSchedule {
  const { refreshAtUs, extraAtUs } = periodicFrom(config, nowUs);
  return {
    repeatAtUs: config.delayUs > 0 ? nowUs + config.delayUs : null,
    lowerPriorityAtUs: null,
    refreshAtUs,
    extraAtUs,
    quietUntilUs: nowUs + config.lowerPriorityDelayUs,
  };
}

/** When the next burst is due; null for never. */
export function nextBurstUs(schedule: AnnounceSchedule): number | null {
  const { repeatAtUs, lowerPriorityAtUs, refreshAtUs, extraAtUs } = schedule;
  return earlier(earlier(repeatAtUs, lowerPriorityAtUs), earlier(refreshAtUs, extraAtUs));
}

/** The burst that is due now, one for all that are, and the schedule after it. */
export function burstDue(
  config: AnnounceConfig,
  schedule: AnnounceSchedule,
  nowUs: number,
): Announcement {
  const due = (atUs: number | null): boolean => atUs !== null && atUs <= nowUs;
  let repeat = 0;
  let next = schedule;
  if (due(schedule.repeatAtUs)) {
    repeat = config.repeat;
    next = { ...next, repeatAtUs: null };
  }
  if (due(schedule.lowerPriorityAtUs)) {
    repeat = Math.max(repeat, config.lowerPriorityRepeat);
    const quietUntilUs = nowUs + config.lowerPriorityDelayUs;
    next = { ...next, lowerPriorityAtUs: null, quietUntilUs };
  }
  if (due(schedule.refreshAtUs)) repeat = Math.max(repeat, config.refreshRepeat);
  if (repeat > 0) {
    return {
      schedule: { ...next, ...periodicFrom(config, nowUs) },
      burst: { repeat, scope: 'all' },
    };
  }
  if (!due(schedule.extraAtUs)) return { schedule: next, burst: null };
  const { extraAtUs } = periodicFrom(config, nowUs);
  return { schedule: { ...next, extraAtUs }, burst: { repeat: 1, scope: 'extra-interfaces' } };
}

/** A losing peer spoke, to this instance or to another member of its sync group. */
export function answerLoser(
  config: AnnounceConfig,
  schedule: AnnounceSchedule,
  nowUs: number,
): Announcement {
  const { lowerPriorityRepeat: repeat, lowerPriorityDelayUs: delayUs } = config;
  if (repeat === 0) return { schedule, burst: null };
  if (nowUs < schedule.quietUntilUs) {
    const lowerPriorityAtUs = schedule.lowerPriorityAtUs ?? schedule.quietUntilUs;
    return { schedule: { ...schedule, lowerPriorityAtUs }, burst: null };
  }
  const next: AnnounceSchedule = {
    ...schedule,
    ...periodicFrom(config, nowUs),
    lowerPriorityAtUs: delayUs > 0 ? nowUs + delayUs : null,
    quietUntilUs: nowUs + delayUs,
  };
  return { schedule: next, burst: { repeat, scope: 'all' } };
}

/** The schedule under a changed configuration: nothing is sent later than either allows. */
export function reschedule(
  config: AnnounceConfig,
  schedule: AnnounceSchedule,
  nowUs: number,
): AnnounceSchedule {
  const fresh = periodicFrom(config, nowUs);
  const { repeatAtUs, lowerPriorityAtUs, refreshAtUs, extraAtUs } = schedule;
  return {
    ...schedule,
    repeatAtUs: config.delayUs > 0 ? repeatAtUs : null,
    lowerPriorityAtUs: config.lowerPriorityRepeat > 0 ? lowerPriorityAtUs : null,
    refreshAtUs: fresh.refreshAtUs === null ? null : earlier(refreshAtUs, fresh.refreshAtUs),
    extraAtUs: fresh.extraAtUs === null ? null : earlier(extraAtUs, fresh.extraAtUs),
  };
}

/** A burst tells everything that a periodic one would: those count from the last of all. */
function periodicFrom(
  config: AnnounceConfig,
  nowUs: number,
): Pick<AnnounceSchedule, 'refreshAtUs' | 'extraAtUs'> {
  const { refreshUs, extraInterfaceRefreshUs: extraUs } = config;
  return {
    refreshAtUs: refreshUs > 0 ? nowUs + refreshUs : null,
    extraAtUs: extraUs > 0 ? nowUs + extraUs : null,
  };
}

function earlier(left: number | null, right: number | null): number | null {
  if (left === null || right === null) return left ?? right;
  return Math.min(left, right);
}
