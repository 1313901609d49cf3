/**
 * The words of one BFD session (RFC 5880): what its machine is configured with, what happens to
 * it (events, past tense) and what it asks for (effects, imperative). All times are integer
 * microseconds of the monotonic clock; all intervals are integer microseconds, as on the wire.
 */

/** Session states by their number on the wire: RFC 5880 section 4.1. */
export const BFD_STATES = ['admin-down', 'down', 'init', 'up'] as const;
export type BfdStateName = (typeof BFD_STATES)[number];

/** Diagnostics by their number on the wire: RFC 5880 section 4.1. */
export const BFD_DIAGNOSTICS = [
  'none',
  'detection-time-expired',
  'echo-failed',
  'neighbor-signaled-down',
  'forwarding-plane-reset',
  'path-down',
  'concatenated-path-down',
  'administratively-down',
  'reverse-concatenated-path-down',
] as const;
export type BfdDiagnostic = (typeof BFD_DIAGNOSTICS)[number];

/** The name of a diagnostic; numbers that no standard has assigned yet stay numbers. */
export function diagnosticName(code: number): BfdDiagnostic | `${number}` {
  return BFD_DIAGNOSTICS[code] ?? `${code}`;
}

/** A control packet's content. */
export interface BfdControl {
  readonly state: BfdStateName;
  /** 0 to 31: why the sender's session last changed its state. */
  readonly diagnostic: number;
  readonly poll: boolean;
  readonly final: boolean;
  readonly demand: boolean;
  /** 1 to 255. */
  readonly detectMultiplier: number;
  /** 1 to 2^32 - 1. */
  readonly myDiscriminator: number;
  /** 0 while the sender has not heard of us. */
  readonly yourDiscriminator: number;
  readonly desiredMinTxUs: number;
  /** 0: the sender wants no periodic packets. */
  readonly requiredMinRxUs: number;
}

/**
 * Why a received packet was not taken: the metric's label. Checked in this order, which is that
 * of RFC 5880 section 6.8.6; the first that applies is the reason. 'state' and 'unknown-session'
 * exclude each other. The last four are RFC 5881 section 5 and RFC 5883 section 4, which come
 * after the session is known because it says what to expect, and 6.8.6's rule for AdminDown.
 */
export const BFD_REFUSAL_REASONS = [
  'version',
  'length',
  'truncated',
  'multiplier',
  'multipoint',
  'discriminator',
  'state',
  'unknown-session',
  'authentication',
  'ttl',
  'source',
  'interface',
  'admin-down',
] as const;
export type BfdRefusalReason = (typeof BFD_REFUSAL_REASONS)[number];

/** A refused packet: the reason and, for people, what was found and what was expected. */
export interface BfdRefusal {
  readonly reason: BfdRefusalReason;
  /** Sentence case, no final period. */
  readonly detail: string;
}

/** What the machine of one session is configured with. */
export interface BfdOptions {
  /** Least interval at which the remote system may send to us; 1 or more. */
  readonly minRxUs: number;
  /** Least interval at which we want to send while the session is up; 1 or more. */
  readonly minTxUs: number;
  /** The same while it is not up. The machine never takes less than a second. */
  readonly idleTxUs: number;
  /** 1 to 255: packets in a row that the remote system may miss. */
  readonly multiplier: number;
  /** Does not send before the remote system was heard. */
  readonly passive: boolean;
}

/** What happened to a session. `atUs` is when it happened, not when it is told. */
export type BfdEvent =
  | { readonly kind: 'started'; readonly atUs: number }
  | { readonly kind: 'packet-received'; readonly atUs: number; readonly packet: BfdControl }
  | { readonly kind: 'deadline-reached'; readonly atUs: number }
  /** The options given to this and later steps differ from the earlier ones. */
  | { readonly kind: 'reconfigured'; readonly atUs: number }
  | { readonly kind: 'stopped'; readonly atUs: number };

/** What a session asks for, to be done in this order. */
export type BfdEffect =
  | { readonly kind: 'send'; readonly packet: BfdControl }
  | {
      readonly kind: 'report-transition';
      readonly from: BfdStateName;
      readonly to: BfdStateName;
      readonly diagnostic: BfdDiagnostic;
    };
