/**
 * Maintenance windows: when real servers are out for work on them. A window begins as its cron
 * expression says and lasts for a duration of real time; the draining before it belongs to it.
 */
import type { MaintenanceConfig, RealServerConfig, ServiceConfig } from '../config/config.ts';
import { lastStart, nextStart } from './cron.ts';

export interface WindowPhase {
  /** 'before': it begins soon, and servers drain already. */
  readonly kind: 'none' | 'before' | 'in';
  /** Of the window that the phase is of; with 'none' of the next one, null for none. UTC. */
  readonly startMs: number | null;
  readonly endMs: number | null;
  /** When the phase changes by itself; null for never. */
  readonly changesMs: number | null;
}

/** What a window asks of a server at this moment. */
export interface MaintenanceWish {
  /** 'drain': no new connections; 'down': out of the table. */
  readonly action: 'drain' | 'down';
  /** Also where that leaves the service short of servers. */
  readonly force: boolean;
  readonly phase: 'before' | 'in';
  readonly startMs: number;
  readonly endMs: number;
  readonly reason: string;
  readonly schedule: string;
}

/** In which phase a window is. */
export function phaseAt(window: MaintenanceConfig, nowMs: number): WindowPhase {
  const { fields, timeZone } = window;
  const durationMs = window.durationUs / 1000;
  const last = lastStart(fields, timeZone, { atMs: nowMs, sinceMs: nowMs - durationMs });
  if (last !== null && nowMs < last + durationMs) {
    const endMs = last + durationMs;
    return { kind: 'in', startMs: last, endMs, changesMs: endMs };
  }
  const startMs = nextStart(fields, timeZone, nowMs);
  if (startMs === null) return { kind: 'none', startMs, endMs: null, changesMs: null };
  const endMs = startMs + durationMs;
  const drainsMs = startMs - window.drainBeforeUs / 1000;
  if (nowMs >= drainsMs) return { kind: 'before', startMs, endMs, changesMs: startMs };
  return { kind: 'none', startMs, endMs, changesMs: drainsMs };
}

/** The windows that a server is in: its own, and those of its service. */
export function windowsOf(
  service: ServiceConfig,
  server: RealServerConfig,
): readonly MaintenanceConfig[] {
  return [...server.maintenance, ...service.maintenance];
}

/** What several windows ask of one server: the strictest, of equals the one that lasts longest. */
export function wishOf(
  windows: readonly MaintenanceConfig[],
  phaseOf: (window: MaintenanceConfig) => WindowPhase,
): MaintenanceWish | null {
  let wish: MaintenanceWish | null = null;
  for (const window of windows) {
    const { kind, startMs, endMs } = phaseOf(window);
    if (kind === 'none' || startMs === null || endMs === null) continue;
    const { force, reason, schedule } = window;
    const action = kind === 'in' ? window.action : 'drain';
    const one = { action, force, phase: kind, startMs, endMs, reason, schedule };
    if (wish === null || isStricter(one, wish)) wish = one;
  }
  return wish;
}

function isStricter(one: MaintenanceWish, other: MaintenanceWish): boolean {
  const rank = ({ action, phase, force }: MaintenanceWish) =>
    (phase === 'in' ? 4 : 0) + (action === 'down' ? 2 : 0) + (force ? 1 : 0);
  return rank(one) > rank(other) || (rank(one) === rank(other) && one.endMs > other.endMs);
}
