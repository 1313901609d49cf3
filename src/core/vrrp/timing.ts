/**
 * The intervals of VRRP, in integer microseconds. At priority 254 and 10 ms the skew time is
 * 78 us, so milliseconds or the wire's centiseconds would be too coarse. Divisions round down.
 */

const MICROSECONDS_PER_SECOND = 1_000_000;

/** A backup waits for this many advertisements before it takes over, unless configured. */
export const DOWN_ADVERTS = 3;

export interface TimingOptions {
  readonly version: 2 | 3;
  /** 1 to 255. */
  readonly priority: number;
  /** 1 to 100; DOWN_ADVERTS if it is left out. */
  readonly downTimerAdverts?: number;
}

/**
 * Skew_Time: the lower the priority, the longer a backup waits.
 * Version 3: ((256 - priority) * Active_Adver_Interval) / 256 (RFC 9568 section 6.1).
 * Version 2: (256 - priority) / 256 seconds (RFC 3768 section 6.1).
 */
export function skewTimeUs(options: TimingOptions, activeAdvertIntervalUs: number): number {
  const unitUs = options.version === 3 ? activeAdvertIntervalUs : MICROSECONDS_PER_SECOND;
  return Math.floor(((256 - options.priority) * unitUs) / 256);
}

/** The skew time of the least priority there is: after it every backup has taken over. */
export function longestSkewUs(options: {
  readonly version: 2 | 3;
  readonly advertIntervalUs: number;
}): number {
  return skewTimeUs({ version: options.version, priority: 1 }, options.advertIntervalUs);
}

/** Active_Down_Interval: silence after which a backup takes over (same sections). */
export function activeDownIntervalUs(
  options: TimingOptions,
  activeAdvertIntervalUs: number,
): number {
  const skewUs = skewTimeUs(options, activeAdvertIntervalUs);
  return safeSilenceUs(activeAdvertIntervalUs, options.downTimerAdverts) + skewUs;
}

/**
 * Silence of an active director within which no peer, whatever its priority, can have taken
 * over: the active-down interval without its skew time. Peers wait for as many advertisements
 * as this director does, or it does not hold.
 */
export function safeSilenceUs(
  advertIntervalUs: number,
  downTimerAdverts: number = DOWN_ADVERTS,
): number {
  return downTimerAdverts * advertIntervalUs;
}
