/**
 * The words of one VRRP instance: what its machine is configured with, what happens to it
 * (events, past tense) and what it asks for (effects, imperative). All times are integer
 * microseconds of the monotonic clock.
 */
import type { AnnounceConfig, ChecksumForm, ElectionConfig, IpText } from '../config/config.ts';
import type { Burst } from './announce.ts';

export type VrrpStateName = 'initialize' | 'backup' | 'active' | 'fault';

/** An advertisement's content, whatever its version (RFC 9568 section 5.2, RFC 3768 section 5.3). */
export interface Advertisement {
  readonly version: 2 | 3;
  readonly vrid: number;
  /** 0 (resigning) to 255 (owner). */
  readonly priority: number;
  readonly advertIntervalUs: number;
  readonly addresses: readonly IpText[];
  /** The form that was found right: always 'message' in version 2, 'pseudo-header' over IPv6. */
  readonly checksum: Exclude<ChecksumForm, 'auto'>;
}

/**
 * Why a received packet was not taken as an advertisement: the metric's label. Checked in this
 * order, the first that applies is the reason. The first eight concern the packet alone
 * (wire/vrrp.ts, in the order of RFC 9568 section 7.1), 'unknown-vrid' the interface, the others
 * the instance (unicast.ts for the next three, receive.ts, and authenticate.ts for those by HMAC).
 */
export const REFUSAL_REASONS = [
  'ttl',
  'version',
  'type',
  'truncated',
  'oversized',
  'checksum',
  'no-addresses',
  'interval',
  'unknown-vrid',
  'not-multicast',
  'not-unicast',
  'not-a-peer',
  'version-mismatch',
  'own-address',
  'authentication',
  'interval-mismatch',
  'hmac-missing',
  'hmac-unknown-key',
  'hmac-invalid',
  'hmac-replayed',
  'addresses-mismatch',
] as const;
export type RefusalReason = (typeof REFUSAL_REASONS)[number];

/** A refused packet: the reason and, for people, what was found and what was expected. */
export interface Refusal {
  readonly reason: RefusalReason;
  /** Sentence case, no final period. Never holds a password. */
  readonly detail: string;
}

/** Why an instance changed its state: label of metrics, field of logs. */
export const TRANSITION_REASONS = [
  'started',
  'startup-delay',
  'address-owner',
  'adopted',
  'peers-silent',
  'peer-resigned',
  'preempted',
  'higher-priority-peer',
  'equal-priority-higher-address',
  'stalled',
  'timer-expired',
  'owner-conflict',
  'handed-over',
  'interface-down',
  'interface-missing',
  'no-source-address',
  'no-peer',
  'no-virtual-link',
  'addresses-refused',
  'addresses-taken',
  'group-member-fault',
  'group-recovered',
  'group-yielded',
  'tracker-down',
  'tracker-up',
  'interface-up',
  'controller-lost',
  'controller-back',
  'stopped',
  'reconfigured',
] as const;
export type TransitionReason = (typeof TRANSITION_REASONS)[number];

/** Those of them that keep an instance from taking part. */
export const FAULT_REASONS = [
  'interface-down',
  'interface-missing',
  'no-source-address',
  'no-peer',
  'no-virtual-link',
  'addresses-refused',
  'controller-lost',
  'group-member-fault',
  'tracker-down',
] as const satisfies readonly TransitionReason[];
export type FaultReason = (typeof FAULT_REASONS)[number];

/** What the machine of one instance is configured with; the rules left out are DEFAULTS'. */
export interface InstanceOptions extends Partial<ElectionConfig> {
  readonly version: 2 | 3;
  /** 1 to 255; 255 is the address owner. */
  readonly priority: number;
  readonly advertIntervalUs: number;
  readonly preempt: boolean;
  readonly preemptDelayUs: number;
  readonly announce: AnnounceConfig;
  /** Before this moment it neither listens nor takes over, but adopts; none if left out. */
  readonly startsAtUs?: number;
  /** Sync group: its members become active together, when the group says so; null for none. */
  readonly group?: string | null;
}

/** What happened to an instance. `atUs` is when it happened, not when it is told. */
export type VrrpEvent =
  | { readonly kind: 'started'; readonly atUs: number }
  /** VIPs of an earlier keeper were found, and its last advertisement is recent: go on as active. */
  | { readonly kind: 'adopted'; readonly atUs: number; readonly lastAdvertAtUs: number }
  | {
      readonly kind: 'advert-received';
      readonly atUs: number;
      readonly priority: number;
      readonly advertIntervalUs: number;
      /** The sender's address is greater than ours, as unsigned integers in network order. */
      readonly fromHigherAddress: boolean;
    }
  | { readonly kind: 'deadline-reached'; readonly atUs: number }
  | { readonly kind: 'fault-raised'; readonly atUs: number; readonly reason: FaultReason }
  | {
      readonly kind: 'fault-cleared';
      readonly atUs: number;
      readonly reason: Extract<
        TransitionReason,
        | 'interface-up'
        | 'group-recovered'
        | 'tracker-up'
        | 'controller-back'
        | 'addresses-taken'
        | 'reconfigured'
        | 'started'
      >;
    }
  /** Every member of the sync group wants to be active. */
  | { readonly kind: 'group-activated'; readonly atUs: number }
  /** Another member of the sync group gave way. */
  | { readonly kind: 'group-yielded'; readonly atUs: number }
  /** An operator wants another director to be active; this one stays if nobody is there. */
  | { readonly kind: 'handover-asked'; readonly atUs: number }
  /** An operator ends what a handover began: it may preempt again. */
  | { readonly kind: 'takeback-asked'; readonly atUs: number }
  /** A peer lost against another active member of the sync group: hosts may have heard it. */
  | { readonly kind: 'group-peer-lost'; readonly atUs: number }
  /** The options given to this and later steps differ from the earlier ones. */
  | { readonly kind: 'reconfigured'; readonly atUs: number }
  /** `handover`: keep the addresses until a successor is heard, or its time is over. */
  | { readonly kind: 'stopped'; readonly atUs: number; readonly handover?: boolean };

/** How a planned handover ended. */
export type HandoverOutcome =
  /** A successor was heard: backup, and held back from preempting. */
  | 'handed-over'
  /** Nobody took over: active as before. */
  | 'stayed'
  /** It could not take part any more before anybody took over. */
  | 'faulted';

/** What an instance asks for, to be done in this order. */
export type VrrpEffect =
  /** Send one advertisement with the configured priority, or with 0 to resign. */
  | { readonly kind: 'send-advert'; readonly resign: boolean }
  | { readonly kind: 'add-addresses' }
  | { readonly kind: 'remove-addresses' }
  | { readonly kind: 'report-handover'; readonly outcome: HandoverOutcome }
  /** Send one burst of gratuitous ARP and unsolicited NA, in place of what is pending of one. */
  | ({ readonly kind: 'announce' } & Burst)
  | {
      readonly kind: 'report-transition';
      readonly from: VrrpStateName;
      readonly to: VrrpStateName;
      readonly reason: TransitionReason;
    };
