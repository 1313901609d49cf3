/** Signed advertisements: round trips, and that nothing else is taken for one, whatever it is. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { HmacMode } from '../../src/core/config/config.ts';
import { type Authentication, authenticate } from '../../src/core/vrrp/authenticate.ts';
import {
  checkReplay,
  NO_SENDERS,
  nextSequence,
  REPLAY_SENDERS_MAX,
  sequenceAt,
  sequenceIsAfter,
} from '../../src/core/vrrp/replay.ts';
import {
  decodeAdvertisement,
  type OutgoingAdvertisement,
  type ReceivedDatagram,
  VRRP_GROUP_IPV4,
  VRRP_GROUP_IPV6,
} from '../../src/core/wire/vrrp.ts';
import { HMAC_TRAILER_BYTES, MAC_INPUT_BYTES_MAX } from '../../src/core/wire/vrrp-hmac.ts';
import { dirtyBuffer, patched, rechecksummed, toHex } from '../unit/core/wire/frames.ts';
import { datagramOfAdvert, type Signature, sha256 } from '../unit/core/wire/signed.ts';

const bytesOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const U32 = 0xffffffff;
const wallUs = fc.integer({ min: 0, max: 2 ** 33 * 1_000_000 });

const advertisement: fc.Arbitrary<OutgoingAdvertisement> = fc
  .constantFrom('ipv4' as const, 'ipv6' as const)
  .chain((family) =>
    fc.record<OutgoingAdvertisement>({
      version: fc.constant(3),
      family: fc.constant(family),
      vrid: fc.integer({ min: 1, max: 255 }),
      priority: fc.integer({ min: 0, max: 255 }),
      advertIntervalUs: fc.integer({ min: 1, max: 4095 }).map((value) => value * 10_000),
      addresses: fc.array(bytesOf(family === 'ipv4' ? 4 : 16), { minLength: 1, maxLength: 12 }),
      checksum: fc.constantFrom('message', 'pseudo-header'),
      password: fc.constant(null),
      source: bytesOf(family === 'ipv4' ? 4 : 16),
      destination: fc.constant(family === 'ipv4' ? VRRP_GROUP_IPV4 : VRRP_GROUP_IPV6),
    }),
  );

const signature: fc.Arbitrary<Signature> = fc.record({
  keyId: fc.integer({ min: 1, max: 255 }),
  key: fc.uint8Array({ minLength: 32, maxLength: 64 }),
  sequence: wallUs.map(sequenceAt),
});

function authentication(mode: HmacMode, { keyId, key }: Signature): Authentication {
  const scratch = dirtyBuffer(MAC_INPUT_BYTES_MAX);
  const keys = new Map([[keyId, key]]);
  return { mode, keys, replay: 'off', windowSeconds: 5, mac: sha256, scratch };
}

/** 'signed', 'unsigned', or the reason of the refusal, for a receiver with this key. */
function outcome(datagram: ReceivedDatagram, mode: HmacMode, key: Signature): string {
  const decoded = decodeAdvertisement(datagram, HMAC_TRAILER_BYTES);
  if (!decoded.ok) return decoded.error.reason;
  const where = { source: datagram.source, wallUs: 0 };
  const { result } = authenticate(decoded.value, authentication(mode, key), NO_SENDERS, where);
  return result.ok ? result.value : result.error.reason;
}

describe('encodeAdvertisement with a trailer, decodeAdvertisement, authenticate', () => {
  test('round trip in every mode', () => {
    const mode = fc.constantFrom<HmacMode>('enforce', 'permissive', 'receive-only');
    fc.assert(
      fc.property(advertisement, signature, mode, (advert, signed, how) => {
        const datagram = datagramOfAdvert(advert, signed);
        expect(outcome(datagram, how, signed)).toBe('signed');
        const decoded = decodeAdvertisement(datagram, HMAC_TRAILER_BYTES);
        const addresses = decoded.ok ? decoded.value.addressBytes.map(toHex) : [];
        expect(addresses).toEqual(advert.addresses.map(toHex));
      }),
      { numRuns: 300 },
    );
  });

  test('take no flip of a bit, even with the checksum made right again', () => {
    fc.assert(
      fc.property(advertisement, signature, (advert, signed) => {
        const datagram = datagramOfAdvert({ ...advert, checksum: 'message' }, signed);
        for (let bit = 0; bit < datagram.lengthBytes * 8; bit++) {
          const offset = bit >> 3;
          // The MAC reads the checksum as 0; the checksum itself is checked before.
          const isChecksum = offset === 6 || offset === 7;
          const value = (datagram.bytes[offset] as number) ^ (0x80 >> (bit & 7));
          const flipped = patched(datagram.bytes, { [offset]: value });
          const whole = flipped.subarray(0, flipped.length - HMAC_TRAILER_BYTES);
          const mended = Uint8Array.of(
            ...rechecksummed(whole),
            ...flipped.subarray(flipped.length - HMAC_TRAILER_BYTES),
          );
          const tries = isChecksum || advert.family === 'ipv6' ? [flipped] : [flipped, mended];
          for (const bytes of tries) {
            const result = outcome({ ...datagram, bytes }, 'enforce', signed);
            expect(['signed', 'unsigned']).not.toContain(result);
          }
        }
      }),
      { numRuns: 25 },
    );
  });

  test('take nothing signed with another key, nor from elsewhere, nor unsigned', () => {
    fc.assert(
      fc.property(advertisement, signature, signature, (advert, signed, other) => {
        fc.pre(toHex(signed.key) !== toHex(other.key));
        const datagram = datagramOfAdvert({ ...advert, checksum: 'message' }, signed);
        const sameId = { ...other, keyId: signed.keyId };
        expect(outcome(datagram, 'enforce', sameId)).toBe('hmac-invalid');
        expect(outcome(datagramOfAdvert(advert, null), 'enforce', signed)).toBe('hmac-missing');
        const source = patched(datagram.source, { 0: (datagram.source[0] as number) ^ 1 });
        const moved = outcome({ ...datagram, source }, 'enforce', signed);
        expect(moved).toBe(advert.family === 'ipv4' ? 'hmac-invalid' : 'checksum');
      }),
      { numRuns: 200 },
    );
  });

  test('take no arbitrary trailer in any mode, and never throw', () => {
    const mode = fc.constantFrom<HmacMode>('enforce', 'permissive', 'receive-only');
    const noise = bytesOf(HMAC_TRAILER_BYTES);
    fc.assert(
      fc.property(advertisement, signature, noise, mode, (advert, signed, trailer, how) => {
        const plain = { ...advert, family: 'ipv4' as const, checksum: 'message' as const };
        fc.pre(advert.family === 'ipv4');
        const datagram = datagramOfAdvert(plain, null);
        const bytes = Uint8Array.of(...datagram.bytes, ...trailer);
        const forged = { ...datagram, bytes, lengthBytes: bytes.length };
        expect(['hmac-unknown-key', 'hmac-invalid']).toContain(outcome(forged, how, signed));
      }),
      { numRuns: 300 },
    );
  });

  test('never throw on arbitrary bytes, and take none of them in mode enforce', () => {
    const cases = fc.tuple(fc.uint8Array({ maxLength: 120 }), fc.integer({ min: -2, max: 50 }));
    fc.assert(
      fc.property(cases, signature, fc.boolean(), ([content, lie], signed, start) => {
        const bytes = start ? Uint8Array.of(0x31, ...content) : content;
        const lengthBytes = Math.max(bytes.length + lie, 0);
        const source = new Uint8Array(4);
        const datagram: ReceivedDatagram = {
          ...{ bytes, lengthBytes, truncated: false, ttl: 255, family: 'ipv4' },
          ...{ source, destination: source },
        };
        expect(outcome(datagram, 'enforce', signed)).not.toBe('signed');
      }),
      { numRuns: 2000 },
    );
  });
});

describe('sequences', () => {
  const sequence = fc.record({
    seconds: fc.integer({ min: 0, max: U32 }),
    fraction: fc.integer({ min: 0, max: U32 }),
  });

  test('are ordered as 64-bit serial numbers of RFC 1982', () => {
    const whole = ({ seconds, fraction }: { seconds: number; fraction: number }) =>
      (BigInt(seconds) << 32n) | BigInt(fraction);
    fc.assert(
      fc.property(sequence, sequence, (left, right) => {
        const distance = BigInt.asIntN(64, whole(left) - whole(right));
        expect(sequenceIsAfter(left, right)).toBe(distance > 0n);
      }),
      { numRuns: 1000 },
    );
  });

  test('of a sender always grow in mode monotonic, whatever its clock does', () => {
    const clocks = fc.array(fc.integer({ min: 0, max: 2 ** 31 * 1_000_000 }), { maxLength: 30 });
    const options = { replay: 'monotonic', windowSeconds: 5 } as const;
    fc.assert(
      fc.property(clocks, (times) => {
        let last = sequenceAt(0);
        for (const time of times) {
          const next = nextSequence(last, options, time);
          expect(sequenceIsAfter(next, last)).toBe(true);
          last = next;
        }
      }),
    );
  });

  test('are taken from a sender whose clock is in the window, and never twice', () => {
    const steps = fc.array(
      fc.record({
        elapsedUs: fc.integer({ min: 0, max: 3_000_000 }),
        skewUs: fc.integer({ min: -2_000_000, max: 2_000_000 }),
        sender: fc.integer({ min: 1, max: REPLAY_SENDERS_MAX }),
      }),
      { maxLength: 40 },
    );
    const options = { replay: 'time', windowSeconds: 5 } as const;
    fc.assert(
      fc.property(steps, (moments) => {
        let nowUs = 1_800_000_000_000_000;
        let state = NO_SENDERS;
        const sent = new Map<number, ReturnType<typeof sequenceAt>>();
        for (const { elapsedUs, skewUs, sender } of moments) {
          nowUs += elapsedUs;
          const next = nextSequence(sent.get(sender) ?? null, options, nowUs + skewUs);
          sent.set(sender, next);
          const received = { source: Uint8Array.of(sender), sequence: next, wallUs: nowUs };
          const first = checkReplay(state, options, received);
          expect(first.verdict).toBe('fresh');
          expect(checkReplay(first.state, options, received).verdict).toBe('not-newer');
          state = first.state;
        }
      }),
    );
  });
});
