/**
 * LinkSender: sends complete Ethernet frames (gratuitous ARP, unsolicited NA) out of one
 * interface. Its protocol is 0, so the kernel never queues a received frame on it (packet(7)).
 */
import { AF_PACKET, SOCK_RAW } from './constants.ts';
import { closeAside, sendto, socket } from './libc.ts';
import { encodeSockaddrLl } from './sockaddr.ts';

export class LinkSender {
  readonly #fd: number;
  readonly #destination: Uint8Array;
  #closed = false;

  /**
   * For the interface of that index in the thread's network namespace. Throws SystemError
   * (EPERM without CAP_NET_RAW); a missing interface shows when sending, as -ENXIO.
   */
  constructor(interfaceIndex: number) {
    this.#fd = socket(AF_PACKET, SOCK_RAW, 0);
    const noAddress = new Uint8Array(0);
    this.#destination = encodeSockaddrLl({ protocol: 0, interfaceIndex, address: noAddress });
  }

  /**
   * Sends the first `lengthBytes` of `frame`, which starts with the Ethernet header. Returns the
   * bytes sent or -errno. Never throws, allocates nothing.
   */
  send(frame: Uint8Array, lengthBytes: number): number {
    return sendto(this.#fd, frame, lengthBytes, this.#destination);
  }

  /** May be called again. The kernel has the socket for some milliseconds more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeAside(this.#fd);
  }
}
