/**
 * Properties of the packet codecs: what is encoded is decoded again, and a damaged advertisement
 * is never accepted. That no bytes make a decoder throw or read outside: decoders.test.ts.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AddressFamily } from '../../src/core/config/config.ts';
import { canonicalIp, formatIp, parseIp } from '../../src/core/ip.ts';
import { ARP_FRAME_BYTES, decodeArp, encodeGratuitousArp } from '../../src/core/wire/arp.ts';
import { onesComplementSum, pseudoHeaderSum } from '../../src/core/wire/checksum.ts';
import { decodeEthernetHeader, encodeEthernetHeader } from '../../src/core/wire/ethernet.ts';
import { decodeIpv4, encodeIpv4Header } from '../../src/core/wire/ipv4.ts';
import { decodeIpv6, encodeIpv6Header } from '../../src/core/wire/ipv6.ts';
import {
  decodeNeighborAdvertisement,
  encodeUnsolicitedNa,
  NA_FRAME_BYTES,
} from '../../src/core/wire/ndisc.ts';
import {
  decodeAdvertisement,
  encodeAdvertisement,
  MAX_ADVERTISEMENT_BYTES,
  type OutgoingAdvertisement,
  peekVrid,
  type ReceivedDatagram,
  retargetAdvertisement,
  VRRP_GROUP_IPV4,
  VRRP_GROUP_IPV6,
} from '../../src/core/wire/vrrp.ts';
import { dirtyBuffer, fromHex, patched, toHex, unwrap } from '../unit/core/wire/frames.ts';

const bytesOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const ipv4 = bytesOf(4);
const ipv6 = bytesOf(16);
const mac = bytesOf(6);

/** Any advertisement that an instance could be configured to send. */
const advertisement: fc.Arbitrary<OutgoingAdvertisement> = fc
  .constantFrom('v2', 'v2-password', 'v3-ipv4', 'v3-ipv6')
  .chain((kind) => {
    const family: AddressFamily = kind === 'v3-ipv6' ? 'ipv6' : 'ipv4';
    const address = family === 'ipv4' ? ipv4 : ipv6;
    const version2 = kind.startsWith('v2');
    return fc.record<OutgoingAdvertisement>({
      version: fc.constant(version2 ? 2 : 3),
      family: fc.constant(family),
      vrid: fc.integer({ min: 1, max: 255 }),
      priority: fc.integer({ min: 0, max: 255 }),
      advertIntervalUs: version2
        ? fc.integer({ min: 1, max: 255 }).map((seconds) => seconds * 1_000_000)
        : fc.integer({ min: 1, max: 4095 }).map((centiseconds) => centiseconds * 10_000),
      addresses: fc.array(address, { minLength: 1, maxLength: 20 }),
      checksum: fc.constantFrom('message', 'pseudo-header'),
      password: kind === 'v2-password' ? bytesOf(8) : fc.constant(null),
      source: address,
      destination: fc.constant(family === 'ipv4' ? VRRP_GROUP_IPV4 : VRRP_GROUP_IPV6),
    });
  });

function datagramFor(advert: OutgoingAdvertisement): ReceivedDatagram {
  const target = dirtyBuffer(MAX_ADVERTISEMENT_BYTES);
  const lengthBytes = encodeAdvertisement(target, advert);
  const { source, destination, family } = advert;
  const bytes = target.slice(0, lengthBytes);
  return { bytes, lengthBytes, truncated: false, ttl: 255, source, destination, family };
}

/** Sum of the pseudo-header of a datagram, 0 to 0xffff. */
function pseudoOf(datagram: ReceivedDatagram): number {
  return pseudoHeaderSum(datagram.source, datagram.destination, 112, datagram.lengthBytes);
}

describe('encodeAdvertisement, decodeAdvertisement', () => {
  test('round trip', () => {
    fc.assert(
      fc.property(advertisement, (advert) => {
        const datagram = datagramFor(advert);
        const decoded = unwrap(decodeAdvertisement(datagram));
        const { version, family, vrid, priority, advertIntervalUs } = decoded;
        expect({ version, family, vrid, priority, advertIntervalUs }).toEqual({
          version: advert.version,
          family: advert.family,
          vrid: advert.vrid,
          priority: advert.priority,
          advertIntervalUs: advert.advertIntervalUs,
        });
        expect(decoded.addressBytes.map(toHex)).toEqual(advert.addresses.map(toHex));
        expect(decoded.addresses.map((text) => toHex(parseIp(text) as Uint8Array))).toEqual(
          advert.addresses.map(toHex),
        );
        expect(decoded.authenticationType).toBe(advert.password === null ? 0 : 1);
        const data = advert.version === 2 ? (advert.password ?? new Uint8Array(8)) : fromHex('');
        expect(toHex(decoded.authenticationData)).toBe(toHex(data));
        expect(peekVrid(datagram.bytes, datagram.lengthBytes)).toBe(advert.vrid);
        // A pseudo-header that sums to nothing makes both forms the same.
        if (advert.version === 3 && advert.family === 'ipv4' && pseudoOf(datagram) !== 0xffff) {
          expect(decoded.checksum).toBe(advert.checksum);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('write nothing after the length that is returned', () => {
    fc.assert(
      fc.property(advertisement, (advert) => {
        const target = dirtyBuffer(MAX_ADVERTISEMENT_BYTES);
        const length = encodeAdvertisement(target, advert);
        expect(target.subarray(length).every((byte) => byte === 0xa5)).toBe(true);
      }),
    );
  });

  test('do not depend on what the buffer held', () => {
    fc.assert(
      fc.property(advertisement, fc.integer({ min: 0, max: 255 }), (advert, filler) => {
        const target = new Uint8Array(MAX_ADVERTISEMENT_BYTES).fill(filler);
        const length = encodeAdvertisement(target, advert);
        expect(toHex(target.subarray(0, length))).toBe(toHex(datagramFor(advert).bytes));
      }),
    );
  });

  test('refuse every truncation and every extension', () => {
    fc.assert(
      fc.property(advertisement, bytesOf(40), (advert, more) => {
        const datagram = datagramFor(advert);
        for (let length = 0; length < datagram.lengthBytes; length++) {
          const bytes = datagram.bytes.subarray(0, length);
          const result = decodeAdvertisement({ ...datagram, bytes, lengthBytes: length });
          expect(result.ok ? 'accepted' : result.error.reason).toBe('truncated');
        }
        for (let extra = 1; extra <= more.length; extra++) {
          const bytes = Uint8Array.of(...datagram.bytes, ...more.subarray(0, extra));
          const result = decodeAdvertisement({ ...datagram, bytes, lengthBytes: bytes.length });
          expect(result.ok ? 'accepted' : result.error.reason).toBe('oversized');
        }
      }),
      { numRuns: 50 },
    );
  });

  test('refuse every flip of one bit', () => {
    fc.assert(
      fc.property(advertisement, (advert) => {
        const datagram = datagramFor(advert);
        const pseudo = pseudoOf(datagram);
        for (let bit = 0; bit < datagram.lengthBytes * 8; bit++) {
          // A flip changes the sum by a power of two. Where the pseudo-header's sum is one too, a
          // flip can turn one accepted form over IPv4 into the other: nothing could tell.
          const change = 1 << (15 - (bit % 16));
          const ambiguous = pseudo === change || pseudo === 0xffff - change;
          if (advert.family === 'ipv4' && advert.version === 3 && ambiguous) continue;
          const offset = bit >> 3;
          const flipped = (datagram.bytes[offset] as number) ^ (0x80 >> (bit & 7));
          const bytes = patched(datagram.bytes, { [offset]: flipped });
          const result = decodeAdvertisement({ ...datagram, bytes });
          const reason = result.ok ? 'accepted' : result.error.reason;
          if (offset === 0) expect(['version', 'type', 'truncated', 'oversized']).toContain(reason);
          else if (offset === 3) expect(['truncated', 'oversized']).toContain(reason);
          else expect(reason).toBe('checksum');
        }
      }),
      { numRuns: 60 },
    );
  });

  test('retargeted, are what an encoding for the other destination gives', () => {
    fc.assert(
      fc.property(
        advertisement,
        fc.array(ipv6, { minLength: 1, maxLength: 4 }),
        (advert, others) => {
          const target = dirtyBuffer(MAX_ADVERTISEMENT_BYTES);
          const lengthBytes = encodeAdvertisement(target, advert);
          let from = advert.destination;
          for (const other of others) {
            const destination = other.subarray(0, from.length);
            retargetAdvertisement(target, advert, from, destination);
            from = destination;
            const expected = dirtyBuffer(MAX_ADVERTISEMENT_BYTES);
            encodeAdvertisement(expected, { ...advert, destination });
            expect(toHex(target.slice(0, lengthBytes))).toBe(toHex(expected.slice(0, lengthBytes)));
          }
        },
      ),
    );
  });

  test('refuse a packet sent from elsewhere than its pseudo-header says', () => {
    fc.assert(
      fc.property(advertisement, ipv6, (advert, other) => {
        const datagram = datagramFor(advert);
        const source = other.subarray(0, datagram.source.length);
        const moved = { ...datagram, source };
        fc.pre(advert.family === 'ipv6' && pseudoOf(moved) !== pseudoOf(datagram));
        const result = decodeAdvertisement(moved);
        expect(result.ok ? 'accepted' : result.error.reason).toBe('checksum');
      }),
    );
  });
});

describe('round trip of', () => {
  test('encodeEthernetHeader and decodeEthernetHeader', () => {
    fc.assert(
      fc.property(mac, mac, fc.integer({ min: 0, max: 0xffff }), (to, from, etherType) => {
        const target = dirtyBuffer(14);
        encodeEthernetHeader(target, to, from, etherType);
        const header = unwrap(decodeEthernetHeader(target));
        expect(header).toEqual({ destination: to, source: from, etherType });
      }),
    );
  });

  test('encodeGratuitousArp and decodeArp', () => {
    fc.assert(
      fc.property(mac, ipv4, mac, (senderMac, vip, targetMac) => {
        const target = dirtyBuffer(ARP_FRAME_BYTES);
        encodeGratuitousArp(target, { senderMac, vip, targetMac });
        expect(unwrap(decodeArp(target))).toEqual({
          destinationMac: new Uint8Array(6).fill(0xff),
          sourceMac: senderMac,
          operation: 'request',
          senderMac,
          senderIp: vip,
          targetMac,
          targetIp: vip,
        });
      }),
    );
  });

  test('encodeUnsolicitedNa and decodeNeighborAdvertisement', () => {
    const unicast = ipv6.filter((address) => address[0] !== 0xff);
    fc.assert(
      fc.property(mac, unicast, fc.boolean(), fc.boolean(), (senderMac, vip, router, override) => {
        const target = dirtyBuffer(NA_FRAME_BYTES);
        encodeUnsolicitedNa(target, { senderMac, vip, router, override });
        expect(unwrap(decodeNeighborAdvertisement(target))).toEqual({
          destinationMac: fromHex('333300000001'),
          sourceMac: senderMac,
          source: vip,
          destination: fromHex('ff020000000000000000000000000001'),
          router,
          solicited: false,
          override,
          target: vip,
          targetMac: senderMac,
        });
      }),
    );
  });

  const octet = fc.integer({ min: 0, max: 255 });

  test('encodeIpv4Header and decodeIpv4', () => {
    const header = fc.record({
      source: ipv4,
      destination: ipv4,
      protocol: octet,
      ttl: octet,
      trafficClass: octet,
      identification: fc.integer({ min: 0, max: 0xffff }),
      payloadBytes: fc.integer({ min: 0, max: 100 }),
    });
    fc.assert(
      fc.property(header, fc.integer({ min: 0, max: 20 }), (fields, offset) => {
        const target = dirtyBuffer(offset + 120);
        encodeIpv4Header(target, offset, fields);
        expect(onesComplementSum(target, offset, offset + 20, 0)).toBe(0xffff);
        const expected = { ...fields, payloadStart: offset + 20 };
        expect(unwrap(decodeIpv4(target, offset))).toEqual(expected);
      }),
    );
  });

  test('encodeIpv6Header and decodeIpv6', () => {
    const header = fc.record({
      source: ipv6,
      destination: ipv6,
      nextHeader: octet,
      hopLimit: octet,
      trafficClass: octet,
      flowLabel: fc.integer({ min: 0, max: 0xfffff }),
      payloadBytes: fc.integer({ min: 0, max: 100 }),
    });
    fc.assert(
      fc.property(header, fc.integer({ min: 0, max: 20 }), (fields, offset) => {
        const target = dirtyBuffer(offset + 140);
        encodeIpv6Header(target, offset, fields);
        const expected = { ...fields, payloadStart: offset + 40 };
        expect(unwrap(decodeIpv6(target, offset))).toEqual(expected);
      }),
    );
  });

  test('formatIp and parseIp, and canonicalIp of its own result', () => {
    fc.assert(
      fc.property(fc.oneof(ipv4, ipv6), (bytes) => {
        const text = formatIp(bytes, bytes.length === 4 ? 'ipv4' : 'ipv6');
        expect(toHex(parseIp(text) as Uint8Array)).toBe(toHex(bytes));
        expect(canonicalIp(text)).toBe(text);
      }),
    );
  });
});
