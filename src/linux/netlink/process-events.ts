/**
 * The kernel's process connector: a message for every process that begins, runs another program,
 * changes its name or ends. It speaks only to sockets of the initial network, user and process
 * namespaces; elsewhere nothing answers, and the caller must look at /proc instead.
 * Invariants: nothing is told before the kernel has confirmed; lost messages are told as lost.
 * Standard: include/uapi/linux/connector.h, include/uapi/linux/cn_proc.h.
 */
import { err, ok, type Result } from '../../core/result.ts';
import * as libc from '../libc.ts';
import { encodeSockaddrNl, HOST_LITTLE_ENDIAN } from '../sockaddr.ts';
import { EAGAIN, EINTR, ENOBUFS, ETIMEDOUT, type NetlinkError, netlinkError } from './error.ts';
import { MessageCursor, messageSpace, NLMSG_DONE, putMessage } from './message.ts';
import { openNetlink } from './socket.ts';

/** include/uapi/linux/netlink.h */
const NETLINK_CONNECTOR = 11;
/** include/uapi/linux/connector.h */
const CN_IDX_PROC = 0x1;
const CN_VAL_PROC = 0x1;
/** struct cn_msg: idx, val, seq, ack (32 bits each), len, flags (16 bits each). */
const CN_MSG_BYTES = 20;
/** include/uapi/linux/cn_proc.h: enum proc_cn_mcast_op */
const PROC_CN_MCAST_LISTEN = 1;
const PROC_CN_MCAST_IGNORE = 2;
/** enum proc_cn_event (before Linux 6.6: enum what of struct proc_event) */
const PROC_EVENT_NONE = 0x0000_0000;
const PROC_EVENT_FORK = 0x0000_0001;
const PROC_EVENT_EXEC = 0x0000_0002;
const PROC_EVENT_COMM = 0x0000_0200;
const PROC_EVENT_EXIT = 0x8000_0000;
/** struct proc_event: what, cpu (32 bits each), timestamp_ns (64 bits), then the union. */
const EVENT_DATA_OFFSET = 16;

/** Larger than any message of the connector: cn_msg and struct proc_event are some 60 bytes. */
const RECEIVE_BYTES = 4_096;
/** A machine that starts a thousand programs in one turn of ours loses nothing. */
const RECEIVE_BUFFER_BYTES = 1_048_576;
/** Then others have their turn: a storm of forks must not hold up checks. */
const MESSAGES_PER_TURN = 512;
/** The kernel confirms inside the send. */
const CONFIRMATION_TIMEOUT_MS = 50;

export type ProcessEvent =
  | { readonly kind: 'confirmed'; readonly errno: number }
  | { readonly kind: 'forked'; readonly parent: number; readonly pid: number }
  /** It runs another program, or has another name. */
  | { readonly kind: 'changed'; readonly pid: number }
  | { readonly kind: 'ended'; readonly pid: number };

/**
 * One struct cn_msg in bytes [start, end). Null for what is none of these events of a whole
 * process (threads, other kinds); an error when it is too short for what it says it is.
 */
export function decodeProcessEvent(
  bytes: Uint8Array,
  start: number,
  end: number,
): Result<ProcessEvent | null, 'truncated'> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const u32 = (offset: number): number => view.getUint32(start + offset, HOST_LITTLE_ENDIAN);
  const lengthBytes = Math.min(end, bytes.length) - start;
  if (lengthBytes < CN_MSG_BYTES) return err('truncated');
  if (u32(0) !== CN_IDX_PROC || u32(4) !== CN_VAL_PROC) return ok(null);
  const data = CN_MSG_BYTES + EVENT_DATA_OFFSET;
  if (lengthBytes < CN_MSG_BYTES + 4) return err('truncated');
  const what = u32(CN_MSG_BYTES);
  const words = what === PROC_EVENT_NONE ? 1 : what === PROC_EVENT_FORK ? 4 : 2;
  if (lengthBytes < data + 4 * words) return err('truncated');
  const first = u32(data);
  const second = words === 1 ? 0 : u32(data + 4);
  switch (what) {
    case PROC_EVENT_NONE:
      return ok({ kind: 'confirmed', errno: first });
    case PROC_EVENT_FORK: {
      const pid = u32(data + 8);
      return ok(pid === u32(data + 12) ? { kind: 'forked', parent: second, pid } : null);
    }
    case PROC_EVENT_EXEC:
      return ok({ kind: 'changed', pid: second });
    case PROC_EVENT_COMM:
      return ok(first === second ? { kind: 'changed', pid: second } : null);
    case PROC_EVENT_EXIT:
      return ok(first === second ? { kind: 'ended', pid: second } : null);
    default:
      return ok(null);
  }
}

/** The message that turns the events of this socket on or off, with its netlink header. */
export function encodeListen(listen: boolean): Uint8Array {
  const payload = new Uint8Array(CN_MSG_BYTES + 4);
  const view = new DataView(payload.buffer);
  view.setUint32(0, CN_IDX_PROC, HOST_LITTLE_ENDIAN);
  view.setUint32(4, CN_VAL_PROC, HOST_LITTLE_ENDIAN);
  view.setUint16(16, 4, HOST_LITTLE_ENDIAN);
  const operation = listen ? PROC_CN_MCAST_LISTEN : PROC_CN_MCAST_IGNORE;
  view.setUint32(CN_MSG_BYTES, operation, HOST_LITTLE_ENDIAN);
  const message = new Uint8Array(messageSpace(payload.length));
  putMessage(message, 0, { type: NLMSG_DONE, flags: 0, sequence: 0, portId: 0 }, payload);
  return message;
}

export interface ProcessEventHandlers {
  readonly onEvent: (event: Exclude<ProcessEvent, { kind: 'confirmed' }>) => void;
  /** Some were lost: what was known must be looked at again. */
  readonly onLost: () => void;
}

export class ProcessEvents {
  readonly #fd: number;
  readonly #handlers: ProcessEventHandlers;
  readonly #cursor = new MessageCursor(new Uint8Array(RECEIVE_BYTES));
  #poll: libc.PollHandle | null = null;
  #closed = false;

  private constructor(fd: number, handlers: ProcessEventHandlers) {
    this.#fd = fd;
    this.#handlers = handlers;
  }

  /**
   * Listens from now on. Fails where the connector does not answer: outside of the initial
   * namespaces, without CAP_NET_ADMIN, or in a kernel without CONFIG_PROC_EVENTS.
   */
  static open(handlers: ProcessEventHandlers): Result<ProcessEvents, NetlinkError> {
    const options = { groups: CN_IDX_PROC, receiveBufferBytes: RECEIVE_BUFFER_BYTES };
    const opened = openNetlink(NETLINK_CONNECTOR, options);
    if (!opened.ok) return opened;
    const events = new ProcessEvents(opened.value.fd, handlers);
    const errno = events.#subscribe();
    if (errno !== 0) {
      events.close();
      return err(netlinkError(errno, null, 'PROC_CN_MCAST_LISTEN'));
    }
    events.#poll = libc.poll(opened.value.fd, () => events.#readable());
    return ok(events);
  }

  /** May be called again. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poll?.close();
    this.#send(false);
    libc.close(this.#fd);
  }

  /** 0 when the kernel has confirmed, else why not. */
  #subscribe(): number {
    const errno = this.#send(true);
    if (errno !== 0) return errno;
    for (let waits = 0; waits < MESSAGES_PER_TURN; waits++) {
      if (!libc.pollReadable(this.#fd, CONFIRMATION_TIMEOUT_MS)) return ETIMEDOUT;
      let confirmed: number | null = null;
      const received = this.#receive((event) => {
        if (event.kind === 'confirmed') confirmed = event.errno;
      });
      if (confirmed !== null) return confirmed;
      if (received < 0 && received !== -EAGAIN && received !== -EINTR && received !== -ENOBUFS) {
        return -received;
      }
    }
    return ETIMEDOUT;
  }

  #send(listen: boolean): number {
    const message = encodeListen(listen);
    const sent = libc.sendto(this.#fd, message, message.length, encodeSockaddrNl(0, 0));
    return sent < 0 ? -sent : 0;
  }

  #readable(): void {
    for (let count = 0; count < MESSAGES_PER_TURN && !this.#closed; count++) {
      const received = this.#receive((event) => {
        if (event.kind !== 'confirmed') this.#handlers.onEvent(event);
      });
      if (received === -ENOBUFS) this.#handlers.onLost();
      else if (received < 0 && received !== -EINTR) return;
    }
  }

  /** One datagram; the bytes received or -errno. */
  #receive(onEvent: (event: ProcessEvent) => void): number {
    const cursor = this.#cursor;
    const received = libc.recv(this.#fd, cursor.bytes);
    if (received < 0) return received;
    cursor.start(received);
    while (cursor.next()) {
      const event = decodeProcessEvent(cursor.bytes, cursor.payloadStart, cursor.payloadEnd);
      if (event.ok && event.value !== null) onEvent(event.value);
    }
    return received;
  }
}
