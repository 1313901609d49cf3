/**
 * The typed messages between the two processes. Both directions are JSON over one channel; each
 * message is a closed union member with `kind`. The controller tells the keeper what is wanted,
 * the keeper tells the controller what happened. Neither ever waits for the other.
 */
import type { BfdDiagnostic, BfdRefusalReason, BfdStateName } from '../core/bfd/types.ts';
import type { StaticConfig } from '../core/config/address.ts';
import type {
  AddressCheck,
  AnnounceGroupConfig,
  BfdConfig,
  KeeperTuning,
  TrackerConfig,
  VrrpConfig,
} from '../core/config/config.ts';
import type { Problem } from '../core/problem.ts';
import type { RoutingReport } from '../core/status.ts';
import type { PriorityPart, TrackerState } from '../core/vrrp/tracking.ts';
import type {
  FaultReason,
  HandoverOutcome,
  RefusalReason,
  TransitionReason,
  VrrpStateName,
} from '../core/vrrp/types.ts';

/** Raised when the meaning of a message changes: both sides refuse a stranger. */
export const PROTOCOL_VERSION = 5;

/** What the keeper is to do, complete: a later one replaces an earlier one. */
export interface KeeperPlan {
  readonly director: string;
  readonly instances: readonly VrrpConfig[];
  readonly announceGroups: readonly AnnounceGroupConfig[];
  readonly bfd: readonly BfdConfig[];
  readonly static: StaticConfig;
  /** All of them: interfaces are watched by the keeper, the others by the controller. */
  readonly trackers: readonly TrackerConfig[];
  readonly runtimeDirectory: string;
  /** The FIFO that the controller writes to; null for none. */
  readonly fifo: string | null;
  readonly tuning: KeeperTuning;
}

/** Counters of one instance since the keeper's start. */
export interface InstanceCounters {
  readonly advertsSent: number;
  readonly advertsReceived: number;
  /** Those among them that had no HMAC trailer, where one is configured and not demanded. */
  readonly advertsUnsigned: number;
  /** Those among them that listed other addresses than this director has. */
  readonly addressListMismatches: number;
  /** Resigning advertisements (priority 0) among them. */
  readonly priorityZeroSent: number;
  readonly priorityZeroReceived: number;
  readonly refused: Readonly<Record<RefusalReason, number>>;
  /** Announcement packets (gratuitous ARP and unsolicited NA) sent. */
  readonly announcementsSent: number;
  readonly transitions: Readonly<Record<VrrpStateName, number>>;
  /** VIPs put back after another program had removed them. */
  readonly addressesRestored: number;
  /** Virtual links put back, or up, after another program had removed them or taken them down. */
  readonly linksRestored: number;
  /** Routes and rules put back in the same way. */
  readonly routingRestored: number;
  readonly sendErrors: number;
}

/** The active director as last heard of. */
export interface PeerStatus {
  readonly address: string;
  readonly priority: number;
  readonly advertIntervalUs: number;
  readonly lastHeardUs: number;
}

/** A sender of advertisements for an instance's VRID, and what it said last. */
export interface PeerRecord {
  readonly address: string;
  readonly lastHeardUs: number;
  readonly accepted: {
    readonly count: number;
    readonly atUs: number;
    /** When it last advertised with a priority above 0; null for never. */
    readonly activeAtUs: number | null;
    readonly version: 2 | 3;
    readonly priority: number;
    readonly advertIntervalUs: number;
    readonly checksum: 'message' | 'pseudo-header';
    /** Number of the key that it is signed with; null for an unsigned one. */
    readonly hmacKey: number | null;
    readonly addresses: readonly string[];
  } | null;
  readonly refused: {
    readonly counts: Readonly<Partial<Record<RefusalReason, number>>>;
    readonly atUs: number;
    readonly reason: RefusalReason;
    readonly detail: string;
  } | null;
}

/** The peers of a unicast instance. */
export interface UnicastStatus {
  readonly ttl: number;
  readonly checkSource: boolean;
  readonly peers: readonly {
    readonly address: string;
    readonly minTtl: number;
    readonly maxTtl: number;
    /** It is this director itself, and left out. */
    readonly self: boolean;
    /** Why the last advertisement could not be sent to it; null when it was. */
    readonly sendError: string | null;
  }[];
}

/** A virtual router on an instance's interface that no instance here has. */
export interface StrangerRecord {
  readonly vrid: number;
  readonly address: string;
  readonly priority: number;
  /** Those that its last advertisement listed. */
  readonly addresses: readonly string[];
  readonly lastHeardUs: number;
}

export interface InstanceStatus {
  readonly name: string;
  readonly state: VrrpStateName;
  readonly reason: TransitionReason;
  /** Effective: the configured one and what the trackers add. */
  readonly priority: number;
  readonly configuredPriority: number;
  readonly priorityParts: readonly PriorityPart[];
  /** Tracker that forbids it to take part, or null. */
  readonly faultyTracker: string | null;
  readonly faultyTrackerDetail: string | null;
  /** The interface that is down or missing while that is the fault; null else. */
  readonly faultyInterface: string | null;
  readonly group: string | null;
  /** Its timer has run out, and its sync group is not active yet. */
  readonly waitsForGroup: boolean;
  readonly interface: string;
  readonly family: 'ipv4' | 'ipv6';
  readonly version: 2 | 3;
  readonly vrid: number;
  readonly sourceAddress: string | null;
  /** Null for multicast. */
  readonly unicast: UnicastStatus | null;
  readonly multicastGroup: string;
  /** Its virtual link, null without one; `mac` is null while the link is not there. */
  readonly link: {
    readonly kind: 'macvlan' | 'ipvlan';
    readonly name: string;
    readonly mac: string | null;
    readonly up: boolean;
  } | null;
  readonly advertIntervalUs: number;
  /** How long a backup waits for the active's next advertisement before it takes over. */
  readonly activeDownIntervalUs: number;
  readonly downTimerAdverts: number;
  /** Monotonic clock: end of the startup delay, while it lasts. */
  readonly startsAtUs: number | null;
  /** Trackers whose first states it waits for until then. */
  readonly awaitedTrackers: readonly string[];
  readonly preempt: boolean;
  readonly checkAddresses: AddressCheck;
  /** False: packets to its addresses are dropped, unless a virtual service takes them. */
  readonly accept: boolean;
  /** Handed over, and does not preempt. */
  readonly heldBack: boolean;
  /** Has resigned, and keeps the addresses until a successor is heard. */
  readonly resigning: boolean;
  /** How the last planned handover ended; null for none. */
  readonly lastHandover: {
    readonly outcome: HandoverOutcome;
    /** Wall clock, ms since 1970. */
    readonly atMs: number;
    readonly successor: string | null;
    readonly tookUs: number;
  } | null;
  /** Wall clock of the last transition, ms since 1970. */
  readonly lastTransitionAtMs: number;
  readonly addresses: readonly {
    readonly address: string;
    readonly prefixLength: number;
    readonly interface: string;
    readonly present: boolean;
    /** Why it could not be put there, as the kernel said; null when nothing is known against it. */
    readonly error: string | null;
  }[];
  readonly routing: readonly RoutingReport[];
  readonly advertisedAddresses: readonly string[];
  readonly peer: PeerStatus | null;
  /** Every sender heard of, the last heard first. */
  readonly peers: readonly PeerRecord[];
  /** Other virtual routers on its interface, the last heard first. */
  readonly strangers: readonly StrangerRecord[];
  readonly counters: InstanceCounters;
}

/** Counters of one BFD session since its start. */
export interface BfdCounters {
  readonly packetsSent: number;
  readonly packetsReceived: number;
  readonly refused: Readonly<Record<BfdRefusalReason, number>>;
  readonly transitions: Readonly<Record<BfdStateName, number>>;
  readonly sendErrors: number;
}

export interface BfdStatus {
  readonly name: string;
  readonly state: BfdStateName;
  /** Why it last changed its state. */
  readonly diagnostic: BfdDiagnostic;
  readonly neighbor: string;
  readonly interface: string | null;
  readonly multihop: boolean;
  readonly remoteState: BfdStateName;
  /** The remote system's reason, as a diagnostic's name or number. */
  readonly remoteDiagnostic: string;
  readonly localDiscriminator: number;
  /** 0 while the remote system is not heard. */
  readonly remoteDiscriminator: number;
  /** Agreed interval of our packets, before jitter. */
  readonly transmitIntervalUs: number;
  /** Null while the remote system is not heard. */
  readonly detectionTimeUs: number | null;
  /** Wall clock of the last transition, ms since 1970. */
  readonly lastTransitionAtMs: number;
  /** Why the last packet could not be sent; null when it was. */
  readonly sendError: string | null;
  readonly counters: BfdCounters;
}

/** What the section `static` keeps there. */
export interface StaticStatus {
  readonly addresses: InstanceStatus['addresses'];
  readonly routing: readonly RoutingReport[];
  /** Put back after another program had removed them. */
  readonly restored: number;
}

export interface KeeperStatus {
  readonly pid: number;
  /** Monotonic clock of the moment of this status. */
  readonly nowUs: number;
  readonly scheduling: 'realtime' | 'normal';
  readonly instances: readonly InstanceStatus[];
  /** Adverts for VRIDs that no instance has, and others that belong to none, by reason. */
  readonly refusedUnassigned: Readonly<Record<RefusalReason, number>>;
  readonly static: StaticStatus;
  readonly bfd: readonly BfdStatus[];
  /** States of the trackers that the keeper looks at itself; without those not known yet. */
  readonly trackers: Readonly<Record<string, TrackerState>>;
  /** BFD packets that belong to no session, by reason. */
  readonly bfdRefusedUnassigned: Readonly<Record<BfdRefusalReason, number>>;
}

/** What a keeper begins with that has no controller yet. */
export interface EarlyPlan {
  /** Kept by the last start, or read from the configuration by the keeper's process. */
  readonly from: 'last-start' | 'own-reading';
  readonly plan: KeeperPlan;
}

export type KeeperToController =
  | {
      readonly kind: 'hello';
      readonly protocol: number;
      readonly pid: number;
      /** It began before there was a controller, with this plan. */
      readonly early?: EarlyPlan['from'];
    }
  | {
      readonly kind: 'transition';
      readonly instance: string;
      readonly from: VrrpStateName;
      readonly to: VrrpStateName;
      readonly reason: TransitionReason;
      /** The peer that caused it, where one did. */
      readonly peer: string | null;
      readonly priority: number;
      readonly atMs: number;
    }
  | {
      /** Instances of a status that has more of them, in `status`, which ends it. */
      readonly kind: 'status-part';
      readonly id: number;
      readonly instances: readonly InstanceStatus[];
    }
  | { readonly kind: 'status'; readonly id: number; readonly status: KeeperStatus }
  | {
      /** First advert of its kind in a while; repeats are only counted. */
      readonly kind: 'refused';
      readonly instance: string | null;
      readonly interface: string;
      readonly source: string;
      readonly reason: RefusalReason;
      readonly detail: string;
    }
  | {
      /** An active instance heard a peer of lower priority; `priority` is its own. */
      readonly kind: 'lower-priority';
      readonly instance: string;
      readonly peer: string;
      readonly priority: number;
      readonly atMs: number;
    }
  /** A planned handover ended. */
  | {
      readonly kind: 'handover-ended';
      readonly instance: string;
      readonly outcome: HandoverOutcome;
      /** The director that took over, or null. */
      readonly successor: string | null;
      readonly tookUs: number;
    }
  /** The effective priority changed. */
  | { readonly kind: 'priority-changed'; readonly instance: string; readonly priority: number }
  | { readonly kind: 'faulted'; readonly instance: string; readonly reason: FaultReason }
  | {
      readonly kind: 'address-restored';
      /** Null for one of `static`. */
      readonly instance: string | null;
      readonly address: string;
      readonly byPid: number | null;
    }
  /** The virtual link of an active instance was removed or taken down by somebody else. */
  | { readonly kind: 'link-restored'; readonly instance: string; readonly link: string }
  | {
      readonly kind: 'routing-restored';
      readonly instance: string | null;
      readonly object: 'route' | 'rule';
      readonly text: string;
      readonly byPid: number | null;
    }
  | {
      readonly kind: 'bfd-state';
      readonly session: string;
      readonly from: BfdStateName;
      readonly to: BfdStateName;
      readonly diagnostic: BfdDiagnostic;
      readonly neighbor: string;
      readonly atMs: number;
    }
  | { readonly kind: 'problem'; readonly instance: string | null; readonly problem: Problem }
  | { readonly kind: 'configured'; readonly scheduling: KeeperStatus['scheduling'] }
  | { readonly kind: 'reload-requested' }
  /** To be answered with 'heard' when all that was said before is done with. */
  | { readonly kind: 'heard-request' }
  | { readonly kind: 'stopping' };

export type ControllerToKeeper =
  | { readonly kind: 'hello'; readonly protocol: number; readonly pid: number }
  | { readonly kind: 'configure'; readonly plan: KeeperPlan }
  /** States of the trackers that the controller watches, all of them. */
  | { readonly kind: 'trackers'; readonly states: Readonly<Record<string, TrackerState>> }
  | { readonly kind: 'status-request'; readonly id: number }
  /** The answer to 'heard-request'. */
  | { readonly kind: 'heard' }
  /** The controller cannot start (its reason is already shown): end with this exit code. */
  | { readonly kind: 'startup-failed'; readonly exitCode: number }
  | { readonly kind: 'stop' }
  /** Become the installed version of yourself in place; the VIPs stay. */
  | { readonly kind: 'reexecute' }
  /** Planned handover of these instances: make before break. */
  | { readonly kind: 'handover'; readonly instances: readonly string[] }
  /** They may preempt again. */
  | { readonly kind: 'takeback'; readonly instances: readonly string[] }
  /** The controller has done its part of the stop. */
  | { readonly kind: 'stopped' };
