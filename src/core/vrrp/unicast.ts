/**
 * Unicast VRRP: advertisements go to each peer alone, where multicast does not reach (clouds,
 * routed networks). Who the peers are, and what that demands of received advertisements: the
 * refusals 'not-multicast', 'not-unicast' and 'not-a-peer' of REFUSAL_REASONS. RFC 9568 knows no
 * unicast; this matches keepalived, whose checksums and HMAC are those of the packet as it is sent.
 */
import { assert } from '../assert.ts';
import type { PeerConfig } from '../config/config.ts';
import { parseIp } from '../ip.ts';
import { equalBytes } from '../wire/bytes.ts';
import type { TtlBounds } from '../wire/vrrp.ts';
import type { Refusal } from './types.ts';

/** A peer ready for use. */
export interface UnicastPeer extends TtlBounds {
  /** 4 or 16 bytes, network order. */
  readonly address: Uint8Array;
  readonly text: string;
}

/** Of a sender that is no peer: whether it may be heard is a question of its own. */
export const ANY_TTL: TtlBounds = { minTtl: 0, maxTtl: 255 };

/** The peers that are other directors: `isOwn` says which addresses are this one's. */
export function otherPeers(
  peers: readonly PeerConfig[],
  isOwn: (address: string) => boolean,
): readonly UnicastPeer[] {
  return peers
    .filter(({ address }) => !isOwn(address))
    .map(({ address: text, minTtl, maxTtl }) => {
      const address = parseIp(text);
      assert(address !== null, 'a peer is an IP address');
      return { address, text, minTtl, maxTtl };
    });
}

/** The peer with this address (network order), or null. */
export function findPeer(peers: readonly UnicastPeer[], source: Uint8Array): UnicastPeer | null {
  for (const peer of peers) {
    if (equalBytes(peer.address, source)) return peer;
  }
  return null;
}

/** How an instance is reached, and from where. */
export interface Reach {
  /** Null for multicast. */
  readonly peers: readonly UnicastPeer[] | null;
  readonly checkSource: boolean;
  /** Source of its own advertisements. */
  readonly ownAddress: Uint8Array;
}

/**
 * Why an advertisement from `source` that was sent to the multicast group (`toGroup`), or to this
 * director alone, is refused; null when it is not. One from the instance's own address is left to
 * acceptAdvertisement, which has a better word for it.
 */
export function reachRefusal(reach: Reach, source: Uint8Array, toGroup: boolean): Refusal | null {
  const { peers, checkSource, ownAddress } = reach;
  if (peers === null) {
    if (toGroup) return null;
    return {
      reason: 'not-multicast',
      detail: 'Sent to this director alone; this instance uses multicast',
    };
  }
  if (toGroup) {
    return {
      reason: 'not-unicast',
      detail: 'Sent to the multicast group; this instance uses unicast',
    };
  }
  if (!checkSource || findPeer(peers, source) !== null) return null;
  if (equalBytes(source, ownAddress)) return null;
  const expected = peers.map(({ text }) => text).join(', ') || 'nobody';
  return { reason: 'not-a-peer', detail: `From none of the peers; expected ${expected}` };
}
