/**
 * Senders that instances share: all that send on one interface from one address use one socket.
 * For each packet of VRRP that arrives the kernel looks at every raw socket of that protocol, so
 * a socket for each of a thousand instances costs everybody far more than the packets do.
 */
import { VrrpFrameSender, type VrrpFrameSenderOptions } from '../linux/frame-sender.ts';
import { VrrpSender, type VrrpSenderOptions } from '../linux/vrrp-socket.ts';
import type { Sender } from './reach.ts';

type AnySenderOptions = VrrpSenderOptions | VrrpFrameSenderOptions;

function openSender(options: AnySenderOptions): Sender {
  return 'sourceMac' in options ? new VrrpFrameSender(options) : new VrrpSender(options);
}

interface Shared {
  readonly sender: Sender;
  users: number;
}

export class Senders {
  readonly #open: (options: AnySenderOptions) => Sender;
  readonly #shared = new Map<string, Shared>();

  /** `open` makes a socket; it may throw SystemError. */
  constructor(open: (options: AnySenderOptions) => Sender = openSender) {
    this.#open = open;
  }

  /** Sockets that are open. */
  get size(): number {
    return this.#shared.size;
  }

  /** A sender of the caller's own, to be closed once; its socket may be others' too. */
  open(options: AnySenderOptions): Sender {
    // Whatever makes sockets different, now or later, is one of the options.
    const key = JSON.stringify(options, (_, value) =>
      value instanceof Uint8Array ? value.join(' ') : value,
    );
    const shared = this.#shared.get(key) ?? { sender: this.#open(options), users: 0 };
    shared.users++;
    this.#shared.set(key, shared);
    let closed = false;
    return {
      send: (message, lengthBytes, index) => shared.sender.send(message, lengthBytes, index),
      close: () => {
        if (closed) return;
        closed = true;
        if (--shared.users > 0) return;
        shared.sender.close();
        this.#shared.delete(key);
      },
    };
  }
}
