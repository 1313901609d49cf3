/** Counters of an instance or session, mutable in the keeper, copied when the controller asks. */
import {
  BFD_REFUSAL_REASONS,
  type BfdRefusalReason,
  type BfdStateName,
} from '../core/bfd/types.ts';
import { REFUSAL_REASONS, type RefusalReason, type VrrpStateName } from '../core/vrrp/types.ts';
import type { BfdCounters, InstanceCounters } from './messages.ts';

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

export type CountersInProgress = Mutable<Omit<InstanceCounters, 'refused' | 'transitions'>> & {
  readonly refused: Record<RefusalReason, number>;
  readonly transitions: Record<VrrpStateName, number>;
};

export function newRefusalCounts(): Record<RefusalReason, number> {
  return Object.fromEntries(REFUSAL_REASONS.map((reason) => [reason, 0])) as Record<
    RefusalReason,
    number
  >;
}

export function newCounters(): CountersInProgress {
  return {
    advertsSent: 0,
    advertsReceived: 0,
    advertsUnsigned: 0,
    addressListMismatches: 0,
    priorityZeroSent: 0,
    priorityZeroReceived: 0,
    refused: newRefusalCounts(),
    announcementsSent: 0,
    transitions: { initialize: 0, backup: 0, active: 0, fault: 0 },
    addressesRestored: 0,
    linksRestored: 0,
    routingRestored: 0,
    sendErrors: 0,
  };
}

export type BfdCountersInProgress = Mutable<Omit<BfdCounters, 'refused' | 'transitions'>> & {
  readonly refused: Record<BfdRefusalReason, number>;
  readonly transitions: Record<BfdStateName, number>;
};

export function newBfdRefusalCounts(): Record<BfdRefusalReason, number> {
  return Object.fromEntries(BFD_REFUSAL_REASONS.map((reason) => [reason, 0])) as Record<
    BfdRefusalReason,
    number
  >;
}

export function newBfdCounters(): BfdCountersInProgress {
  return {
    packetsSent: 0,
    packetsReceived: 0,
    refused: newBfdRefusalCounts(),
    transitions: { 'admin-down': 0, down: 0, init: 0, up: 0 },
    sendErrors: 0,
  };
}
