/** What a simulated world tells of a run, in the order in which it happens. */
import type { TransitionReason, VrrpStateName } from '../vrrp/types.ts';
import type { Violation } from './judge.ts';
import type { SimFault } from './scenario.ts';

export type SimEvent = {
  /** Since the beginning of the world. */
  readonly atUs: number;
} & (
  | { readonly kind: 'fault'; readonly phase: 'begins' | 'ends'; readonly fault: SimFault }
  | {
      readonly kind: 'transition';
      readonly director: string;
      readonly instance: string;
      readonly from: VrrpStateName;
      readonly to: VrrpStateName;
      readonly reason: TransitionReason;
    }
  /** Clients reach the VIPs of an instance at this director, or do not any more. */
  | {
      readonly kind: 'serving';
      readonly director: string;
      readonly instance: string;
      readonly serving: boolean;
    }
  /** The keeper lives, or does not. */
  | { readonly kind: 'running'; readonly director: string; readonly running: boolean }
  | { readonly kind: 'violation'; readonly violation: Violation }
);
