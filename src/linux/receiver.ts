/**
 * Receiving datagrams with their sender and control messages into buffers that are allocated once
 * and used for every one: Receiver takes one with a call, BatchReceiver many, which costs a
 * fraction where many wait. Nothing here throws once it is made.
 *
 * The kernel writes through pointers, so what they point to is kept by the object that made them;
 * explicit ArrayBuffers have their bytes outside of the garbage-collected heap from the start.
 */
import { assert } from '../core/assert.ts';
import { addressOf, getHost64, recvmmsg, recvmsg, setHost64 } from './libc.ts';
import { HOST_LITTLE_ENDIAN, SOCKADDR_STORAGE_BYTES } from './sockaddr.ts';

// struct msghdr of 64-bit Linux (bits/socket.h): byte offsets of its fields.
const MSGHDR_BYTES = 56;
const MSG_NAME = 0;
const MSG_NAMELEN = 8;
const MSG_IOV = 16;
const MSG_IOVLEN = 24;
const MSG_CONTROL = 32;
const MSG_CONTROLLEN = 40;
const MSG_FLAGS = 48;
/** struct mmsghdr: a msghdr and the length of its datagram, padded. */
const MMSGHDR_BYTES = 64;
const MSG_LEN = MSGHDR_BYTES;
const IOVEC_BYTES = 16;

/** Where one datagram goes. */
export interface DatagramMemory {
  /** The datagram. */
  readonly buffer: Uint8Array;
  /** The sender's sockaddr. */
  readonly address: Uint8Array;
  /** Control messages (struct cmsghdr ...). */
  readonly control: Uint8Array;
}

function newMemory(bufferBytes: number, controlBytes: number): DatagramMemory {
  return {
    buffer: new Uint8Array(new ArrayBuffer(bufferBytes)),
    address: new Uint8Array(new ArrayBuffer(SOCKADDR_STORAGE_BYTES)),
    control: new Uint8Array(new ArrayBuffer(controlBytes)),
  };
}

/** Writes what stays of the msghdr at `offset`, and the iovec that it points to. */
function linkMemory(
  headers: DataView,
  offset: number,
  { buffer, address, control }: DatagramMemory,
  iovec: Uint8Array,
): void {
  const iovecView = new DataView(iovec.buffer, iovec.byteOffset, IOVEC_BYTES);
  iovecView.setBigUint64(0, addressOf(buffer), HOST_LITTLE_ENDIAN);
  iovecView.setBigUint64(8, BigInt(buffer.length), HOST_LITTLE_ENDIAN);
  headers.setBigUint64(offset + MSG_NAME, addressOf(address), HOST_LITTLE_ENDIAN);
  headers.setBigUint64(offset + MSG_IOV, addressOf(iovec), HOST_LITTLE_ENDIAN);
  headers.setBigUint64(offset + MSG_IOVLEN, 1n, HOST_LITTLE_ENDIAN);
  if (control.length > 0) {
    headers.setBigUint64(offset + MSG_CONTROL, addressOf(control), HOST_LITTLE_ENDIAN);
  }
}

/** Writes what the kernel overwrites with every datagram: how much room there is. */
function resetLengths(headers: DataView, offset: number, memory: DatagramMemory): void {
  headers.setUint32(offset + MSG_NAMELEN, memory.address.length, HOST_LITTLE_ENDIAN);
  setHost64(headers, offset + MSG_CONTROLLEN, memory.control.length);
}

/** recvmsg(2). What `receive` leaves in the buffers is valid until it is called again. */
export class Receiver implements DatagramMemory {
  readonly buffer: Uint8Array;
  readonly address: Uint8Array;
  readonly control: Uint8Array;
  /** Of the last datagram's sockaddr. */
  addressLength = 0;
  /** Of the last datagram's control messages. */
  controlLength = 0;
  /** MSG_TRUNC and MSG_CTRUNC of the last datagram. */
  flags = 0;
  readonly #iovec = new Uint8Array(new ArrayBuffer(IOVEC_BYTES));
  readonly #header = new Uint8Array(new ArrayBuffer(MSGHDR_BYTES));
  readonly #view = new DataView(this.#header.buffer);

  constructor(bufferBytes: number, controlBytes: number) {
    const { buffer, address, control } = newMemory(bufferBytes, controlBytes);
    this.buffer = buffer;
    this.address = address;
    this.control = control;
    linkMemory(this.#view, 0, this, this.#iovec);
  }

  /**
   * Takes one datagram: returns its full length (greater than `buffer.length` when it was cut,
   * MSG_TRUNC then being set in `flags`), or -errno.
   */
  receive(fd: number): number {
    const view = this.#view;
    resetLengths(view, 0, this);
    const received = recvmsg(fd, this.#header);
    if (received < 0) return received;
    const addressLength = view.getUint32(MSG_NAMELEN, HOST_LITTLE_ENDIAN);
    this.addressLength = Math.min(addressLength, this.address.length);
    this.controlLength = Math.min(getHost64(view, MSG_CONTROLLEN), this.control.length);
    this.flags = view.getInt32(MSG_FLAGS, HOST_LITTLE_ENDIAN);
    return received;
  }
}

/** What the kernel says of a datagram beside what it wrote into the buffers. */
export interface DatagramSizes {
  /** The datagram's full length, which may exceed the buffer. */
  datagramBytes: number;
  addressBytes: number;
  controlBytes: number;
  /** MSG_TRUNC when the datagram did not fit, MSG_CTRUNC when its control messages did not. */
  flags: number;
}

/** recvmmsg(2). What `receive` leaves in the memories is valid until it is called again. */
export class BatchReceiver {
  readonly memories: readonly DatagramMemory[];
  readonly #iovecs: Uint8Array;
  readonly #headers: Uint8Array;
  readonly #view: DataView;
  /** Headers that the kernel may have written to since their lengths were set. */
  #used: number;

  /** Takes up to `count` datagrams at once. */
  constructor(count: number, bufferBytes: number, controlBytes: number) {
    assert(count > 0, 'A batch holds a datagram at least');
    this.memories = Array.from({ length: count }, () => newMemory(bufferBytes, controlBytes));
    this.#iovecs = new Uint8Array(new ArrayBuffer(count * IOVEC_BYTES));
    this.#headers = new Uint8Array(new ArrayBuffer(count * MMSGHDR_BYTES));
    this.#view = new DataView(this.#headers.buffer);
    for (const [index, memory] of this.memories.entries()) {
      const iovec = this.#iovecs.subarray(index * IOVEC_BYTES, (index + 1) * IOVEC_BYTES);
      linkMemory(this.#view, index * MMSGHDR_BYTES, memory, iovec);
    }
    this.#used = count;
  }

  /** Takes what waits, as many as there is room for: their number, or -errno. */
  receive(fd: number): number {
    for (let index = 0; index < this.#used; index++) {
      const memory = this.memories[index] as DatagramMemory;
      resetLengths(this.#view, index * MMSGHDR_BYTES, memory);
    }
    const received = recvmmsg(fd, this.#headers, this.memories.length);
    // The attempt that ended a batch may have written to the header behind the last datagram.
    this.#used = Math.min(Math.max(received, 0) + 1, this.memories.length);
    return received;
  }

  /** Tells `sizes` of the datagram at `index`, which the last receive() took. */
  sizes(index: number, sizes: DatagramSizes): void {
    const view = this.#view;
    const offset = index * MMSGHDR_BYTES;
    const { address, control } = this.memories[index] as DatagramMemory;
    const addressBytes = view.getUint32(offset + MSG_NAMELEN, HOST_LITTLE_ENDIAN);
    sizes.datagramBytes = view.getUint32(offset + MSG_LEN, HOST_LITTLE_ENDIAN);
    sizes.addressBytes = Math.min(addressBytes, address.length);
    sizes.controlBytes = Math.min(getHost64(view, offset + MSG_CONTROLLEN), control.length);
    sizes.flags = view.getInt32(offset + MSG_FLAGS, HOST_LITTLE_ENDIAN);
  }
}
