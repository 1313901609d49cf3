/**
 * Notifications: reads what the kernel tells a netlink socket's groups, message by message, in
 * turns of bounded length. What was lost is told when the socket is empty: what is queued before
 * a loss is older than any listing after it.
 * Standard: include/uapi/linux/netlink.h.
 */
import * as libc from '../libc.ts';
import { EAGAIN, EINTR, ENOBUFS } from './error.ts';
import { MessageCursor } from './message.ts';

/** A notification is a few hundred bytes; one about a link with many parts is a few thousand. */
const NOTIFICATION_BYTES = 32_768;
/** Notifications that are read before the event loop goes on to others. */
const NOTIFICATIONS_PER_TURN_MAX = 256;

export interface NotificationHandlers {
  /** One message; false when it is damaged, which counts as a loss. */
  read(message: MessageCursor): boolean;
  /** Notifications were lost: list everything anew. */
  overrun(): void;
  /** Nothing waits any more: everything that the kernel has done so far was told. */
  drained?(): void;
}

export class Notifications {
  /** Since open; for metrics. */
  readonly statistics = { notifications: 0, overruns: 0 };
  readonly #handlers: NotificationHandlers;
  readonly #cursor = new MessageCursor(new Uint8Array(NOTIFICATION_BYTES));
  #poll: libc.PollHandle;
  #fd: number;
  #lost = false;
  #continuing = false;

  /** Handlers are called from the event loop and from readNow(), never from inside the constructor. */
  constructor(fd: number, handlers: NotificationHandlers) {
    this.#fd = fd;
    this.#handlers = handlers;
    this.#poll = libc.poll(fd, () => this.#readable());
  }

  /** -1 when closed. */
  get fd(): number {
    return this.#fd;
  }

  /** Idempotent; no callback comes after it. */
  close(): void {
    if (this.#fd === -1) return;
    this.#poll.close();
    libc.close(this.#fd);
    this.#fd = -1;
  }

  /** Reads what waits now, a turn's worth at most: handlers are called from inside. */
  readNow(): void {
    this.#readable();
  }

  #readable(): void {
    for (let count = 0; count < NOTIFICATIONS_PER_TURN_MAX; count++) {
      if (this.#fd === -1) return;
      const received = libc.recv(this.#fd, this.#cursor.bytes);
      if (received === -EINTR) continue;
      if (received === -ENOBUFS) {
        this.#lost = true;
        this.#watchAgain();
      } else if (received > NOTIFICATION_BYTES) {
        this.#lost = true;
      } else if (received >= 0) {
        this.#read(received);
      } else {
        if (received !== -EAGAIN) this.#lost = true;
        this.#reportLoss();
        this.#handlers.drained?.();
        return;
      }
    }
    this.#continueLater();
  }

  /** libuv stops watching a descriptor that has an error pending, as a socket after a loss has. */
  #watchAgain(): void {
    this.#poll.close();
    this.#poll = libc.poll(this.#fd, () => this.#readable());
  }

  /** The rest is read in another turn, whether or not the poll tells of it once more. */
  #continueLater(): void {
    if (this.#continuing) return;
    this.#continuing = true;
    setImmediate(() => {
      this.#continuing = false;
      this.#readable();
    });
  }

  /** Only when the socket is empty: what was queued before the loss is older than the listing. */
  #reportLoss(): void {
    if (!this.#lost) return;
    this.#lost = false;
    this.statistics.overruns++;
    this.#handlers.overrun();
  }

  #read(lengthBytes: number): void {
    const cursor = this.#cursor;
    cursor.start(lengthBytes);
    while (cursor.next()) {
      this.statistics.notifications++;
      if (!this.#lost && this.#fd !== -1) this.#lost = !this.#handlers.read(cursor);
    }
    if (cursor.error !== null) this.#lost = true;
  }
}
