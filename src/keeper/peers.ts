/**
 * Whom an instance has heard of: each sender of advertisements for its VRID, accepted or refused,
 * with what it said last. Bounded: a flood of forged senders evicts the longest silent ones.
 * Nothing is allocated for a known sender.
 */
import type { AddressFamily } from '../core/config/config.ts';
import { formatIp } from '../core/ip.ts';
import { AddressListCheck } from '../core/vrrp/address-list.ts';
import type { Refusal, RefusalReason } from '../core/vrrp/types.ts';
import { equalBytes } from '../core/wire/bytes.ts';
import type { DecodedAdvertisement } from '../core/wire/vrrp.ts';
import { readHmacTrailer } from '../core/wire/vrrp-hmac.ts';
import type { PeerRecord } from './messages.ts';

/** More routers than any VRID has; few enough to search one by one. */
const PEERS_MAX = 16;

/** What is known of one sender. */
export interface Peer {
  readonly source: Uint8Array;
  accepted: DecodedAdvertisement | null;
  acceptedCount: number;
  acceptedAtUs: number;
  /** When it last advertised as active, that is with a priority above 0; 0 for never. */
  activeAtUs: number;
  refusal: Refusal | null;
  refusedAtUs: number;
  readonly refusedCounts: Partial<Record<RefusalReason, number>>;
  readonly addressList: AddressListCheck;
  lastHeardUs: number;
  /** Others were heard later, and took its place. */
  evicted: boolean;
}

export class Peers {
  readonly #family: AddressFamily;
  readonly #peers: Peer[] = [];

  constructor(family: AddressFamily) {
    this.#family = family;
  }

  /** Notes an accepted advertisement; returns what is known of its sender, for acceptAgain(). */
  accept(source: Uint8Array, advert: DecodedAdvertisement, atUs: number): Peer {
    const peer = this.#find(source, atUs);
    peer.accepted = advert;
    peer.acceptedCount++;
    peer.acceptedAtUs = atUs;
    if (advert.priority > 0) peer.activeAtUs = atUs;
    return peer;
  }

  /** The same advertisement, of a priority above 0, from a sender that is not evicted. */
  acceptAgain(peer: Peer, atUs: number): void {
    peer.acceptedCount++;
    peer.acceptedAtUs = atUs;
    peer.activeAtUs = atUs;
    peer.lastHeardUs = atUs;
  }

  refuse(source: Uint8Array, refusal: Refusal, atUs: number): void {
    const peer = this.#find(source, atUs);
    peer.refusal = refusal;
    peer.refusedAtUs = atUs;
    peer.refusedCounts[refusal.reason] = (peer.refusedCounts[refusal.reason] ?? 0) + 1;
  }

  /** What is different about the addresses that this sender lists, or null: address-list.ts. */
  mismatch(
    source: Uint8Array,
    advert: DecodedAdvertisement,
    own: readonly Uint8Array[],
    atUs: number,
  ): Refusal | null {
    return this.#find(source, atUs).addressList.check(advert, own);
  }

  /** All of them, the last heard first. */
  report(): readonly PeerRecord[] {
    return [...this.#peers]
      .sort((left, right) => right.lastHeardUs - left.lastHeardUs)
      .map((peer) => ({
        address: formatIp(peer.source, this.#family),
        lastHeardUs: peer.lastHeardUs,
        accepted:
          peer.accepted === null
            ? null
            : {
                count: peer.acceptedCount,
                atUs: peer.acceptedAtUs,
                activeAtUs: peer.activeAtUs === 0 ? null : peer.activeAtUs,
                version: peer.accepted.version,
                priority: peer.accepted.priority,
                advertIntervalUs: peer.accepted.advertIntervalUs,
                checksum: peer.accepted.checksum,
                hmacKey: hmacKeyOf(peer.accepted),
                addresses: peer.accepted.addresses,
              },
        refused:
          peer.refusal === null
            ? null
            : {
                counts: { ...peer.refusedCounts },
                atUs: peer.refusedAtUs,
                reason: peer.refusal.reason,
                detail: peer.refusal.detail,
              },
      }));
  }

  #find(source: Uint8Array, atUs: number): Peer {
    for (const peer of this.#peers) {
      if (!equalBytes(peer.source, source)) continue;
      peer.lastHeardUs = atUs;
      return peer;
    }
    if (this.#peers.length >= PEERS_MAX) this.#evict();
    const peer: Peer = {
      source: source.slice(),
      accepted: null,
      acceptedCount: 0,
      acceptedAtUs: 0,
      activeAtUs: 0,
      refusal: null,
      refusedAtUs: 0,
      refusedCounts: {},
      addressList: new AddressListCheck(),
      lastHeardUs: atUs,
      evicted: false,
    };
    this.#peers.push(peer);
    return peer;
  }

  #evict(): void {
    let oldest = 0;
    for (const [index, peer] of this.#peers.entries()) {
      if (peer.lastHeardUs < (this.#peers[oldest] as Peer).lastHeardUs) oldest = index;
    }
    for (const peer of this.#peers.splice(oldest, 1)) peer.evicted = true;
  }
}

/** By its trailer: one that was accepted with a trailer has a right one. */
function hmacKeyOf(advert: DecodedAdvertisement): number | null {
  return advert.trailerBytes === 0 ? null : readHmacTrailer(advert.message).keyId;
}
