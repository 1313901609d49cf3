/**
 * What one VRRP instance demands of a valid advertisement before it may influence the election:
 * the second half of the ladder of REFUSAL_REASONS. The first half, which concerns the packet
 * alone, is wire/vrrp.ts; between the two the shell finds the instance by interface, family and
 * VRID ('unknown-vrid').
 */
import { assert } from '../assert.ts';
import type { AddressFamily } from '../config/config.ts';
import { ok, type Result } from '../result.ts';
import { equalBytes } from '../wire/bytes.ts';
import {
  AUTHENTICATION_NONE,
  AUTHENTICATION_TEXT,
  type DecodedAdvertisement,
} from '../wire/vrrp.ts';
import type { Advertisement, Refusal, RefusalReason } from './types.ts';

/** What an instance compares a received advertisement with. */
export interface ReceivingInstance {
  readonly version: 2 | 3;
  readonly vrid: number;
  readonly family: AddressFamily;
  /** Version 2: 8 bytes, zero padded; null for no authentication. Version 3: null. */
  readonly password: Uint8Array | null;
  readonly advertIntervalUs: number;
  /** Source address of its own advertisements; null while the interface has none. */
  readonly ownAddress: Uint8Array | null;
}

/**
 * The advertisement for the instance's machine, or the first reason that applies. `source` is the
 * address that the packet came from, network order. The result is `decoded` itself.
 */
export function acceptAdvertisement(
  decoded: DecodedAdvertisement,
  instance: ReceivingInstance,
  source: Uint8Array,
): Result<Advertisement, Refusal> {
  assert(decoded.vrid === instance.vrid, 'the advertisement is for another virtual router');
  assert(decoded.family === instance.family, 'the advertisement is of the other address family');
  if (decoded.version !== instance.version) {
    // RFC 9568 section 7.1 and RFC 3768 section 7.1: verify the version.
    return refuse(
      'version-mismatch',
      `VRRP version ${decoded.version}; this instance speaks version ${instance.version}`,
    );
  }
  if (instance.ownAddress !== null && equalBytes(source, instance.ownAddress)) {
    // Looped back by the network, or another router uses our address: no peer to yield to.
    return refuse('own-address', 'Sent from the address that this director sends from');
  }
  if (decoded.version === 2) {
    const problem = authenticationProblem(decoded, instance.password);
    if (problem !== null) return refuse('authentication', problem);
    if (decoded.advertIntervalUs !== instance.advertIntervalUs) {
      // RFC 3768 section 7.1: version 2 routers agree. Version 3 backups adopt it instead.
      const found = seconds(decoded.advertIntervalUs);
      const expected = seconds(instance.advertIntervalUs);
      return refuse('interval-mismatch', `Interval ${found}; expected ${expected}`);
    }
  }
  return ok(decoded);
}

function refuse(
  reason: RefusalReason,
  detail: string,
): { readonly ok: false; readonly error: Refusal } {
  return { ok: false, error: { reason, detail } };
}

/**
 * RFC 3768 section 5.3.6: a packet whose authentication is unknown or not the configured one is
 * discarded. Without authentication the data is ignored (section 5.3.10). The password travels
 * in clear text, so there is nothing that a comparison in constant time could protect.
 */
function authenticationProblem(
  decoded: DecodedAdvertisement,
  password: Uint8Array | null,
): string | null {
  const expected = password === null ? AUTHENTICATION_NONE : AUTHENTICATION_TEXT;
  const found = decoded.authenticationType;
  if (found !== expected) return `Authentication type ${found}; expected ${expected}`;
  if (password === null || equalBytes(decoded.authenticationData, password)) return null;
  return 'The password is not the configured one';
}

function seconds(intervalUs: number): string {
  return `${intervalUs / 1_000_000} s`;
}
