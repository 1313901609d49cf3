/**
 * When an active director announces its VIPs: one burst at once, a second one after a delay (the
 * first may be lost while switches relearn), then periodically if configured; and one burst for
 * a peer that lost an election, at most once per configured delay however often it speaks.
 */
import type { AnnounceConfig } from '../config/config.ts';

export interface AnnounceSchedule {
  /** When the next burst is due; null for never. */
  readonly nextAtUs: number | null;
  /** Before this moment a losing peer's advertisement causes no burst. */
  readonly quietUntilUs: number;
}

/** The schedule after the burst that is sent on becoming active. */
export function scheduleAfterTakeover(config: AnnounceConfig, nowUs: number): AnnounceSchedule {
  const nextAtUs = config.delayUs > 0 ? nowUs + config.delayUs : nextRefreshUs(config, nowUs);
  return { nextAtUs, quietUntilUs: nowUs + config.lowerPriorityDelayUs };
}

/** The schedule after a burst that was due. */
export function scheduleAfterBurst(
  config: AnnounceConfig,
  schedule: AnnounceSchedule,
  nowUs: number,
): AnnounceSchedule {
  return { nextAtUs: nextRefreshUs(config, nowUs), quietUntilUs: schedule.quietUntilUs };
}

function nextRefreshUs(config: AnnounceConfig, nowUs: number): number | null {
  return config.refreshUs > 0 ? nowUs + config.refreshUs : null;
}
