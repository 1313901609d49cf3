/**
 * The typed messages between the two processes. Both directions are JSON over one channel; each
 * message is a closed union member with `kind`. The controller tells the keeper what is wanted,
 * the keeper tells the controller what happened. Neither ever waits for the other.
 */
import type { KeeperTuning, VrrpConfig } from '../core/config/config.ts';
import type { Problem } from '../core/problem.ts';
import type {
  FaultReason,
  RefusalReason,
  TransitionReason,
  VrrpStateName,
} from '../core/vrrp/types.ts';

/** Raised when the meaning of a message changes: both sides refuse a stranger. */
export const PROTOCOL_VERSION = 1;

/** What the keeper is to do, complete: a later one replaces an earlier one. */
export interface KeeperPlan {
  readonly director: string;
  readonly instances: readonly VrrpConfig[];
  readonly runtimeDirectory: string;
  readonly tuning: KeeperTuning;
}

/** Counters of one instance since the keeper's start. */
export interface InstanceCounters {
  readonly advertsSent: number;
  readonly advertsReceived: number;
  /** Resigning advertisements (priority 0) among them. */
  readonly priorityZeroSent: number;
  readonly priorityZeroReceived: number;
  readonly refused: Readonly<Record<RefusalReason, number>>;
  /** Announcement packets (gratuitous ARP and unsolicited NA) sent. */
  readonly announcementsSent: number;
  readonly transitions: Readonly<Record<VrrpStateName, number>>;
  /** VIPs put back after another program had removed them. */
  readonly addressesRestored: number;
  readonly sendErrors: number;
}

/** The active director as last heard of. */
export interface PeerStatus {
  readonly address: string;
  readonly priority: number;
  readonly advertIntervalUs: number;
  readonly lastHeardUs: number;
}

export interface InstanceStatus {
  readonly name: string;
  readonly state: VrrpStateName;
  readonly reason: TransitionReason;
  readonly priority: number;
  readonly interface: string;
  readonly family: 'ipv4' | 'ipv6';
  readonly version: 2 | 3;
  readonly vrid: number;
  readonly sourceAddress: string | null;
  readonly advertIntervalUs: number;
  /** How long a backup waits for the active's next advertisement before it takes over. */
  readonly activeDownIntervalUs: number;
  /** Wall clock of the last transition, ms since 1970. */
  readonly lastTransitionAtMs: number;
  readonly addresses: readonly {
    readonly address: string;
    readonly prefixLength: number;
    readonly interface: string;
    readonly present: boolean;
  }[];
  readonly peer: PeerStatus | null;
  readonly counters: InstanceCounters;
}

export interface KeeperStatus {
  readonly pid: number;
  /** Monotonic clock of the moment of this status. */
  readonly nowUs: number;
  readonly scheduling: 'realtime' | 'normal';
  readonly instances: readonly InstanceStatus[];
  /** Adverts for VRIDs that no instance has, and others that belong to none, by reason. */
  readonly refusedUnassigned: Readonly<Record<RefusalReason, number>>;
}

export type KeeperToController =
  | { readonly kind: 'hello'; readonly protocol: number; readonly pid: number }
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
  | { readonly kind: 'faulted'; readonly instance: string; readonly reason: FaultReason }
  | {
      readonly kind: 'address-restored';
      readonly instance: string;
      readonly address: string;
      readonly byPid: number | null;
    }
  | { readonly kind: 'problem'; readonly instance: string | null; readonly problem: Problem }
  | { readonly kind: 'configured' }
  | { readonly kind: 'reload-requested' }
  | { readonly kind: 'stopping' };

export type ControllerToKeeper =
  | { readonly kind: 'hello'; readonly protocol: number; readonly pid: number }
  | { readonly kind: 'configure'; readonly plan: KeeperPlan }
  | { readonly kind: 'status-request'; readonly id: number }
  /** The controller cannot start (its reason is already shown): end with this exit code. */
  | { readonly kind: 'startup-failed'; readonly exitCode: number }
  | { readonly kind: 'stop' }
  /** The controller has done its part of the stop. */
  | { readonly kind: 'stopped' };
