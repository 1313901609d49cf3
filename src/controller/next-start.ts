/**
 * Whether the keeper of the next start may begin before its controller runs, and what it begins
 * with. It may where it would do the same as with one: some configurations need a controller
 * before an instance becomes active, others can become active sooner than a controller starts.
 */
import type { SourceFile } from '../config/secret-file.ts';
import type { Config, TrackerConfig, VrrpConfig } from '../core/config/config.ts';
import { activeDownIntervalUs } from '../core/vrrp/timing.ts';
import type { KeeperPlan } from '../keeper/messages.ts';
import { forgetPlan, type StartRequest, storePlan } from '../keeper/stored-plan.ts';
import { neededInterfaces } from './preflight.ts';

/** A controller needs less than half a second; this leaves room for a machine that boots. */
const CONTROLLER_START_US = 2_500_000;
/** An owner does not wait for the active-down interval. */
const OWNER_PRIORITY = 255;

export interface ReadConfiguration {
  readonly request: { readonly path: string; readonly director: string | null };
  readonly config: Config;
  readonly sources: readonly SourceFile[];
}

/** Keeps the plan for the next start, or sees to it that there is none. Throws the file system's error. */
export function keepPlan({ request, config, sources }: ReadConfiguration, plan: KeeperPlan): void {
  const files = uniqueSources(sources);
  if (files === null || files.length === 0 || !mayStartEarly(config)) return forgetPlan();
  const start: StartRequest = { config: request.path, director: request.director };
  storePlan(start, { plan, sources: files, interfaces: neededInterfaces(config) });
}

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

/** Each file once; null when one was not the same each time that it was read. */
export function uniqueSources(sources: readonly SourceFile[]): readonly SourceFile[] | null {
  const files = new Map<string, SourceFile>();
  for (const source of sources) {
    const known = files.get(source.path);
    if (known !== undefined && !same(known, source)) return null;
    files.set(source.path, source);
  }
  return [...files.values()];
}

function same(left: SourceFile, right: SourceFile): boolean {
  return left.mode === right.mode && Buffer.from(left.content).equals(right.content);
}
