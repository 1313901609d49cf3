/**
 * What a cluster may be held to, computed from its configuration: how long a takeover takes, how
 * long two directors may both hold the VIP, when the LAN must have come to rest. Every bound is
 * the protocol's own plus what the simulated world adds: latency, jitter, late timers, drift.
 */
import type { LinkConditions, SimCluster } from './scenario.ts';

/** Twice what quartz in a hot rack does; NTP slews no faster than 500 for moments. */
export const DRIFT_PPM_MAX = 200;

/** The controller gives a new keeper at least this time before it removes the VIPs. */
const KEEPER_START_US = 500_000;

/** What of a cluster its intervals follow from. */
export type SimTiming = Pick<SimCluster, 'version' | 'advertIntervalUs' | 'election'>;

export interface Limits {
  /** From the moment a packet is due to be sent until its receiver has acted on it. */
  readonly hopUs: number;
  /** The longest active-down interval of any priority, on the slowest clock. */
  readonly activeDownMaxUs: number;
  /** Two directors that hear one another both hold the VIP for no longer than this. */
  readonly overlapMaxUs: number;
  /** After so long without a disturbance, there is one active director and it stays. */
  readonly settleUs: number;
  /** A dead keeper's VIP is gone after this time, by its controller or by the next keeper. */
  readonly orphanMaxUs: number;
}

export function limitsOf(cluster: SimCluster): Limits {
  const { advertIntervalUs, lan } = cluster;
  const hopUs = lan.latencyUs + lan.jitterUs + cluster.timerLateUs + cluster.turnLateUs + 2;
  const downUs = specifiedDownUs(cluster, 1);
  const activeDownMaxUs = downUs + driftUs(downUs) + hopUs;
  const preemptDelaysUs = cluster.directors.map((director) => director.preemptDelayUs);
  const preemptDelayUs = Math.max(...preemptDelaysUs);
  const adverts = 1 + (lan.lossRunMax ?? 0);
  return {
    hopUs,
    activeDownMaxUs,
    overlapMaxUs: adverts * (advertIntervalUs + driftUs(advertIntervalUs)) + 2 * hopUs,
    // A first takeover, the preempt delay of a better one, its active-down interval, and a reserve.
    settleUs: 4 * activeDownMaxUs + preemptDelayUs + driftUs(preemptDelayUs),
    orphanMaxUs: orphanGraceUs(cluster),
  };
}

/**
 * Skew_Time of RFC 9568 and RFC 3768, section 6.1. Restated on purpose, as are the two below: a
 * judge that used core/vrrp/timing.ts would excuse its mistakes.
 */
export function specifiedSkewUs(
  router: { readonly version: 2 | 3; readonly priority: number },
  intervalUs: number,
): number {
  const unitUs = router.version === 3 ? intervalUs : 1_000_000;
  return Math.floor((unitUs * (256 - router.priority)) / 256);
}

/** Active_Down_Interval of the same sections. */
export function specifiedDownUs(cluster: SimTiming, priority: number): number {
  const { version, advertIntervalUs } = cluster;
  return specifiedSkewUs({ version, priority }, advertIntervalUs) + specifiedSilenceUs(cluster);
}

/** No backup, whatever its priority, takes over within this time after an advert. */
export function specifiedSilenceUs(cluster: SimTiming): number {
  return (cluster.election?.downTimerAdverts ?? 3) * cluster.advertIntervalUs;
}

/** How long the controller leaves the VIPs of a dead keeper in place (controller/guard.ts). */
export function orphanGraceUs(cluster: SimTiming): number {
  return Math.max(KEEPER_START_US, specifiedSilenceUs(cluster));
}

/** How far two clocks of the worst kind can come apart in this time. */
export function driftUs(spanUs: number): number {
  return Math.ceil((spanUs * 2 * DRIFT_PPM_MAX) / 1_000_000) + 2;
}

/**
 * True when the LAN's ordinary losses and delays can never make a backup of any priority in
 * `priorities` believe that a live active is gone.
 */
export function isMild(cluster: SimCluster, lan: LinkConditions, priorityMax: number): boolean {
  if (lan.lossRunMax === null) return false;
  const { advertIntervalUs } = cluster;
  const shortestUs = specifiedDownUs(cluster, priorityMax);
  const gapUs = (lan.lossRunMax + 1) * advertIntervalUs + lan.jitterUs + cluster.timerLateUs;
  return gapUs + driftUs(shortestUs) < shortestUs;
}

/**
 * True when no two of the priorities have skew times so close that both directors take over
 * before either can hear the other. RFC 9568 has no remedy for that but the tie-break after it.
 */
export function skewsApart(cluster: SimCluster, priorities: readonly number[]): boolean {
  const { version, advertIntervalUs, lan } = cluster;
  const needUs =
    limitsOf(cluster).hopUs + lan.jitterUs + cluster.timerLateUs + driftUs(4 * advertIntervalUs);
  const skews = priorities.map((priority) =>
    specifiedSkewUs({ version, priority }, advertIntervalUs),
  );
  skews.sort((left, right) => left - right);
  return skews.every((skew, index) => {
    const before = skews[index - 1];
    return before === undefined || skew - before > needUs;
  });
}
