/** The counters of one instance, mutable inside the keeper, copied when the controller asks. */
import { REFUSAL_REASONS, type RefusalReason, type VrrpStateName } from '../core/vrrp/types.ts';
import type { InstanceCounters } from './messages.ts';

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
    priorityZeroSent: 0,
    priorityZeroReceived: 0,
    refused: newRefusalCounts(),
    announcementsSent: 0,
    transitions: { initialize: 0, backup: 0, active: 0, fault: 0 },
    addressesRestored: 0,
    sendErrors: 0,
  };
}
