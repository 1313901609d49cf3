/**
 * Whether a keeper may begin before its controller runs. It may where it would do the same as with
 * one: some configurations need a controller before an instance becomes active, others can become
 * active sooner than a controller starts.
 */
import type { Config, TrackerConfig, VrrpConfig } from '../core/config/config.ts';
import { activeDownIntervalUs } from '../core/vrrp/timing.ts';

/** A controller needs less than half a second; this leaves room for a machine that boots. */
const CONTROLLER_START_US = 2_500_000;
/** An owner does not wait for the active-down interval. */
const OWNER_PRIORITY = 255;

/** True when a keeper that starts without a controller does nothing else than with one. */
export function mayStartEarly(config: Config): boolean {
  const needsController = config.services.length > 0 || config.trackers.some(isControllers);
  return !needsController || config.vrrp.every(waitsForController);
}

/** Its state is known when the instances start, in the normal order. */
function isControllers({ kind }: TrackerConfig): boolean {
  return kind !== 'interface' && kind !== 'bfd';
}

function waitsForController(instance: VrrpConfig): boolean {
  const waitUs = activeDownIntervalUs(instance, instance.advertIntervalUs);
  return instance.priority < OWNER_PRIORITY && waitUs >= CONTROLLER_START_US;
}
