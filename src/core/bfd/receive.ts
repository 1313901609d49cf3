/**
 * What one BFD session demands of a control packet before its machine sees it: the part of the
 * ladder of BFD_REFUSAL_REASONS that is not the packet's alone (wire/bfd.ts). The shell has found
 * the session, by Your Discriminator or by the source address.
 */
import { ok, type Result } from '../result.ts';
import type { DecodedBfdControl } from '../wire/bfd.ts';
import { equalBytes } from '../wire/bytes.ts';
import type { BfdControl, BfdRefusal, BfdRefusalReason, BfdStateName } from './types.ts';

/** What a session compares a received packet with. */
export interface BfdExpectation {
  /** Address of the remote system, network order. */
  readonly neighbor: Uint8Array;
  /** Our own address; null for any. */
  readonly source: Uint8Array | null;
  /** Index of the interface that packets must come from; null for any. */
  readonly interfaceIndex: number | null;
  /** Least TTL or hop limit: 255 says that no router forwarded the packet. */
  readonly minTtl: number;
  readonly state: BfdStateName;
}

/** Where a packet came from. */
export interface BfdArrival {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly interfaceIndex: number;
  readonly ttl: number;
}

/** The packet for the session's machine, or the first reason that applies. */
export function acceptBfdControl(
  packet: DecodedBfdControl,
  expected: BfdExpectation,
  arrival: BfdArrival,
): Result<BfdControl, BfdRefusal> {
  // RFC 5880 section 6.8.6: the A bit is set and no authentication is in use.
  if (packet.authenticated) return refuse('authentication', 'It has an authentication section');
  // RFC 5881 section 5: without authentication, a TTL other than 255 is discarded.
  if (arrival.ttl < expected.minTtl) {
    return refuse('ttl', `TTL ${arrival.ttl}; expected at least ${expected.minTtl}`);
  }
  if (!equalBytes(arrival.source, expected.neighbor)) {
    return refuse('source', 'Not sent by the neighbor of its session');
  }
  if (expected.source !== null && !equalBytes(arrival.destination, expected.source)) {
    return refuse('source', 'Not sent to the source address of its session');
  }
  if (expected.interfaceIndex !== null && arrival.interfaceIndex !== expected.interfaceIndex) {
    return refuse('interface', 'Received on another interface than its session has');
  }
  if (expected.state === 'admin-down') return refuse('admin-down', 'The session is stopped');
  return ok(packet);
}

function refuse(
  reason: BfdRefusalReason,
  detail: string,
): { readonly ok: false; readonly error: BfdRefusal } {
  return { ok: false, error: { reason, detail } };
}
