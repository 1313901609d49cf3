/**
 * One persistent netlink socket for requests. The kernel answers inside the send, so a request
 * and its answers fit into one turn of the event loop; waiting is the exception, and bounded.
 * Invariants: a message of another sequence number is dropped and counted; no more requests are
 * under way than their acknowledgements have room in the receive buffer; a lost answer (ENOBUFS)
 * is an outcome that asks the caller to resynchronise, and never more than that.
 * Standard: include/uapi/linux/netlink.h; RFC 3549 section 2.
 */
import { assert } from '../../core/assert.ts';
import { err, ok, type Result } from '../../core/result.ts';
import {
  AF_NETLINK,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SOCK_RAW,
  SOL_NETLINK,
  SOL_SOCKET,
} from '../constants.ts';
import * as libc from '../libc.ts';
import { encodeSockaddrNl, HOST_LITTLE_ENDIAN } from '../sockaddr.ts';
import { TURNS } from '../turns.ts';
import { AttributeWriter } from './attributes.ts';
import {
  EAGAIN,
  EBADMSG,
  EBUSY,
  EINTR,
  EMSGSIZE,
  ENOBUFS,
  ETIMEDOUT,
  type NetlinkError,
  netlinkError,
} from './error.ts';
import {
  beginMessage,
  endMessage,
  MessageCursor,
  messageSpace,
  type NetlinkOutcome,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  putMessage,
  SUCCESS,
  setMessageFlags,
} from './message.ts';

/** include/uapi/linux/netlink.h */
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;

/** The most of one send: it stays well below the smallest default of SO_SNDBUF (208 KiB). */
const SEND_BYTES_MAX = 65_536;
/** Room for one more message in a send: those that are written straight into it are short. */
const WRITTEN_BYTES_MAX = 2_048;
/** The kernel fills at most 32 KiB of a dump at a time; a single record may need more. */
const RECEIVE_BYTES = 65_536;
/** Room for a thousand acknowledgements: the kernel doubles the number for its own bookkeeping. */
const RECEIVE_BUFFER_BYTES_DEFAULT = 1_048_576;
/** What an acknowledgement with extended text is charged for in the receive buffer, at most. */
const ACK_CHARGE_BYTES = 2_048;
/** The answer is there when the send returns; this only ends the wait for one that is not. */
const REPLY_TIMEOUT_MS = 500;
/** A signal ends a wait early; so many of them end the waiting. */
const REPLY_WAITS_MAX = 8;
/** A table that changes during each of so many dumps is not going to hold still. */
const DUMP_ATTEMPTS_MAX = 5;
/** Above any table that one director has; it keeps a runaway dump from taking all memory. */
export const DUMP_RECORDS_MAX = 1_000_000;
/** Asynchronous operations that wait for their turn. */
const QUEUE_MAX = 1_024;

export interface NetlinkRequest {
  readonly type: number;
  /** NLM_F_REQUEST and NLM_F_ACK or NLM_F_DUMP are added as the operation needs them. */
  readonly flags: number;
  /** Fixed header and attributes; not kept after the operation. */
  readonly payload: Uint8Array;
}

export interface DumpRequest extends NetlinkRequest {
  /** Names the dump in errors: 'RTM_GETADDR'. */
  readonly call: string;
}

/** Requests of one type that are written straight into the send buffer. */
export interface WrittenRequests {
  readonly type: number;
  /** As of NetlinkRequest; none by default. */
  readonly flags?: number;
  readonly count: number;
  /** Appends fixed header and attributes of request `index`, WRITTEN_BYTES_MAX at most. */
  readonly write: (writer: AttributeWriter, index: number) => void;
}

/**
 * Reads one message of a dump and appends what it holds to `records`, or nothing when it is none
 * of ours; false when the message is damaged: the dump then fails as EBADMSG.
 */
export type RecordDecoder<T> = (message: MessageCursor, records: T[]) => boolean;

export interface NetlinkOpenOptions {
  /** Multicast groups as a bit mask (RTMGRP_*). */
  readonly groups?: number;
  readonly receiveBufferBytes?: number;
}

export interface OpenedNetlink {
  readonly fd: number;
  /** The kernel's name for this socket: nlmsg_pid of answers, and of notifications it caused. */
  readonly portId: number;
  /** As the kernel counts it, twice of what was asked for. */
  readonly receiveBufferBytes: number;
}

/** A bound, non-blocking netlink socket with short acknowledgements and extended error text. */
export function openNetlink(
  protocol: number,
  options: NetlinkOpenOptions = {},
): Result<OpenedNetlink, NetlinkError> {
  let fd = -1;
  try {
    fd = libc.socket(AF_NETLINK, SOCK_RAW, protocol);
    libc.setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
    libc.setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
    setReceiveBuffer(fd, options.receiveBufferBytes ?? RECEIVE_BUFFER_BYTES_DEFAULT);
    libc.bind(fd, encodeSockaddrNl(0, options.groups ?? 0));
    const bound = libc.getsockname(fd);
    const boundView = new DataView(bound.buffer, bound.byteOffset, bound.byteLength);
    const portId = boundView.getUint32(4, HOST_LITTLE_ENDIAN);
    const receiveBufferBytes = libc.getsockoptInt(fd, SOL_SOCKET, SO_RCVBUF);
    return ok({ fd, portId, receiveBufferBytes });
  } catch (error) {
    if (fd !== -1) libc.close(fd);
    if (!(error instanceof libc.SystemError)) throw error;
    return err(netlinkError(error.errno, null, error.call));
  }
}

/** Above net.core.rmem_max where CAP_NET_ADMIN allows it, else up to it. */
function setReceiveBuffer(fd: number, bytes: number): void {
  try {
    libc.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes);
  } catch (error) {
    if (!(error instanceof libc.SystemError)) throw error;
    libc.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, bytes);
  }
}

/** An operation in steps: between two of them the asynchronous variants let others run. */
type Steps<T> = Generator<void, T, void>;

export class NetlinkSocket {
  readonly portId: number;
  /** Since open; for metrics. */
  readonly statistics = { overruns: 0, staleMessages: 0, truncated: 0, dumpRetries: 0 };
  readonly #batchMax: number;
  readonly #sendBuffer = new Uint8Array(SEND_BYTES_MAX);
  readonly #writer = new AttributeWriter();
  readonly #cursor = new MessageCursor(new Uint8Array(RECEIVE_BYTES));
  #fd: number;
  #sequence = 0;
  #sendLength = 0;
  #answersLost = false;
  #busy = false;
  #queued = 0;
  #tail: Promise<void> = Promise.resolve();

  constructor(opened: OpenedNetlink) {
    this.#fd = opened.fd;
    this.portId = opened.portId;
    this.#batchMax = Math.max(1, Math.floor(opened.receiveBufferBytes / ACK_CHARGE_BYTES));
  }

  static open(
    protocol: number,
    options: Omit<NetlinkOpenOptions, 'groups'> = {},
  ): Result<NetlinkSocket, NetlinkError> {
    const opened = openNetlink(protocol, options);
    return opened.ok ? ok(new NetlinkSocket(opened.value)) : opened;
  }

  /** Idempotent; operations after it, and the ones under way, end with EBADF. */
  close(): void {
    if (this.#fd === -1) return;
    libc.close(this.#fd);
    this.#fd = -1;
  }

  /**
   * Sends all requests, many to a send, and reads all acknowledgements back, now. The kernel does
   * each request on its own: one that fails does not stop the next.
   * @returns an outcome for each request, in order. ENOBUFS and ETIMEDOUT mean "not known":
   *   resynchronise by a dump. EBUSY: an asynchronous operation is in the middle of its work.
   */
  transactSync(requests: readonly NetlinkRequest[]): NetlinkOutcome[] {
    if (this.#busy) return requests.map(() => failure(EBUSY));
    return runAll(this.#transact(requests));
  }

  /**
   * Sends as many of the requests as fit into one send, in order, and reads what the kernel says
   * of them, now. It answers every failure, but of what succeeds the last request alone: what it
   * was silent about until then was done, unless it told that answers were lost.
   * @returns an outcome for each request that was sent, from the first on; as transactSync.
   */
  transactWrittenSync(requests: WrittenRequests): NetlinkOutcome[] {
    if (this.#busy) return new Array<NetlinkOutcome>(requests.count).fill(failure(EBUSY));
    const firstSequence = this.#reserveSequences(this.#batchMax);
    const writer = this.#writer.reset();
    const flags = NLM_F_REQUEST | (requests.flags ?? 0);
    const header = { type: requests.type, flags, sequence: 0, portId: this.portId };
    let count = 0;
    let last = 0;
    while (count < requests.count && count < this.#batchMax) {
      if (writer.lengthBytes > SEND_BYTES_MAX - WRITTEN_BYTES_MAX) break;
      header.sequence = firstSequence + count;
      last = beginMessage(writer, header);
      requests.write(writer, count);
      endMessage(writer, last);
      count++;
    }
    if (count === 0) return [];
    setMessageFlags(writer, last, flags | NLM_F_ACK);
    const outcomes = new Array<NetlinkOutcome>(count).fill(SUCCESS);
    const sendErrno = this.#sendBytes(writer.buffer, writer.lengthBytes);
    if (sendErrno !== 0) return outcomes.fill(failure(sendErrno));
    return this.#readFailures(outcomes, firstSequence);
  }

  /** Until the last request is answered; nothing is known of the others where answers were lost. */
  #readFailures(outcomes: NetlinkOutcome[], firstSequence: number): NetlinkOutcome[] {
    const last = outcomes.length - 1;
    for (let ended = false; !ended; ) {
      const errno = this.#receive();
      if (errno !== 0) return outcomes.map((one) => (one === SUCCESS ? failure(errno) : one));
      while (this.#nextOf(firstSequence, outcomes.length)) {
        if (this.#cursor.type !== NLMSG_ERROR) continue;
        const index = this.#cursor.sequence - firstSequence;
        outcomes[index] = this.#cursor.outcome() ?? failure(EBADMSG);
        ended ||= index === last;
      }
    }
    if (!this.#answersLost) return outcomes;
    const unknown = (one: NetlinkOutcome, index: number) => one === SUCCESS && index !== last;
    return outcomes.map((one, index) => (unknown(one, index) ? failure(ENOBUFS) : one));
  }

  /**
   * Requests that the kernel does all of or none of, now, between the messages that say so:
   * nfnetlink's batches. All of it fits into one send.
   * @returns the first failure, of a request or of the whole, or success.
   */
  batchSync(batch: {
    readonly begin: NetlinkRequest;
    readonly requests: readonly NetlinkRequest[];
    readonly end: NetlinkRequest;
  }): NetlinkOutcome {
    if (this.#busy) return failure(EBUSY);
    const messages = [batch.begin, ...batch.requests, batch.end];
    const firstSequence = this.#reserveSequences(messages.length);
    const last = messages.length - 1;
    let length = 0;
    for (const [index, { type, flags, payload }] of messages.entries()) {
      assert(length + messageSpace(payload.length) <= SEND_BYTES_MAX, 'a batch is too long');
      // Older kernels do not acknowledge the first and the last, newer ones would.
      const inside = index > 0 && index < last;
      const header = {
        type,
        flags: flags | NLM_F_REQUEST | (inside ? NLM_F_ACK : 0),
        sequence: firstSequence + index,
        portId: this.portId,
      };
      length = putMessage(this.#sendBuffer, length, header, payload);
    }
    this.#sendLength = length;
    const sendErrno = this.#send();
    if (sendErrno !== 0) return failure(sendErrno);
    for (let missing = batch.requests.length; missing > 0; ) {
      const errno = this.#receive();
      if (errno !== 0) return failure(errno);
      while (this.#nextOf(firstSequence, messages.length)) {
        if (this.#cursor.type !== NLMSG_ERROR) continue;
        const outcome = this.#cursor.outcome() ?? failure(EBADMSG);
        if (outcome.errno !== 0) return outcome;
        missing--;
      }
    }
    return SUCCESS;
  }

  /** transactSync in the order of calls, letting the event loop run between two sends. */
  transact(requests: readonly NetlinkRequest[]): Promise<NetlinkOutcome[]> {
    const refused = () => requests.map(() => failure(EBUSY));
    return this.#enqueue(() => this.#transact(requests), refused);
  }

  /**
   * One request that is answered by messages and an acknowledgement.
   * @param onReply sees each message; false when it is damaged, which makes the outcome EBADMSG.
   */
  querySync(request: NetlinkRequest, onReply: (reply: MessageCursor) => boolean): NetlinkOutcome {
    if (this.#busy) return failure(EBUSY);
    const sendErrno = this.#sendOne(request, NLM_F_REQUEST | NLM_F_ACK);
    if (sendErrno !== 0) return failure(sendErrno);
    const cursor = this.#cursor;
    let damaged = false;
    for (;;) {
      const errno = this.#receive();
      if (errno !== 0) return failure(errno);
      while (this.#nextOf(this.#sequence, 1)) {
        if (cursor.type === NLMSG_ERROR) {
          const outcome = cursor.outcome() ?? failure(EBADMSG);
          const lost = damaged || this.#answersLost;
          return lost && outcome.errno === 0 ? failure(EBADMSG) : outcome;
        }
        damaged = !onReply(cursor) || damaged;
      }
    }
  }

  /**
   * Every record of a table, now: for small tables. A dump that the kernel marks as inconsistent,
   * or of which an answer was lost, is begun anew.
   * @returns EINTR when the table did not hold still, ENOBUFS when answers kept getting lost,
   *   EBADMSG on a damaged record, EMSGSIZE beyond DUMP_RECORDS_MAX, else the kernel's errno.
   */
  dumpSync<T>(request: DumpRequest, decode: RecordDecoder<T>): Result<T[], NetlinkError> {
    if (this.#busy) return err(netlinkError(EBUSY, null, request.call));
    return runAll(this.#dump(request, decode));
  }

  /** dumpSync in the order of calls, letting the event loop run after each 32 KiB. */
  dump<T>(request: DumpRequest, decode: RecordDecoder<T>): Promise<Result<T[], NetlinkError>> {
    const refused = () => err(netlinkError(EBUSY, null, request.call));
    return this.#enqueue<Result<T[], NetlinkError>>(() => this.#dump(request, decode), refused);
  }

  async #enqueue<T>(steps: () => Steps<T>, refused: () => T): Promise<T> {
    if (this.#queued >= QUEUE_MAX) return refused();
    this.#queued++;
    const before = this.#tail;
    const { promise, resolve } = promiseWithResolvers();
    this.#tail = promise;
    await before;
    this.#busy = true;
    try {
      const running = steps();
      for (;;) {
        const step = running.next();
        if (step.done === true) return step.value;
        await TURNS.nextTurn();
      }
    } finally {
      this.#busy = false;
      this.#queued--;
      resolve();
    }
  }

  *#transact(requests: readonly NetlinkRequest[]): Steps<NetlinkOutcome[]> {
    const outcomes: NetlinkOutcome[] = [];
    while (outcomes.length < requests.length) {
      if (outcomes.length > 0) yield;
      const first = outcomes.length;
      const { firstSequence, count } = this.#pack(requests, first);
      const sendErrno = this.#send();
      const acknowledged = new Array<NetlinkOutcome | undefined>(count);
      const errno = sendErrno !== 0 ? sendErrno : this.#acknowledge(acknowledged, firstSequence);
      for (const outcome of acknowledged) outcomes.push(outcome ?? failure(errno));
    }
    return outcomes;
  }

  /** Fills the send buffer from request `first` on, as far as bytes and acknowledgements allow. */
  #pack(
    requests: readonly NetlinkRequest[],
    first: number,
  ): { readonly firstSequence: number; readonly count: number } {
    const firstSequence = this.#reserveSequences(this.#batchMax);
    let length = 0;
    let count = 0;
    while (first + count < requests.length && count < this.#batchMax) {
      const { type, flags, payload } = requests[first + count] as NetlinkRequest;
      const fits = length + messageSpace(payload.length) <= SEND_BYTES_MAX;
      assert(fits || count > 0, 'a netlink request is longer than one send');
      if (!fits) break;
      const header = {
        type,
        flags: flags | NLM_F_REQUEST | NLM_F_ACK,
        sequence: firstSequence + count,
        portId: this.portId,
      };
      length = putMessage(this.#sendBuffer, length, header, payload);
      count++;
    }
    this.#sendLength = length;
    return { firstSequence, count };
  }

  /** Reads until `acknowledged` is full; else the errno that stands for what is missing. */
  #acknowledge(acknowledged: (NetlinkOutcome | undefined)[], firstSequence: number): number {
    let missing = acknowledged.length;
    while (missing > 0) {
      const errno = this.#receive();
      if (errno !== 0) return errno;
      while (this.#nextOf(firstSequence, acknowledged.length)) {
        const index = this.#cursor.sequence - firstSequence;
        if (this.#cursor.type !== NLMSG_ERROR || acknowledged[index] !== undefined) continue;
        acknowledged[index] = this.#cursor.outcome() ?? failure(EBADMSG);
        missing--;
      }
    }
    return 0;
  }

  *#dump<T>(request: DumpRequest, decode: RecordDecoder<T>): Steps<Result<T[], NetlinkError>> {
    for (let attempt = 1; ; attempt++) {
      const records: T[] = [];
      const outcome = yield* this.#dumpOnce(request, decode, records);
      const { errno } = outcome;
      if (errno === 0) return ok(records);
      const again = errno === EINTR || errno === ENOBUFS || errno === EBUSY;
      if (!again || attempt === DUMP_ATTEMPTS_MAX) {
        return err(netlinkError(errno, outcome.message, request.call));
      }
      this.statistics.dumpRetries++;
    }
  }

  /** Reads to the end of the dump even when it is spoilt: the next one can only begin then. */
  *#dumpOnce<T>(
    request: DumpRequest,
    decode: RecordDecoder<T>,
    records: T[],
  ): Steps<NetlinkOutcome> {
    const sendErrno = this.#sendOne(request, NLM_F_REQUEST | NLM_F_DUMP);
    if (sendErrno !== 0) return failure(sendErrno);
    const sequence = this.#sequence;
    const cursor = this.#cursor;
    let spoilt = 0;
    for (;;) {
      const errno = this.#receive();
      if (errno !== 0) return failure(errno);
      while (this.#nextOf(sequence, 1)) {
        if ((cursor.flags & NLM_F_DUMP_INTR) !== 0) spoilt ||= EINTR;
        if (cursor.type === NLMSG_ERROR || cursor.type === NLMSG_DONE) {
          const outcome = cursor.outcome() ?? failure(EBADMSG);
          if (outcome.errno !== 0) return outcome;
          return failure(this.#answersLost ? ENOBUFS : spoilt);
        }
        if (spoilt !== 0) continue;
        if (records.length >= DUMP_RECORDS_MAX) spoilt = EMSGSIZE;
        else if (!decode(cursor, records)) spoilt = EBADMSG;
      }
      if (cursor.error !== null) spoilt ||= EBADMSG;
      yield;
    }
  }

  #sendOne(request: NetlinkRequest, flags: number): number {
    const sequence = this.#reserveSequences(1);
    const header = {
      type: request.type,
      flags: request.flags | flags,
      sequence,
      portId: this.portId,
    };
    const { payload } = request;
    assert(messageSpace(payload.length) <= SEND_BYTES_MAX, 'a netlink request is too long');
    this.#sendLength = putMessage(this.#sendBuffer, 0, header, payload);
    return this.#send();
  }

  /** Answers the first of `count` consecutive sequence numbers, none of them 0. */
  #reserveSequences(count: number): number {
    // Notifications have sequence 0, and one batch does not wrap around.
    if (this.#sequence + count > 0xffff_ffff) this.#sequence = 0;
    const first = this.#sequence + 1;
    this.#sequence += count;
    return first;
  }

  /** Sends the send buffer; 0 or the errno, upon which the kernel has done nothing of it. */
  #send(): number {
    return this.#sendBytes(this.#sendBuffer, this.#sendLength);
  }

  #sendBytes(bytes: Uint8Array, length: number): number {
    this.#answersLost = false;
    const sent = libc.sendto(this.#fd, bytes, length, null);
    return sent < 0 ? -sent : 0;
  }

  /** Starts the cursor on the next datagram; 0 or the errno. */
  #receive(): number {
    let waits = 0;
    for (;;) {
      const received = libc.recv(this.#fd, this.#cursor.bytes);
      if (received >= 0) {
        this.#cursor.start(received);
        if (received > RECEIVE_BYTES) {
          this.statistics.truncated++;
          this.#answersLost = true;
        }
        return 0;
      }
      if (received === -ENOBUFS) {
        // What was not dropped is still readable.
        this.statistics.overruns++;
        this.#answersLost = true;
      } else if (received === -EAGAIN) {
        if (this.#answersLost) return ENOBUFS;
        if (waits++ === REPLY_WAITS_MAX) return ETIMEDOUT;
        if (!libc.pollReadable(this.#fd, REPLY_TIMEOUT_MS)) return ETIMEDOUT;
      } else if (received !== -EINTR) {
        return -received;
      }
    }
  }

  /** Steps to the next message with one of our sequence numbers; drops and counts the others. */
  #nextOf(firstSequence: number, count: number): boolean {
    const cursor = this.#cursor;
    while (cursor.next()) {
      const index = cursor.sequence - firstSequence;
      if (index >= 0 && index < count && cursor.portId === this.portId) return true;
      this.statistics.staleMessages++;
    }
    return false;
  }
}

function failure(errno: number): NetlinkOutcome {
  return { errno, message: null, offset: null };
}

function runAll<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** Promise.withResolvers, which Node.js has from version 22 on. */
function promiseWithResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
