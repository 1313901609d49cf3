/**
 * Maintenance windows from their parsed form, and the windows of a server in all services given to
 * that server.
 */
import type { MaintenanceConfig, ServiceConfig } from '../core/config/config.ts';
import { DEFAULTS } from '../core/config/defaults.ts';
import { nextStart } from '../core/health/cron.ts';
import { serverKey } from '../core/ipvs/model.ts';
import type { Path } from './document.ts';
import type { Report } from './report.ts';
import type { MaintenanceInput, RipMaintenanceInput } from './schema.ts';

/** Starts that are compared with each other: two weeks of a daily window. */
const STARTS_COMPARED = 14;

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
  let longestGapMs = 0;
  for (let count = 0; count < STARTS_COMPARED && startMs !== null; count++) {
    const next = nextStart(window.fields, window.timeZone, startMs);
    const gapMs = next === null ? Number.POSITIVE_INFINITY : next - startMs - lengthMs;
    if (gapMs < 0) {
      const message = 'the next window would begin before this one has ended';
      report.error([...path, 'duration'], message, 'bare');
      return;
    }
    longestGapMs = Math.max(longestGapMs, gapMs);
    startMs = next;
  }
  if (longestGapMs > 0) return;
  const message = 'each window begins as the one before it ends: the server is never in';
  report.warning([...path, 'duration'], message);
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
