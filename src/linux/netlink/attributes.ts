/**
 * Netlink attributes: type-length-value records in host byte order, padded to four bytes.
 * The writer fills one reusable buffer and clears its padding; the reader never leaves the range
 * that it is given and keeps its first error, so that a decoder asks for it once at its end.
 * Standard: include/uapi/linux/netlink.h (struct nlattr), lib/nlattr.c; RFC 3549 section 2.
 */
import { assert, InternalError } from '../../core/assert.ts';
import { putIp } from '../../core/ip.ts';
import { HOST_LITTLE_ENDIAN } from '../sockaddr.ts';

/** include/uapi/linux/netlink.h */
export const NLA_F_NESTED = 0x8000;
export const NLA_TYPE_MASK = 0x3fff;
export const NLA_ALIGNTO = 4;
export const NLA_HDRLEN = 4;

/** What one send takes (see socket.ts). */
export const WRITER_BYTES_MAX = 65_536;
const WRITER_BYTES_INITIAL = 1_024;
const ATTRIBUTE_BYTES_MAX = 0xffff;

/** An interface's name and its NUL (IFNAMSIZ, include/uapi/linux/if.h). */
const SHORT_TEXT_BYTES = 16;

const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder();

/** Rounds a length up to the alignment of attributes and messages. */
export function align4(lengthBytes: number): number {
  return (lengthBytes + NLA_ALIGNTO - 1) & ~(NLA_ALIGNTO - 1);
}

/**
 * Builds the payload of one message, or several whole messages: fixed headers through `put*`, then
 * attributes. Values are masked to their width. Overflow of WRITER_BYTES_MAX is a defect of the
 * caller and asserts.
 */
export class AttributeWriter {
  #bytes = new Uint8Array(WRITER_BYTES_INITIAL);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** Forgets what was written, or what was written behind `lengthBytes`; the buffer stays. */
  reset(lengthBytes = 0): this {
    assert(lengthBytes <= this.#length, 'a writer forgets, it does not skip');
    this.#length = lengthBytes;
    return this;
  }

  get lengthBytes(): number {
    return this.#length;
  }

  /** The whole buffer, of which `lengthBytes` are written: valid until the next write. */
  get buffer(): Uint8Array {
    return this.#bytes;
  }

  /** What was written, as a window on the buffer: valid until the next reset or write. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** What was written, copied. */
  copy(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** A byte of a fixed header. */
  putU8(value: number): this {
    const offset = this.#reserve(1);
    this.#view.setUint8(offset, value);
    return this;
  }

  putU16(value: number): this {
    const offset = this.#reserve(2);
    this.#view.setUint16(offset, value, HOST_LITTLE_ENDIAN);
    return this;
  }

  putU32(value: number): this {
    const offset = this.#reserve(4);
    this.#view.setUint32(offset, value, HOST_LITTLE_ENDIAN);
    return this;
  }

  putBytes(value: Uint8Array): this {
    const offset = this.#reserve(value.length);
    this.#bytes.set(value, offset);
    return this;
  }

  u8(type: number, value: number): this {
    const offset = this.#attribute(type, 1);
    this.#view.setUint8(offset, value);
    return this;
  }

  u16(type: number, value: number): this {
    const offset = this.#attribute(type, 2);
    this.#view.setUint16(offset, value, HOST_LITTLE_ENDIAN);
    return this;
  }

  u32(type: number, value: number): this {
    const offset = this.#attribute(type, 4);
    this.#view.setUint32(offset, value, HOST_LITTLE_ENDIAN);
    return this;
  }

  /** `value` is a safe integer, 0 to 2^53 - 1. */
  u64(type: number, value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, `u64 attribute ${type} of ${value}`);
    const offset = this.#attribute(type, 8);
    this.#view.setBigUint64(offset, BigInt(value), HOST_LITTLE_ENDIAN);
    return this;
  }

  /** A 16-bit value in network byte order, such as a port. */
  be16(type: number, value: number): this {
    const offset = this.#attribute(type, 2);
    this.#view.setUint16(offset, value, false);
    return this;
  }

  be32(type: number, value: number): this {
    const offset = this.#attribute(type, 4);
    this.#view.setUint32(offset, value, false);
    return this;
  }

  /** Overwrites what was written at `offset`. */
  patchU16(offset: number, value: number): this {
    this.#view.setUint16(offset, value, HOST_LITTLE_ENDIAN);
    return this;
  }

  patchU32(offset: number, value: number): this {
    this.#view.setUint32(offset, value, HOST_LITTLE_ENDIAN);
    return this;
  }

  /** Two values of 32 bits in one attribute, such as flags and their mask. */
  u32Pair(type: number, first: number, second: number): this {
    const offset = this.#attribute(type, 8);
    this.#view.setUint32(offset, first, HOST_LITTLE_ENDIAN);
    this.#view.setUint32(offset + 4, second, HOST_LITTLE_ENDIAN);
    return this;
  }

  /** An attribute of `lengthBytes` zeros, a multiple of four; answers where in `buffer` they are. */
  zeros(type: number, lengthBytes: number): number {
    const offset = this.#attribute(type, lengthBytes);
    for (let at = 0; at < lengthBytes; at += 4) this.#view.setUint32(offset + at, 0);
    return offset;
  }

  bytes(type: number, value: Uint8Array): this {
    const offset = this.#attribute(type, value.length);
    this.#bytes.set(value, offset);
    return this;
  }

  /** An IP address in network byte order; `text` is canonical. */
  ip(type: number, text: string): this {
    const offset = this.#attribute(type, text.includes(':') ? 16 : 4);
    if (!putIp(text, this.#bytes, offset)) throw new InternalError(`not an address: ${text}`);
    return this;
  }

  /** Text in UTF-8 with its terminating NUL (NLA_NUL_STRING). */
  string0(type: number, value: string): this {
    const start = this.#length;
    const offset = this.#attribute(type, value.length + 1);
    for (let index = 0; index < value.length; index++) {
      const code = value.charCodeAt(index);
      if (code === 0 || code > 0x7f) {
        this.#length = start;
        return this.#utf8(type, value);
      }
      this.#bytes[offset + index] = code;
    }
    this.#bytes[offset + value.length] = 0;
    return this;
  }

  /** An attribute without a value: its presence is the meaning (NLA_FLAG). */
  flag(type: number): this {
    this.#attribute(type, 0);
    return this;
  }

  /** An attribute that holds the attributes which `fill` writes; NLA_F_NESTED is set. */
  nested(type: number, fill: (writer: this) => void): this {
    const start = this.begin(type);
    fill(this);
    return this.end(start);
  }

  /** Begins such an attribute without a function; what is answered is for `end`. */
  begin(type: number): number {
    return this.#attribute(type | NLA_F_NESTED, 0) - NLA_HDRLEN;
  }

  end(start: number): this {
    const length = this.#length - start;
    if (length > ATTRIBUTE_BYTES_MAX) throw new InternalError('A nested attribute is too long');
    this.#view.setUint16(start, length, HOST_LITTLE_ENDIAN);
    return this;
  }

  /** Text that is not ASCII. */
  #utf8(type: number, value: string): this {
    assert(!value.includes('\0'), `string attribute ${type} has a NUL inside`);
    const encoded = textEncoder.encode(value);
    const offset = this.#attribute(type, encoded.length + 1);
    this.#bytes.set(encoded, offset);
    this.#bytes[offset + encoded.length] = 0;
    return this;
  }

  /** Writes an attribute header, clears the padding and answers where the value goes. */
  #attribute(type: number, lengthBytes: number): number {
    const total = NLA_HDRLEN + lengthBytes;
    // The words of an assertion would be made for every attribute.
    if (total > ATTRIBUTE_BYTES_MAX) throw new InternalError(`Attribute ${type} is too long`);
    const start = this.#reserve(align4(total));
    this.#view.setUint16(start, total, HOST_LITTLE_ENDIAN);
    this.#view.setUint16(start + 2, type, HOST_LITTLE_ENDIAN);
    for (let at = start + total; at < this.#length; at++) this.#bytes[at] = 0;
    return start + NLA_HDRLEN;
  }

  #reserve(lengthBytes: number): number {
    const offset = this.#length;
    const needed = offset + lengthBytes;
    if (needed > this.#bytes.length) this.#grow(needed);
    this.#length = needed;
    return offset;
  }

  #grow(neededBytes: number): void {
    assert(neededBytes <= WRITER_BYTES_MAX, 'a netlink message is too long');
    const doubled = Math.min(WRITER_BYTES_MAX, this.#bytes.length * 2);
    const grown = new Uint8Array(Math.max(neededBytes, doubled));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/** Why attributes could not be read. */
export type AttributeError =
  /** Bytes are left over that cannot hold an attribute header. */
  | 'attribute-header-truncated'
  /** nla_len is below its own header or beyond the range. */
  | 'attribute-length-invalid'
  /** The value is shorter than what was asked for, or the range is not in the buffer. */
  | 'attribute-value-short';

/** Called for each attribute: its type without flag bits, and the range of its value. */
export type AttributeVisitor = (type: number, start: number, end: number) => void;

/**
 * Reads attributes of one buffer. Nothing throws: the first error stays in `error`, a value that
 * cannot be read is 0 or empty, and the walk ends. Values may be longer than what is read of
 * them, because the kernel appends to its structures.
 */
export class AttributeReader {
  readonly bytes: Uint8Array;
  /** Of the attribute that next() went to: its type without flag bits, and where its value is. */
  type = 0;
  valueStart = 0;
  valueEnd = 0;
  #view: DataView;
  #error: AttributeError | null = null;
  #next = 0;
  #end = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** The first error since construction or clearError, or null. */
  get error(): AttributeError | null {
    return this.#error;
  }

  /** For a reader that is kept over one reused receive buffer. */
  clearError(): void {
    this.#error = null;
  }

  /** Visits the attributes in [start, end), in order, until the end or the first error. */
  forEach(start: number, end: number, visit: AttributeVisitor): void {
    if (!this.#has(start, end, 0)) return;
    let offset = start;
    while (offset < end && this.#error === null) {
      const length = this.#lengthAt(offset, end);
      if (length === 0) return;
      const type = this.#view.getUint16(offset + 2, HOST_LITTLE_ENDIAN) & NLA_TYPE_MASK;
      visit(type, offset + NLA_HDRLEN, offset + length);
      offset += align4(length);
    }
  }

  /** Begins to walk through the attributes in [start, end): see next(). */
  begin(start: number, end: number): void {
    this.#next = start;
    this.#end = this.#has(start, end, 0) ? end : start;
  }

  /**
   * Goes to the next attribute, whose `type` and value are told then; false at the end and after
   * the first error. What forEach() does, without a function, and not for nested ones.
   */
  next(): boolean {
    const start = this.#next;
    if (start >= this.#end || this.#error !== null) return false;
    const length = this.#lengthAt(start, this.#end);
    if (length === 0) return false;
    this.type = this.#view.getUint16(start + 2, HOST_LITTLE_ENDIAN) & NLA_TYPE_MASK;
    this.valueStart = start + NLA_HDRLEN;
    this.valueEnd = start + length;
    this.#next = start + align4(length);
    return true;
  }

  /** Length of the attribute at `offset`, header included; 0 when it is not within `end`. */
  #lengthAt(offset: number, end: number): number {
    if (end - offset < NLA_HDRLEN) {
      this.#fail('attribute-header-truncated');
      return 0;
    }
    const length = this.#view.getUint16(offset, HOST_LITTLE_ENDIAN);
    if (length >= NLA_HDRLEN && length <= end - offset) return length;
    this.#fail('attribute-length-invalid');
    return 0;
  }

  u8(start: number, end: number): number {
    return this.#has(start, end, 1) ? this.#view.getUint8(start) : 0;
  }

  u16(start: number, end: number): number {
    return this.#has(start, end, 2) ? this.#view.getUint16(start, HOST_LITTLE_ENDIAN) : 0;
  }

  u32(start: number, end: number): number {
    return this.#has(start, end, 4) ? this.#view.getUint32(start, HOST_LITTLE_ENDIAN) : 0;
  }

  i32(start: number, end: number): number {
    return this.#has(start, end, 4) ? this.#view.getInt32(start, HOST_LITTLE_ENDIAN) : 0;
  }

  /** As a number: exact up to 2^53 - 1, rounded above. */
  u64(start: number, end: number): number {
    if (!this.#has(start, end, 8)) return 0;
    const first = this.#view.getUint32(start, HOST_LITTLE_ENDIAN);
    const second = this.#view.getUint32(start + 4, HOST_LITTLE_ENDIAN);
    return HOST_LITTLE_ENDIAN ? second * 0x1_0000_0000 + first : first * 0x1_0000_0000 + second;
  }

  be16(start: number, end: number): number {
    return this.#has(start, end, 2) ? this.#view.getUint16(start, false) : 0;
  }

  be32(start: number, end: number): number {
    return this.#has(start, end, 4) ? this.#view.getUint32(start, false) : 0;
  }

  /** Text up to its NUL, or to the end of the value when there is none; invalid UTF-8 as U+FFFD. */
  string0(start: number, end: number): string {
    if (!this.#has(start, end, 0)) return '';
    // Names are short and ASCII: the decoder costs more than all else about an address.
    let text = '';
    for (let at = start; at < end && at < start + SHORT_TEXT_BYTES; at++) {
      const code = this.bytes[at] as number;
      if (code === 0) return text;
      if (code > 0x7f) break;
      text += String.fromCharCode(code);
    }
    const value = this.bytes.subarray(start, end);
    const nul = value.indexOf(0);
    return textDecoder.decode(nul === -1 ? value : value.subarray(0, nul));
  }

  /** A copy of the value: the buffer under it is reused. */
  copy(start: number, end: number): Uint8Array {
    return this.#has(start, end, 0) ? this.bytes.slice(start, end) : new Uint8Array(0);
  }

  #has(start: number, end: number, lengthBytes: number): boolean {
    if (start >= 0 && end <= this.bytes.length && end - start >= lengthBytes) return true;
    this.#fail('attribute-value-short');
    return false;
  }

  #fail(error: AttributeError): void {
    this.#error ??= error;
  }
}
