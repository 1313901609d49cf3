/**
 * HmacSession: what one instance remembers for its HMAC authentication. The order of its own
 * advertisements and that of its peers outlive changed keys and modes, so that neither a rotation
 * nor a reload lets an old advertisement pass for a new one.
 */
import type { HmacConfig } from '../core/config/config.ts';
import type { Result } from '../core/result.ts';
import { type Authentication, authenticate, signsAdverts } from '../core/vrrp/authenticate.ts';
import { NO_SENDERS, nextSequence, type ReplayState } from '../core/vrrp/replay.ts';
import type { Refusal } from '../core/vrrp/types.ts';
import type { DecodedAdvertisement, TrailerWriter } from '../core/wire/vrrp.ts';
import {
  type HmacSender,
  type HmacSequence,
  hmacTrailer,
  MAC_INPUT_BYTES_MAX,
} from '../core/wire/vrrp-hmac.ts';
import { monotonicUs, realtimeUs } from '../linux/clock.ts';
import { hmacSha256 } from './mac.ts';

export class HmacSession {
  readonly #scratch = new Uint8Array(MAC_INPUT_BYTES_MAX);
  #authentication: Authentication;
  #activeKey: number;
  #replay: ReplayState = NO_SENDERS;
  #lastSent: HmacSequence | null = null;

  constructor(config: HmacConfig) {
    this.#authentication = this.#read(config);
    this.#activeKey = config.activeKey;
  }

  reconfigure(config: HmacConfig): void {
    this.#authentication = this.#read(config);
    this.#activeKey = config.activeKey;
  }

  /** The trailer of the next own advertisement; null where the mode is not to sign. */
  trailer(sender: HmacSender): TrailerWriter | null {
    const { mode, keys, mac } = this.#authentication;
    const key = keys.get(this.#activeKey);
    // The configuration's reader has seen to it that the active key is there.
    if (!signsAdverts(mode) || key === undefined) return null;
    this.#lastSent = nextSequence(this.#lastSent, this.#authentication, realtimeUs());
    const scratch = this.#scratch;
    return hmacTrailer({
      ...sender,
      keyId: this.#activeKey,
      key,
      sequence: this.#lastSent,
      mac,
      scratch,
    });
  }

  /** Authenticates an advertisement that arrived at this monotonic time. */
  check(
    decoded: DecodedAdvertisement,
    source: Uint8Array,
    receivedAtUs: number,
  ): Result<'signed' | 'unsigned', Refusal> {
    // By the time of arrival: after a stall, what waited in the socket is not stale for that.
    const wallUs = realtimeUs() - (monotonicUs() - receivedAtUs);
    const step = authenticate(decoded, this.#authentication, this.#replay, { source, wallUs });
    this.#replay = step.state;
    return step.result;
  }

  #read(config: HmacConfig): Authentication {
    const { mode, replay, windowSeconds } = config;
    const keys = new Map(config.keys.map(({ id, secretHex }) => [id, bytesOfHex(secretHex)]));
    return { mode, keys, replay, windowSeconds, mac: hmacSha256, scratch: this.#scratch };
  }
}

function bytesOfHex(digits: string): Uint8Array {
  return Uint8Array.from(Buffer.from(digits, 'hex'));
}
