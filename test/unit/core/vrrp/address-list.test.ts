/** The address list check: what is a mismatch, and that a known list is not looked at again. */
import { describe, expect, test } from 'vitest';
import { parseIp } from '../../../../src/core/ip.ts';
import { AddressListCheck } from '../../../../src/core/vrrp/address-list.ts';
import {
  type DecodedAdvertisement,
  decodeAdvertisement,
  encodeAdvertisement,
  MAX_ADVERTISEMENT_BYTES,
  VRRP_GROUP_IPV4,
  VRRP_GROUP_IPV6,
} from '../../../../src/core/wire/vrrp.ts';

const bytes = (address: string): Uint8Array => parseIp(address) as Uint8Array;

function advert(addresses: readonly string[], priority = 100): DecodedAdvertisement {
  const family = addresses[0]?.includes(':') === true ? 'ipv6' : 'ipv4';
  const destination = family === 'ipv4' ? VRRP_GROUP_IPV4 : VRRP_GROUP_IPV6;
  const source = bytes(family === 'ipv4' ? '192.0.2.2' : 'fe80::2');
  const target = new Uint8Array(MAX_ADVERTISEMENT_BYTES);
  const lengthBytes = encodeAdvertisement(target, {
    ...{ version: 3, family, vrid: 1, priority, advertIntervalUs: 1_000_000 },
    addresses: addresses.map(bytes),
    ...{ checksum: 'pseudo-header', password: null, source, destination },
  });
  const packet = { bytes: target, lengthBytes, truncated: false, ttl: 255 };
  const decoded = decodeAdvertisement({ ...packet, source, destination, family });
  if (!decoded.ok) throw new Error(decoded.error.detail);
  return decoded.value;
}

const OWN = ['192.0.2.10', '192.0.2.11'].map(bytes);

describe('AddressListCheck', () => {
  test('the same addresses in any order are no mismatch', () => {
    const check = new AddressListCheck();
    expect(check.check(advert(['192.0.2.10', '192.0.2.11']), OWN)).toBe(null);
    expect(check.check(advert(['192.0.2.11', '192.0.2.10']), OWN)).toBe(null);
    const twice = advert(['192.0.2.10', '192.0.2.11', '192.0.2.10']);
    expect(check.check(twice, OWN)).toBe(null);
    const six = ['fe80::9', '2001:db8::9'];
    expect(new AddressListCheck().check(advert(six), six.map(bytes))).toBe(null);
  });

  test.each([
    ['lacks one', ['192.0.2.10']],
    ['has one besides', ['192.0.2.10', '192.0.2.11', '192.0.2.12']],
    ['has another', ['192.0.2.10', '192.0.2.12']],
  ])('one that %s is a mismatch, with both lists', (_, addresses) => {
    expect(new AddressListCheck().check(advert(addresses), OWN)).toEqual({
      reason: 'addresses-mismatch',
      detail: `It lists ${addresses.join(' ')}; expected 192.0.2.10 192.0.2.11`,
    });
  });

  test('a list that stays is not looked at again, whatever else changes', () => {
    const check = new AddressListCheck();
    const first = check.check(advert(['192.0.2.12']), OWN);
    expect(first).not.toBe(null);
    expect(check.check(advert(['192.0.2.12'], 0), OWN)).toBe(first);
  });

  test('a list that changes is, and so is every list when ours changes', () => {
    const check = new AddressListCheck();
    expect(check.check(advert(['192.0.2.12']), OWN)).not.toBe(null);
    expect(check.check(advert(['192.0.2.10', '192.0.2.11']), OWN)).toBe(null);
    expect(check.check(advert(['192.0.2.10', '192.0.2.11']), [bytes('192.0.2.10')])).not.toBe(null);
  });
});
