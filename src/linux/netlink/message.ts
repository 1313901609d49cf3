/**
 * Netlink messages: the 16-byte header in front of every payload, a datagram of several of them,
 * and the control messages (error, acknowledgement, done). The cursor never leaves its datagram
 * and never throws.
 * Standard: include/uapi/linux/netlink.h (struct nlmsghdr, struct nlmsgerr), RFC 3549 section 2.
 */
import { HOST_LITTLE_ENDIAN } from '../sockaddr.ts';
import { AttributeReader, type AttributeWriter, align4 } from './attributes.ts';

/** include/uapi/linux/netlink.h */
export const NLMSG_HDRLEN = 16;
export const NLMSG_ERROR = 0x2;
export const NLMSG_DONE = 0x3;
export const NLMSG_MIN_TYPE = 0x10;

export const NLM_F_REQUEST = 0x01;
export const NLM_F_MULTI = 0x02;
export const NLM_F_ACK = 0x04;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_ROOT = 0x100;
export const NLM_F_MATCH = 0x200;
export const NLM_F_DUMP = NLM_F_ROOT | NLM_F_MATCH;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;
export const NLM_F_CAPPED = 0x100;
export const NLM_F_ACK_TLVS = 0x200;

/** include/uapi/linux/netlink.h: enum nlmsgerr_attrs */
const NLMSGERR_ATTR_MSG = 1;
const NLMSGERR_ATTR_OFFS = 2;

export interface MessageHeader {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly portId: number;
}

/** Bytes that a message with this payload takes in a datagram, padding included. */
export function messageSpace(payloadBytes: number): number {
  return NLMSG_HDRLEN + align4(payloadBytes);
}

/**
 * Writes one message at `offset` and answers where the next one goes. The caller has made room of
 * messageSpace(payload.length).
 */
export function putMessage(
  target: Uint8Array,
  offset: number,
  header: MessageHeader,
  payload: Uint8Array,
): number {
  const view = new DataView(target.buffer, target.byteOffset, target.byteLength);
  view.setUint32(offset, NLMSG_HDRLEN + payload.length, HOST_LITTLE_ENDIAN);
  view.setUint16(offset + 4, header.type, HOST_LITTLE_ENDIAN);
  view.setUint16(offset + 6, header.flags, HOST_LITTLE_ENDIAN);
  view.setUint32(offset + 8, header.sequence, HOST_LITTLE_ENDIAN);
  view.setUint32(offset + 12, header.portId, HOST_LITTLE_ENDIAN);
  target.set(payload, offset + NLMSG_HDRLEN);
  const end = offset + messageSpace(payload.length);
  target.fill(0, offset + NLMSG_HDRLEN + payload.length, end);
  return end;
}

/** Begins a message in `writer`, behind what is there; what is answered is for `endMessage`. */
export function beginMessage(writer: AttributeWriter, header: MessageHeader): number {
  const start = writer.lengthBytes;
  writer.putU32(0).putU16(header.type).putU16(header.flags);
  writer.putU32(header.sequence).putU32(header.portId);
  return start;
}

/** Ends it: all that was written since is its payload, in whole attributes. */
export function endMessage(writer: AttributeWriter, start: number): void {
  writer.patchU32(start, writer.lengthBytes - start);
}

/** Gives a message that was begun at `start` other flags. */
export function setMessageFlags(writer: AttributeWriter, start: number, flags: number): void {
  writer.patchU16(start + 6, flags);
}

/** Why a datagram could not be read to its end. */
export type MessageError = 'message-header-truncated' | 'message-length-invalid';

/** What an NLMSG_ERROR or NLMSG_DONE says. */
export interface NetlinkOutcome {
  /** 0 when the kernel did it, else positive as in errno.h. */
  readonly errno: number;
  /** Extended-acknowledgement text; a success may carry one too, as a warning. */
  readonly message: string | null;
  /** Where in the request the offending attribute begins, message header included. */
  readonly offset: number | null;
}

export const SUCCESS: NetlinkOutcome = { errno: 0, message: null, offset: null };

/**
 * Walks the messages of one received datagram in a reused buffer. After `next` answered true the
 * fields describe the current message, and `reader` reads its payload.
 */
export class MessageCursor {
  readonly bytes: Uint8Array;
  readonly reader: AttributeReader;
  type = 0;
  flags = 0;
  sequence = 0;
  portId = 0;
  payloadStart = 0;
  payloadEnd = 0;
  error: MessageError | null = null;
  #view: DataView;
  #next = 0;
  #end = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.reader = new AttributeReader(bytes);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Begins a datagram of `lengthBytes` (at most the buffer's length) at the buffer's start. */
  start(lengthBytes: number): void {
    this.#next = 0;
    this.#end = Math.min(lengthBytes, this.bytes.length);
    this.error = null;
  }

  /** Steps to the next message; false at the end of the datagram or on `error`. */
  next(): boolean {
    const start = this.#next;
    if (start >= this.#end || this.error !== null) return false;
    if (this.#end - start < NLMSG_HDRLEN) {
      this.error = 'message-header-truncated';
      return false;
    }
    const length = this.#view.getUint32(start, HOST_LITTLE_ENDIAN);
    if (length < NLMSG_HDRLEN || length > this.#end - start) {
      this.error = 'message-length-invalid';
      return false;
    }
    this.type = this.#view.getUint16(start + 4, HOST_LITTLE_ENDIAN);
    this.flags = this.#view.getUint16(start + 6, HOST_LITTLE_ENDIAN);
    this.sequence = this.#view.getUint32(start + 8, HOST_LITTLE_ENDIAN);
    this.portId = this.#view.getUint32(start + 12, HOST_LITTLE_ENDIAN);
    this.payloadStart = start + NLMSG_HDRLEN;
    this.payloadEnd = start + length;
    this.reader.clearError();
    this.#next = start + align4(length);
    return true;
  }

  /**
   * Reads the current message as NLMSG_ERROR or NLMSG_DONE; null when it is too short to be one.
   * A damaged extension only loses the text, because the errno in front of it stands.
   */
  outcome(): NetlinkOutcome | null {
    const { payloadStart, payloadEnd } = this;
    if (payloadEnd - payloadStart < 4) return null;
    const errno = Math.max(0, -this.reader.i32(payloadStart, payloadEnd));
    const extension = this.#extensionStart();
    if (extension === null || extension >= payloadEnd) {
      return errno === 0 ? SUCCESS : { errno, message: null, offset: null };
    }
    let message: string | null = null;
    let offset: number | null = null;
    this.reader.forEach(extension, payloadEnd, (type, start, end) => {
      if (type === NLMSGERR_ATTR_MSG) message = this.reader.string0(start, end);
      if (type === NLMSGERR_ATTR_OFFS) offset = this.reader.u32(start, end);
    });
    this.reader.clearError();
    return { errno, message, offset };
  }

  /** Where the extended acknowledgement begins, or null when there is none. */
  #extensionStart(): number | null {
    if ((this.flags & NLM_F_ACK_TLVS) === 0) return null;
    const afterErrno = this.payloadStart + 4;
    if (this.type === NLMSG_DONE) return afterErrno;
    if (this.payloadEnd - afterErrno < NLMSG_HDRLEN) return null;
    if ((this.flags & NLM_F_CAPPED) !== 0) return afterErrno + NLMSG_HDRLEN;
    // Without NLM_F_CAPPED the whole request is repeated in front of the extension.
    const requestBytes = this.#view.getUint32(afterErrno, HOST_LITTLE_ENDIAN);
    if (requestBytes > this.payloadEnd - afterErrno) return null;
    return afterErrno + align4(requestBytes);
  }
}
