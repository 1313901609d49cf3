/**
 * Every metric with its name, type, help and labels, and how its values follow from a snapshot.
 * Names follow Prometheus' conventions (base units, _total, _seconds, _bytes) and, once released,
 * are never reused with another meaning. Label values come from the configuration and from
 * closed sets, never from packets or servers, so that the number of series is bounded. The one
 * exception are the addresses of VRRP peers that were accepted, of which an instance keeps 16.
 */

import { BFD_REFUSAL_REASONS, BFD_STATES } from '../core/bfd/types.ts';
import { sameSetting } from '../core/config/ipvs-settings.ts';
import {
  type BfdReport,
  type DirectorStatus,
  type InstanceReport,
  type PeerReport,
  type ServiceReport,
  TRACKER_RUN_RESULTS,
} from '../core/status.ts';
import { explainInstance, FINDING_KINDS } from '../core/vrrp/explain.ts';
import { REFUSAL_REASONS, type VrrpStateName } from '../core/vrrp/types.ts';

/** What the controller's process has used. */
export interface ProcessUsage {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly heapUsedBytes: number;
  readonly openFds: number;
  readonly eventLoopActiveSeconds: number;
}

export interface Snapshot {
  readonly status: DirectorStatus;
  readonly usage: ProcessUsage;
}

/** Label values in the order of the definition's labels, and the value. */
export type Sample = readonly [labels: readonly string[], value: number];
/** The same with the two values of a summary without quantiles. */
export type SummarySample = readonly [labels: readonly string[], sum: number, count: number];

interface Described {
  readonly name: string;
  /** One sentence without a final period. */
  readonly help: string;
  readonly labels: readonly string[];
}

export type MetricDefinition =
  | (Described & {
      readonly type: 'counter' | 'gauge';
      /**
       * Made while they are read, so that a large table can be read in several turns; null for what was
       * looked at and has no sample.
       */
      readonly samples: (snapshot: Snapshot) => Iterable<Sample | null>;
    })
  | (Described & {
      readonly type: 'summary';
      readonly samples: (snapshot: Snapshot) => Iterable<SummarySample | null>;
    });

const STATES: readonly VrrpStateName[] = ['initialize', 'backup', 'active', 'fault'];
const SYNC_ROLES = ['master', 'backup'] as const;
/** Shown as zero before the first of their kind, so that a rate sees the first one. */
const OPERATION_KINDS = [
  'add-service',
  'set-service',
  'delete-service',
  'add-server',
  'set-server',
  'delete-server',
];
const NOTIFY_CHANNELS = ['script', 'fifo', 'mail'] as const;
const NOTIFY_RESULTS = ['delivered', 'failed', 'dropped'] as const;
const DRIFT_CLASSES = ['missing', 'altered', 'leftover'];

function flag(value: boolean): number {
  return value ? 1 : 0;
}

function epochSeconds(iso: string): number {
  return Date.parse(iso) / 1000;
}

/** One sample without labels, or none for a value that is not known (yet). */
function known(value: number | null): readonly Sample[] {
  return value === null ? [] : [[[], value]];
}

/** A sample for each entry of a record, with zero for each of `always` that it lacks. */
function byKey(
  record: Readonly<Record<string, number>>,
  always: readonly string[],
  before: readonly string[] = [],
): readonly Sample[] {
  const keys = new Set([...always, ...Object.keys(record)]);
  return [...keys].map((key): Sample => [[...before, key], record[key] ?? 0]);
}

function eachInstance(value: (instance: InstanceReport) => number) {
  return ({ status }: Snapshot): readonly Sample[] =>
    status.instances.map((instance): Sample => [[instance.name], value(instance)]);
}

/** Every address that the instance has or may get, and those that the kernel does not let it use. */
function conflictSamples(instance: InstanceReport): readonly Sample[] {
  const { name, interface: base, sourceAddress, addresses, link, conflicts } = instance;
  const counts = new Map<string, Sample>();
  const put = (at: string, address: string, count: number) =>
    counts.set(`${at} ${address}`, [[name, at, address], count]);
  if (sourceAddress !== null) put(base, sourceAddress, 0);
  for (const { address, interface: at } of addresses) {
    put(at === link?.name ? base : at, address, 0);
  }
  for (const { address, interface: at, holders } of conflicts) put(at, address, holders.length);
  return [...counts.values()];
}

function eachSession(value: (session: BfdReport) => number) {
  return ({ status }: Snapshot): readonly Sample[] =>
    status.bfd.map((session): Sample => [[session.name], value(session)]);
}

function eachService(value: (service: ServiceReport) => number) {
  return function* ({ status }: Snapshot): Iterable<Sample | null> {
    for (const service of status.services) yield [[service.name], value(service)];
  };
}

/** A sample for each entry of the services that have more than one. */
function eachEntry(value: (entry: ServiceReport['entries'][number]) => number) {
  return function* ({ status }: Snapshot): Iterable<Sample | null> {
    for (const { name, entries } of status.services) {
      if (entries.length < 2) yield null;
      else for (const one of entries) yield [[name, one.entry], value(one)];
    }
  };
}

/** In and out of each service, as two samples. */
function eachServiceWay(value: (service: ServiceReport) => readonly [number, number]) {
  return function* ({ status }: Snapshot): Iterable<Sample | null> {
    for (const service of status.services) {
      yield [[service.name, 'in'], value(service)[0]];
      yield [[service.name, 'out'], value(service)[1]];
    }
  };
}

/** A sample for each server whose value is known. */
function eachServer(value: (server: ServiceReport['servers'][number]) => number | null) {
  return function* ({ status }: Snapshot): Iterable<Sample | null> {
    for (const service of status.services) {
      for (const server of service.servers) {
        const found = value(server);
        yield found === null ? null : [[service.name, server.server], found];
      }
    }
  };
}

/** Not `instance`, which Prometheus gives to every target. */
const INSTANCE = ['vrrp_instance'];
const PEER = ['vrrp_instance', 'peer'];
const SESSION = ['session'];
const SERVICE = ['service'];
const ENTRY = ['service', 'entry'];
const SERVER = ['service', 'server'];
const CHECK = ['kind', 'target'];
const TRACKER = ['tracker', 'kind'];

const DIRECTOR_METRICS: readonly MetricDefinition[] = [
  {
    name: 'vipkeeper_build_info',
    type: 'gauge',
    help: 'Always 1, with the version as a label',
    labels: ['version'],
    samples: ({ status }) => [[[status.version], 1]],
  },
  {
    name: 'vipkeeper_start_time_seconds',
    type: 'gauge',
    help: 'When the controller was started, in seconds since 1970',
    labels: [],
    samples: ({ status }) => known(epochSeconds(status.startedAt)),
  },
  {
    name: 'vipkeeper_keeper_up',
    type: 'gauge',
    help: '1 while a keeper process runs',
    labels: [],
    samples: ({ status }) => known(flag(status.keeper.pid !== null)),
  },
  {
    name: 'vipkeeper_keeper_realtime',
    type: 'gauge',
    help: '1 while the keeper is scheduled in real time, absent without a keeper',
    labels: [],
    samples: ({ status: { keeper } }) =>
      known(keeper.scheduling === null ? null : flag(keeper.scheduling === 'realtime')),
  },
  {
    name: 'vipkeeper_keeper_restarts_total',
    type: 'counter',
    help: 'Times that the keeper died and was started again',
    labels: [],
    samples: ({ status }) => known(status.keeper.restarts),
  },
];

const VRRP_METRICS: readonly MetricDefinition[] = [
  {
    name: 'vipkeeper_vrrp_state',
    type: 'gauge',
    help: '1 for the state that the VRRP instance is in, 0 for the others',
    labels: ['vrrp_instance', 'state'],
    samples: ({ status }) =>
      status.instances.flatMap((instance) =>
        STATES.map((state): Sample => [[instance.name, state], flag(instance.state === state)]),
      ),
  },
  {
    name: 'vipkeeper_vrrp_group_state',
    type: 'gauge',
    help: '1 for the state that all members of the sync group are in, 0 for the others',
    labels: ['group', 'state'],
    samples: ({ status }) =>
      status.groups.flatMap((group) =>
        STATES.map((state): Sample => [[group.name, state], flag(group.state === state)]),
      ),
  },
  {
    name: 'vipkeeper_vrrp_priority',
    type: 'gauge',
    help: 'Priority that the VRRP instance advertises while active, 1 to 255',
    labels: INSTANCE,
    samples: eachInstance((instance) => instance.priority),
  },
  {
    name: 'vipkeeper_vrrp_held_back',
    type: 'gauge',
    help: 'Whether an instance was handed over and does not preempt until it is taken back',
    labels: INSTANCE,
    samples: eachInstance(({ heldBack }) => flag(heldBack)),
  },
  {
    name: 'vipkeeper_vrrp_configured_priority',
    type: 'gauge',
    help: 'Priority of the VRRP instance before its trackers',
    labels: INSTANCE,
    samples: eachInstance((instance) => instance.configuredPriority),
  },
  {
    name: 'vipkeeper_vrrp_priority_delta',
    type: 'gauge',
    help: 'What the tracker adds to the priority of the VRRP instance now',
    labels: ['vrrp_instance', 'tracker'],
    samples: ({ status }) =>
      status.instances.flatMap(({ name, priorityParts }) =>
        priorityParts.map(({ tracker, delta }): Sample => [[name, tracker], delta]),
      ),
  },
  {
    name: 'vipkeeper_vrrp_finding',
    type: 'gauge',
    help: '1 while something of this kind is found wrong: see vipkeeper explain and the runbooks',
    labels: ['vrrp_instance', 'kind'],
    samples: ({ status }) =>
      status.instances.flatMap((instance) => {
        const found = new Set(
          explainInstance(instance, status.instances).findings.map(({ kind }) => kind),
        );
        return FINDING_KINDS.map((kind): Sample => [[instance.name, kind], flag(found.has(kind))]);
      }),
  },
  {
    name: 'vipkeeper_vrrp_address_conflict',
    type: 'gauge',
    help: 'Other machines that have this source address or virtual IP of the instance too',
    labels: ['vrrp_instance', 'interface', 'address'],
    samples: ({ status }) => status.instances.flatMap((instance) => conflictSamples(instance)),
  },
  {
    name: 'vipkeeper_vrrp_transitions_total',
    type: 'counter',
    help: 'Transitions of the VRRP instance by the state that it went to',
    labels: ['vrrp_instance', 'to'],
    samples: ({ status }) =>
      status.instances.flatMap(({ name, counters }) => byKey(counters.transitions, STATES, [name])),
  },
  {
    name: 'vipkeeper_vrrp_last_transition_timestamp_seconds',
    type: 'gauge',
    help: 'When the VRRP instance last changed its state, in seconds since 1970',
    labels: INSTANCE,
    samples: eachInstance((instance) => epochSeconds(instance.lastTransitionAt)),
  },
  {
    name: 'vipkeeper_vrrp_advert_interval_seconds',
    type: 'gauge',
    help: 'Configured interval of advertisements',
    labels: INSTANCE,
    samples: eachInstance((instance) => instance.advertIntervalSeconds),
  },
  {
    name: 'vipkeeper_vrrp_active_down_interval_seconds',
    type: 'gauge',
    help: 'How long a backup waits for the next advertisement before it takes over',
    labels: INSTANCE,
    samples: eachInstance((instance) => instance.activeDownIntervalSeconds),
  },
  {
    name: 'vipkeeper_vrrp_adverts_sent_total',
    type: 'counter',
    help: 'Advertisements sent',
    labels: INSTANCE,
    samples: eachInstance(({ counters }) => counters.advertsSent),
  },
  {
    name: 'vipkeeper_vrrp_adverts_received_total',
    type: 'counter',
    help: 'Valid advertisements received',
    labels: INSTANCE,
    samples: eachInstance(({ counters }) => counters.advertsReceived),
  },
  {
    name: 'vipkeeper_vrrp_adverts_unsigned_total',
    type: 'counter',
    help: 'Advertisements received and taken without an HMAC trailer, where one is configured',
    labels: INSTANCE,
    samples: eachInstance(({ counters }) => counters.advertsUnsigned),
  },
  {
    name: 'vipkeeper_vrrp_address_list_mismatches_total',
    type: 'counter',
    help: 'Advertisements received that listed other addresses than this director has',
    labels: INSTANCE,
    samples: eachInstance(({ counters }) => counters.addressListMismatches),
  },
  {
    name: 'vipkeeper_vrrp_priority_zero_sent_total',
    type: 'counter',
    help: 'Resigning advertisements (priority 0) among those sent',
    labels: INSTANCE,
    samples: eachInstance(({ counters }) => counters.priorityZeroSent),
  },
  {
    name: 'vipkeeper_vrrp_priority_zero_received_total',
    type: 'counter',
    help: 'Resigning advertisements (priority 0) among those received',
    labels: INSTANCE,
    samples: eachInstance(({ counters }) => counters.priorityZeroReceived),
  },
  {
    name: 'vipkeeper_vrrp_adverts_refused_total',
    type: 'counter',
    help: 'Packets refused as advertisements by reason; those of no instance have an empty one',
    labels: ['vrrp_instance', 'reason'],
    samples: ({ status }) => [
      ...status.instances.flatMap(({ name, counters }) =>
        byKey(counters.refused, REFUSAL_REASONS, [name]),
      ),
      ...byKey(status.refusedUnassigned, REFUSAL_REASONS, ['']),
    ],
  },
  {
    name: 'vipkeeper_vrrp_announcements_sent_total',
    type: 'counter',
    help: 'Gratuitous ARP and unsolicited neighbour advertisement packets sent',
    labels: INSTANCE,
    samples: eachInstance(({ counters }) => counters.announcementsSent),
  },
  {
    name: 'vipkeeper_vrrp_addresses_restored_total',
    type: 'counter',
    help: 'Virtual IPs put back after another program had removed them',
    labels: INSTANCE,
    samples: eachInstance(({ counters }) => counters.addressesRestored),
  },
  {
    name: 'vipkeeper_vrrp_links_restored_total',
    type: 'counter',
    help: 'Virtual links put back after another program had removed them or taken them down',
    labels: INSTANCE,
    samples: eachInstance(({ counters }) => counters.linksRestored),
  },
  {
    name: 'vipkeeper_vrrp_routing_restored_total',
    type: 'counter',
    help: 'Routes and rules put back after another program had removed them',
    labels: INSTANCE,
    samples: eachInstance(({ counters }) => counters.routingRestored),
  },
  {
    name: 'vipkeeper_vrrp_routing_present',
    type: 'gauge',
    help: '1 while the route or rule is in the kernel',
    labels: ['vrrp_instance', 'kind', 'object'],
    samples: ({ status }) =>
      status.instances.flatMap(({ name, routing }) =>
        routing.map(({ kind, text, present }): Sample => [[name, kind, text], flag(present)]),
      ),
  },
  {
    name: 'vipkeeper_static_present',
    type: 'gauge',
    help: '1 while the address, route or rule of the section static is in the kernel',
    labels: ['kind', 'object'],
    samples: ({ status }) => [
      ...(status.static?.addresses ?? []).map(
        (one): Sample => [['address', `${one.address} ${one.interface}`], flag(one.present)],
      ),
      ...(status.static?.routing ?? []).map(
        ({ kind, text, present }): Sample => [[kind, text], flag(present)],
      ),
    ],
  },
  {
    name: 'vipkeeper_static_restored_total',
    type: 'counter',
    help: 'Objects of the section static put back after another program had removed them',
    labels: [],
    samples: ({ status }) => [[[], status.static?.restored ?? 0]],
  },
  {
    name: 'vipkeeper_vrrp_send_errors_total',
    type: 'counter',
    help: 'Packets that the kernel refused to send',
    labels: INSTANCE,
    samples: eachInstance(({ counters }) => counters.sendErrors),
  },
  {
    name: 'vipkeeper_vrrp_vip_present',
    type: 'gauge',
    help: '1 while the virtual IP is on its interface',
    labels: ['vrrp_instance', 'address'],
    samples: ({ status }) =>
      status.instances.flatMap((instance) =>
        instance.addresses.map((vip): Sample => [[instance.name, vip.address], flag(vip.present)]),
      ),
  },
];

/** Of peers whose advertisements were accepted: what others send has no say in the labels. */
function eachPeer(
  value: (accepted: NonNullable<PeerReport['accepted']>, peer: PeerReport) => number,
) {
  return ({ status }: Snapshot): readonly Sample[] =>
    status.instances.flatMap(({ name, peers }) =>
      peers.flatMap((peer): readonly Sample[] =>
        peer.accepted === null ? [] : [[[name, peer.address], value(peer.accepted, peer)]],
      ),
    );
}

const PEER_METRICS: readonly MetricDefinition[] = [
  {
    name: 'vipkeeper_vrrp_peer_last_heard_seconds',
    type: 'gauge',
    help: 'Age of the last advertisement from the peer that was accepted',
    labels: PEER,
    samples: eachPeer(({ secondsAgo }) => secondsAgo),
  },
  {
    name: 'vipkeeper_vrrp_peer_priority',
    type: 'gauge',
    help: 'Priority that the peer advertised last, 0 when it resigned',
    labels: PEER,
    samples: eachPeer(({ priority }) => priority),
  },
  {
    name: 'vipkeeper_vrrp_peer_advert_interval_seconds',
    type: 'gauge',
    help: 'Interval that the peer advertised last',
    labels: PEER,
    samples: eachPeer(({ advertIntervalSeconds }) => advertIntervalSeconds),
  },
  {
    name: 'vipkeeper_vrrp_peer_adverts_accepted_total',
    type: 'counter',
    help: 'Advertisements accepted from the peer since it was first heard',
    labels: PEER,
    samples: eachPeer(({ count }) => count),
  },
  {
    name: 'vipkeeper_vrrp_peer_adverts_refused_total',
    type: 'counter',
    help: 'Packets refused from the peer by reason, of peers that were accepted once',
    labels: ['vrrp_instance', 'peer', 'reason'],
    samples: ({ status }) =>
      status.instances.flatMap(({ name, peers }) =>
        peers.flatMap(({ address, accepted, refused }): readonly Sample[] =>
          accepted === null || refused === null
            ? []
            : byKey(refused.counts as Record<string, number>, [], [name, address]),
        ),
      ),
  },
];

const BFD_METRICS: readonly MetricDefinition[] = [
  {
    name: 'vipkeeper_bfd_up',
    type: 'gauge',
    help: '1 while the BFD session is up',
    labels: SESSION,
    samples: eachSession((session) => flag(session.state === 'up')),
  },
  {
    name: 'vipkeeper_bfd_transitions_total',
    type: 'counter',
    help: 'Transitions of the BFD session by the state that it went to',
    labels: ['session', 'to'],
    samples: ({ status }) =>
      status.bfd.flatMap(({ name, counters }) => byKey(counters.transitions, BFD_STATES, [name])),
  },
  {
    name: 'vipkeeper_bfd_last_transition_timestamp_seconds',
    type: 'gauge',
    help: 'When the BFD session last changed its state, in seconds since 1970',
    labels: SESSION,
    samples: eachSession((session) => epochSeconds(session.lastTransitionAt)),
  },
  {
    name: 'vipkeeper_bfd_transmit_interval_seconds',
    type: 'gauge',
    help: 'Agreed interval of the packets that are sent, before jitter',
    labels: SESSION,
    samples: eachSession((session) => session.transmitIntervalSeconds),
  },
  {
    name: 'vipkeeper_bfd_detection_time_seconds',
    type: 'gauge',
    help: 'Silence after which the neighbor is dead, absent while it is not heard',
    labels: SESSION,
    samples: ({ status }) =>
      status.bfd.flatMap((session): readonly Sample[] =>
        session.detectionTimeSeconds === null
          ? []
          : [[[session.name], session.detectionTimeSeconds]],
      ),
  },
  {
    name: 'vipkeeper_bfd_packets_sent_total',
    type: 'counter',
    help: 'Control packets sent',
    labels: SESSION,
    samples: eachSession(({ counters }) => counters.packetsSent),
  },
  {
    name: 'vipkeeper_bfd_packets_received_total',
    type: 'counter',
    help: 'Valid control packets received',
    labels: SESSION,
    samples: eachSession(({ counters }) => counters.packetsReceived),
  },
  {
    name: 'vipkeeper_bfd_packets_refused_total',
    type: 'counter',
    help: 'Packets refused as control packets by reason; those of no session have an empty one',
    labels: ['session', 'reason'],
    samples: ({ status }) => [
      ...status.bfd.flatMap(({ name, counters }) =>
        byKey(counters.refused, BFD_REFUSAL_REASONS, [name]),
      ),
      ...byKey(status.bfdRefusedUnassigned, BFD_REFUSAL_REASONS, ['']),
    ],
  },
  {
    name: 'vipkeeper_bfd_send_errors_total',
    type: 'counter',
    help: 'Control packets that could not be sent',
    labels: SESSION,
    samples: eachSession(({ counters }) => counters.sendErrors),
  },
];

const TRACKER_METRICS: readonly MetricDefinition[] = [
  {
    name: 'vipkeeper_tracker_up',
    type: 'gauge',
    help: '1 while the tracker is up, 0 while it is down, absent until it was looked at',
    labels: TRACKER,
    samples: ({ status }) =>
      status.trackers.flatMap(({ name, kind, up }): readonly Sample[] =>
        up === null ? [] : [[[name, kind], flag(up)]],
      ),
  },
  {
    name: 'vipkeeper_tracker_value',
    type: 'gauge',
    help: 'Number in the tracked file, 0 without one',
    labels: TRACKER,
    samples: ({ status }) =>
      status.trackers.flatMap(({ name, kind, value }): readonly Sample[] =>
        value === null ? [] : [[[name, kind], value]],
      ),
  },
  {
    name: 'vipkeeper_tracker_problem',
    type: 'gauge',
    help: '1 while something keeps the tracker from being looked at: see vipkeeper status',
    labels: TRACKER,
    samples: ({ status }) =>
      status.trackers.map(
        ({ name, kind, problem }): Sample => [[name, kind], flag(problem !== null)],
      ),
  },
  {
    name: 'vipkeeper_tracker_runs_total',
    type: 'counter',
    help: "Runs of the tracker's script by result; skipped: one was still running",
    labels: ['tracker', 'result'],
    samples: ({ status }) =>
      status.trackers.flatMap(({ name, runs }) =>
        runs === null ? [] : byKey(runs, TRACKER_RUN_RESULTS, [name]),
      ),
  },
];

const CHECK_METRICS: readonly MetricDefinition[] = [
  {
    name: 'vipkeeper_check_up',
    type: 'gauge',
    help: '1 while the check says up, 0 while it says down, absent before its first verdict',
    labels: CHECK,
    samples: function* ({ status }) {
      for (const { kind, target, status: verdict } of status.checks) {
        yield verdict === 'unknown' ? null : [[kind, target], flag(verdict === 'up')];
      }
    },
  },
  {
    name: 'vipkeeper_check_results_total',
    type: 'counter',
    help: 'Results of the check: success, or the reason of the failure',
    labels: ['kind', 'target', 'result'],
    samples: function* ({ status }) {
      for (const { kind, target, succeeded, failed } of status.checks) {
        yield* byKey({ success: succeeded, ...failed }, [], [kind, target]);
      }
    },
  },
  {
    name: 'vipkeeper_check_last_duration_seconds',
    type: 'gauge',
    help: 'How long the last check took, absent before the first',
    labels: CHECK,
    samples: function* ({ status }) {
      for (const { kind, target, lastDurationSeconds } of status.checks) {
        yield lastDurationSeconds === null ? null : [[kind, target], lastDurationSeconds];
      }
    },
  },
  {
    name: 'vipkeeper_check_duration_seconds',
    type: 'summary',
    help: 'How long all checks took',
    labels: CHECK,
    samples: function* ({ status }) {
      for (const { kind, target, succeeded, failed, durationSecondsSum } of status.checks) {
        const failures = Object.values(failed).reduce((sum, count) => sum + count, 0);
        yield [[kind, target], durationSecondsSum, succeeded + failures];
      }
    },
  },
];

const SERVICE_METRICS: readonly MetricDefinition[] = [
  {
    name: 'vipkeeper_service_healthy_weight',
    type: 'gauge',
    help: 'Sum of the weights of healthy real servers, without sorry servers',
    labels: SERVICE,
    samples: eachService(({ quorum }) => quorum.healthyWeight),
  },
  {
    name: 'vipkeeper_service_quorum',
    type: 'gauge',
    help: 'Healthy weight that the service needs',
    labels: SERVICE,
    samples: eachService(({ quorum }) => quorum.weight),
  },
  {
    name: 'vipkeeper_service_quorum_met',
    type: 'gauge',
    help: '1 if the service has its quorum, absent before the first checks have spoken',
    labels: SERVICE,
    samples: function* ({ status }) {
      for (const { name, quorum } of status.services) {
        yield quorum.met === null ? null : [[name], flag(quorum.met)];
      }
    },
  },
  {
    name: 'vipkeeper_service_family_without_servers',
    type: 'gauge',
    help: "1 while this family has no healthy server and the other's meet the quorum, else 0; absent for services of one family",
    labels: ['service', 'family'],
    samples: function* ({ status }) {
      for (const { name, families, quorum } of status.services) {
        if (families.length < 2) yield null;
        else for (const one of families) yield [[name, one], flag(quorum.bereft.includes(one))];
      }
    },
  },
  {
    name: 'vipkeeper_service_wanted',
    type: 'gauge',
    help: '0 while the virtual service should not be in the table, as its instance is not active here',
    labels: SERVICE,
    samples: eachService((service) => flag(service.wanted)),
  },
  {
    name: 'vipkeeper_service_present',
    type: 'gauge',
    help: "1 while the virtual service is in the kernel's table",
    labels: SERVICE,
    samples: eachService((service) => flag(service.present)),
  },
  {
    name: 'vipkeeper_service_entries',
    type: 'gauge',
    help: "Entries of the kernel's table that the virtual service is made of",
    labels: SERVICE,
    samples: eachService(({ entries }) => entries.length),
  },
  {
    name: 'vipkeeper_service_entry_present',
    type: 'gauge',
    help: "1 while this entry is in the kernel's table; absent for services with one entry",
    labels: ENTRY,
    samples: eachEntry(({ present }) => flag(present)),
  },
  {
    name: 'vipkeeper_service_entry_connections_total',
    type: 'counter',
    help: 'Connections of this entry since it was made in the kernel; absent for services with one',
    labels: ENTRY,
    samples: eachEntry(({ connections }) => connections),
  },
  {
    name: 'vipkeeper_service_connections_total',
    type: 'counter',
    help: 'Connections scheduled since the virtual service was made in the kernel',
    labels: SERVICE,
    samples: eachService((service) => service.connections),
  },
  {
    name: 'vipkeeper_service_packets_total',
    type: 'counter',
    help: 'Packets of the virtual service by direction: in (from clients) or out',
    labels: ['service', 'direction'],
    samples: eachServiceWay((service) => [service.packetsIn, service.packetsOut]),
  },
  {
    name: 'vipkeeper_service_bytes_total',
    type: 'counter',
    help: 'Bytes of the virtual service by direction: in (from clients) or out',
    labels: ['service', 'direction'],
    samples: eachServiceWay((service) => [service.bytesIn, service.bytesOut]),
  },
  {
    name: 'vipkeeper_server_accepts_nothing',
    type: 'gauge',
    help: '1 for a real server that passes its check and accepts no connection, as the counters say, else 0',
    labels: SERVER,
    samples: eachServer(({ unaccepted }) => flag(unaccepted !== null)),
  },
  {
    name: 'vipkeeper_server_override',
    type: 'gauge',
    help: '1 for what an operator decided about the real server (drain, weight, up, down), absent without a decision',
    labels: [...SERVER, 'action'],
    samples: function* ({ status }) {
      for (const { name, servers } of status.services) {
        for (const { server, override } of servers) {
          yield override === null ? null : [[name, server, override.action.kind], 1];
        }
      }
    },
  },
  {
    name: 'vipkeeper_server_override_end_timestamp_seconds',
    type: 'gauge',
    help: 'When what an operator decided about the real server ends by itself, absent without an end',
    labels: SERVER,
    samples: eachServer(({ override }) =>
      override === null || override.untilMs === null ? null : override.untilMs / 1000,
    ),
  },
  {
    name: 'vipkeeper_server_maintenance',
    type: 'gauge',
    help: '1 while a maintenance window asks for the real server, 2 if it stays in because it is needed, else 0',
    labels: SERVER,
    samples: eachServer(({ maintenance, nextMaintenanceAt }) => {
      if (maintenance === null) return nextMaintenanceAt === null ? null : 0;
      return maintenance.heldBack ? 2 : 1;
    }),
  },
  {
    name: 'vipkeeper_server_next_maintenance_timestamp_seconds',
    type: 'gauge',
    help: 'When the next maintenance window of the real server begins, absent without one',
    labels: SERVER,
    samples: eachServer(({ nextMaintenanceAt }) =>
      nextMaintenanceAt === null ? null : Date.parse(nextMaintenanceAt) / 1000,
    ),
  },
  {
    name: 'vipkeeper_server_healthy',
    type: 'gauge',
    help: '1 for a real server that is up or not checked, 0 if down, absent while unknown',
    labels: SERVER,
    samples: eachServer(({ health }) => (health === 'unknown' ? null : flag(health !== 'down'))),
  },
  {
    name: 'vipkeeper_server_weight',
    type: 'gauge',
    help: 'Weight of the real server in the kernel, absent while it is not in the table',
    labels: SERVER,
    samples: eachServer((server) => server.weight),
  },
  {
    name: 'vipkeeper_server_configured_weight',
    type: 'gauge',
    help: 'Weight of the real server in the configuration',
    labels: SERVER,
    samples: eachServer((server) => server.configuredWeight),
  },
  {
    name: 'vipkeeper_server_active_connections',
    type: 'gauge',
    help: 'Active connections to the real server',
    labels: SERVER,
    samples: eachServer((server) => server.activeConnections),
  },
  {
    name: 'vipkeeper_server_wanted_weight',
    type: 'gauge',
    help: 'Weight that the real server should have now, absent when it should not be in the table',
    labels: SERVER,
    samples: eachServer((server) => server.wantedWeight),
  },
  {
    name: 'vipkeeper_server_weight_reason',
    type: 'gauge',
    help: 'Always 1, with why the real server has its weight as a label',
    labels: [...SERVER, 'reason'],
    samples: function* ({ status }) {
      for (const { name, servers } of status.services) {
        for (const { server, weightReason } of servers) {
          yield weightReason === null ? null : [[name, server, weightReason], 1];
        }
      }
    },
  },
  {
    name: 'vipkeeper_server_inactive_connections',
    type: 'gauge',
    help: 'Inactive connections to the real server',
    labels: SERVER,
    samples: eachServer((server) => server.inactiveConnections),
  },
  {
    name: 'vipkeeper_server_persistent_connections',
    type: 'gauge',
    help: 'Persistence templates that lead to the real server',
    labels: SERVER,
    samples: eachServer((server) => server.persistentConnections),
  },
  {
    name: 'vipkeeper_server_connections_total',
    type: 'counter',
    help: 'Connections scheduled since the real server was made in the kernel',
    labels: SERVER,
    samples: eachServer((server) => server.connections),
  },
  {
    name: 'vipkeeper_server_bytes_total',
    type: 'counter',
    help: 'Bytes of the real server by direction: in (from clients) or out',
    labels: ['service', 'server', 'direction'],
    samples: function* ({ status }) {
      for (const { name, servers } of status.services) {
        for (const { server, bytesIn, bytesOut } of servers) {
          yield [[name, server, 'in'], bytesIn];
          yield [[name, server, 'out'], bytesOut];
        }
      }
    },
  },
];

const IPVS_METRICS: readonly MetricDefinition[] = [
  {
    name: 'vipkeeper_ipvs_reconcile_total',
    type: 'counter',
    help: "Comparisons of the kernel's IPVS table with the wanted one",
    labels: [],
    samples: ({ status }) => known(status.ipvs.reconciles),
  },
  {
    name: 'vipkeeper_ipvs_reconcile_success',
    type: 'gauge',
    help: '1 if the last reconcile succeeded, absent before the first',
    labels: [],
    samples: ({ status: { ipvs } }) =>
      known(
        ipvs.lastReconcileAt === null && ipvs.lastError === null
          ? null
          : flag(ipvs.lastError === null),
      ),
  },
  {
    name: 'vipkeeper_ipvs_reconcile_operations_total',
    type: 'counter',
    help: "Changes made in the kernel's IPVS table by kind",
    labels: ['kind'],
    samples: ({ status }) => byKey(status.ipvs.operations, OPERATION_KINDS),
  },
  {
    name: 'vipkeeper_ipvs_reconcile_operation_errors_total',
    type: 'counter',
    help: 'Changes of the IPVS table that the kernel refused',
    labels: [],
    samples: ({ status }) => known(status.ipvs.operationErrors),
  },
  {
    name: 'vipkeeper_ipvs_drift_total',
    type: 'counter',
    help: 'Differences that another program made in the IPVS table by class',
    labels: ['class'],
    samples: ({ status }) => byKey(status.ipvs.drift, DRIFT_CLASSES),
  },
  {
    name: 'vipkeeper_ipvs_setting_repairs_total',
    type: 'counter',
    help: 'Settings and timeouts of IPVS that another program had changed and that were set again',
    labels: [],
    samples: ({ status }) => known(status.ipvs.settingRepairs),
  },
  {
    name: 'vipkeeper_ipvs_settings_wrong',
    type: 'gauge',
    help: 'Settings and timeouts of IPVS that are not as configured at this moment',
    labels: [],
    samples: ({ status }) =>
      known(
        status.ipvs.settings.filter(
          ({ name, value, wanted }) => value === null || !sameSetting(name, value, wanted),
        ).length,
      ),
  },
  {
    name: 'vipkeeper_ipvs_leaving_servers',
    type: 'gauge',
    help: 'Servers in the kernel that are no longer configured and wait for their connections to end',
    labels: [],
    samples: ({ status }) => [[[], status.ipvs.leaving.length]],
  },
  {
    name: 'vipkeeper_ipvs_foreign_services',
    type: 'gauge',
    help: 'Virtual services in the kernel that vipkeeper did not create',
    labels: [],
    samples: ({ status }) => known(status.ipvs.foreignServices),
  },
  {
    name: 'vipkeeper_ipvs_foreign_servers',
    type: 'gauge',
    help: 'Real servers in the kernel that vipkeeper did not create',
    labels: [],
    samples: ({ status }) => known(status.ipvs.foreignServers),
  },
  {
    name: 'vipkeeper_ipvs_last_reconcile_timestamp_seconds',
    type: 'gauge',
    help: 'When the last reconcile ended, in seconds since 1970, absent before the first',
    labels: [],
    samples: ({ status: { ipvs } }) =>
      known(ipvs.lastReconcileAt === null ? null : epochSeconds(ipvs.lastReconcileAt)),
  },
  {
    name: 'vipkeeper_ipvs_last_reconcile_duration_seconds',
    type: 'gauge',
    help: 'How long the last reconcile took, absent before the first',
    labels: [],
    samples: ({ status }) => known(status.ipvs.lastReconcileSeconds),
  },
  {
    name: 'vipkeeper_sync_role',
    type: 'gauge',
    help: "1 for the role of the kernel's connection sync daemon, absent without sync",
    labels: ['role'],
    samples: ({ status: { sync } }) =>
      sync === null ? [] : SYNC_ROLES.map((role): Sample => [[role], flag(sync.role === role)]),
  },
  {
    name: 'vipkeeper_sync_failed',
    type: 'gauge',
    help: '1 while the kernel refuses the sync daemon, absent without sync',
    labels: [],
    samples: ({ status: { sync } }) => known(sync === null ? null : flag(sync.error !== null)),
  },
];

const NOTIFY_METRICS: readonly MetricDefinition[] = [
  {
    name: 'vipkeeper_notifications_total',
    type: 'counter',
    help: 'Notifications by channel (script, fifo or mail) and result: delivered, failed, dropped',
    labels: ['channel', 'result'],
    samples: ({ status: { notify } }) =>
      NOTIFY_CHANNELS.flatMap((channel) =>
        NOTIFY_RESULTS.map((result): Sample => [[channel, result], notify[channel][result]]),
      ),
  },
  {
    name: 'vipkeeper_notifications_waiting',
    type: 'gauge',
    help: 'Notifications that wait for an earlier script, for a reader or for a mail server',
    labels: ['channel'],
    samples: ({ status: { notify } }) =>
      NOTIFY_CHANNELS.map((channel): Sample => [[channel], notify[channel].waiting]),
  },
];

const CONTROLLER_METRICS: readonly MetricDefinition[] = [
  {
    name: 'vipkeeper_controller_cpu_seconds_total',
    type: 'counter',
    help: "Processor time of the controller's process, user and system",
    labels: [],
    samples: ({ usage }) => known(usage.cpuSeconds),
  },
  {
    name: 'vipkeeper_controller_event_loop_active_seconds_total',
    type: 'counter',
    help: "Time that the controller's event loop was busy; its rate near 1 means overload",
    labels: [],
    samples: ({ usage }) => known(usage.eventLoopActiveSeconds),
  },
  {
    name: 'vipkeeper_controller_resident_memory_bytes',
    type: 'gauge',
    help: "Resident memory of the controller's process",
    labels: [],
    samples: ({ usage }) => known(usage.residentBytes),
  },
  {
    name: 'vipkeeper_controller_heap_used_bytes',
    type: 'gauge',
    help: "Used part of the controller's JavaScript heap",
    labels: [],
    samples: ({ usage }) => known(usage.heapUsedBytes),
  },
  {
    name: 'vipkeeper_controller_open_fds',
    type: 'gauge',
    help: "Open file descriptors of the controller's process",
    labels: [],
    samples: ({ usage }) => known(usage.openFds),
  },
];

/** The groups in the order of the exposition and of the reference. */
export const METRIC_GROUPS: readonly {
  readonly title: string;
  readonly metrics: readonly MetricDefinition[];
}[] = [
  { title: 'Director', metrics: DIRECTOR_METRICS },
  { title: 'VRRP', metrics: VRRP_METRICS },
  { title: 'VRRP peers', metrics: PEER_METRICS },
  { title: 'BFD', metrics: BFD_METRICS },
  { title: 'Trackers', metrics: TRACKER_METRICS },
  { title: 'Health checks', metrics: CHECK_METRICS },
  { title: 'Virtual services and real servers', metrics: SERVICE_METRICS },
  { title: 'Reconciliation and connection sync', metrics: IPVS_METRICS },
  { title: 'Notification', metrics: NOTIFY_METRICS },
  { title: 'The controller process', metrics: CONTROLLER_METRICS },
];
