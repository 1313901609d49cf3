/**
 * DirectorStatus: everything that a director says of itself at one moment. The control socket
 * serves it as JSON, `vipkeeper status` draws it, the metrics are made from it. Additive changes
 * only: scripts read it.
 */
import type { BfdDiagnostic, BfdRefusalReason, BfdStateName } from './bfd/types.ts';
import type {
  AddressCheck,
  AddressFamily,
  BelowQuorum,
  Forwarding,
  TrackerConfig,
} from './config/config.ts';
import type { Consequence } from './health/consequence.ts';
import type { Override } from './health/override.ts';
import type { OverrideRequest } from './health/override-request.ts';
import type { PoolState, WeightReason } from './health/pool.ts';
import type { Leaving } from './ipvs/leaving.ts';
import type { ObservedService } from './ipvs/model.ts';
import type { OwnedJson } from './ipvs/owned.ts';
import type { KnownHealth } from './ipvs/preview.ts';
import type { Problem } from './problem.ts';
import type {
  HandoverOutcome,
  RefusalReason,
  TransitionReason,
  VrrpStateName,
} from './vrrp/types.ts';

/** A route or rule that is wanted while its instance is active. */
export interface RoutingReport {
  readonly kind: 'route' | 'rule';
  /** As ip-route(8) or ip-rule(8) would say it. */
  readonly text: string;
  readonly present: boolean;
  /** Why the kernel refused it; null when it did not. */
  readonly error: string | null;
  /** Another program keeps removing it, so it is put back once a second only. */
  readonly contested: boolean;
}

/** What the section `static` keeps there. */
export interface StaticReport {
  readonly addresses: InstanceReport['addresses'];
  readonly routing: readonly RoutingReport[];
  readonly restored: number;
}

/** An address of this director that other machines have too. */
export interface ConflictReport {
  readonly address: string;
  /** Where it was found: of a virtual link the interface below it. */
  readonly interface: string;
  /** The source address of advertisements, or a virtual IP. */
  readonly of: 'source' | 'vip';
  /** ISO 8601, UTC. */
  readonly since: string;
  readonly holders: readonly {
    /** '52:54:00:00:00:01'; null where the kernel does not tell it. */
    readonly mac: string | null;
    /**
     * It answers when it is asked for the address; it does not, but announces it or sends as it;
     * or the kernel's duplicate address detection found it (IPv6).
     */
    readonly how: 'answers' | 'announces' | 'detected';
    /** Other IP addresses of that machine, as the neighbour table has them. */
    readonly addresses: readonly string[];
    /** The real servers at those, as 'web/10.0.0.11:8080'. */
    readonly servers: readonly string[];
  }[];
}

export interface InstanceReport {
  readonly name: string;
  readonly state: VrrpStateName;
  /** Why it is in this state. */
  readonly reason: TransitionReason;
  /** Effective: the configured one and what the trackers add. */
  readonly priority: number;
  readonly configuredPriority: number;
  readonly priorityParts: readonly {
    readonly tracker: string;
    readonly delta: number;
    readonly detail: string;
  }[];
  /** Tracker that forbids it to take part, or null. */
  readonly faultyTracker: string | null;
  /** What is wrong with that tracker, in words. */
  readonly faultyTrackerDetail: string | null;
  /** Interface that is down or missing, while that is its fault; null else. */
  readonly faultyInterface: string | null;
  /** Sync group, or null. */
  readonly group: string | null;
  /** It is backup and would be active, but for the other members of its sync group. */
  readonly waitsForGroup: boolean;
  readonly interface: string;
  readonly family: AddressFamily;
  readonly version: 2 | 3;
  readonly vrid: number;
  readonly sourceAddress: string | null;
  /** The peers of a unicast instance; null for multicast. */
  readonly unicast: {
    readonly ttl: number;
    readonly checkSource: boolean;
    readonly peers: readonly {
      readonly address: string;
      readonly minTtl: number;
      readonly maxTtl: number;
      /** It is this director itself, and left out. */
      readonly self: boolean;
      /** Why the last advertisement could not be sent to it ('EHOSTUNREACH'); null when it was. */
      readonly sendError: string | null;
    }[];
  } | null;
  /** Where advertisements go without `unicast`. */
  readonly multicastGroup: string;
  /** The link that bears its VIPs; null: the interface does. `mac` is null while it is missing. */
  readonly link: {
    readonly kind: 'macvlan' | 'ipvlan';
    readonly name: string;
    readonly mac: string | null;
    readonly up: boolean;
  } | null;
  readonly advertIntervalSeconds: number;
  readonly activeDownIntervalSeconds: number;
  /** Advertisements in a row that a backup misses before it takes over. */
  readonly downTimerAdverts: number;
  /** What is left of the startup delay; null when it is over or there is none. */
  readonly startsInSeconds: number | null;
  /** Trackers whose first states it waits for, so long at most. */
  readonly awaitedTrackers: readonly string[];
  /** Whether it takes over from a living active director of lower priority. */
  readonly preempt: boolean;
  /** What is done about advertisements that list other addresses. */
  readonly checkAddresses: AddressCheck;
  /** False: packets to its addresses are dropped, unless a virtual service takes them. */
  readonly accept: boolean;
  /** It was handed over and does not preempt until that is taken back. */
  readonly heldBack: boolean;
  /** It has resigned and keeps the addresses until a successor is heard. */
  readonly resigning: boolean;
  /** How the last planned handover ended; null for none since the keeper's start. */
  readonly lastHandover: {
    readonly outcome: HandoverOutcome;
    /** ISO 8601, UTC. */
    readonly at: string;
    /** The director that took over, or null. */
    readonly successor: string | null;
    /** From the resignation to the end. */
    readonly seconds: number;
  } | null;
  /** ISO 8601, UTC. */
  readonly lastTransitionAt: string;
  /** How long it has been in this state. */
  readonly stateForSeconds: number;
  readonly addresses: readonly {
    readonly address: string;
    readonly prefixLength: number;
    readonly interface: string;
    readonly present: boolean;
    /** Why it could not be put there, as the kernel said; null when nothing is known against it. */
    readonly error: string | null;
  }[];
  readonly routing: readonly RoutingReport[];
  /** Its addresses that other machines have too. */
  readonly conflicts: readonly ConflictReport[];
  /** The director last heard of under this VRID. */
  readonly peer: {
    readonly address: string;
    readonly priority: number;
    readonly advertIntervalSeconds: number;
    readonly lastHeardSecondsAgo: number;
  } | null;
  /** Those of the addresses that advertisements list. */
  readonly advertisedAddresses: readonly string[];
  /** Every sender heard of, the last heard first. */
  readonly peers: readonly PeerReport[];
  /** Virtual routers on its interface that no instance here has, the last heard first. */
  readonly strangers: readonly {
    readonly vrid: number;
    readonly address: string;
    readonly priority: number;
    /** Those that its last advertisement listed. */
    readonly addresses: readonly string[];
    readonly lastHeardSecondsAgo: number;
  }[];
  readonly counters: {
    readonly advertsSent: number;
    readonly advertsReceived: number;
    /** Those among them without an HMAC trailer, where one is configured and not demanded. */
    readonly advertsUnsigned: number;
    /** Those among the received that listed other addresses than this director has. */
    readonly addressListMismatches: number;
    readonly priorityZeroSent: number;
    readonly priorityZeroReceived: number;
    readonly refused: Readonly<Record<RefusalReason, number>>;
    readonly announcementsSent: number;
    readonly transitions: Readonly<Record<VrrpStateName, number>>;
    readonly addressesRestored: number;
    readonly linksRestored: number;
    readonly routingRestored: number;
    readonly sendErrors: number;
  };
}

/** One sync group. */
export interface GroupReport {
  readonly name: string;
  /** That of all members; null while they differ, which lasts for a moment only. */
  readonly state: VrrpStateName | null;
  readonly members: readonly string[];
  /**
   * Members because of which it is not active: the reason of their fault, or 'hears-active' when
   * they hear an active director while others do not.
   */
  readonly heldBy: readonly {
    readonly instance: string;
    readonly why: TransitionReason | 'hears-active';
  }[];
}

/** One BFD session. */
export interface BfdReport {
  readonly name: string;
  readonly state: BfdStateName;
  /** Why it last changed its state. */
  readonly diagnostic: BfdDiagnostic;
  readonly neighbor: string;
  readonly interface: string | null;
  readonly multihop: boolean;
  /** What the neighbor last said of itself. */
  readonly remoteState: BfdStateName;
  readonly remoteDiagnostic: string;
  readonly localDiscriminator: number;
  /** 0 while the neighbor is not heard. */
  readonly remoteDiscriminator: number;
  readonly transmitIntervalSeconds: number;
  /** Null while the neighbor is not heard. */
  readonly detectionTimeSeconds: number | null;
  /** ISO 8601, UTC. */
  readonly lastTransitionAt: string;
  /** Why the last packet could not be sent; null when it was. */
  readonly sendError: string | null;
  readonly counters: {
    readonly packetsSent: number;
    readonly packetsReceived: number;
    readonly refused: Readonly<Record<BfdRefusalReason, number>>;
    readonly transitions: Readonly<Record<BfdStateName, number>>;
    readonly sendErrors: number;
  };
}

/** A sender of advertisements for an instance's VRID, and what it said last. */
export interface PeerReport {
  readonly address: string;
  readonly lastHeardSecondsAgo: number;
  /** The last advertisement of it that was accepted; null for none. */
  readonly accepted: {
    readonly count: number;
    readonly secondsAgo: number;
    /** Since it last advertised with a priority above 0; null for never. */
    readonly activeSecondsAgo: number | null;
    readonly version: 2 | 3;
    readonly priority: number;
    readonly advertIntervalSeconds: number;
    readonly checksum: 'message' | 'pseudo-header';
    /** Number of the key that it was signed with; null for an unsigned one. */
    readonly hmacKey: number | null;
    readonly addresses: readonly string[];
  } | null;
  /** The last one that was refused; null for none. */
  readonly refused: {
    readonly counts: Readonly<Partial<Record<RefusalReason, number>>>;
    readonly secondsAgo: number;
    readonly reason: RefusalReason;
    readonly detail: string;
  } | null;
}

/** How one run of a tracker's script went; `skipped`: it did not begin, as another one ran. */
export const TRACKER_RUN_RESULTS = [
  'succeeded',
  'failed',
  'timeout',
  'not-run',
  'skipped',
] as const;
export type TrackerRunResult = (typeof TRACKER_RUN_RESULTS)[number];

/** Something that instances track. */
export interface TrackerReport {
  readonly name: string;
  readonly kind: TrackerConfig['kind'];
  /** null until it was looked at. */
  readonly up: boolean | null;
  /** A file's number; null for others. */
  readonly value: number | null;
  /** Why it is up or down, in words. */
  readonly detail: string;
  /** What keeps it from being looked at; null when nothing does. */
  readonly problem: string | null;
  /** ISO 8601 of the last change; null where the keeper looks at it, and until it was seen. */
  readonly since: string | null;
  /** Runs of a script; null for others. */
  readonly runs: Readonly<Record<TrackerRunResult, number>> | null;
}

export interface ServerReport {
  /** '10.0.0.11:8080', '[2001:db8::11]:8080' */
  readonly server: string;
  readonly forwarding: Forwarding | 'local' | 'bypass';
  /** 'unchecked' without a check, 'unknown' until its first verdict. */
  readonly health: 'up' | 'down' | 'unknown' | 'unchecked';
  /** Why it is down: a probe's failure in words; null when it is not. */
  readonly reason: string | null;
  /** ISO 8601 of the last change of health; null while unknown or unchecked. */
  readonly since: string | null;
  /** One of the service's sorry servers. */
  readonly sorry: boolean;
  readonly configuredWeight: number;
  /** Weight that it should have now; null: it should not be in the table. */
  readonly wantedWeight: number | null;
  /** Why; null before the first decision. */
  readonly weightReason: WeightReason | null;
  /** What an operator decided about it; null for nothing. */
  readonly override: Override | null;
  /** The maintenance window that it is in, or that begins soon; null for none. */
  readonly maintenance: {
    readonly phase: 'before' | 'in';
    readonly action: 'drain' | 'down';
    readonly start: string;
    readonly end: string;
    readonly schedule: string;
    readonly reason: string;
    /** It stays in, as too few others are healthy. */
    readonly heldBack: boolean;
  } | null;
  /** It passes its check and accepted none of this many connections; null for nothing like that. */
  readonly unaccepted: number | null;
  /** When its next window begins, ISO 8601; null for never. */
  readonly nextMaintenanceAt: string | null;
  /** Weight in the kernel; null when it is not in the table. */
  readonly weight: number | null;
  readonly activeConnections: number;
  readonly inactiveConnections: number;
  readonly persistentConnections: number;
  /** Since the entry was made in the kernel. */
  readonly connections: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** One of the kernel's virtual services that a service is made of. */
export interface EntryReport {
  /** 'tcp 192.0.2.10:80', 'fwmark 5 ipv4' */
  readonly entry: string;
  /** False when it is missing from the kernel's table at this moment. */
  readonly present: boolean;
  /** VRRP instance that it goes with, or null. */
  readonly follow: string | null;
  /** False while it should not be in the table, as that instance is not active here. */
  readonly wanted: boolean;
  /** Servers of it in the kernel, foreign ones included. */
  readonly servers: number;
  readonly connections: number;
  readonly packetsIn: number;
  readonly packetsOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

export interface ServiceReport {
  readonly name: string;
  /** 'tcp 192.0.2.10:80', 'fwmark 5 ipv4'; of several entries 'tcp 192.0.2.10:80 and 4 more'. */
  readonly service: string;
  readonly scheduler: string;
  /** False when an entry that is wanted is missing from the kernel's table at this moment. */
  readonly present: boolean;
  /** VRRP instance that it goes with, or null; several are joined by ', '. */
  readonly follow: string | null;
  /** False while none of its entries should be in the table, as no instance of them is active. */
  readonly wanted: boolean;
  /** Those of its entries. */
  readonly families: readonly AddressFamily[];
  /** What it is made of: the figures below are their sums. */
  readonly entries: readonly EntryReport[];
  readonly connections: number;
  readonly packetsIn: number;
  readonly packetsOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly quorum: {
    readonly weight: number;
    /** Sum of the weights of healthy servers, without the sorry servers. */
    readonly healthyWeight: number;
    /** null before enough checks have spoken. */
    readonly met: boolean | null;
    readonly below: BelowQuorum;
    /** Families without a healthy server, while the quorum is met by those of the other one. */
    readonly bereft: readonly AddressFamily[];
  };
  /** Its sorry servers after the others. */
  readonly servers: readonly ServerReport[];
}

/** A server that was taken out of the configuration and is still in the table. */
export interface LeavingReport {
  /** Name of its service as far as it is known. */
  readonly service: string | null;
  /** 'tcp 192.0.2.10:80' */
  readonly entry: string;
  readonly server: string;
  /** ISO 8601, UTC. */
  readonly since: string;
  /** When what is left of its connections is cut off. */
  readonly until: string;
  readonly activeConnections: number;
  readonly inactiveConnections: number;
  readonly persistentConnections: number;
}

export interface CheckReport {
  /** 'tcp', 'http', 'dns': CheckConfig['kind']. */
  readonly kind: string;
  /** What is asked: '10.0.0.11:8080', 'http://10.0.0.11:8080/healthz'. */
  readonly target: string;
  readonly status: 'up' | 'down' | 'unknown';
  readonly succeeded: number;
  /** Failures by reason. */
  readonly failed: Readonly<Record<string, number>>;
  readonly lastDurationSeconds: number | null;
  readonly durationSecondsSum: number;
}

export interface IpvsSettingReport {
  /** 'expire_nodest_conn', 'timeout tcp' */
  readonly name: string;
  readonly wanted: string;
  /** As the kernel has it now; null: it has no such setting. */
  readonly value: string | null;
  /** As it was before vipkeeper set it, and will be again; null: not set yet. */
  readonly before: string | null;
  /** Wanted for a time, whatever is configured. */
  readonly held: boolean;
}

/** Notifications through one channel since the controller's start. */
export interface NotifyChannelReport {
  /** Scripts that ended with 0, lines written, mails accepted by the server. */
  readonly delivered: number;
  readonly failed: number;
  /** Left out because too many waited, or too little time was left at a stop. */
  readonly dropped: number;
  readonly waiting: number;
}

export interface NotifyReport {
  readonly script: NotifyChannelReport;
  readonly fifo: NotifyChannelReport;
  readonly mail: NotifyChannelReport;
}

/** A server that another program has put into a service of ours. */
export interface StrangerReport {
  /** Name of the service. */
  readonly service: string;
  /** Entry of the table, 'tcp 192.0.2.10:80'. */
  readonly entry: string;
  readonly server: string;
  readonly weight: number;
}

export interface DirectorStatus {
  readonly director: string;
  readonly version: string;
  readonly startedAt: string;
  readonly keeper: {
    readonly pid: number | null;
    readonly scheduling: 'realtime' | 'normal' | null;
    /** Times that it died and was started again since the controller's start. */
    readonly restarts: number;
  };
  readonly controller: { readonly pid: number };
  readonly instances: readonly InstanceReport[];
  readonly groups: readonly GroupReport[];
  /** Packets that belong to no instance, by reason. */
  readonly refusedUnassigned: Readonly<Record<RefusalReason, number>>;
  /** Null while no keeper answers. */
  readonly static: StaticReport | null;
  readonly bfd: readonly BfdReport[];
  /** BFD packets that belong to no session, by reason. */
  readonly bfdRefusedUnassigned: Readonly<Record<BfdRefusalReason, number>>;
  readonly trackers: readonly TrackerReport[];
  readonly services: readonly ServiceReport[];
  readonly checks: readonly CheckReport[];
  readonly ipvs: {
    /** False without virtual services, or without the kernel's IPVS: no table is looked at. */
    readonly managed: boolean;
    readonly lastReconcileAt: string | null;
    readonly lastReconcileSeconds: number | null;
    /** Why the last reconcile failed, or why there is none although there are services; or null. */
    readonly lastError: string | null;
    readonly reconciles: number;
    /** Changes made in the kernel, by kind ('add-service', 'set-server', …). */
    readonly operations: Readonly<Record<string, number>>;
    readonly operationErrors: number;
    /** Differences found since the first comparison, repaired ones too: 'missing', 'altered', 'leftover'. */
    readonly drift: Readonly<Record<string, number>>;
    readonly foreignServices: number;
    readonly foreignServers: number;
    /** Foreign servers in services of ours, where they get clients: some, if there are many. */
    readonly strangers: readonly StrangerReport[];
    /** Servers that are no longer configured and wait for their connections to end. */
    readonly leaving: readonly LeavingReport[];
    /** What operators decided about servers that are not configured, for when they are again. */
    readonly unusedOverrides: readonly Override[];
    /** What `ipvs.settings` and `ipvs.timeouts` want of the kernel. */
    readonly settings: readonly IpvsSettingReport[];
    /** Times that another program had changed one of them. */
    readonly settingRepairs: number;
  };
  readonly sync: {
    readonly interface: string;
    readonly id: number;
    readonly follow: string;
    /** Role of the kernel's daemon as last set; null before the first. */
    readonly role: 'master' | 'backup' | null;
    readonly error: string | null;
    /**
     * Servers of another family than their service that were taken out of the configuration and
     * are still in the table: the daemon starts when they have left.
     */
    readonly waitsFor: number;
  } | null;
  readonly notify: NotifyReport;
}

/** Where the HTTP server and the control socket get the status from. */
export interface StatusSource {
  readonly status: () => Promise<DirectorStatus>;
}

/** What came of an operator's wish about real servers. */
export interface OverrideAnswer {
  /** Why nothing was done; null when it was, or with a dry run would be. */
  readonly error: string | null;
  readonly servers: readonly {
    readonly service: string;
    readonly server: string;
    readonly before: Override | null;
    readonly after: Override | null;
  }[];
  /** What becomes of the services of these servers; empty where none was found. */
  readonly consequences: readonly Consequence[];
  /** Refused because a service would be left without servers: only `force` does it. */
  readonly needsForce: boolean;
}

/** What came of reading the configuration again. */
export interface ReloadAnswer {
  /** Those that kept it from being applied, one a line. */
  readonly errors: readonly string[];
  /** Why not all of it takes effect, where it was applied. */
  readonly problems: readonly Problem[];
}

/** What the control socket can ask of a running director, beside its status. */
export interface DirectorControl extends StatusSource {
  /** Reads the configuration again, and applies it. */
  readonly reload: () => Promise<ReloadAnswer>;
  /** Replaces both processes in place, VIPs and table untouched: for a new version. */
  readonly restart: () => void;
  /**
   * Hands instances over to other directors; what came of it is in the status (`resigning`,
   * `lastHandover`). With null every instance that is active here. With `dryRun` only the plans.
   */
  readonly handover: (options: {
    readonly instance: string | null;
    readonly dryRun: boolean;
  }) => Promise<HandoverAnswer>;
  /** What is needed to say what a configuration would change in the IPVS table. */
  readonly table: () => Promise<TableLists>;
  /** Lets instances preempt again that were handed over; with null all of them. */
  readonly takeback: (instance: string | null) => Promise<TakebackAnswer>;
  /** Drains, forces or weighs real servers, or ends that. */
  readonly override: (request: OverrideRequest) => Promise<OverrideAnswer>;
}

/** A running director's side of `vipkeeper plan`, in JSON. */
export interface TableView {
  readonly director: string;
  /** Absolute path of the configuration that a reload reads. */
  readonly configFile: string;
  /** The kernel's table now; null where IPVS is not used. */
  readonly observed: readonly ObservedService[] | null;
  readonly owned: OwnedJson;
  /** Monotonic microseconds of this machine. */
  readonly nowUs: number;
  readonly checks: Readonly<Record<string, KnownHealth>>;
  readonly pools: Readonly<Record<string, PoolState>>;
  readonly overrides: readonly Override[];
  /** Names of the VRRP instances that are active here. */
  readonly active: readonly string[];
  readonly leaving: readonly Leaving[];
  /** Servers that accept nothing and get no new connections for a while, by overrideKey(). */
  readonly passive: readonly string[];
}

/** A TableView whose longest members are lists of their entries, which are written in parts. */
export interface TableLists extends Omit<TableView, 'owned' | 'checks' | 'pools'> {
  readonly owned: Entries<TableView['owned']>;
  readonly checks: Entries<TableView['checks']>;
  readonly pools: Entries<TableView['pools']>;
}

type Entries<T> = readonly (readonly [string, T[keyof T]])[];

/** What a planned handover of one instance would do. */
export interface HandoverPlan {
  readonly instance: string;
  /** Why it cannot be handed over; null when it can. */
  readonly refusal: string | null;
  /**
   * The best of the directors heard of, with the priority that it last advertised. Null when none
   * was, or each of them said last that it resigns: it may be backup since, or be gone.
   */
  readonly successor: {
    readonly address: string;
    readonly priority: number;
    readonly lastHeardSecondsAgo: number;
  } | null;
  /** When the successor's first advertisement is due: its skew time, the longest if not known. */
  readonly expectedSeconds: number;
  /** Without a successor until then, this director stays active. */
  readonly longestSeconds: number;
  /** What could go wrong, sentences without final periods. */
  readonly warnings: readonly string[];
}

/** What taking one instance back, with the rest of its sync group, means. */
export interface TakebackPlan {
  readonly instance: string;
  /** It was held back, and is not any more. */
  readonly heldBack: boolean;
  /** What follows from it, for people. */
  readonly detail: string;
}

export interface HandoverAnswer {
  /** The instances resign now. */
  readonly started: boolean;
  /** Why nothing was started; null when something was, or with a dry run that found no reason. */
  readonly error: string | null;
  readonly plans: readonly HandoverPlan[];
}

export interface TakebackAnswer {
  readonly error: string | null;
  readonly plans: readonly TakebackPlan[];
}
