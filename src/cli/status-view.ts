/**
 * Draws a DirectorStatus for people: the director, its VRRP instances with their virtual IPs and
 * peers, its virtual services with their real servers, and how the last comparison with the
 * kernel went. Everything that is not as it should be carries its reason. Pure: status in, text
 * out.
 */

import type { BfdStateName } from '../core/bfd/types.ts';
import { BFD_REASONS } from '../core/bfd/words.ts';
import type { BelowQuorum } from '../core/config/config.ts';
import { sameSetting } from '../core/config/ipvs-settings.ts';
import { connectionsOf, type Override } from '../core/health/override.ts';
import type { WeightReason } from '../core/health/pool.ts';
import { familyName } from '../core/ip.ts';
import type {
  BfdReport,
  DirectorStatus,
  GroupReport,
  InstanceReport,
  RoutingReport,
  ServerReport,
  ServiceReport,
  TrackerReport,
} from '../core/status.ts';
import type { TransitionReason, VrrpStateName } from '../core/vrrp/types.ts';
import {
  type Align,
  type Line,
  type Rendering,
  render,
  type Span,
  type Style,
  span,
  table,
} from './terminal.ts';

const REASONS: Readonly<Record<TransitionReason, string>> = {
  started: 'started',
  'startup-delay': 'it does not take part yet',
  'address-owner': 'owns the addresses (priority 255)',
  adopted: 'went on after a restart of vipkeeper',
  'peers-silent': 'no active director was heard',
  'peer-resigned': 'the active director resigned',
  preempted: 'the active director had a lower priority',
  'higher-priority-peer': 'a director with a higher priority is active',
  'equal-priority-higher-address': 'a director with equal priority and a higher address is active',
  stalled: 'this director stalled, and another took over',
  'timer-expired': 'this director stalled, and another must have taken over',
  'owner-conflict': 'another director advertises as the owner of the addresses, too',
  'handed-over': 'it was handed over to another director',
  'group-member-fault': 'another member of its sync group has a fault',
  'group-recovered': 'no member of its sync group has a fault any more',
  'group-yielded': 'another member of its sync group gave way',
  'tracker-down': 'a tracker is down',
  'tracker-up': 'no tracker is down any more',
  'interface-down': 'the interface is down',
  'interface-missing': 'the interface does not exist',
  'no-source-address': 'the interface has no address to send from',
  'no-peer': 'no other director is among its peers',
  'no-virtual-link': 'its virtual link cannot be made',
  'addresses-refused': 'the kernel takes none of its virtual IPs',
  'addresses-taken': 'the kernel takes its virtual IPs again',
  'interface-up': 'the interface came up',
  'controller-lost': 'the controller died and could not be started again',
  'controller-back': 'a controller could be started again',
  stopped: 'stopped',
  reconfigured: 'configured anew',
};

const HELD_BY: Readonly<Record<GroupReport['heldBy'][number]['why'], string>> = {
  ...REASONS,
  'hears-active': 'hears an active director',
};

const STATE_STYLES: Readonly<Record<VrrpStateName, Style>> = {
  initialize: 'dim',
  backup: 'warn',
  active: 'good',
  fault: 'bad',
};

const BFD_STYLES: Readonly<Record<BfdStateName, Style>> = {
  'admin-down': 'dim',
  down: 'bad',
  init: 'warn',
  up: 'good',
};

const HEALTH_STYLES: Readonly<Record<ServerReport['health'], Style>> = {
  up: 'good',
  down: 'bad',
  unknown: 'warn',
  unchecked: 'dim',
};

/** The status as text of whole lines. `nowMs` is the wall clock that ages are told by. */
export function drawStatus(status: DirectorStatus, nowMs: number, rendering: Rendering): string {
  const sections = [
    [directorLine(status, nowMs)],
    instanceLines(status.instances, nowMs),
    groupLines(status.groups),
    staticLines(status.static),
    bfdLines(status.bfd, nowMs),
    trackerLines(status.trackers, nowMs),
    serviceLines(status.services, nowMs),
    [...ipvsLines(status.ipvs, nowMs), ...syncLines(status.sync)],
  ];
  const lines = sections
    .filter((section) => section.length > 0)
    .flatMap((section, index): Line[] => (index === 0 ? section : [[], ...section]));
  return render(lines, rendering);
}

function directorLine(status: DirectorStatus, nowMs: number): Line {
  const { keeper, controller } = status;
  const restarts = keeper.restarts === 0 ? '' : `, restarted ${times(keeper.restarts)}`;
  const keeperText =
    keeper.pid === null
      ? span(`no keeper${restarts}`, 'bad')
      : span(
          `keeper ${keeper.pid} (${keeper.scheduling ?? 'does not answer'})${restarts}`,
          keeper.scheduling === null ? 'bad' : keeper.restarts === 0 ? 'plain' : 'warn',
        );
  return [
    span('Director ', 'dim'),
    span(status.director, 'strong'),
    span(`  vipkeeper ${status.version}, up ${age(status.startedAt, nowMs)}, `),
    keeperText,
    span(`, controller ${controller.pid}`),
  ];
}

const INSTANCE_HEADINGS = ['INSTANCE', 'STATE', 'PRIORITY', 'VRID', 'INTERFACE', 'SINCE', 'REASON'];
const INSTANCE_ALIGN: readonly Align[] = [
  'left',
  'left',
  'right',
  'right',
  'left',
  'right',
  'left',
];

function instanceLines(instances: readonly InstanceReport[], nowMs: number): Line[] {
  if (instances.length === 0) return [];
  const rows = instances.map(
    (instance): Line => [
      span(instance.name, 'strong'),
      span(instance.state, STATE_STYLES[instance.state]),
      span(`${instance.priority}`),
      span(`${instance.vrid}`),
      span(instance.interface),
      span(age(instance.lastTransitionAt, nowMs)),
      span(`${reasonText(instance.reason)}${remark(instance)}`),
    ],
  );
  const [heading, ...lines] = table([headings(INSTANCE_HEADINGS), ...rows], INSTANCE_ALIGN);
  return [
    heading as Line,
    ...instances.flatMap((instance, index) => [
      lines[index] as Line,
      ...vipLines(instance),
      ...conflictLines(instance),
      ...unicastLines(instance),
      ...routingLines(instance.routing, instance.state === 'active'),
      ...peerLines(instance),
    ]),
  ];
}

function remark({ heldBack, startsInSeconds }: InstanceReport): string {
  if (startsInSeconds !== null) return ` (${Math.ceil(startsInSeconds)} s left)`;
  return heldBack ? ' (held back)' : '';
}

/** VIPs belong on the active director's interface and nowhere else. */
function vipLines(instance: InstanceReport): Line[] {
  if (instance.addresses.length === 0) return [];
  const rows = instance.addresses.map((vip): Line => {
    const wanted = vip.present === (instance.state === 'active');
    const style: Style = !wanted ? 'bad' : vip.present ? 'good' : 'dim';
    const at = vip.interface === instance.interface ? '' : ` on ${vip.interface}`;
    return [
      span('VIP', 'dim'),
      span(`${vip.address}/${vip.prefixLength}${at}`),
      span(vip.present ? 'present' : 'absent', style),
    ];
  });
  return table(rows, ['left', 'left', 'left'], 2);
}

/** What other machines have too: why, and what to do, is for `vipkeeper explain`. */
function conflictLines({ conflicts }: InstanceReport): Line[] {
  return conflicts.map(({ address, interface: at, holders }) => {
    const others = holders.map(({ mac }) => mac ?? 'another machine').join(', ');
    return [
      span('  conflict', 'bad'),
      span(` ${address} on ${at} is also on ${others}; see vipkeeper explain`),
    ];
  });
}

/** Whom a unicast instance speaks to; of an active one, which it cannot send to. */
function unicastLines({ unicast, state }: InstanceReport): Line[] {
  if (unicast === null) return [];
  const others = unicast.peers.filter(({ self }) => !self);
  const spans = others.map(({ address, sendError }) =>
    sendError === null || state !== 'active'
      ? span(` ${address}`)
      : span(` ${address} (${sendError})`, 'bad'),
  );
  return [[span('  unicast to', 'dim'), ...(spans.length > 0 ? spans : [span(' nobody', 'warn')])]];
}

/** Routes and rules; `wanted` says whether they should be there. */
function routingLines(objects: readonly RoutingReport[], wanted: boolean): Line[] {
  const rows = objects.map(({ kind, text, present, error, contested }): Line => {
    const right = present === wanted;
    const style: Style = !right ? 'bad' : present ? 'good' : 'dim';
    const why = contested ? 'contested' : (error ?? '');
    const state = `${present ? 'present' : 'absent'}${why === '' || present ? '' : `: ${why}`}`;
    return [span(kind, 'dim'), span(text), span(state, style)];
  });
  return rows.length === 0 ? [] : table(rows, ['left', 'left', 'left'], 2);
}

/** What is there as long as vipkeeper runs. */
function staticLines(report: DirectorStatus['static']): Line[] {
  if (report === null || report.addresses.length + report.routing.length === 0) return [];
  const rows = report.addresses.map(
    ({ address, prefixLength, interface: device, present }): Line => [
      span('address', 'dim'),
      span(`${address}/${prefixLength} on ${device}`),
      span(present ? 'present' : 'absent', present ? 'good' : 'bad'),
    ],
  );
  const lines = rows.length === 0 ? [] : table(rows, ['left', 'left', 'left'], 2);
  return [[span('STATIC', 'dim')], ...lines, ...routingLines(report.routing, true)];
}

function peerLines({ peer }: InstanceReport): Line[] {
  if (peer === null) return [];
  const ago = peer.lastHeardSecondsAgo;
  // Of an active peer the tenths tell, of a silent one the hours.
  const heard = `last heard ${ago < 10 ? `${ago.toFixed(1)}s` : durationText(ago)} ago`;
  return [[span('  peer ', 'dim'), span(`${peer.address}, priority ${peer.priority}, ${heard}`)]];
}

const GROUP_HEADINGS = ['GROUP', 'STATE', 'MEMBERS', 'HELD BY'];

function groupLines(groups: readonly GroupReport[]): Line[] {
  if (groups.length === 0) return [];
  const rows = groups.map(({ name, state, members, heldBy }): Line => {
    const held = heldBy.map(({ instance, why }) => `${instance} (${HELD_BY[why]})`);
    return [
      span(name, 'strong'),
      state === null ? span('changing', 'warn') : span(state, STATE_STYLES[state]),
      span(members.join(' ')),
      span(held.join(', ') || '-'),
    ];
  });
  return table([headings(GROUP_HEADINGS), ...rows], ['left', 'left', 'left', 'left']);
}

const BFD_HEADINGS = ['BFD', 'STATE', 'NEIGHBOR', 'DETECTION', 'SINCE', 'REASON'];
const BFD_ALIGN: readonly Align[] = ['left', 'left', 'left', 'right', 'right', 'left'];

function bfdLines(sessions: readonly BfdReport[], nowMs: number): Line[] {
  if (sessions.length === 0) return [];
  const rows = sessions.map((session): Line => {
    const { state, detectionTimeSeconds, sendError } = session;
    const detection = detectionTimeSeconds === null ? '-' : milliseconds(detectionTimeSeconds);
    return [
      span(session.name, 'strong'),
      span(state, BFD_STYLES[state]),
      span(
        session.interface === null
          ? session.neighbor
          : `${session.neighbor} on ${session.interface}`,
      ),
      span(detection),
      span(age(session.lastTransitionAt, nowMs)),
      sendError === null ? span(bfdReason(session)) : span(`cannot send: ${sendError}`, 'bad'),
    ];
  });
  return table([headings(BFD_HEADINGS), ...rows], BFD_ALIGN);
}

function bfdReason({ state, diagnostic, remoteDiscriminator }: BfdReport): string {
  if (diagnostic !== 'none') return BFD_REASONS[diagnostic];
  return state === 'down' && remoteDiscriminator === 0 ? 'the neighbor was not heard yet' : '';
}

const TRACKER_HEADINGS = ['TRACKER', 'STATE', 'KIND', 'SINCE', 'DETAIL'];
const TRACKER_ALIGN: readonly Align[] = ['left', 'left', 'left', 'right', 'left'];

function trackerLines(trackers: readonly TrackerReport[], nowMs: number): Line[] {
  if (trackers.length === 0) return [];
  const rows = trackers.map(
    ({ name, kind, up, detail, problem, since }): Line => [
      span(name, 'strong'),
      span(
        up === null ? 'unknown' : up ? 'up' : 'down',
        up === null ? 'warn' : up ? 'good' : 'bad',
      ),
      span(kind),
      span(since === null ? '-' : age(since, nowMs)),
      problem === null ? span(detail) : span(problem, 'bad'),
    ],
  );
  return table([headings(TRACKER_HEADINGS), ...rows], TRACKER_ALIGN);
}

// What matters most comes first: a narrow terminal cuts the end off.
const SERVER_HEADINGS = [
  'SERVER',
  'HEALTH',
  'WEIGHT',
  'FORWARD',
  'ACTIVE',
  'INACT',
  'PERSIST',
  'TOTAL',
  'IN',
  'OUT',
];
const SERVER_ALIGN: readonly Align[] = [
  'left',
  'left',
  'right',
  'left',
  ...Array.from({ length: 6 }, (): Align => 'right'),
];

function serviceLines(services: readonly ServiceReport[], nowMs: number): Line[] {
  if (services.length === 0) return [];
  const rows = services.flatMap(({ servers }) => servers.map((server) => serverRow(server, nowMs)));
  const [heading, ...lines] = table([headings(SERVER_HEADINGS), ...rows], SERVER_ALIGN, 2);
  const next = lines.values();
  return [
    heading as Line,
    ...services.flatMap((service) => [
      serviceLine(service),
      ...entryLines(service),
      ...service.servers.flatMap((server): Line[] => {
        const line = next.next().value as Line;
        const note = noteOf(server, nowMs);
        return note === null ? [line] : [line, [span(`    ${note}`, 'bad')]];
      }),
    ]),
  ];
}

const MISSING = "  missing from the kernel's table";

function serviceLine(service: ServiceReport): Line {
  const figures = [
    service.scheduler,
    counted(service.connections, 'connection'),
    `${bytes(service.bytesIn)} in`,
    `${bytes(service.bytesOut)} out`,
  ];
  const missing = service.present || !service.wanted ? [] : [span(MISSING, 'bad')];
  const standby = service.wanted ? [] : [span(`  while ${service.follow} is active here`, 'dim')];
  return [
    span(service.name, 'strong'),
    span(`  ${service.service}  ${figures.join(', ')}`),
    ...missing,
    ...standby,
    ...quorumSpans(service),
  ];
}

/** What too few healthy servers come to: for all clients, or for those of one family. */
function quorumSpans({ quorum, servers }: ServiceReport): Span[] {
  const { met, healthyWeight, weight, below, bereft = [] } = quorum;
  if (met === false) {
    const goesOn = goesOnText(below, servers);
    return [span(`  below quorum (${healthyWeight} of ${weight}): ${goesOn}`, 'bad')];
  }
  return bereft.map((family) => {
    const own = servers.filter(({ server }) => server.startsWith('[') === (family === 'ipv6'));
    return span(`  no healthy server for ${familyName(family)}: ${goesOnText(below, own)}`, 'bad');
  });
}

/** Who has the clients, by the weights that servers and sorry servers have. */
function goesOnText(below: BelowQuorum, servers: readonly ServerReport[]): string {
  const serves = (sorry: boolean) =>
    servers.some((server) => server.sorry === sorry && (server.weight ?? 0) > 0);
  switch (below) {
    case 'serve':
      return serves(false) ? 'the healthy servers go on' : NOBODY_LEFT;
    case 'sorry':
      if (serves(true)) return 'the sorry servers take over';
      return `no sorry server is healthy, ${serves(false) ? 'the healthy servers go on' : NOBODY_LEFT}`;
    case 'keep-last':
      return serves(false) ? 'those that served last go on' : NOBODY_LEFT;
    case 'drop':
      return 'no new connections';
  }
}

/** Entries that are shown of a service with several; what is missing is always among them. */
const ENTRIES_SHOWN = 8;

/** What a service is made of in the kernel, if that is more than one entry. */
function entryLines({ entries }: ServiceReport): Line[] {
  if (entries.length < 2) return [];
  const first = entries.filter(
    ({ present, wanted }, index) => index < ENTRIES_SHOWN || (wanted && !present),
  );
  const shown = first.slice(0, 2 * ENTRIES_SHOWN);
  const rows = shown.map(
    ({ entry, wanted, present, follow, connections, bytesIn, bytesOut }): Line => {
      const state = present
        ? span('present', wanted ? 'good' : 'dim')
        : wanted
          ? span('missing', 'bad')
          : span(`while ${follow} is active here`, 'dim');
      const traffic = `${counted(connections, 'connection')}, ${bytes(bytesIn)} in, ${bytes(bytesOut)} out`;
      return [span('entry', 'dim'), span(entry), state, span(traffic, 'dim')];
    },
  );
  const left = entries.length - shown.length;
  const more: Line[] = left === 0 ? [] : [[span(`    and ${left} more entries`, 'dim')]];
  return [...table(rows, ['left', 'left', 'left', 'left'], 4), ...more];
}

/** What it comes to when no server has clients. */
const NOBODY_LEFT = 'no server is left, no new connections';

/** What an operator should know of a server's weight, beside its health; null for nothing. */
const WEIGHT_NOTES: Readonly<Record<WeightReason, string | null>> = {
  healthy: null,
  failed: null,
  'slow-start': 'slow start: its weight rises',
  'awaiting-check': null,
  guarded: 'kept in by min_healthy: checks would take too many servers out',
  'kept-last': 'kept in by below_quorum keep-last',
  'below-quorum': 'no new connections: the service is below its quorum',
  sorry: 'sorry server in use',
  standby: null,
  draining: 'draining: waits for its connections to end',
  drained: 'drained: taken out of the table',
  'forced-down': 'taken out by an operator',
  'forced-up': 'kept in by an operator, whatever its check says',
  'weight-override': 'weight set by an operator',
  'check-weight': 'weight given by its check',
  maintenance: null,
  'accepts-nothing': 'no new connections for a while: it accepted none of the last ones',
};

function noteOf(server: ServerReport, nowMs: number): string | null {
  const { reason, weightReason, sorry, override } = server;
  const why = weightReason === null ? null : WEIGHT_NOTES[weightReason];
  const role = sorry && why === null ? 'sorry server' : null;
  const decided = override === null ? null : overrideText(override);
  const parts = [
    role,
    why,
    decided,
    unacceptedText(server),
    maintenanceText(server, nowMs),
    reason,
  ];
  const said = parts.filter((part) => part !== null);
  return said.length === 0 ? null : said.join('; ');
}

function unacceptedText({ unaccepted }: ServerReport): string | null {
  return unaccepted === null ? null : `accepted none of ${unaccepted} connections`;
}

const DAY_MS = 86_400_000;

/** 'maintenance until 2026-03-01T05:00Z: new disks' */
function maintenanceText(
  { maintenance, nextMaintenanceAt }: ServerReport,
  nowMs: number,
): string | null {
  if (maintenance === null) {
    const soon = nextMaintenanceAt !== null && Date.parse(nextMaintenanceAt) - nowMs < DAY_MS;
    return soon ? `next maintenance at ${nextMaintenanceAt.slice(0, 16)}Z` : null;
  }
  const { phase, start, end, reason, heldBack } = maintenance;
  const minute = (iso: string) => `${iso.slice(0, 16)}Z`;
  const when =
    phase === 'before'
      ? `maintenance from ${minute(start)} to ${minute(end)}`
      : `maintenance until ${minute(end)}`;
  const held = heldBack ? ', waits: it is needed' : '';
  return `${when}${held}${reason === '' ? '' : `: ${reason}`}`;
}

/** Who decided it, why and until when. */
export function overrideText({ by, reason, sinceMs, untilMs }: Override): string {
  const since = new Date(sinceMs).toISOString().slice(0, 16);
  const until = untilMs === null ? '' : ` until ${new Date(untilMs).toISOString().slice(0, 16)}Z`;
  return `by ${by || 'unknown'} at ${since}Z${until}${reason === '' ? '' : `: ${reason}`}`;
}

function serverRow(server: ServerReport, nowMs: number): Line {
  const since = server.since === null ? '' : ` ${age(server.since, nowMs)}`;
  return [
    span(server.server),
    span(`${server.health}${since}`, HEALTH_STYLES[server.health]),
    weightSpan(server),
    span(server.forwarding),
    span(`${server.activeConnections}`),
    span(`${server.inactiveConnections}`),
    span(`${server.persistentConnections}`),
    span(`${server.connections}`),
    span(bytes(server.bytesIn)),
    span(bytes(server.bytesOut)),
  ];
}

/** '2', or '0 of 2' where the kernel's weight is not the configured one. */
function weightSpan({ weight, configuredWeight }: ServerReport): Span {
  if (weight === configuredWeight) return span(`${weight}`);
  return span(`${weight ?? 'none'} of ${configuredWeight}`, 'warn');
}

function ipvsLines(ipvs: DirectorStatus['ipvs'], nowMs: number): Line[] {
  const title = span('IPVS  ', 'dim');
  const failed: Line[] =
    ipvs.lastError === null ? [] : [[title, span(`failed: ${ipvs.lastError}`, 'bad')]];
  if (!ipvs.managed) {
    if (failed.length > 0) return failed;
    return [[title, span('not managed: no virtual service is configured', 'dim')]];
  }
  const { lastReconcileAt, lastReconcileSeconds } = ipvs;
  if (lastReconcileAt === null) return [...failed, [title, span('not compared yet', 'warn')]];
  const took = lastReconcileSeconds === null ? '' : ` in ${milliseconds(lastReconcileSeconds)}`;
  const drifted = Object.entries(ipvs.drift).filter(([, count]) => count > 0);
  const driftText = drifted.map(([kind, count]) => `${count} ${kind}`).join(', ');
  const { foreignServices, foreignServers } = ipvs;
  return [
    ...failed,
    [
      title,
      span(`compared ${age(lastReconcileAt, nowMs)} ago${took}, `),
      drifted.length === 0 ? span('no drift') : span(`drift so far: ${driftText}`, 'warn'),
      ...(ipvs.operationErrors === 0
        ? []
        : [span(`, ${counted(ipvs.operationErrors, 'change')} refused so far`, 'bad')]),
      span(`, foreign: ${counted(foreignServices, 'service')}, `),
      span(counted(foreignServers, 'server')),
    ],
    ...settingLines(ipvs),
    ...strangerLines(ipvs),
    ...leavingLines(ipvs, nowMs),
    ...unusedLines(ipvs),
  ];
}

/** What other programs have put into our services gets clients of ours. */
function strangerLines({ strangers }: DirectorStatus['ipvs']): Line[] {
  return strangers.map(({ service, entry, server, weight }) => {
    const where = `${service} (${entry})`;
    return [span(`      foreign in ${where}: ${server} with weight ${weight}`, 'warn')];
  });
}

/** Leaving servers that are shown; a removed service may have thousands. */
const LEAVING_SHOWN = 20;

/** Servers that were taken out of the configuration and still have connections. */
function leavingLines({ leaving }: DirectorStatus['ipvs'], nowMs: number): Line[] {
  const lines = leaving.slice(0, LEAVING_SHOWN).map(({ service, entry, server, until, ...one }) => {
    const left = counted(connectionsOf(one), 'connection');
    const most = durationText(Math.max(0, (Date.parse(until) - nowMs) / 1000));
    const where = service === null ? entry : `${service} (${entry})`;
    return [
      span(`      leaving ${where}: ${server}, ${left} left, deleted in ${most} at most`, 'warn'),
    ];
  });
  const more = leaving.length - LEAVING_SHOWN;
  return more > 0 ? [...lines, [span(`      and ${more} more that leave`, 'warn')]] : lines;
}

/** Decisions that nobody sees at a server, and that would hold again if it came back. */
function unusedLines({ unusedOverrides }: DirectorStatus['ipvs']): Line[] {
  const lines = unusedOverrides.slice(0, LEAVING_SHOWN).map((override): Line => {
    const { service, server, action } = override;
    const text = `${action.kind} of ${service}/${server}, which is not configured`;
    return [span(`      ${text} (${overrideText(override)}): undrain ends it`, 'warn')];
  });
  const more = unusedOverrides.length - LEAVING_SHOWN;
  return more > 0
    ? [...lines, [span(`      and ${counted(more, 'more such decision')}`, 'warn')]]
    : lines;
}

/** Settings are worth a line when one is not as wanted, is held, or somebody changes them. */
function settingLines({ settings, settingRepairs }: DirectorStatus['ipvs']): Line[] {
  const lines = settings.flatMap(({ name, wanted, value, held }): Line[] => {
    if (value === null) return [[span(`      setting ${name} does not exist here`, 'bad')]];
    if (!sameSetting(name, value, wanted)) {
      return [[span(`      setting ${name} is ${value}, wanted ${wanted}`, 'bad')]];
    }
    return held
      ? [[span(`      setting ${name} is ${value} while persistent clients leave a server`)]]
      : [];
  });
  if (settingRepairs === 0) return lines;
  const times = settingRepairs === 1 ? 'once' : `${settingRepairs} times`;
  return [...lines, [span(`      settings repaired ${times}`, 'warn')]];
}

function syncLines(sync: DirectorStatus['sync']): Line[] {
  if (sync === null) return [];
  const role = sync.role ?? 'not started';
  const text = `${role} on ${sync.interface}, id ${sync.id}, follows ${sync.follow}`;
  const error = sync.error === null ? [] : [span(`, failed: ${sync.error}`, 'bad')];
  const { waitsFor } = sync;
  const servers = `${counted(waitsFor, 'server')} of another family than their service`;
  const waits = waitsFor === 0 ? [] : [span(`, waits until ${servers} have left`, 'warn')];
  return [[span('Sync  ', 'dim'), span(text), ...error, ...waits]];
}

function headings(texts: readonly string[]): Line {
  return texts.map((text) => span(text, 'dim'));
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function times(count: number): string {
  return count === 1 ? 'once' : `${count} times`;
}

/** Why an instance is in its state, in words. */
export function reasonText(reason: TransitionReason): string {
  return REASONS[reason];
}

/** Age of a moment told as ISO 8601: see durationText(). */
export function age(sinceIso: string, nowMs: number): string {
  // The two clocks are one, but it may have been set back in between.
  return durationText(Math.max(0, (nowMs - Date.parse(sinceIso)) / 1000));
}

/** '12s', '3m 12s', '3h 12m', '5d 3h': the two largest units, rounded down. */
export function durationText(durationSeconds: number): string {
  const total = Math.floor(durationSeconds);
  const units = [
    [Math.floor(total / 86_400), 'd'],
    [Math.floor(total / 3_600) % 24, 'h'],
    [Math.floor(total / 60) % 60, 'm'],
    [total % 60, 's'],
  ] as const;
  const first = units.findIndex(([value]) => value > 0);
  if (first === -1) return '0s';
  const shown = units.slice(first, first + 2).filter(([value]) => value > 0);
  return shown.map(([value, unit]) => `${value}${unit}`).join(' ');
}

function milliseconds(value: number): string {
  return `${(value * 1000).toFixed(1)} ms`;
}

const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** '512 B', '1.2 kB', '35 MB': decimal units, two digits at least. */
export function bytes(value: number): string {
  let scaled = value;
  let unit = 0;
  // Not 1000: what would round up to it belongs to the next unit.
  while (scaled >= 999.5 && unit < BYTE_UNITS.length - 1) {
    scaled /= 1000;
    unit++;
  }
  const digits = unit > 0 && scaled < 9.95 ? 1 : 0;
  return `${scaled.toFixed(digits)} ${BYTE_UNITS[unit]}`;
}
