/** Puts a DirectorStatus together from what keeper, checks, table and sync say of themselves. */
import type {
  Config,
  RealServerConfig,
  ServiceConfig,
  ServiceEntry,
} from '../core/config/config.ts';
import { allServers, checkOf, targetText } from '../core/health/check-key.ts';
import type { MaintenanceWish } from '../core/health/maintenance.ts';
import type { Override } from '../core/health/override.ts';
import type { PoolWeight, ServerHealth } from '../core/health/pool.ts';
import { inTurns } from '../core/in-turns.ts';
import {
  countsOfServers,
  entriesText,
  type ObservedTable,
  type ServerCounts,
} from '../core/ipvs/entries.ts';
import type { Leaving } from '../core/ipvs/leaving.ts';
import { serverKey, serviceFamily, serviceKey } from '../core/ipvs/model.ts';
import { LargeMap } from '../core/large-map.ts';
import type { Problem } from '../core/problem.ts';
import type {
  BfdReport,
  CheckReport,
  ConflictReport,
  DirectorStatus,
  EntryReport,
  InstanceReport,
  IpvsSettingReport,
  LeavingReport,
  NotifyReport,
  PeerReport,
  ServerReport,
  ServiceReport,
  TrackerReport,
} from '../core/status.ts';
import { groupReports } from '../core/vrrp/group-report.ts';
import { newBfdRefusalCounts, newRefusalCounts } from '../keeper/counters.ts';
import type { BfdStatus, InstanceStatus, KeeperStatus, PeerRecord } from '../keeper/messages.ts';
import { monotonicUs } from '../linux/clock.ts';
import { TURNS } from '../linux/turns.ts';
import type { CheckTally, Tally } from './check-tally.ts';
import type { CheckSnapshot } from './checks.ts';
import type { Maintenance } from './maintenance.ts';
import type { PassiveHint } from './passive.ts';
import type { PoolReport } from './pools.ts';
import type { TableReport } from './table.ts';

const US_PER_SECOND = 1_000_000;

export interface StatusParts {
  readonly config: Config;
  readonly version: string;
  readonly startedAtMs: number;
  /** null while no keeper answers. */
  readonly keeper: KeeperStatus | null;
  readonly keeperPid: number | null;
  readonly keeperRestarts: number;
  /** Addresses of an instance that other machines have too. */
  readonly conflicts: ConflictsOf;
  readonly checks: readonly CheckSnapshot[];
  readonly tally: CheckTally;
  /** null without virtual services. */
  readonly table: TableReport | null;
  /** Why there is no table although there are services; null where that is not so. */
  readonly noIpvs: Problem | null;
  readonly leaving: readonly Leaving[];
  readonly unusedOverrides: readonly Override[];
  /** null without IPVS. */
  readonly settings: {
    readonly settings: readonly IpvsSettingReport[];
    readonly repairs: number;
  } | null;
  readonly sync: {
    readonly role: 'master' | 'backup' | null;
    readonly error: string | null;
    readonly waitsFor: number;
  } | null;
  readonly notify: NotifyReport;
  readonly trackers: readonly TrackerReport[];
  readonly health: (server: RealServerConfig) => ServerHealth;
  /** Whether an entry should be in the table; null while nobody knows. */
  readonly wanted: (service: ServiceConfig, entry: ServiceEntry) => boolean | null;
  /** What was decided of a service's servers; null before the first decision. */
  readonly pool: (service: string) => PoolReport | null;
  /** What an operator decided about a server; null for nothing. */
  readonly override: (service: string, server: string) => Override | null;
  readonly maintenance: Pick<Maintenance, 'wish' | 'nextStartMs'>;
  readonly passive: (service: string, server: string) => PassiveHint | null;
}

export type ConflictsOf = (instance: string) => readonly ConflictReport[];

/** Long lists are made in several turns of the event loop: the rest is of the first. */
export async function buildStatus(parts: StatusParts): Promise<DirectorStatus> {
  const checks = new LargeMap<CheckSnapshot>();
  await inTurns(parts.checks, (check) => checks.set(check.key, check), TURNS);
  return {
    ...statusHead(parts),
    services: await inTurns(
      parts.config.services,
      (service) => serviceReport(service, parts, checks),
      TURNS,
    ),
    checks: await inTurns(
      parts.checks,
      (check) => checkReport(check, parts.tally.of(check.key)),
      TURNS,
    ),
  };
}

function statusHead(parts: StatusParts): Omit<DirectorStatus, 'services' | 'checks'> {
  const { config, keeper, table } = parts;
  const instances =
    keeper?.instances.map((one) => instanceReport(one, keeper.nowUs, parts.conflicts)) ?? [];
  return {
    director: config.director,
    version: parts.version,
    startedAt: isoTime(parts.startedAtMs),
    keeper: {
      pid: parts.keeperPid,
      scheduling: keeper?.scheduling ?? null,
      restarts: parts.keeperRestarts,
    },
    controller: { pid: process.pid },
    instances,
    groups: groupReports(config.groups, instances),
    refusedUnassigned: keeper?.refusedUnassigned ?? newRefusalCounts(),
    static: keeper?.static ?? null,
    bfd: keeper?.bfd.map(bfdReport) ?? [],
    bfdRefusedUnassigned: keeper?.bfdRefusedUnassigned ?? newBfdRefusalCounts(),
    trackers: parts.trackers,
    ipvs: {
      managed: table !== null,
      lastReconcileAt: isoTimeOrNull(table?.lastReconcileAtMs ?? null),
      lastReconcileSeconds:
        table === null || table.lastReconcileUs === null
          ? null
          : table.lastReconcileUs / US_PER_SECOND,
      lastError: parts.noIpvs === null ? (table?.lastError ?? null) : troubleText(parts.noIpvs),
      reconciles: table?.reconciles ?? 0,
      operations: table?.operations ?? {},
      operationErrors: table?.operationErrors ?? 0,
      drift: table?.drift ?? {},
      foreignServices: table?.foreignServices ?? 0,
      foreignServers: table?.foreignServers ?? 0,
      strangers: table?.strangers ?? [],
      leaving: parts.leaving.map((one) => leavingReport(one, table?.observed ?? new Map())),
      unusedOverrides: parts.unusedOverrides,
      settings: parts.settings?.settings ?? [],
      settingRepairs: parts.settings?.repairs ?? 0,
    },
    notify: parts.notify,
    sync: config.sync === null ? null : { ...config.sync, ...(parts.sync ?? NO_DAEMON) },
  };
}

function troubleText({ message, cure }: Problem): string {
  return `${message}. ${cure}`;
}

const NO_DAEMON = { role: null, error: null, waitsFor: 0 };

/** What the status says of one instance; `nowUs` is the moment of the keeper's status. */
export function instanceReport(
  status: InstanceStatus,
  nowUs: number,
  conflicts: ConflictsOf,
): InstanceReport {
  const { advertIntervalUs, activeDownIntervalUs, lastTransitionAtMs, ...others } = status;
  const { peer, peers, strangers, lastHandover, startsAtUs, ...same } = others;
  return {
    ...same,
    conflicts: conflicts(status.name),
    advertIntervalSeconds: advertIntervalUs / US_PER_SECOND,
    activeDownIntervalSeconds: activeDownIntervalUs / US_PER_SECOND,
    startsInSeconds: startsAtUs === null ? null : Math.max(0, startsAtUs - nowUs) / US_PER_SECOND,
    lastHandover:
      lastHandover === null
        ? null
        : {
            outcome: lastHandover.outcome,
            at: isoTime(lastHandover.atMs),
            successor: lastHandover.successor,
            seconds: lastHandover.tookUs / US_PER_SECOND,
          },
    lastTransitionAt: isoTime(lastTransitionAtMs),
    stateForSeconds: Math.max(0, Date.now() - lastTransitionAtMs) / 1000,
    peers: peers.map((record) => peerReport(record, nowUs)),
    strangers: strangers.map(({ lastHeardUs, ...stranger }) => ({
      ...stranger,
      lastHeardSecondsAgo: Math.max(0, nowUs - lastHeardUs) / US_PER_SECOND,
    })),
    peer:
      peer === null
        ? null
        : {
            address: peer.address,
            priority: peer.priority,
            advertIntervalSeconds: peer.advertIntervalUs / US_PER_SECOND,
            lastHeardSecondsAgo: Math.max(0, nowUs - peer.lastHeardUs) / US_PER_SECOND,
          },
  };
}

function bfdReport(status: BfdStatus): BfdReport {
  const { transmitIntervalUs, detectionTimeUs, lastTransitionAtMs, ...same } = status;
  return {
    ...same,
    transmitIntervalSeconds: transmitIntervalUs / US_PER_SECOND,
    detectionTimeSeconds: detectionTimeUs === null ? null : detectionTimeUs / US_PER_SECOND,
    lastTransitionAt: isoTime(lastTransitionAtMs),
  };
}

function peerReport(record: PeerRecord, nowUs: number): PeerReport {
  const secondsAgo = (atUs: number): number => Math.max(0, nowUs - atUs) / US_PER_SECOND;
  const { address, lastHeardUs, accepted, refused } = record;
  return {
    address,
    lastHeardSecondsAgo: secondsAgo(lastHeardUs),
    accepted:
      accepted === null
        ? null
        : {
            count: accepted.count,
            secondsAgo: secondsAgo(accepted.atUs),
            activeSecondsAgo: accepted.activeAtUs === null ? null : secondsAgo(accepted.activeAtUs),
            version: accepted.version,
            priority: accepted.priority,
            advertIntervalSeconds: accepted.advertIntervalUs / US_PER_SECOND,
            checksum: accepted.checksum,
            hmacKey: accepted.hmacKey,
            addresses: accepted.addresses,
          },
    refused:
      refused === null
        ? null
        : {
            counts: refused.counts,
            secondsAgo: secondsAgo(refused.atUs),
            reason: refused.reason,
            detail: refused.detail,
          },
  };
}

function serviceReport(
  service: ServiceConfig,
  parts: StatusParts,
  checks: ReadonlyMap<string, CheckSnapshot>,
): ServiceReport {
  const pool = parts.pool(service.name);
  const servers = countsOfServers(service, parts.table?.observed ?? new Map());
  const entries = service.entries.map((entry) => entryReport(service, entry, parts));
  const wanted = entries.filter((entry) => entry.wanted);
  const follows = [...new Set(entries.flatMap(({ follow }) => follow ?? []))];
  return {
    name: service.name,
    service: entriesText(service.entries),
    scheduler: service.scheduler,
    present: (wanted.length > 0 ? wanted : entries).every(({ present }) => present),
    follow: follows.length === 0 ? null : follows.join(', '),
    wanted: wanted.length > 0,
    families: [...new Set(service.entries.map(({ identity }) => serviceFamily(identity)))].sort(),
    entries,
    connections: total(entries, ({ connections }) => connections),
    packetsIn: total(entries, ({ packetsIn }) => packetsIn),
    packetsOut: total(entries, ({ packetsOut }) => packetsOut),
    bytesIn: total(entries, ({ bytesIn }) => bytesIn),
    bytesOut: total(entries, ({ bytesOut }) => bytesOut),
    quorum: {
      weight: service.quorum.weight,
      healthyWeight: pool?.healthyWeight ?? 0,
      met: pool?.quorumMet ?? null,
      below: service.quorum.below,
      bereft: pool?.bereft ?? [],
    },
    servers: allServers(service).map((server) => {
      const check = checks.get(checkOf(server)?.key ?? '');
      return serverReport(server, {
        health: parts.health(server),
        check: check ?? null,
        observed: servers.get(serverKey(server)),
        decided: pool?.weights.get(serverKey(server)) ?? null,
        override: parts.override(service.name, serverKey(server)),
        sorry: service.sorryServers.includes(server),
        maintenance: parts.maintenance.wish(service.name, serverKey(server)),
        passive: parts.passive(service.name, serverKey(server)),
        heldBack: pool?.heldBack.includes(serverKey(server)) ?? false,
        nextMaintenanceMs: parts.maintenance.nextStartMs(service, server),
      });
    }),
  };
}

function leavingReport(leaving: Leaving, observed: ObservedTable): LeavingReport {
  const { name, entry, server, sinceMs, untilMs } = leaving;
  const found = observed.get(entry)?.servers.find((one) => serverKey(one) === server);
  return {
    ...{ service: name, entry, server, since: isoTime(sinceMs), until: isoTime(untilMs) },
    activeConnections: found?.activeConnections ?? 0,
    inactiveConnections: found?.inactiveConnections ?? 0,
    persistentConnections: found?.persistentConnections ?? 0,
  };
}

function entryReport(service: ServiceConfig, entry: ServiceEntry, parts: StatusParts): EntryReport {
  const key = serviceKey(entry.identity);
  const observed = parts.table?.observed.get(key);
  return {
    entry: key,
    present: observed !== undefined,
    follow: entry.follow,
    wanted: parts.wanted(service, entry) !== false,
    servers: observed?.servers.length ?? 0,
    connections: observed?.stats.connections ?? 0,
    packetsIn: observed?.stats.packetsIn ?? 0,
    packetsOut: observed?.stats.packetsOut ?? 0,
    bytesIn: observed?.stats.bytesIn ?? 0,
    bytesOut: observed?.stats.bytesOut ?? 0,
  };
}

function total(entries: readonly EntryReport[], value: (entry: EntryReport) => number): number {
  return entries.reduce((sum, entry) => sum + value(entry), 0);
}

function serverReport(
  server: RealServerConfig,
  known: {
    readonly health: ServerHealth;
    readonly check: CheckSnapshot | null;
    readonly observed: ServerCounts | undefined;
    readonly decided: PoolWeight | null;
    readonly override: Override | null;
    readonly sorry: boolean;
    readonly maintenance: MaintenanceWish | null;
    readonly passive: PassiveHint | null;
    readonly heldBack: boolean;
    readonly nextMaintenanceMs: number | null;
  },
): ServerReport {
  const { health, check, observed, decided, override, sorry } = known;
  return {
    server: serverKey(server),
    forwarding: server.forwarding,
    health,
    reason: health === 'down' ? (check?.lastFailure?.detail ?? null) : null,
    since: check === null || check.status === 'unknown' ? null : wallTime(check.sinceUs),
    sorry,
    configuredWeight: server.weight,
    wantedWeight: decided?.weight ?? null,
    weightReason: decided?.reason ?? null,
    override,
    maintenance: maintenanceReport(known.maintenance, known.heldBack),
    unaccepted: known.passive?.connections ?? null,
    nextMaintenanceAt: isoTimeOrNull(known.nextMaintenanceMs),
    weight: observed?.weight ?? null,
    activeConnections: observed?.activeConnections ?? 0,
    inactiveConnections: observed?.inactiveConnections ?? 0,
    persistentConnections: observed?.persistentConnections ?? 0,
    connections: observed?.connections ?? 0,
    bytesIn: observed?.bytesIn ?? 0,
    bytesOut: observed?.bytesOut ?? 0,
  };
}

function maintenanceReport(
  wish: MaintenanceWish | null,
  heldBack: boolean,
): ServerReport['maintenance'] {
  if (wish === null) return null;
  const { phase, action, startMs, endMs, schedule, reason } = wish;
  const [start, end] = [isoTime(startMs), isoTime(endMs)];
  return { phase, action, start, end, schedule, reason, heldBack };
}

function checkReport(check: CheckSnapshot, tally: Tally): CheckReport {
  return {
    kind: check.kind,
    target: targetText(check.target),
    status: check.status,
    succeeded: tally.succeeded,
    failed: { ...tally.failed },
    lastDurationSeconds:
      check.lastDurationUs === null ? null : check.lastDurationUs / US_PER_SECOND,
    durationSecondsSum: tally.durationUsSum / US_PER_SECOND,
  };
}

/** Wall clock of a moment of the monotonic clock. */
function wallTime(atUs: number): string {
  return isoTime(Date.now() - (monotonicUs() - atUs) / 1000);
}

function isoTime(atMs: number): string {
  return new Date(atMs).toISOString();
}

function isoTimeOrNull(atMs: number | null): string | null {
  return atMs === null ? null : isoTime(atMs);
}
