/**
 * Compares the addresses that an advertisement lists with this director's (RFC 9568 section 7.1).
 * The order does not matter. A sender's list is compared once and again when it, or ours, has
 * changed; between two advertisements with the same list nothing is allocated.
 */
import { formatIp } from '../ip.ts';
import { ADDRESSES_OFFSET, bytesPerAddress, type DecodedAdvertisement } from '../wire/vrrp.ts';
import type { Refusal } from './types.ts';

/** What is kept of one sender. */
export class AddressListCheck {
  #compared: DecodedAdvertisement | null = null;
  #own: readonly Uint8Array[] | null = null;
  #mismatch: Refusal | null = null;

  /**
   * Null when both list the same addresses, else what differs: the same object for as long as
   * the lists stay. `own` is in network order, of the advertisement's family; another array
   * means that it has changed.
   */
  check(advert: DecodedAdvertisement, own: readonly Uint8Array[]): Refusal | null {
    const known = this.#compared !== null && this.#own === own;
    if (known && sameList(this.#compared as DecodedAdvertisement, advert)) return this.#mismatch;
    this.#compared = advert;
    this.#own = own;
    this.#mismatch = isSameSet(advert, own) ? null : mismatch(advert, own);
    return this.#mismatch;
  }
}

/** Byte for byte: the same addresses in the same order. */
function sameList(left: DecodedAdvertisement, right: DecodedAdvertisement): boolean {
  if (left.addressCount !== right.addressCount) return false;
  const endsAt = ADDRESSES_OFFSET + left.addressCount * bytesPerAddress(left.family);
  for (let offset = ADDRESSES_OFFSET; offset < endsAt; offset++) {
    if (left.message[offset] !== right.message[offset]) return false;
  }
  return true;
}

function isSameSet(advert: DecodedAdvertisement, own: readonly Uint8Array[]): boolean {
  const step = bytesPerAddress(advert.family);
  for (const address of own) if (!lists(advert, address)) return false;
  for (let index = 0; index < advert.addressCount; index++) {
    const offset = ADDRESSES_OFFSET + index * step;
    if (!own.some((address) => isAt(advert.message, offset, address))) return false;
  }
  return true;
}

function lists(advert: DecodedAdvertisement, address: Uint8Array): boolean {
  for (let index = 0; index < advert.addressCount; index++) {
    const offset = ADDRESSES_OFFSET + index * bytesPerAddress(advert.family);
    if (isAt(advert.message, offset, address)) return true;
  }
  return false;
}

function isAt(bytes: Uint8Array, offset: number, address: Uint8Array): boolean {
  for (let index = 0; index < address.length; index++) {
    if (bytes[offset + index] !== address[index]) return false;
  }
  return true;
}

function mismatch(advert: DecodedAdvertisement, own: readonly Uint8Array[]): Refusal {
  const found = advert.addresses.join(' ') || 'none';
  const expected = own.map((address) => formatIp(address, advert.family)).join(' ') || 'none';
  return { reason: 'addresses-mismatch', detail: `It lists ${found}; expected ${expected}` };
}
