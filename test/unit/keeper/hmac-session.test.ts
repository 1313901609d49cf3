/** What an instance remembers of its authentication: over stalls, rotations and changed modes. */
import { describe, expect, test } from 'vitest';
import type { HmacConfig } from '../../../src/core/config/config.ts';
import { sequenceAt, sequenceIsAfter } from '../../../src/core/vrrp/replay.ts';
import {
  type DecodedAdvertisement,
  decodeAdvertisement,
  encodeAdvertisement,
  MAX_ADVERTISEMENT_BYTES,
} from '../../../src/core/wire/vrrp.ts';
import { HMAC_TRAILER_BYTES, readHmacTrailer } from '../../../src/core/wire/vrrp-hmac.ts';
import { HmacSession } from '../../../src/keeper/hmac-session.ts';
import { hmacSha256 } from '../../../src/keeper/mac.ts';
import { monotonicUs, realtimeUs } from '../../../src/linux/clock.ts';
import { reasonOf, toHex, unwrap } from '../core/wire/frames.ts';
import { ADVERT, datagramOfAdvert, KEY, OTHER_KEY } from '../core/wire/signed.ts';

const CONFIG: HmacConfig = {
  keys: [{ id: 1, secretHex: toHex(KEY) }],
  activeKey: 1,
  mode: 'enforce',
  replay: 'time',
  windowSeconds: 5,
};
const BOTH_KEYS: HmacConfig = {
  ...CONFIG,
  keys: [...CONFIG.keys, { id: 2, secretHex: toHex(OTHER_KEY) }],
  activeKey: 2,
};

/** An advertisement that was signed so long ago. */
function signed(agoUs: number): DecodedAdvertisement {
  const sequence = sequenceAt(realtimeUs() - agoUs);
  const datagram = datagramOfAdvert(ADVERT, { keyId: 1, key: KEY, sequence });
  return unwrap(decodeAdvertisement(datagram, HMAC_TRAILER_BYTES));
}

/** The whole packet that a session sends; null where it does not sign. */
function sendBy(session: HmacSession): Uint8Array | null {
  const target = new Uint8Array(MAX_ADVERTISEMENT_BYTES + HMAC_TRAILER_BYTES);
  const trailer = session.trailer({ family: 'ipv4', source: ADVERT.source });
  return trailer && target.slice(0, encodeAdvertisement(target, ADVERT, trailer));
}

test('hmacSha256 is HMAC-SHA256: RFC 4231 section 4.2', () => {
  const digest = hmacSha256(new Uint8Array(20).fill(0x0b), new TextEncoder().encode('Hi There'));
  expect(toHex(digest)).toBe('b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7');
});

describe('HmacSession', () => {
  test('measures age at the arrival, so that a stall makes nothing stale', () => {
    const agoUs = 60_000_000;
    const stalled = new HmacSession(CONFIG);
    const waited = stalled.check(signed(agoUs), ADVERT.source, monotonicUs() - agoUs);
    expect(waited).toEqual({ ok: true, value: 'signed' });
    const awake = new HmacSession(CONFIG);
    expect(reasonOf(awake.check(signed(agoUs), ADVERT.source, monotonicUs()))).toBe(
      'hmac-replayed',
    );
  });

  test('takes what another one signs, once', () => {
    const packet = sendBy(new HmacSession(CONFIG)) as Uint8Array;
    const datagram = { ...datagramOfAdvert(ADVERT, null), bytes: packet };
    const decoded = unwrap(
      decodeAdvertisement({ ...datagram, lengthBytes: packet.length }, HMAC_TRAILER_BYTES),
    );
    const session = new HmacSession(CONFIG);
    expect(session.check(decoded, ADVERT.source, monotonicUs()).ok).toBe(true);
    // Neither a rotation nor another mode makes it forget what it has taken.
    for (const config of [CONFIG, BOTH_KEYS, { ...CONFIG, mode: 'permissive' as const }]) {
      session.reconfigure(config);
      const again = session.check(decoded, ADVERT.source, monotonicUs());
      expect(reasonOf(again)).toBe('hmac-replayed');
    }
  });

  test('signs with the active key, each time later than before, over changes too', () => {
    const session = new HmacSession(CONFIG);
    const configs = [CONFIG, CONFIG, BOTH_KEYS, CONFIG];
    const trailers = configs.map((config) => {
      session.reconfigure(config);
      return readHmacTrailer(sendBy(session) as Uint8Array);
    });
    expect(trailers.map(({ keyId }) => keyId)).toEqual([1, 1, 2, 1]);
    for (const [index, { sequence }] of trailers.slice(1).entries()) {
      expect(sequenceIsAfter(sequence, (trailers[index] as (typeof trailers)[0]).sequence)).toBe(
        true,
      );
    }
  });

  test('does not sign in mode receive-only, nor demand it', () => {
    const session = new HmacSession({ ...CONFIG, mode: 'receive-only' });
    expect(sendBy(session)).toBeNull();
    const unsigned = unwrap(decodeAdvertisement(datagramOfAdvert(ADVERT, null)));
    const result = session.check(unsigned, ADVERT.source, monotonicUs());
    expect(result).toEqual({ ok: true, value: 'unsigned' });
    session.reconfigure(CONFIG);
    expect(reasonOf(session.check(unsigned, ADVERT.source, monotonicUs()))).toBe('hmac-missing');
  });
});
