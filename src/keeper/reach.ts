/**
 * Reach: whom one instance's advertisements go to, and whose are taken: a multicast group, or the
 * peers of a unicast instance without this director's own address. It holds the sender's socket,
 * which is opened anew whenever the source, the interface or the destinations change.
 *
 * A peer that cannot be sent to does not keep the others from being sent to.
 */
import type { IpText, VrrpConfig } from '../core/config/config.ts';
import { parseIp } from '../core/ip.ts';
import type { Refusal } from '../core/vrrp/types.ts';
import {
  ANY_TTL,
  findPeer,
  otherPeers,
  reachRefusal,
  type UnicastPeer,
} from '../core/vrrp/unicast.ts';
import {
  encodeAdvertisement,
  type OutgoingAdvertisement,
  retargetAdvertisement,
  type TrailerWriter,
  type TtlBounds,
} from '../core/wire/vrrp.ts';
import { errnoName } from '../linux/libc.ts';
import type { VrrpSender, VrrpSenderOptions } from '../linux/vrrp-socket.ts';
import type { UnicastStatus } from './messages.ts';
import type { Network } from './network.ts';

export type Sender = Pick<VrrpSender, 'send' | 'close'>;

/** What is sent but for where it goes. */
export type Message = Omit<OutgoingAdvertisement, 'source' | 'destination'>;

/** How many destinations took an advertisement, and how many did not. */
export interface SendOutcome {
  readonly sent: number;
  readonly failed: number;
}

const NOTHING_SENT: SendOutcome = { sent: 0, failed: 0 };
/** The usual outcome: to the group, or to the one peer. */
const SENT_ONCE: SendOutcome = { sent: 1, failed: 0 };

const NONE: ReadonlySet<IpText> = new Set();

export class Reach {
  #config: VrrpConfig;
  readonly #network: Network;
  readonly #openSocket: (options: VrrpSenderOptions) => Sender;
  #sender: Sender | null = null;
  #source: Uint8Array | null = null;
  #sourceText: IpText | null = null;
  /** What the socket was opened for. */
  #openedFor = '';
  /** Null for multicast. */
  #peers: readonly UnicastPeer[] | null = null;
  #destinations: readonly Uint8Array[] = [];
  /** Of each destination's last advertisement: 0, or the errno. */
  #errnos: Uint16Array = new Uint16Array(0);
  #delivered: SendOutcome = SENT_ONCE;
  /** What the buffer holds, ready to be sent again; null when it is to be encoded. */
  #readyFor: Message | null = null;
  #readyBytes = 0;

  /** `openSocket` throws SystemError, as VrrpSender does. */
  constructor(
    config: VrrpConfig,
    network: Network,
    openSocket: (options: VrrpSenderOptions) => Sender,
  ) {
    this.#config = config;
    this.#network = network;
    this.#openSocket = openSocket;
  }

  set config(config: VrrpConfig) {
    this.#config = config;
  }

  /** Address that advertisements come from; null while there is none. */
  get source(): Uint8Array | null {
    return this.#source;
  }

  get sourceText(): IpText | null {
    return this.#sourceText;
  }

  /** True for a unicast instance that has no other director to speak to. */
  get hasNoPeer(): boolean {
    return this.#peers !== null && this.#peers.length === 0;
  }

  /** True when it has peers now, and would have none with this configuration. */
  losesPeers({ unicast }: VrrpConfig): boolean {
    if (unicast === null || this.#peers === null || this.#peers.length === 0) return false;
    return (
      otherPeers(unicast.peers, (address) => this.#isOwn(address, this.#sourceText)).length === 0
    );
  }

  #isOwn(address: IpText, sourceText: IpText | null): boolean {
    return address === sourceText || this.#network.ownsAddress(this.#config.interface, address);
  }

  /**
   * The address to send from now, or null when the interface has none. The addresses of an owner
   * are its interface's own, and maybe all that it has (RFC 9568 section 6.1).
   */
  findSource(vips: ReadonlySet<IpText>): IpText | null {
    const found = this.#sourceWithout(vips);
    return found === null && this.#config.priority === 255 ? this.#sourceWithout(NONE) : found;
  }

  #sourceWithout(vips: ReadonlySet<IpText>): IpText | null {
    const { interface: interfaceName, family, sourceAddress, unicast } = this.#config;
    if (sourceAddress !== null) {
      return this.#network.ownsAddress(interfaceName, sourceAddress) ? sourceAddress : null;
    }
    if (unicast !== null && unicast.peers.length > 0) {
      const peers = unicast.peers.map(({ address }) => address);
      return this.#network.unicastSource(interfaceName, peers, vips);
    }
    return this.#network.sourceAddress(interfaceName, family, vips);
  }

  /**
   * Sees to it that the socket sends from this address of this interface, to the destinations of
   * now. Throws SystemError; there is no source then.
   */
  open(sourceText: IpText, interfaceIndex: number): void {
    const { interface: interfaceName, family, unicast, multicastGroup } = this.#config;
    const peers =
      unicast === null
        ? null
        : otherPeers(unicast.peers, (address) => this.#isOwn(address, sourceText));
    const texts = peers === null ? [multicastGroup] : peers.map(({ text }) => text);
    const key = [interfaceIndex, sourceText, unicast?.ttl ?? '', ...texts].join(' ');
    // The bounds may have changed alone.
    this.#peers = peers;
    if (key === this.#openedFor) return;
    this.close();
    const sourceAddress = parseIp(sourceText) as Uint8Array;
    const destinations = texts.map((text) => parseIp(text) as Uint8Array);
    this.#sender = this.#openSocket({
      interfaceName,
      interfaceIndex,
      family,
      sourceAddress,
      destinations,
      ...(unicast === null ? {} : { unicastTtl: unicast.ttl }),
    });
    this.#destinations = destinations;
    this.#errnos = new Uint16Array(destinations.length);
    this.#source = sourceAddress;
    this.#sourceText = sourceText;
    this.#openedFor = key;
  }

  close(): void {
    this.#sender?.close();
    this.#sender = null;
    this.#source = null;
    this.#sourceText = null;
    this.#openedFor = '';
    this.#readyFor = null;
  }

  /** Encodes an advertisement without a trailer that send() is going to be given. */
  prepare(buffer: Uint8Array, message: Message): void {
    const [destination] = this.#destinations;
    if (this.#source === null || destination === undefined) return;
    this.#encode(buffer, message, null, destination);
  }

  /** Length of the advertisement in the buffer, which is encoded unless it is there already. */
  #encode(
    buffer: Uint8Array,
    message: Message,
    trailer: TrailerWriter | null,
    destination: Uint8Array,
  ): number {
    if (trailer === null && this.#readyFor !== null && sameMessage(this.#readyFor, message)) {
      return this.#readyBytes;
    }
    const source = this.#source as Uint8Array;
    this.#readyBytes = encodeAdvertisement(buffer, { ...message, source, destination }, trailer);
    // Beyond one destination the buffer ends up with another one's checksum.
    this.#readyFor = trailer === null && this.#destinations.length === 1 ? message : null;
    return this.#readyBytes;
  }

  /**
   * Encodes an advertisement into `buffer`, always the same one, and sends it to every
   * destination; null when there is no socket. Beside the first encoding it allocates nothing.
   */
  send(buffer: Uint8Array, message: Message, trailer: TrailerWriter | null): SendOutcome | null {
    const sender = this.#sender;
    if (sender === null || this.#source === null) return null;
    const destinations = this.#destinations;
    let previous = destinations[0];
    if (previous === undefined) return NOTHING_SENT;
    const lengthBytes = this.#encode(buffer, message, trailer, previous);
    let failed = 0;
    for (let index = 0; index < destinations.length; index++) {
      const destination = destinations[index] as Uint8Array;
      if (index > 0) retargetAdvertisement(buffer, message, previous, destination);
      previous = destination;
      const result = sender.send(buffer, lengthBytes, index);
      this.#errnos[index] = result < 0 ? -result : 0;
      if (result < 0) failed++;
    }
    return this.#outcome(destinations.length - failed, failed);
  }

  #outcome(sent: number, failed: number): SendOutcome {
    const before = this.#delivered;
    if (before.sent !== sent || before.failed !== failed) this.#delivered = { sent, failed };
    return this.#delivered;
  }

  /** Which TTLs are taken of what this sender sends to this director alone. */
  ttlBounds(source: Uint8Array): TtlBounds {
    return this.#peers === null ? ANY_TTL : (findPeer(this.#peers, source) ?? ANY_TTL);
  }

  /** Why an advertisement from there, to the group or to this director alone, is not taken. */
  refusal(source: Uint8Array, toGroup: boolean): Refusal | null {
    const ownAddress = this.#source;
    if (ownAddress === null) return null;
    const checkSource = this.#config.unicast?.checkSource ?? false;
    return reachRefusal({ peers: this.#peers, checkSource, ownAddress }, source, toGroup);
  }

  /** What the status says of it; null for multicast. */
  get unicast(): UnicastStatus | null {
    const { unicast } = this.#config;
    if (unicast === null) return null;
    const others = this.#peers ?? [];
    return {
      ttl: unicast.ttl,
      checkSource: unicast.checkSource,
      peers: unicast.peers.map(({ address, minTtl, maxTtl }) => {
        const index = others.findIndex(({ text }) => text === address);
        const errno = index < 0 ? 0 : (this.#errnos[index] ?? 0);
        return {
          address,
          minTtl,
          maxTtl,
          self: this.#peers !== null && index < 0,
          sendError: errno === 0 ? null : errnoName(errno),
        };
      }),
    };
  }
}

function sameMessage(left: Message, right: Message): boolean {
  if (left === right) return true;
  return (
    left.priority === right.priority &&
    left.advertIntervalUs === right.advertIntervalUs &&
    left.checksum === right.checksum &&
    left.addresses === right.addresses &&
    left.password === right.password &&
    left.version === right.version &&
    left.vrid === right.vrid &&
    left.family === right.family
  );
}
