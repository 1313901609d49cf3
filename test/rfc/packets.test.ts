/**
 * A positive and a negative proof of every row of packet-ledger.ts. Positive: what the standard
 * wants is sent or accepted. Negative: what it forbids cannot be sent or is refused, for the
 * reason at hand. The compiler sees that no row lacks a proof and no proof lacks a row.
 */
import { describe, expect, test } from 'vitest';
import { InternalError } from '../../src/core/assert.ts';
import { parseIp } from '../../src/core/ip.ts';
import { acceptAdvertisement, type ReceivingInstance } from '../../src/core/vrrp/receive.ts';
import {
  finishChecksum,
  onesComplementSum,
  pseudoHeaderSum,
} from '../../src/core/wire/checksum.ts';
import {
  decodeAdvertisement,
  encodeAdvertisement,
  MAX_ADVERTISEMENT_BYTES,
  type OutgoingAdvertisement,
  type ReceivedDatagram,
  VRRP_GROUP_IPV4,
  VRRP_GROUP_IPV6,
} from '../../src/core/wire/vrrp.ts';
import {
  dirtyBuffer,
  patched,
  reasonOf,
  rechecksummed,
  toHex,
  unwrap,
} from '../unit/core/wire/frames.ts';
import { PACKET_REQUIREMENTS, type PacketRequirementId } from './packet-ledger.ts';

const ip = (text: string): Uint8Array => parseIp(text) as Uint8Array;

const V3: OutgoingAdvertisement = {
  version: 3,
  family: 'ipv4',
  vrid: 51,
  priority: 150,
  advertIntervalUs: 1_000_000,
  addresses: [ip('192.0.2.10'), ip('192.0.2.11')],
  checksum: 'message',
  password: null,
  source: ip('192.0.2.1'),
  destination: VRRP_GROUP_IPV4,
};
const V6: OutgoingAdvertisement = {
  ...V3,
  family: 'ipv6',
  addresses: [ip('fe80::10'), ip('2001:db8::10')],
  source: ip('fe80::1'),
  destination: VRRP_GROUP_IPV6,
};
const V2: OutgoingAdvertisement = { ...V3, version: 2 };
const PASSWORD = new TextEncoder().encode('secret\0\0');
const V2_PASSWORD: OutgoingAdvertisement = { ...V2, password: PASSWORD };

function encoded(advert: OutgoingAdvertisement): Uint8Array {
  const target = dirtyBuffer(MAX_ADVERTISEMENT_BYTES);
  return target.slice(0, encodeAdvertisement(target, advert));
}

function expectUnsendable(advert: OutgoingAdvertisement): void {
  expect(() => encoded(advert)).toThrow(InternalError);
}

/** The advertisement as received, with other bytes or another TTL if told. */
function received(
  advert: OutgoingAdvertisement,
  change: { readonly bytes?: Uint8Array; readonly ttl?: number } = {},
): ReceivedDatagram {
  const bytes = change.bytes ?? encoded(advert);
  const { source, destination, family } = advert;
  const ttl = change.ttl ?? 255;
  return { bytes, lengthBytes: bytes.length, truncated: false, ttl, source, destination, family };
}

function verdict(
  advert: OutgoingAdvertisement,
  change: { readonly bytes?: Uint8Array; readonly ttl?: number } = {},
): string {
  return reasonOf(decodeAdvertisement(received(advert, change)));
}

/** The verdict on bytes changed at some offsets, with a checksum that is right again. */
function verdictOnChange(
  advert: OutgoingAdvertisement,
  changes: Readonly<Record<number, number>>,
): string {
  return verdict(advert, { bytes: rechecksummed(patched(encoded(advert), changes)) });
}

/** The verdict of an instance configured as V2, unless changed, on a sent advertisement. */
function instanceVerdict(
  bytes: Uint8Array,
  advert: OutgoingAdvertisement,
  change: Partial<ReceivingInstance> = {},
): string {
  const decoded = unwrap(decodeAdvertisement(received(advert, { bytes })));
  const instance: ReceivingInstance = {
    version: 2,
    vrid: 51,
    family: 'ipv4',
    password: null,
    advertIntervalUs: 1_000_000,
    ownAddress: ip('192.0.2.2'),
    ...change,
  };
  return reasonOf(acceptAdvertisement(decoded, instance, advert.source));
}

/** What the checksum over the message alone, or with its pseudo-header, leaves: 0 when right. */
function residue(advert: OutgoingAdvertisement, pseudoHeader: boolean): number {
  const bytes = encoded(advert);
  const initial = pseudoHeader
    ? pseudoHeaderSum(advert.source, advert.destination, 112, bytes.length)
    : 0;
  return finishChecksum(onesComplementSum(bytes, 0, bytes.length, initial));
}

function expectEveryTruncationRefused(advert: OutgoingAdvertisement): void {
  const whole = encoded(advert);
  for (let length = 0; length < whole.length; length++) {
    expect(verdict(advert, { bytes: whole.subarray(0, length) })).toBe('truncated');
  }
}

interface Proof {
  readonly positive: () => void;
  readonly negative: () => void;
}

const VERSION_3_PROOFS = {
  'RFC9568-5.1.1.3-1': {
    positive: () => expect(verdict(V3, { ttl: 255 })).toBe('accepted'),
    negative: () => {
      for (let ttl = 0; ttl < 255; ttl++) expect(verdict(V3, { ttl })).toBe('ttl');
    },
  },
  'RFC9568-5.1.2.3-1': {
    positive: () => expect(verdict(V6, { ttl: 255 })).toBe('accepted'),
    negative: () => {
      for (let ttl = 0; ttl < 255; ttl++) expect(verdict(V6, { ttl })).toBe('ttl');
    },
  },
  'RFC9568-5.2.1-1': {
    positive: () => {
      expect(encoded(V3)[0]).toBe(0x31);
      expect(encoded(V6)[0]).toBe(0x31);
    },
    negative: () => expectUnsendable({ ...V6, version: 2 }),
  },
  'RFC9568-5.2.2-1': {
    positive: () => expect(verdictOnChange(V3, { 0: 0x31 })).toBe('accepted'),
    negative: () => {
      for (let type = 0; type < 16; type++) {
        if (type !== 1) expect(verdictOnChange(V3, { 0: 0x30 | type })).toBe('type');
      }
    },
  },
  'RFC9568-5.2.3-1': {
    positive: () => {
      expect(encoded({ ...V3, vrid: 1 })[1]).toBe(1);
      expect(encoded({ ...V3, vrid: 255 })[1]).toBe(255);
    },
    negative: () => {
      expectUnsendable({ ...V3, vrid: 0 });
      expectUnsendable({ ...V3, vrid: 256 });
    },
  },
  'RFC9568-5.2.4-1': {
    positive: () => {
      for (const priority of [0, 1, 254, 255])
        expect(encoded({ ...V3, priority })[2]).toBe(priority);
    },
    negative: () => {
      expectUnsendable({ ...V3, priority: -1 });
      expectUnsendable({ ...V3, priority: 256 });
    },
  },
  'RFC9568-5.2.5-1': {
    positive: () => expect(verdict({ ...V3, addresses: [ip('192.0.2.10')] })).toBe('accepted'),
    negative: () => {
      const bytes = rechecksummed(patched(encoded(V3).subarray(0, 8), { 3: 0 }));
      expect(verdict(V3, { bytes })).toBe('no-addresses');
    },
  },
  'RFC9568-5.2.6-1': {
    positive: () => expect((encoded(V3)[4] as number) >> 4).toBe(0),
    negative: () => expectUnsendable({ ...V3, advertIntervalUs: 0x1064 * 10_000 }),
  },
  'RFC9568-5.2.6-2': {
    positive: () => {
      const bytes = rechecksummed(patched(encoded(V3), { 4: 0xf0 }));
      const decoded = unwrap(decodeAdvertisement(received(V3, { bytes })));
      expect(decoded.advertIntervalUs).toBe(1_000_000);
    },
    // Ignored as a value, but covered by the checksum as everything is.
    negative: () =>
      expect(verdict(V3, { bytes: patched(encoded(V3), { 4: 0xf0 }) })).toBe('checksum'),
  },
  'RFC9568-5.2.7-1': {
    positive: () => {
      const interval = (advertIntervalUs: number) =>
        toHex(encoded({ ...V3, advertIntervalUs }).subarray(4, 6));
      expect(interval(10_000)).toBe('0001');
      expect(interval(1_000_000)).toBe('0064');
      expect(interval(40_950_000)).toBe('0fff');
    },
    negative: () => {
      for (const advertIntervalUs of [0, 9_999, 15_000, 40_960_000, -10_000]) {
        expectUnsendable({ ...V3, advertIntervalUs });
      }
    },
  },
  'RFC9568-5.2.7-2': {
    positive: () => expect(verdictOnChange(V3, { 4: 0, 5: 1 })).toBe('accepted'),
    negative: () => expect(verdictOnChange(V3, { 4: 0, 5: 0 })).toBe('interval'),
  },
  'RFC9568-5.2.8-1': {
    positive: () => expect(residue(V3, false)).toBe(0),
    // RFC 5798's form is another one, sent only when it is asked for.
    negative: () => {
      expect(residue(V3, true)).not.toBe(0);
      expect(residue({ ...V3, checksum: 'pseudo-header' }, true)).toBe(0);
    },
  },
  'RFC9568-5.2.8-2': {
    positive: () => expect(residue(V6, true)).toBe(0),
    negative: () => expect(residue(V6, false)).not.toBe(0),
  },
  'RFC9568-5.2.9-1': {
    positive: () => {
      expect(encoded(V3)[3]).toBe(2);
      expect(toHex(encoded(V3).subarray(8))).toBe('c000020ac000020b');
      expect(encoded(V6).length).toBe(8 + 2 * 16);
    },
    negative: () => {
      expectUnsendable({ ...V3, addresses: [] });
      expectUnsendable({ ...V3, addresses: [ip('fe80::10')] });
      expectUnsendable({ ...V6, addresses: [ip('192.0.2.10')] });
    },
  },
  'RFC9568-7.1-1': {
    positive: () => expect(verdict(V6)).toBe('accepted'),
    negative: () => {
      for (let version = 0; version < 16; version++) {
        const first = (version << 4) | 1;
        if (version !== 3) expect(verdictOnChange(V6, { 0: first })).toBe('version');
        if (version !== 3 && version !== 2)
          expect(verdictOnChange(V3, { 0: first })).toBe('version');
      }
      const version2 = unwrap(decodeAdvertisement(received(V2)));
      const instance = { ...V3, advertIntervalUs: 1_000_000, ownAddress: null };
      expect(reasonOf(acceptAdvertisement(version2, instance, V2.source))).toBe('version-mismatch');
    },
  },
  'RFC9568-7.1-2': {
    positive: () => expect(verdict(V3)).toBe('accepted'),
    negative: () => {
      expectEveryTruncationRefused(V3);
      expectEveryTruncationRefused(V6);
    },
  },
  'RFC9568-7.1-3': {
    positive: () => {
      expect(verdict(V3)).toBe('accepted');
      expect(verdict({ ...V3, checksum: 'pseudo-header' })).toBe('accepted');
      expect(verdict(V6)).toBe('accepted');
    },
    negative: () => {
      expect(verdict(V3, { bytes: patched(encoded(V3), { 2: 151 }) })).toBe('checksum');
      expect(verdict(V6, { bytes: patched(encoded(V6), { 2: 151 }) })).toBe('checksum');
    },
  },
} as const;

const VERSION_2_PROOFS = {
  'RFC3768-5.2.3-1': {
    positive: () => expect(verdict(V2, { ttl: 255 })).toBe('accepted'),
    negative: () => {
      for (let ttl = 0; ttl < 255; ttl++) expect(verdict(V2, { ttl })).toBe('ttl');
    },
  },
  'RFC3768-5.3.1-1': {
    positive: () => expect(encoded(V2)[0]).toBe(0x21),
    negative: () => expectUnsendable({ ...V6, version: 2 }),
  },
  'RFC3768-5.3.2-1': {
    positive: () => expect(verdictOnChange(V2, { 0: 0x21 })).toBe('accepted'),
    negative: () => {
      for (let type = 0; type < 16; type++) {
        if (type !== 1) expect(verdictOnChange(V2, { 0: 0x20 | type })).toBe('type');
      }
    },
  },
  'RFC3768-5.3.4-1': {
    positive: () => {
      for (const priority of [0, 1, 254, 255])
        expect(encoded({ ...V2, priority })[2]).toBe(priority);
    },
    negative: () => {
      expectUnsendable({ ...V2, priority: -1 });
      expectUnsendable({ ...V2, priority: 256 });
    },
  },
  'RFC3768-5.3.6-1': {
    positive: () => expect(instanceVerdict(encoded(V2), V2)).toBe('accepted'),
    negative: () => {
      for (let type = 2; type < 256; type++) {
        const bytes = rechecksummed(patched(encoded(V2), { 4: type }));
        expect(instanceVerdict(bytes, V2)).toBe('authentication');
        expect(instanceVerdict(bytes, V2, { password: PASSWORD })).toBe('authentication');
      }
    },
  },
  'RFC3768-5.3.6-2': {
    positive: () => {
      const bytes = encoded(V2_PASSWORD);
      expect(instanceVerdict(bytes, V2_PASSWORD, { password: PASSWORD })).toBe('accepted');
    },
    negative: () => {
      expect(instanceVerdict(encoded(V2_PASSWORD), V2_PASSWORD)).toBe('authentication');
      expect(instanceVerdict(encoded(V2), V2, { password: PASSWORD })).toBe('authentication');
    },
  },
  'RFC2338-5.3.6-1': {
    positive: () => {
      expect(toHex(encoded(V2_PASSWORD).subarray(-8))).toBe(toHex(PASSWORD));
      const bytes = encoded(V2_PASSWORD);
      expect(instanceVerdict(bytes, V2_PASSWORD, { password: PASSWORD })).toBe('accepted');
    },
    negative: () => {
      for (let index = 0; index < 8; index++) {
        const password = patched(PASSWORD, { [index]: 0x21 });
        const bytes = encoded(V2_PASSWORD);
        expect(instanceVerdict(bytes, V2_PASSWORD, { password })).toBe('authentication');
      }
    },
  },
  'RFC3768-5.3.7-1': {
    positive: () => {
      expect(encoded({ ...V2, advertIntervalUs: 1_000_000 })[5]).toBe(1);
      expect(encoded({ ...V2, advertIntervalUs: 255_000_000 })[5]).toBe(255);
    },
    negative: () => {
      for (const advertIntervalUs of [0, 500_000, 1_500_000, 256_000_000]) {
        expectUnsendable({ ...V2, advertIntervalUs });
      }
    },
  },
  'RFC3768-5.3.8-1': {
    positive: () => {
      expect(residue(V2, false)).toBe(0);
      expect(residue(V2_PASSWORD, false)).toBe(0);
      // The form is version 3's choice only.
      expect(residue({ ...V2, checksum: 'pseudo-header' }, false)).toBe(0);
    },
    negative: () => {
      const pseudo = pseudoHeaderSum(V2.source, V2.destination, 112, 24);
      expect(verdict(V2, { bytes: rechecksummed(encoded(V2), pseudo) })).toBe('checksum');
      expect(verdict(V2, { bytes: patched(encoded(V2), { 23: 1 }) })).toBe('checksum');
    },
  },
  'RFC3768-5.3.10-1': {
    positive: () => expect(toHex(encoded(V2).subarray(-8))).toBe('00'.repeat(8)),
    negative: () => expect(toHex(encoded(V2_PASSWORD).subarray(-8))).not.toBe('00'.repeat(8)),
  },
  'RFC3768-5.3.10-2': {
    positive: () => {
      const bytes = rechecksummed(patched(encoded(V2), { 16: 0x73, 23: 0x21 }));
      expect(instanceVerdict(bytes, V2)).toBe('accepted');
    },
    negative: () => {
      const bytes = rechecksummed(patched(encoded(V2_PASSWORD), { 23: 0x21 }));
      const verdictOnData = instanceVerdict(bytes, V2_PASSWORD, { password: PASSWORD });
      expect(verdictOnData).toBe('authentication');
    },
  },
  'RFC3768-7.1-1': {
    positive: () => expect(instanceVerdict(encoded(V2), V2)).toBe('accepted'),
    negative: () => {
      expect(instanceVerdict(encoded(V3), V3)).toBe('version-mismatch');
      expect(verdictOnChange(V2, { 0: 0x11 })).toBe('version');
      expect(verdictOnChange(V2, { 0: 0x41 })).toBe('version');
    },
  },
  'RFC3768-7.1-2': {
    positive: () => expect(verdict(V2)).toBe('accepted'),
    negative: () => expectEveryTruncationRefused(V2),
  },
  'RFC3768-7.1-3': {
    positive: () => expect(verdict(V2_PASSWORD)).toBe('accepted'),
    negative: () =>
      expect(verdict(V2, { bytes: patched(encoded(V2), { 2: 151 }) })).toBe('checksum'),
  },
  'RFC3768-7.1-4': {
    positive: () => expect(instanceVerdict(encoded(V2), V2)).toBe('accepted'),
    negative: () => {
      const change = { advertIntervalUs: 2_000_000 };
      expect(instanceVerdict(encoded(V2), V2, change)).toBe('interval-mismatch');
    },
  },
} as const;

const PROOFS: Readonly<Record<PacketRequirementId, Proof>> = {
  ...VERSION_3_PROOFS,
  ...VERSION_2_PROOFS,
};

describe.each(PACKET_REQUIREMENTS)('$id ($side, $level): $text', ({ id }) => {
  test('is met', () => PROOFS[id].positive());
  test('is refused when violated', () => PROOFS[id].negative());
});

test('the ledger has each id once, and each proof a row', () => {
  const ids = PACKET_REQUIREMENTS.map((requirement) => requirement.id);
  expect(new Set(ids).size).toBe(ids.length);
  expect(Object.keys(PROOFS).sort()).toEqual([...ids].sort());
});
