/**
 * Which VRRP instance a virtual service goes with, for `only_on_active` and `check_when: active`:
 * the one that it names, or the one that carries its address; for a firewall mark the only one.
 */
import type {
  IpvsConfig,
  ServiceConfig,
  ServiceIdentity,
  VrrpConfig,
} from '../core/config/config.ts';
import { serviceKey } from '../core/ipvs/model.ts';
import type { Report } from './report.ts';
import type { NamedService } from './resolve-services.ts';
import type { TrackerInput } from './schema.ts';
import { joinWords } from './suggest.ts';

export interface FollowFacts {
  /** As in the file. */
  readonly services: readonly NamedService[];
  readonly instances: readonly VrrpConfig[];
  /** By the file: an instance with errors of its own is not missing. */
  readonly instanceNames: readonly string[];
  /** For services that do not say. */
  readonly ipvs: Pick<IpvsConfig, 'onlyOnActive' | 'onRemove' | 'drainTimeoutUs'>;
  readonly trackers: readonly { readonly name: string; readonly input: TrackerInput }[];
  readonly report: Report;
}

/** The services with `follow` resolved, and with what `ipvs` says for those that do not. */
export function resolveFollow(
  services: readonly ServiceConfig[],
  facts: FollowFacts,
): readonly ServiceConfig[] {
  const inputs = new Map(facts.services.map(({ name, input }) => [name, input]));
  const carriers = new Map<string, string>();
  for (const { name, addresses } of facts.instances) {
    for (const { address } of addresses) if (!carriers.has(address)) carriers.set(address, name);
  }
  return services.map((service) => {
    const input = inputs.get(service.name);
    const onlyOnActive = input?.only_on_active ?? facts.ipvs.onlyOnActive;
    const onRemove = input?.on_remove ?? facts.ipvs.onRemove;
    const drainTimeoutUs = input?.drain_timeout ?? facts.ipvs.drainTimeoutUs;
    if (input?.drain_timeout !== undefined && onRemove === 'delete') {
      const message = 'drain_timeout does nothing with on_remove delete';
      facts.report.warning(['services', service.name, 'drain_timeout'], message);
    }
    const entries = service.entries.map(({ identity, follow }) => ({
      identity,
      follow: follow ?? carrierOf(identity, carriers, facts),
    }));
    const resolved = { ...service, onlyOnActive, onRemove, drainTimeoutUs, entries };
    reportFollow(resolved, { named: input?.follow ?? null, facts });
    return resolved;
  });
}

function carrierOf(
  identity: ServiceIdentity,
  carriers: ReadonlyMap<string, string>,
  { instanceNames }: FollowFacts,
): string | null {
  if (identity.kind === 'address') return carriers.get(identity.address) ?? null;
  return instanceNames.length === 1 ? (instanceNames[0] ?? null) : null;
}

function reportFollow(
  service: ServiceConfig,
  { named, facts }: { readonly named: string | null; readonly facts: FollowFacts },
): void {
  const { name, entries, onlyOnActive, checkWhen, servers } = service;
  const { report, instanceNames, trackers } = facts;
  const path = ['services', name];
  if (named !== null && !instanceNames.includes(named)) {
    const names = joinWords(instanceNames, 'or');
    report.error([...path, 'follow'], `expected a VRRP instance: ${names || 'there is none'}`);
  }
  const matters = onlyOnActive || checkWhen === 'active';
  if (named !== null && !matters) {
    const message = 'follow does nothing without only_on_active or check_when active';
    report.warning([...path, 'follow'], message);
  }
  // An instance with errors of its own may be the one that carries it.
  const complete = facts.instances.length === instanceNames.length;
  const alone = entries.find(({ follow }) => follow === null);
  if (matters && alone !== undefined && complete) {
    const what = onlyOnActive ? 'only_on_active' : 'check_when active';
    const which = entries.length === 1 ? 'its address' : serviceKey(alone.identity);
    const message = `${what} needs follow: no VRRP instance carries ${which}`;
    report.error([...path, 'follow'], message, 'bare');
  }
  if (checkWhen !== 'active') return;
  const checked = servers.some(({ check }) => check !== null);
  if (onlyOnActive && checked) {
    const message =
      'with only_on_active and check_when active, no server serves after a takeover until its first check succeeds';
    report.warning([...path, 'check_when'], message);
  }
  for (const tracker of trackers) {
    if (tracker.input.service !== name) continue;
    const message = `services.${name} is checked only while it is active here: the tracker would never be up`;
    report.error(['trackers', tracker.name, 'service'], message, 'bare');
  }
}
