/**
 * Netlink attributes: type-length-value records in host byte order, padded to four bytes.
 * The writer fills one reusable buffer and clears its padding; the reader never leaves the range
 * that it is given and keeps its first error, so that a decoder asks for it once at its end.
 * Standard: include/uapi/linux/netlink.h (struct nlattr), lib/nlattr.c; RFC 3549 section 2.
 */
import { assert } from '../../core/assert.js';
import { HOST_LITTLE_ENDIAN } from '../sockaddr.js';
/** include/uapi/linux/netlink.h */
export const NLA_F_NESTED = 0x8000;
export const NLA_F_NET_BYTEORDER = 0x4000;
export const NLA_TYPE_MASK = 0x3fff;
export const NLA_ALIGNTO = 4;
export const NLA_HDRLEN = 4;
/** One send takes 64 KiB (see socket.ts), and a payload with its header fits into one. */
export const WRITER_BYTES_MAX = 65_536 - 16;
const WRITER_BYTES_INITIAL = 1_024;
const ATTRIBUTE_BYTES_MAX = 0xffff;
const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder();
/** Rounds a length up to the alignment of attributes and messages. */
export function align4(lengthBytes) {
  return (lengthBytes + NLA_ALIGNTO - 1) & ~(NLA_ALIGNTO - 1);
}
/**
 * Builds the payload of one message: a fixed header through `put*`, then attributes. Values are
 * masked to their width. Overflow of WRITER_BYTES_MAX is a defect of the caller and asserts.
 */
export class AttributeWriter {
  #bytes = new Uint8Array(WRITER_BYTES_INITIAL);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  /** Forgets what was written; the buffer stays. */
  reset() {
    this.#length = 0;
    return this;
  }
  get lengthBytes() {
    return this.#length;
  }
  /** What was written, as a window on the buffer: valid until the next reset or write. */
  view() {
    return this.#bytes.subarray(0, this.#length);
  }
  /** What was written, copied. */
  copy() {
    return this.#bytes.slice(0, this.#length);
  }
  /** A byte of a fixed header. */
  putU8(value) {
    this.#view.setUint8(this.#reserve(1), value);
    return this;
  }
  putU16(value) {
    const offset = this.#reserve(2);
    this.#view.setUint16(offset, value, HOST_LITTLE_ENDIAN);
    return this;
  }
  putU32(value) {
    const offset = this.#reserve(4);
    this.#view.setUint32(offset, value, HOST_LITTLE_ENDIAN);
    return this;
  }
  putBytes(value) {
    const offset = this.#reserve(value.length);
    this.#bytes.set(value, offset);
    return this;
  }
  u8(type, value) {
    const offset = this.#attribute(type, 1);
    this.#view.setUint8(offset, value);
    return this;
  }
  u16(type, value) {
    const offset = this.#attribute(type, 2);
    this.#view.setUint16(offset, value, HOST_LITTLE_ENDIAN);
    return this;
  }
  u32(type, value) {
    const offset = this.#attribute(type, 4);
    this.#view.setUint32(offset, value, HOST_LITTLE_ENDIAN);
    return this;
  }
  /** `value` is a safe integer, 0 to 2^53 - 1. */
  u64(type, value) {
    assert(Number.isSafeInteger(value) && value >= 0, `u64 attribute ${type} of ${value}`);
    const offset = this.#attribute(type, 8);
    this.#view.setBigUint64(offset, BigInt(value), HOST_LITTLE_ENDIAN);
    return this;
  }
  /** A 16-bit value in network byte order, such as a port. */
  be16(type, value) {
    const offset = this.#attribute(type, 2);
    this.#view.setUint16(offset, value, false);
    return this;
  }
  be32(type, value) {
    const offset = this.#attribute(type, 4);
    this.#view.setUint32(offset, value, false);
    return this;
  }
  bytes(type, value) {
    const offset = this.#attribute(type, value.length);
    this.#bytes.set(value, offset);
    return this;
  }
  /** Text in UTF-8 with its terminating NUL (NLA_NUL_STRING). */
  string0(type, value) {
    assert(!value.includes('\0'), `string attribute ${type} has a NUL inside`);
    const encoded = textEncoder.encode(value);
    const offset = this.#attribute(type, encoded.length + 1);
    this.#bytes.set(encoded, offset);
    this.#bytes[offset + encoded.length] = 0;
    return this;
  }
  /** An attribute without a value: its presence is the meaning (NLA_FLAG). */
  flag(type) {
    this.#attribute(type, 0);
    return this;
  }
  /** An attribute that holds the attributes which `fill` writes; NLA_F_NESTED is set. */
  nested(type, fill) {
    const start = this.#attribute(type | NLA_F_NESTED, 0) - NLA_HDRLEN;
    fill(this);
    const length = this.#length - start;
    assert(length <= ATTRIBUTE_BYTES_MAX, `nested attribute ${type} is too long`);
    this.#view.setUint16(start, length, HOST_LITTLE_ENDIAN);
    return this;
  }
  /** Writes an attribute header, clears the padding and answers where the value goes. */
  #attribute(type, lengthBytes) {
    const total = NLA_HDRLEN + lengthBytes;
    assert(total <= ATTRIBUTE_BYTES_MAX, `attribute ${type} is too long`);
    const start = this.#reserve(align4(total));
    this.#view.setUint16(start, total, HOST_LITTLE_ENDIAN);
    this.#view.setUint16(start + 2, type, HOST_LITTLE_ENDIAN);
    this.#bytes.fill(0, start + total, this.#length);
    return start + NLA_HDRLEN;
  }
  #reserve(lengthBytes) {
    const offset = this.#length;
    const needed = offset + lengthBytes;
    assert(needed <= WRITER_BYTES_MAX, 'a netlink message is too long');
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, offset));
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#length = needed;
    return offset;
  }
}
/**
 * Reads attributes of one buffer. Nothing throws: the first error stays in `error`, a value that
 * cannot be read is 0 or empty, and the walk ends. Values may be longer than what is read of
 * them, because the kernel appends to its structures.
 */
export class AttributeReader {
  bytes;
  #view;
  #error = null;
  constructor(bytes) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  /** The first error since construction or clearError, or null. */
  get error() {
    return this.#error;
  }
  /** For a reader that is kept over one reused receive buffer. */
  clearError() {
    this.#error = null;
  }
  /** Visits the attributes in [start, end), in order, until the end or the first error. */
  forEach(start, end, visit) {
    if (!this.#has(start, end, 0)) return;
    let offset = start;
    while (offset < end && this.#error === null) {
      if (end - offset < NLA_HDRLEN) {
        this.#fail('attribute-header-truncated');
        return;
      }
      const length = this.#view.getUint16(offset, HOST_LITTLE_ENDIAN);
      if (length < NLA_HDRLEN || length > end - offset) {
        this.#fail('attribute-length-invalid');
        return;
      }
      const type = this.#view.getUint16(offset + 2, HOST_LITTLE_ENDIAN) & NLA_TYPE_MASK;
      visit(type, offset + NLA_HDRLEN, offset + length);
      offset += align4(length);
    }
  }
  u8(start, end) {
    return this.#has(start, end, 1) ? this.#view.getUint8(start) : 0;
  }
  u16(start, end) {
    return this.#has(start, end, 2) ? this.#view.getUint16(start, HOST_LITTLE_ENDIAN) : 0;
  }
  u32(start, end) {
    return this.#has(start, end, 4) ? this.#view.getUint32(start, HOST_LITTLE_ENDIAN) : 0;
  }
  i32(start, end) {
    return this.#has(start, end, 4) ? this.#view.getInt32(start, HOST_LITTLE_ENDIAN) : 0;
  }
  /** As a number: exact up to 2^53 - 1, rounded above. */
  u64(start, end) {
    if (!this.#has(start, end, 8)) return 0;
    const first = this.#view.getUint32(start, HOST_LITTLE_ENDIAN);
    const second = this.#view.getUint32(start + 4, HOST_LITTLE_ENDIAN);
    return HOST_LITTLE_ENDIAN ? second * 0x1_0000_0000 + first : first * 0x1_0000_0000 + second;
  }
  be16(start, end) {
    return this.#has(start, end, 2) ? this.#view.getUint16(start, false) : 0;
  }
  be32(start, end) {
    return this.#has(start, end, 4) ? this.#view.getUint32(start, false) : 0;
  }
  /** Text up to its NUL, or to the end of the value when there is none; invalid UTF-8 as U+FFFD. */
  string0(start, end) {
    if (!this.#has(start, end, 0)) return '';
    const value = this.bytes.subarray(start, end);
    const nul = value.indexOf(0);
    return textDecoder.decode(nul === -1 ? value : value.subarray(0, nul));
  }
  /** A copy of the value: the buffer under it is reused. */
  copy(start, end) {
    return this.#has(start, end, 0) ? this.bytes.slice(start, end) : new Uint8Array(0);
  }
  #has(start, end, lengthBytes) {
    if (start >= 0 && end <= this.bytes.length && end - start >= lengthBytes) return true;
    this.#fail('attribute-value-short');
    return false;
  }
  #fail(error) {
    this.#error ??= error;
  }
}
//# sourceMappingURL=attributes.js.map
