/**
 * Sync groups and trackers from their parsed form, with the rules that tie them to instances and
 * services: names must exist, an instance is in one group at most, owners group with owners.
 */
import { mostWeight } from '../core/config/check.ts';
import type {
  GroupConfig,
  NotifyConfig,
  ServiceConfig,
  TrackConfig,
  TrackerConfig,
  VrrpConfig,
} from '../core/config/config.ts';
import { DEFAULTS } from '../core/config/defaults.ts';
import type { Report } from './report.ts';
import { resolveTrack } from './resolve-vrrp.ts';
import type { GroupInput, TrackerInput } from './schema.ts';
import { joinWords } from './suggest.ts';

const KINDS = ['interface', 'script', 'file', 'process', 'service', 'bfd'] as const;
type Kind = (typeof KINDS)[number];

/** Options that belong to some kinds only. */
const USERS = {
  quorum: ['process', 'service'],
  interval: ['script', 'file', 'process'],
  timeout: ['script'],
  rise: ['script'],
  fall: ['script'],
  init_fail: ['script'],
  user: ['script'],
  group: ['script'],
  init: ['file'],
  overwrite: ['file'],
  arguments: ['process'],
  arguments_match: ['process'],
  quorum_max: ['process'],
  down_delay: ['interface', 'process'],
  up_delay: ['interface', 'process'],
} as const satisfies Readonly<Record<string, readonly Kind[]>>;

export interface Named<T> {
  readonly name: string;
  readonly input: T;
}

/** The trackers with all defaults; one whose kind is not clear is left out and reported. */
export function resolveTrackers(
  trackers: readonly Named<TrackerInput>[],
  names: { readonly services: readonly string[]; readonly bfd: readonly string[] },
  scripts: Pick<NotifyConfig, 'user' | 'group' | 'scriptSecurity'>,
  report: Report,
): TrackerConfig[] {
  return trackers.flatMap(({ name, input }) => {
    const kinds = KINDS.filter((kind) => input[kind] !== undefined);
    const kind = kinds[0];
    if (kind === undefined || kinds.length > 1) {
      const message = `expected exactly one of ${joinWords([...KINDS], 'and')}`;
      report.error(['trackers', name], message, 'bare');
      return [];
    }
    for (const [option, users] of Object.entries(USERS)) {
      const given = input[option as keyof typeof USERS] !== undefined;
      if (given && !(users as readonly Kind[]).includes(kind)) {
        report.error(['trackers', name, option], `not allowed with ${kind}`, 'bare');
      }
    }
    const tracker = resolveTracker(name, kind, input, scripts);
    reportImpossible(tracker, input, report);
    if (tracker.kind === 'service' && !names.services.includes(tracker.service)) {
      const expected = listOf(names.services);
      report.error(['trackers', name, 'service'], `expected a virtual service: ${expected}`);
    }
    if (tracker.kind === 'bfd' && !names.bfd.includes(tracker.session)) {
      const expected = listOf(names.bfd);
      report.error(['trackers', name, 'bfd'], `expected a BFD session: ${expected}`);
    }
    return [tracker];
  });
}

function listOf(names: readonly string[]): string {
  return names.length === 0 ? 'there is none' : joinWords([...names], 'or');
}

/** Options that mean nothing without others. */
function reportImpossible(tracker: TrackerConfig, input: TrackerInput, report: Report): void {
  const { name } = tracker;
  if (input.overwrite === true && input.init === undefined) {
    report.error(['trackers', name, 'overwrite'], 'init is missing, there is no number', 'bare');
  }
  if (input.arguments_match !== undefined && input.arguments === undefined) {
    const message = 'arguments is missing, there is nothing to match';
    report.error(['trackers', name, 'arguments_match'], message, 'bare');
  }
  if (tracker.kind !== 'process' || tracker.quorumMax === null) return;
  if (tracker.quorumMax < tracker.quorum) {
    const message = `expected at least the quorum, ${tracker.quorum}`;
    report.error(['trackers', name, 'quorum_max'], message);
  }
}

function resolveTracker(
  name: string,
  kind: Kind,
  input: TrackerInput,
  scripts: Pick<NotifyConfig, 'user' | 'group' | 'scriptSecurity'>,
): TrackerConfig {
  const { tracker } = DEFAULTS;
  switch (kind) {
    case 'interface':
      return {
        name,
        kind,
        interface: input.interface ?? '',
        downDelayUs: input.down_delay ?? tracker.interface.downDelayUs,
        upDelayUs: input.up_delay ?? tracker.interface.upDelayUs,
      };
    case 'script':
      return {
        name,
        kind,
        command: input.script ?? [],
        intervalUs: input.interval ?? tracker.script.intervalUs,
        timeoutUs: input.timeout ?? tracker.script.timeoutUs,
        rise: input.rise ?? tracker.script.rise,
        fall: input.fall ?? tracker.script.fall,
        initFail: input.init_fail ?? tracker.script.initFail,
        // A user of its own does not go with the other's group.
        user: input.user ?? scripts.user,
        group: input.group ?? (input.user === undefined ? scripts.group : null),
        scriptSecurity: scripts.scriptSecurity,
      };
    case 'file':
      return {
        name,
        kind,
        path: input.file ?? '',
        intervalUs: input.interval ?? tracker.file.intervalUs,
        init: input.init ?? null,
        overwrite: input.overwrite ?? tracker.file.overwrite,
      };
    case 'process':
      return {
        name,
        kind,
        process: input.process ?? '',
        arguments: input.arguments ?? null,
        argumentsMatch: input.arguments_match ?? tracker.process.argumentsMatch,
        quorum: input.quorum ?? tracker.process.quorum,
        quorumMax: input.quorum_max ?? null,
        downDelayUs: input.down_delay ?? tracker.process.downDelayUs,
        upDelayUs: input.up_delay ?? tracker.process.upDelayUs,
        intervalUs: input.interval ?? tracker.process.intervalUs,
      };
    case 'bfd':
      return { name, kind, session: input.bfd ?? '' };
    case 'service':
      return {
        name,
        kind,
        service: input.service ?? '',
        quorum: input.quorum ?? tracker.service.quorum,
      };
  }
}

/** A tracker that could never be up keeps its instances in fault for good. */
export function reportTrackerQuorums(
  trackers: readonly TrackerConfig[],
  {
    services,
    partly,
  }: {
    readonly services: readonly ServiceConfig[];
    /** Names of those with servers that could not be read. */
    readonly partly: ReadonlySet<string>;
  },
  report: Report,
): void {
  for (const tracker of trackers) {
    if (tracker.kind !== 'service' || partly.has(tracker.service)) continue;
    const service = services.find(({ name }) => name === tracker.service);
    if (service === undefined) continue;
    const total = service.servers.reduce((sum, server) => sum + mostWeight(server), 0);
    if (tracker.quorum <= total) continue;
    const message = `expected at most ${total}, the most that all servers of services.${tracker.service} weigh: it could never be up`;
    report.error(['trackers', tracker.name, 'quorum'], message);
  }
}

export interface TrackingContext {
  /** All names in the file, also of parts with errors of their own. */
  readonly instanceNames: readonly string[];
  readonly trackerNames: readonly string[];
  readonly services: readonly ServiceConfig[];
  readonly report: Report;
}

/** The groups, and the instances with the groups that they are in. */
export function resolveGroups(
  groups: readonly Named<GroupInput>[],
  instances: readonly VrrpConfig[],
  context: TrackingContext,
): { readonly groups: GroupConfig[]; readonly instances: VrrpConfig[] } {
  const groupOf = new Map<string, string>();
  for (const { name, input } of groups) {
    for (const [index, member] of input.instances.entries()) {
      const path = ['groups', name, 'instances', index];
      if (!context.instanceNames.includes(member)) {
        const expected = joinWords([...context.instanceNames], 'or');
        context.report.error(path, `expected a VRRP instance: ${expected}`);
      } else if (groupOf.has(member)) {
        context.report.error(path, `${member} is in group ${groupOf.get(member)} already`, 'bare');
      } else groupOf.set(member, name);
    }
    const members = instances.filter((instance) => input.instances.includes(instance.name));
    const owners = members.filter((instance) => instance.priority === 255).length;
    if (owners > 0 && owners < members.length) {
      const message = 'expected all instances or none to have priority 255';
      context.report.error(['groups', name, 'instances'], message, 'bare');
    }
  }
  reportUnknownTrackers(instances, context);
  reportRepeatedTrackers(groups, instances, context.report);
  const tracks = new Map(
    groups.map(({ name, input }) => [name, resolveGroupTrack(name, input, { instances, context })]),
  );
  return {
    groups: groups.map(({ name, input }) => ({ name, members: input.instances })),
    instances: instances.map((one) => {
      const group = groupOf.get(one.name) ?? null;
      const track = group === null ? one.track : [...one.track, ...(tracks.get(group) ?? [])];
      return { ...one, group, track };
    }),
  };
}

/** What the group tracks: trackers that exist, and that no member tracks in its own way. */
function resolveGroupTrack(
  group: string,
  input: GroupInput,
  { instances, context }: { instances: readonly VrrpConfig[]; context: TrackingContext },
): readonly TrackConfig[] {
  const track = resolveTrack(input.track);
  for (const [index, { tracker }] of track.entries()) {
    const path = ['groups', group, 'track', index];
    reportUnknownTracker(tracker, path, context);
    const own = instances.find(
      (one) =>
        input.instances.includes(one.name) && one.track.some((use) => use.tracker === tracker),
    );
    if (own !== undefined) {
      context.report.error(path, `${own.name} tracks ${tracker} already`, 'bare');
    }
  }
  return track;
}

/** A tracker that is used twice counts twice, or has two weights: nobody means that. */
function reportRepeatedTrackers(
  groups: readonly Named<GroupInput>[],
  instances: readonly VrrpConfig[],
  report: Report,
): void {
  const users = [
    ...instances.map(({ name, track }) => ({ path: ['vrrp', name], track })),
    ...groups.map(({ name, input }) => ({ path: ['groups', name], track: input.track ?? [] })),
  ];
  for (const { path, track } of users) {
    for (const [index, { tracker }] of track.entries()) {
      const first = track.findIndex((use) => use.tracker === tracker);
      if (first === index) continue;
      report.error([...path, 'track', index], `${tracker} is track[${first}] already`, 'bare');
    }
  }
}

function reportUnknownTrackers(instances: readonly VrrpConfig[], context: TrackingContext): void {
  for (const { name, track } of instances) {
    for (const [index, { tracker }] of track.entries()) {
      reportUnknownTracker(tracker, ['vrrp', name, 'track', index], context);
    }
  }
}

function reportUnknownTracker(
  tracker: string,
  path: readonly (string | number)[],
  context: TrackingContext,
): void {
  if (context.trackerNames.includes(tracker)) return;
  const known = joinWords([...context.trackerNames], 'and');
  const message = `there is no tracker ${tracker}: the section trackers has ${known}`;
  context.report.error(path, message, 'bare');
}
