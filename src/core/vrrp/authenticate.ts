/**
 * Authentication of received advertisements by their HMAC trailer (wire/vrrp-hmac.ts): the last
 * part of the ladder of REFUSAL_REASONS. What the modes mean, as in keepalived 2.4.2:
 *
 *   enforce       signs; takes only what has a right trailer
 *   permissive    signs; takes also what has no trailer
 *   receive-only  does not sign, so that peers that know no trailers still hear it; takes also
 *                 what has no trailer
 *
 * A trailer that is there must be right in every mode: a wrong one is never taken for none.
 */
import type { HmacMode } from '../config/config.ts';
import { ok, type Result } from '../result.ts';
import type { DecodedAdvertisement } from '../wire/vrrp.ts';
import { type Mac, readHmacTrailer, verifyHmac } from '../wire/vrrp-hmac.ts';
import { ageSeconds, checkReplay, type ReplayOptions, type ReplayState } from './replay.ts';
import type { Refusal, RefusalReason } from './types.ts';

/** What an instance authenticates with. */
export interface Authentication extends ReplayOptions {
  readonly mode: HmacMode;
  /** By key id, 1 to 255: all are good for receiving. */
  readonly keys: ReadonlyMap<number, Uint8Array>;
  readonly mac: Mac;
  /** MAC_INPUT_BYTES_MAX bytes, overwritten. */
  readonly scratch: Uint8Array;
}

export interface AuthenticationStep {
  /** Whether it was signed, where the mode lets it be taken either way. */
  readonly result: Result<'signed' | 'unsigned', Refusal>;
  readonly state: ReplayState;
}

/** True for the modes in which own advertisements get a trailer. */
export function signsAdverts(mode: HmacMode): boolean {
  return mode !== 'receive-only';
}

/**
 * Authenticates an advertisement of version 3 that acceptAdvertisement has taken. `source` is
 * where it came from (network order), `wallUs` when it arrived (microseconds since 1970).
 * Refusals change the state at most in the order of its senders.
 */
export function authenticate(
  decoded: DecodedAdvertisement,
  authentication: Authentication,
  state: ReplayState,
  received: { readonly source: Uint8Array; readonly wallUs: number },
): AuthenticationStep {
  const { mode, keys, mac, scratch } = authentication;
  if (decoded.trailerBytes === 0) {
    if (mode !== 'enforce') return { result: ok('unsigned'), state };
    return refuse(state, 'hmac-missing', 'No HMAC trailer; mode enforce demands one');
  }
  const signed = decoded.message;
  const { keyId, sequence, wellFormed } = readHmacTrailer(signed);
  const key = keys.get(keyId);
  if (key === undefined) {
    const ids = [...keys.keys()].join(', ');
    return refuse(state, 'hmac-unknown-key', `Signed with key ${keyId}; expected one of ${ids}`);
  }
  const { source, wallUs } = received;
  if (!wellFormed) {
    return refuse(state, 'hmac-invalid', 'The trailer is of another type; expected type 1');
  }
  if (!verifyHmac(signed, { family: decoded.family, source, key, mac, scratch })) {
    return refuse(state, 'hmac-invalid', `The HMAC does not match key ${keyId}`);
  }
  const replay = checkReplay(state, authentication, { source, sequence, wallUs });
  if (replay.verdict === 'fresh') return { result: ok('signed'), state: replay.state };
  const detail =
    replay.verdict === 'stale'
      ? staleDetail(ageSeconds(sequence, wallUs), authentication.windowSeconds)
      : 'Not newer than the last advertisement from this sender';
  return refuse(replay.state, 'hmac-replayed', detail);
}

function staleDetail(age: number, windowSeconds: number): string {
  const relation = age > 0 ? 'behind' : 'ahead of';
  const found = `Its time is ${Math.abs(age)} s ${relation} this director's`;
  return `${found}; expected at most ${windowSeconds} s`;
}

function refuse(state: ReplayState, reason: RefusalReason, detail: string): AuthenticationStep {
  return { result: { ok: false, error: { reason, detail } }, state };
}
