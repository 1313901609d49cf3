/**
 * What applying a configuration would change in the kernel's IPVS table, as a list that people and
 * programs read: the plan that the director itself makes (plan.ts), with what differs field by
 * field. Pure: what the checks have said, and which entries are ours, comes in as `Knowledge`.
 */
import { asksForWeight } from '../config/check.ts';
import type {
  IpvsConfig,
  MaintenanceConfig,
  RealServerConfig,
  ServiceConfig,
  ServiceEntry,
} from '../config/config.ts';
import { DEFAULTS } from '../config/defaults.ts';
import { checkOf } from '../health/check-key.ts';
import { phaseAt, type WindowPhase, windowsOf, wishOf } from '../health/maintenance.ts';
import type { Override } from '../health/override.ts';
import { decide, type PoolMember, type PoolState, type WeightReason } from '../health/pool.ts';
import { type FieldChange, serverFields, serviceFields } from './compare.ts';
import { desiredEntry } from './desired.ts';
import { configuredEntries, countsOfServers, familyServed, type ObservedTable } from './entries.ts';
import { type Leaving, type LeavingPolicy, look, withLeaving } from './leaving.ts';
import { type IpvsOperation, type ObservedService, serverKey, serviceKey } from './model.ts';
import type { OwnedSet } from './owned.ts';
import { plan, serverPath } from './plan.ts';

/** What the check of a server has said. */
export interface KnownHealth {
  readonly health: 'up' | 'down' | 'unknown';
  /** Monotonic microseconds. */
  readonly sinceUs: number | null;
  readonly recoveredAtUs: number | null;
  /** Weight that the check told; null for the configured one. */
  readonly checkWeight: number | null;
}

export interface Knowledge {
  /** Monotonic microseconds. */
  readonly nowUs: number;
  /** By the keys of checks; a check that is not here has never run. */
  readonly checks: ReadonlyMap<string, KnownHealth>;
  /** By the names of services. */
  readonly pools: ReadonlyMap<string, PoolState>;
  /** VRRP instances that are active here: entries that go with others stay as they are. */
  readonly active: ReadonlySet<string>;
  /** Wall clock, milliseconds. */
  readonly nowMs: number;
  /** Servers that leave already, by leavingPath(). */
  readonly leaving: ReadonlyMap<string, Leaving>;
  /** Whether a server accepts nothing and gets no new connections for a while. */
  readonly passive: (service: string, server: string) => boolean;
  /** What an operator decided about a server; null for nothing. */
  readonly override: (service: string, server: string) => Override | null;
}

export interface PreviewInput {
  readonly services: readonly ServiceConfig[];
  readonly ownership: IpvsConfig['ownership'];
  /** For services that are not configured. */
  readonly onRemove: LeavingPolicy;
  readonly observed: readonly ObservedService[];
  readonly owned: OwnedSet;
  readonly knowledge: Knowledge;
}

/** 'foreign' entries are left, or deleted where the configuration is `ownership: exclusive`. */
export type PreviewClass = 'missing' | 'altered' | 'leftover' | 'foreign';

export interface PreviewItem {
  /** 'drain': it gets weight 0, and is deleted when its connections have ended. */
  readonly action: 'add' | 'change' | 'drain' | 'delete' | 'leave';
  readonly class: PreviewClass;
  /** 'tcp 192.0.2.10:80' */
  readonly service: string;
  /** Its name in the configuration; null for one that is not there. */
  readonly name: string | null;
  /** '10.0.0.11:8080'; null when the service itself is meant. */
  readonly server: string | null;
  /** Why a server has its weight; null for what is not configured. */
  readonly weightReason: WeightReason | null;
  /** What an operator decided about it: who, why and until when; null for nothing. */
  readonly override: Override | null;
  /** Of a server that drains: how long it may take. */
  readonly drainTimeoutUs: number | null;
  /** What changes; with an addition all that it has, with a deletion what it had. */
  readonly fields: readonly FieldChange[];
}

export interface Preview {
  /** By service; the service before its servers. */
  readonly items: readonly PreviewItem[];
  /** Operations by what they do, and foreign entries that stay. */
  readonly add: number;
  readonly change: number;
  readonly drain: number;
  readonly delete: number;
  readonly leave: number;
}

/** Of a service, and of a server that is not configured. */
const NOTHING_DECIDED = { weightReason: null, override: null };

/** What would be changed. Foreign entries that stay are in the list too. */
export function previewTable(input: PreviewInput): Preview {
  const observed = new Map(input.observed.map((one) => [serviceKey(one.service.identity), one]));
  const { owned, ownership, knowledge } = input;
  const waits = ({ onlyOnActive }: ServiceConfig, { follow }: ServiceEntry) =>
    onlyOnActive && follow !== null && !knowledge.active.has(follow);
  const names = new Map<string, string>();
  const waiting = new Set<string>();
  for (const service of input.services) {
    for (const entry of service.entries) {
      const key = serviceKey(entry.identity);
      names.set(key, service.name);
      if (waits(service, entry)) waiting.add(key);
    }
  }
  const table = input.observed.filter((one) => !waiting.has(serviceKey(one.service.identity)));
  const decided = new Map<string, Pick<PreviewItem, 'weightReason' | 'override'>>();
  const phases = new Map<MaintenanceConfig, WindowPhase>();
  const phaseOf = (window: MaintenanceConfig): WindowPhase => {
    const phase = phases.get(window) ?? phaseAt(window, knowledge.nowMs);
    phases.set(window, phase);
    return phase;
  };
  const configured = input.services.flatMap((service) => {
    const wanted = service.entries.filter((entry) => !waits(service, entry));
    const weights = weightsOf(service, observed, knowledge, phaseOf);
    for (const { identity } of wanted) {
      const key = serviceKey(identity);
      for (const [server, { reason }] of weights) {
        const override = knowledge.override(service.name, server);
        decided.set(serverPath(key, server), { weightReason: reason, override });
      }
    }
    const weightOf = (_name: string, key: string) => weights.get(key)?.weight ?? null;
    return wanted.map(({ identity }) => desiredEntry(service, identity, weightOf));
  });
  const entries = configuredEntries(input.services);
  const { nowMs, leaving: before } = knowledge;
  const left = look({
    ...{ configured: entries, policy: input.onRemove, nameOf: () => null },
    ...{ observed: table, owned, before, nowMs },
  });
  const desired = withLeaving(configured, table, left, entries);
  const found = plan({ desired, observed: table, owned, ownership });
  const items = found.operations.map((operation) => operationItem(operation, observed, owned));
  for (const { class: kind, key } of found.drift) {
    if (kind !== 'foreign') continue;
    const [service = key, server = null] = key.split(' -> ');
    items.push({ action: 'leave', class: 'foreign', service, server, fields: [] });
  }
  const named = items.map((item): PreviewItem => {
    const name = names.get(item.service) ?? null;
    const { server } = item;
    const path = serverPath(item.service, server ?? '');
    const leaves = left.leaving.get(path);
    const { weightReason, override } = decided.get(path) ?? NOTHING_DECIDED;
    const more = { name, weightReason, override, drainTimeoutUs: null };
    if (server === null || leaves === undefined) return { ...item, ...more };
    const drainTimeoutUs = (leaves.untilMs - nowMs) * 1000;
    return { ...item, ...more, drainTimeoutUs, action: 'drain', class: 'leftover' };
  });
  const count = (action: PreviewItem['action']) =>
    named.filter((item) => item.action === action).length;
  return {
    items: named.sort(byPlace),
    add: count('add'),
    change: count('change'),
    drain: count('drain'),
    delete: count('delete'),
    leave: count('leave'),
  };
}

/**
 * Weights of a service's servers as they would be wanted. A check that has never run is taken to succeed, except where
 * its server is in the kernel: there the weight stays until the check has spoken.
 */
function weightsOf(
  service: ServiceConfig,
  observed: ObservedTable,
  knowledge: Knowledge,
  phaseOf: (window: MaintenanceConfig) => WindowPhase,
): ReturnType<typeof decide>['weights'] {
  const kernel = countsOfServers(service, observed);
  const familyOf = familyServed(service.entries);
  const member = (server: RealServerConfig): PoolMember => {
    const key = serverKey(server);
    const kernelWeight = kernel.get(key)?.weight ?? null;
    return {
      key,
      family: familyOf(server),
      weight: server.weight,
      initial: server.check?.initial ?? DEFAULTS.check.initial,
      ...healthOf(server, kernelWeight, knowledge),
      dynamic: server.check !== null && asksForWeight(server.check),
      kernelWeight,
      override: knowledge.override(service.name, key)?.action ?? null,
      maintenance: wishOf(windowsOf(service, server), phaseOf),
      // Forgotten where the hints are off.
      passive: service.passive.action !== 'off' && knowledge.passive(service.name, key),
    };
  };
  const { weights } = decide(
    service,
    knowledge.pools.get(service.name) ?? null,
    service.servers.map(member),
    service.sorryServers.map(member),
    knowledge.nowUs,
  );
  return weights;
}

function healthOf(
  server: RealServerConfig,
  kernelWeight: number | null,
  { checks }: Knowledge,
): Omit<KnownHealth, 'health'> & Pick<PoolMember, 'health'> {
  const never = { sinceUs: null, recoveredAtUs: null, checkWeight: null };
  if (server.check === null) return { health: 'unchecked', ...never };
  // Keys are long, and nobody knows anything where no director runs.
  const known = checks.size === 0 ? undefined : checks.get(checkOf(server)?.key ?? '');
  if (known !== undefined) return known;
  return { health: kernelWeight === null ? 'up' : 'unknown', ...never };
}

function operationItem(
  operation: IpvsOperation,
  observed: ReadonlyMap<string, ObservedService>,
  owned: OwnedSet,
): Omit<PreviewItem, 'name' | 'weightReason' | 'override' | 'drainTimeoutUs'> {
  const identity = 'identity' in operation ? operation.identity : operation.service.identity;
  const service = serviceKey(identity);
  const entry = observed.get(service);
  const servers = new Map(entry?.servers.map((one) => [serverKey(one), one]));
  switch (operation.kind) {
    case 'add-service': {
      const fields = serviceFields(null, operation.service);
      return { action: 'add', class: 'missing', service, server: null, fields };
    }
    case 'set-service': {
      const fields = serviceFields(entry?.service ?? null, operation.service);
      return { action: 'change', class: 'altered', service, server: null, fields };
    }
    case 'delete-service': {
      const count = { name: 'servers', from: String(servers.size), to: null };
      const ours = owned.has(service) ? 'leftover' : 'foreign';
      return { action: 'delete', class: ours, service, server: null, fields: [count] };
    }
    case 'add-server': {
      const fields = serverFields(null, operation.server);
      const server = serverKey(operation.server);
      return { action: 'add', class: 'missing', service, server, fields };
    }
    case 'set-server': {
      const server = serverKey(operation.server);
      const fields = serverFields(servers.get(server) ?? null, operation.server);
      return { action: 'change', class: 'altered', service, server, fields };
    }
    case 'delete-server': {
      const server = serverKey(operation);
      const weight = { name: 'weight', from: String(servers.get(server)?.weight ?? 0), to: null };
      const ours = owned.get(service)?.has(server) === true ? 'leftover' : 'foreign';
      return { action: 'delete', class: ours, service, server, fields: [weight] };
    }
  }
}

function byPlace(left: PreviewItem, right: PreviewItem): number {
  const [one, other] = [placeOf(left), placeOf(right)];
  return one < other ? -1 : one > other ? 1 : 0;
}

function placeOf({ service, server }: PreviewItem): string {
  return server === null ? service : serverPath(service, server);
}
