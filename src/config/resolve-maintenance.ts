/**
 * Maintenance windows from their parsed form, and the windows of a server in all services given to
 * that server.
 */
import type { MaintenanceConfig, ServiceConfig } from '../core/config/config.ts';
import { DEFAULTS } from '../core/config/defaults.ts';
import { lastStart, nextStart } from '../core/health/cron.ts';
import { serverKey } from '../core/ipvs/model.ts';
import type { Path } from './document.ts';
import type { Report } from './report.ts';
import type { MaintenanceInput, RipMaintenanceInput } from './schema.ts';

/** Starts of a window that are compared with each other: two weeks of a daily one. */
const STARTS_COMPARED = 14;
/** Windows of one server that are compared with each other; nobody has as many. */
const WINDOWS_COMPARED = 16;

/** The windows of one place, with their defaults; `path` leads to the list. */
export function resolveMaintenance(
  inputs: readonly MaintenanceInput[] | undefined,
  {
    path,
    force,
    report,
  }: { readonly path: Path; readonly force: boolean; readonly report: Report },
): readonly MaintenanceConfig[] {
  return (inputs ?? []).map((input, index) => {
    const { maintenance } = DEFAULTS;
    const { text: schedule, fields } = input.schedule;
    const window: MaintenanceConfig = {
      ...{ schedule, fields },
      timeZone: input.time_zone ?? new Intl.DateTimeFormat().resolvedOptions().timeZone,
      durationUs: input.duration,
      drainBeforeUs: input.drain_before ?? maintenance.drainBeforeUs,
      action: input.action ?? maintenance.action,
      force: input.force ?? force,
      reason: input.reason ?? '',
    };
    reportOverlap(window, [...path, index], report);
    return window;
  });
}

/** Windows that run into each other have no end that could be told; without a gap they have none. */
function reportOverlap(window: MaintenanceConfig, path: Path, report: Report): void {
  let startMs = nextStart(window.fields, window.timeZone, 0);
  const lengthMs = (window.durationUs + window.drainBeforeUs) / 1000;
  for (let count = 0; count < STARTS_COMPARED && startMs !== null; count++) {
    const next = nextStart(window.fields, window.timeZone, startMs);
    if (next !== null && next - startMs < lengthMs) {
      const message = 'the next window would begin before this one has ended';
      report.error([...path, 'duration'], message, 'bare');
      return;
    }
    startMs = next;
  }
  if (!haveNoGap([window])) return;
  const message = 'each window begins as the one before it ends: the server is never in';
  report.warning([...path, 'duration'], message);
}

/**
 * Whether a server with all of these windows is never in: from a start of the first one on, each
 * ends, drained before, when another has begun.
 */
function haveNoGap(windows: readonly MaintenanceConfig[]): boolean {
  const [first] = windows;
  if (first === undefined || windows.length > WINDOWS_COMPARED) return false;
  let outUntilMs = nextStart(first.fields, first.timeZone, 0);
  if (outUntilMs === null) return false;
  for (let count = 0; count < STARTS_COMPARED * windows.length; count++) {
    const atMs: number = outUntilMs;
    outUntilMs = Math.max(...windows.map((window) => endAfter(window, atMs)));
    if (outUntilMs <= atMs) return false;
  }
  return true;
}

/** When a window that has begun at `atMs`, with its draining, ends; `atMs` when none has. */
function endAfter({ fields, timeZone, ...window }: MaintenanceConfig, atMs: number): number {
  const [durationMs, drainMs] = [window.durationUs / 1000, window.drainBeforeUs / 1000];
  const bounds = { atMs: atMs + drainMs, sinceMs: atMs - durationMs + 1 };
  const start = lastStart(fields, timeZone, bounds);
  return start === null ? atMs : start + durationMs;
}

/** Warns where several windows together leave no time, and none of them does so alone. */
export function warnOfWindowsTogether(services: readonly ServiceConfig[], report: Report): void {
  const known = new Map<string, boolean>();
  const together = (windows: readonly MaintenanceConfig[]): boolean => {
    if (windows.length < 2) return false;
    const key = JSON.stringify(windows);
    const found =
      known.get(key) ?? (haveNoGap(windows) && !windows.some((one) => haveNoGap([one])));
    known.set(key, found);
    return found;
  };
  const say = (path: Path, windows: readonly MaintenanceConfig[], who: string): void => {
    const schedules = [...new Set(windows.map(({ schedule }) => schedule))].join(' and ');
    const message = `one of its windows (${schedules}) always begins before another ends: ${who}`;
    report.warning(path, message);
  };
  for (const { name, maintenance, servers, sorryServers } of services) {
    const path = ['services', name];
    if (together(maintenance)) {
      say([...path, 'maintenance'], maintenance, 'the service is never in');
      continue;
    }
    for (const [place, list] of Object.entries({ servers, sorry_servers: sorryServers })) {
      for (const [index, server] of list.entries()) {
        if (server.maintenance.length === 0) continue;
        const all = [...server.maintenance, ...maintenance];
        if (!together(all)) continue;
        say([...path, place, index], all, `${serverKey(server)} is never in`);
      }
    }
  }
}

/** Gives the windows of servers in all services to these servers. */
export function placeMaintenance(
  services: readonly ServiceConfig[],
  inputs: readonly RipMaintenanceInput[] | undefined,
  report: Report,
): readonly ServiceConfig[] {
  if (inputs === undefined) return services;
  const windows = resolveMaintenance(inputs, { path: ['maintenance'], force: false, report });
  const used = new Set<number>();
  const place = <T extends ServiceConfig['servers'][number]>(server: T): T => {
    const own = windows.filter((_, index) => {
      const named = inputs[index]?.server;
      const meant =
        named?.address === server.address && (named.port === null || named.port === server.port);
      if (meant) used.add(index);
      return meant;
    });
    return own.length === 0 ? server : { ...server, maintenance: [...server.maintenance, ...own] };
  };
  const placed = services.map((service) => ({
    ...service,
    servers: service.servers.map(place),
    sorryServers: service.sorryServers.map(place),
  }));
  for (const [index, { server }] of inputs.entries()) {
    if (used.has(index)) continue;
    const name =
      server.port === null ? server.address : serverKey({ ...server, port: server.port });
    report.error(['maintenance', index, 'server'], `no service has a server ${name}`, 'bare');
  }
  return placed;
}
