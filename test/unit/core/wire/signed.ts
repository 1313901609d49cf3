/** Signed advertisements for tests: an instance's usual values, and a datagram made of them. */
import { createHmac } from 'node:crypto';
import { parseIp } from '../../../../src/core/ip.ts';
import {
  encodeAdvertisement,
  MAX_ADVERTISEMENT_BYTES,
  type OutgoingAdvertisement,
  type ReceivedDatagram,
  VRRP_GROUP_IPV4,
} from '../../../../src/core/wire/vrrp.ts';
import {
  HMAC_TRAILER_BYTES,
  type HmacSigning,
  hmacTrailer,
  MAC_INPUT_BYTES_MAX,
  type Mac,
} from '../../../../src/core/wire/vrrp-hmac.ts';
import { dirtyBuffer } from './frames.ts';

export const ip = (text: string): Uint8Array => parseIp(text) as Uint8Array;

export const sha256: Mac = (key, input) => createHmac('sha256', key).update(input).digest();

/** The key of the vectors: 00 01 02 … 1f. */
export const KEY: Uint8Array = Uint8Array.from({ length: 32 }, (_, index) => index);
export const OTHER_KEY: Uint8Array = new Uint8Array(32).fill(7);

/** The IPv4 vector of keepalived's tests. */
export const ADVERT: OutgoingAdvertisement = {
  version: 3,
  family: 'ipv4',
  vrid: 51,
  priority: 200,
  advertIntervalUs: 1_000_000,
  addresses: [ip('192.0.2.100')],
  checksum: 'pseudo-header',
  password: null,
  source: ip('198.51.100.10'),
  destination: VRRP_GROUP_IPV4,
};

export type Signature = Pick<HmacSigning, 'keyId' | 'key' | 'sequence'>;

/** The datagram of an advertisement; not signed without a signature. */
export function datagramOfAdvert(
  advert: OutgoingAdvertisement,
  signature: Signature | null,
): ReceivedDatagram {
  const target = dirtyBuffer(MAX_ADVERTISEMENT_BYTES + HMAC_TRAILER_BYTES);
  const { family, source, destination } = advert;
  const scratch = dirtyBuffer(MAC_INPUT_BYTES_MAX);
  const trailer =
    signature === null ? null : hmacTrailer({ family, source, ...signature, mac: sha256, scratch });
  const lengthBytes = encodeAdvertisement(target, advert, trailer);
  const bytes = target.slice(0, lengthBytes);
  return { bytes, lengthBytes, truncated: false, ttl: 255, source, destination, family };
}
