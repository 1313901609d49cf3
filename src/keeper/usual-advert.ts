/**
 * The advertisement that an instance hears all the time: a packet that is byte for byte the one
 * accepted last, from the same sender in the same way, needs neither to be decoded nor judged anew.
 * For as long as what it was judged by stays the same; its holder sees to that.
 */
import { equalBytes } from '../core/wire/bytes.ts';
import type { DecodedAdvertisement } from '../core/wire/vrrp.ts';
import type { ReceivedAdvert } from '../linux/vrrp-socket.ts';
import type { Peer } from './peers.ts';

export class UsualAdvert {
  readonly decoded: DecodedAdvertisement;
  readonly peer: Peer;
  readonly #toGroup: boolean;
  readonly #ttl: number;
  readonly #source: Uint8Array;
  readonly #destination: Uint8Array;

  /** `decoded` is what was in `packet`, the whole of it. */
  constructor(packet: ReceivedAdvert, toGroup: boolean, decoded: DecodedAdvertisement, peer: Peer) {
    this.decoded = decoded;
    this.peer = peer;
    this.#toGroup = toGroup;
    this.#ttl = packet.ttl;
    this.#source = packet.source.slice();
    this.#destination = packet.destination.slice();
  }

  /** Whether this packet says the same in the same way. */
  matches(packet: ReceivedAdvert, toGroup: boolean): boolean {
    const { message } = this.decoded;
    if (packet.lengthBytes !== message.length || packet.truncated) return false;
    if (packet.ttl !== this.#ttl || toGroup !== this.#toGroup || this.peer.evicted) return false;
    const { payload } = packet;
    for (let index = 0; index < message.length; index++) {
      if (payload[index] !== message[index]) return false;
    }
    return (
      equalBytes(packet.source, this.#source) && equalBytes(packet.destination, this.#destination)
    );
  }
}
