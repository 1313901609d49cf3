/**
 * What a virtual router may be held to, computed from its configurations: how long a takeover
 * takes, how long two directors may both hold the VIPs, when the LAN must have come to rest.
 * Every bound is the protocol's own plus what the simulated world adds: latency, jitter, late
 * timers, drift. Where directors differ, or differ in time, the bound is the most generous.
 */
import type { VrrpConfig } from '../config/config.ts';
import type { SimCluster } from './scenario.ts';

/** Twice what quartz in a hot rack does; NTP slews no faster than 500 for moments. */
export const DRIFT_PPM_MAX = 200;

/** The controller gives a new keeper at least this time before it removes the VIPs. */
const KEEPER_START_US = 500_000;
/** What a director that hands over gives its successor beyond its skew time. */
export const HANDOVER_MARGIN_US = 20_000;

/** The imperfections of a world's normal day. */
export type Weather = Pick<SimCluster, 'lan' | 'timerLateUs' | 'turnLateUs'>;

export interface Limits {
  /** From the moment a packet is due to be sent until its receiver has acted on it. */
  readonly hopUs: number;
  /** The longest interval that anybody advertises. */
  readonly intervalUs: number;
  /** All directors, at all times, have the same version, interval and count of missed adverts. */
  readonly uniform: boolean;
  /** The longest active-down interval of any priority, on the slowest clock. */
  readonly activeDownMaxUs: number;
  /** Two directors that hear one another both hold the VIPs for no longer than this. */
  readonly overlapMaxUs: number;
  /** Whoever resigns has let go after this time. */
  readonly releaseMaxUs: number;
  /** After so long without a disturbance, there is one active director and it stays. */
  readonly settleUs: number;
  /** A successor is heard in time by a director that hands over. */
  readonly handsOverInTime: boolean;
}

/** `configs`: of the router's instances everywhere, and of the groups that they are in. */
export function limitsOf(weather: Weather, configs: readonly VrrpConfig[]): Limits {
  const hopUs = hopOf(weather);
  const intervals = configs.map((config) => config.advertIntervalUs);
  const intervalUs = Math.max(...intervals);
  const downUs = Math.max(
    ...configs.map((config) => specifiedDownUs({ ...config, priority: 1 }, intervalUs)),
  );
  const activeDownMaxUs = downUs + driftUs(downUs) + hopUs;
  const preemptDelayUs = Math.max(...configs.map((config) => config.preemptDelayUs));
  const kinds = configs.map(
    ({ version, advertIntervalUs, downTimerAdverts }) =>
      `${version} ${advertIntervalUs} ${downTimerAdverts}`,
  );
  const uniform = new Set(kinds).size === 1;
  // The members of a group wait for one another.
  const rounds = configs.some(({ group }) => group !== null) ? 2 : 1;
  return {
    hopUs,
    intervalUs,
    uniform,
    activeDownMaxUs,
    overlapMaxUs: overlapMaxUs(weather, intervalUs),
    releaseMaxUs: downUs + driftUs(downUs) + HANDOVER_MARGIN_US + 2 * hopUs,
    // A stalled one listens once more, one takes over, a better one has its preempt delay and waits.
    settleUs: rounds * (3 * activeDownMaxUs + preemptDelayUs + driftUs(preemptDelayUs)),
    handsOverInTime: uniform && 2 * hopUs + driftUs(downUs) < HANDOVER_MARGIN_US,
  };
}

function hopOf({ lan, timerLateUs, turnLateUs }: Weather): number {
  return lan.latencyUs + lan.jitterUs + timerLateUs + turnLateUs + 2;
}

/** Until an advertisement of whoever sends one in this time has arrived and was acted on. */
export function overlapMaxUs(weather: Weather, intervalUs: number): number {
  const adverts = 1 + (weather.lan.lossRunMax ?? 0);
  return adverts * (intervalUs + driftUs(intervalUs)) + 2 * hopOf(weather);
}

/** What the intervals of an instance follow from, besides the interval that it heard. */
export type Timing = Pick<VrrpConfig, 'version' | 'priority' | 'downTimerAdverts'>;

/**
 * Skew_Time of RFC 9568 and RFC 3768, section 6.1. Restated on purpose, as are the two below: a
 * judge that used core/vrrp/timing.ts would excuse its mistakes.
 */
export function specifiedSkewUs(
  { version, priority }: Pick<Timing, 'version' | 'priority'>,
  intervalUs: number,
): number {
  const unitUs = version === 3 ? intervalUs : 1_000_000;
  return Math.floor((unitUs * (256 - priority)) / 256);
}

/** Active_Down_Interval of the same sections. */
export function specifiedDownUs(timing: Timing, intervalUs: number): number {
  return specifiedSkewUs(timing, intervalUs) + specifiedSilenceUs(timing, intervalUs);
}

/** No backup, whatever its priority, takes over within this time after an advert. */
export function specifiedSilenceUs(
  { downTimerAdverts }: Pick<Timing, 'downTimerAdverts'>,
  intervalUs: number,
): number {
  return downTimerAdverts * intervalUs;
}

/** How long the controller leaves the VIPs of a dead keeper in place (controller/guard.ts). */
export function orphanGraceUs(configs: readonly VrrpConfig[]): number {
  const silences = configs.map((config) => specifiedSilenceUs(config, config.advertIntervalUs));
  return Math.max(KEEPER_START_US, ...silences);
}

/** How far two clocks of the worst kind can come apart in this time. */
export function driftUs(spanUs: number): number {
  return Math.ceil((spanUs * 2 * DRIFT_PPM_MAX) / 1_000_000) + 2;
}

/**
 * True when the LAN's ordinary losses and delays can never make a backup of any of these
 * priorities believe that a live active is gone, whatever the interval.
 */
export function isMild(weather: Weather, configs: readonly VrrpConfig[]): boolean {
  const { lan } = weather;
  const lossRunMax = lan.lossRunMax;
  if (lossRunMax === null) return false;
  let priority = 0;
  for (const config of configs) priority = Math.max(priority, config.priority);
  return configs.every(({ version, downTimerAdverts, advertIntervalUs }) => {
    const shortestUs = specifiedDownUs({ version, downTimerAdverts, priority }, advertIntervalUs);
    const gapUs = (lossRunMax + 1) * advertIntervalUs + lan.jitterUs + weather.timerLateUs;
    return gapUs + driftUs(shortestUs) < shortestUs;
  });
}

/**
 * True when no two of these have skew times so close that both directors take over before either
 * can hear the other. RFC 9568 has no remedy for that but the tie-break after it.
 */
export function skewsApart(weather: Weather, configs: readonly VrrpConfig[]): boolean {
  const { hopUs, intervalUs } = limitsOf(weather, configs);
  const needUs = hopUs + weather.lan.jitterUs + weather.timerLateUs + driftUs(4 * intervalUs);
  const skews = configs.map((config) => specifiedSkewUs(config, intervalUs));
  skews.sort((left, right) => left - right);
  return skews.every((skew, index) => {
    const before = skews[index - 1];
    return before === undefined || skew - before > needUs;
  });
}
