import {
  AF_INET6,
  IPV6_HOPLIMIT,
  IPV6_PKTINFO,
  MSG_TRUNC,
  SO_TIMESTAMPNS_OLD,
  SOL_IPV6,
  SOL_SOCKET,
} from './constants.js';
import { HOST_LITTLE_ENDIAN, SOCKADDR_IN6_BYTES } from './sockaddr.js';

const IPV4_HEADER_BYTES = 20;
const IPV4_TOTAL_LENGTH = 2;
const IPV4_TTL = 8;
const IPV4_SOURCE = 12;
const IPV4_DESTINATION = 16;
const SOCKADDR_IN6_ADDRESS = 8;
const IPV6_ADDRESS_BYTES = 16;
/** struct cmsghdr of 64-bit Linux: 8 bytes of length, 4 of level, 4 of type. */
const CMSGHDR_BYTES = 16;
const TIMESPEC_BYTES = 16;
/** Reads what was received into `buffer`, `address` and `control`; one instance, reused. */
export class AdvertReader {
  family;
  payload;
  lengthBytes = 0;
  truncated = false;
  ttl = 0;
  source;
  destination;
  receivedAtUs = 0;
  /** The kernel's stamp on the real-time clock, microseconds; null when there was none. */
  stampUs = null;
  #buffer;
  #address;
  #addressView;
  #control;
  #controlView;
  /** The payload behind a header without options, which is nearly every one. */
  #usualPayload;
  /** `buffer` and `address` have room for an IPv4 header and a sockaddr_in6 at least. */
  constructor(family, memory) {
    this.family = family;
    this.#buffer = memory.buffer;
    this.#address = memory.address;
    this.#addressView = viewOf(memory.address);
    this.#control = memory.control;
    this.#controlView = viewOf(memory.control);
    const { buffer, address } = memory;
    if (family === 'ipv4') {
      this.#usualPayload = buffer.subarray(IPV4_HEADER_BYTES);
      this.source = buffer.subarray(IPV4_SOURCE, IPV4_SOURCE + 4);
      this.destination = buffer.subarray(IPV4_DESTINATION, IPV4_DESTINATION + 4);
    } else {
      this.#usualPayload = buffer;
      const sourceEnd = SOCKADDR_IN6_ADDRESS + IPV6_ADDRESS_BYTES;
      this.source = address.subarray(SOCKADDR_IN6_ADDRESS, sourceEnd);
      this.destination = new Uint8Array(IPV6_ADDRESS_BYTES);
    }
    this.payload = this.#usualPayload;
  }
  /** Sets every field but `receivedAtUs` for the datagram that was just received. */
  read(sizes) {
    this.stampUs = null;
    this.ttl = 0;
    if (this.family === 'ipv4') {
      this.#readIpv4(sizes.datagramBytes);
    } else {
      this.#readIpv6(sizes.datagramBytes, sizes.addressBytes);
    }
    if ((sizes.flags & MSG_TRUNC) !== 0) this.truncated = true;
    this.#readControl(sizes.controlBytes);
  }
  #readIpv4(datagramBytes) {
    const buffer = this.#buffer;
    const storedBytes = Math.min(datagramBytes, buffer.length);
    this.payload = this.#usualPayload;
    this.lengthBytes = 0;
    this.truncated = true;
    if (storedBytes < IPV4_HEADER_BYTES) {
      // The rest of the header would be the previous packet's.
      buffer.fill(0, storedBytes, IPV4_HEADER_BYTES);
      return;
    }
    this.ttl = buffer[IPV4_TTL];
    const headerBytes = (buffer[0] & 0x0f) * 4;
    const high = buffer[IPV4_TOTAL_LENGTH];
    const totalBytes = (high << 8) | buffer[IPV4_TOTAL_LENGTH + 1];
    if (headerBytes < IPV4_HEADER_BYTES) return;
    if (headerBytes > storedBytes || headerBytes > totalBytes) return;
    if (headerBytes > IPV4_HEADER_BYTES) this.payload = buffer.subarray(headerBytes);
    this.lengthBytes = Math.min(totalBytes, datagramBytes) - headerBytes;
    this.truncated = totalBytes > datagramBytes || datagramBytes > buffer.length;
  }
  #readIpv6(datagramBytes, addressBytes) {
    this.lengthBytes = datagramBytes;
    this.truncated = datagramBytes > this.#buffer.length;
    const known = addressBytes >= SOCKADDR_IN6_BYTES && this.#addressFamily() === AF_INET6;
    if (!known) this.source.fill(0);
    this.destination.fill(0);
  }
  #addressFamily() {
    return this.#addressView.getUint16(0, HOST_LITTLE_ENDIAN);
  }
  /** Walks the control messages (linux/socket.h CMSG_NXTHDR). */
  #readControl(controlBytes) {
    const view = this.#controlView;
    const end = Math.min(controlBytes, this.#control.length);
    let offset = 0;
    while (offset + CMSGHDR_BYTES <= end) {
      // Lengths are far below 2^32, so the low half is the length and the high half is 0.
      const low = view.getUint32(offset + (HOST_LITTLE_ENDIAN ? 0 : 4), HOST_LITTLE_ENDIAN);
      if (low < CMSGHDR_BYTES || low > end - offset) return;
      const level = view.getInt32(offset + 8, HOST_LITTLE_ENDIAN);
      const type = view.getInt32(offset + 12, HOST_LITTLE_ENDIAN);
      this.#readControlMessage(level, type, offset + CMSGHDR_BYTES, low - CMSGHDR_BYTES);
      offset += (low + 7) & ~7;
    }
  }
  #readControlMessage(level, type, offset, lengthBytes) {
    const view = this.#controlView;
    if (level === SOL_SOCKET && type === SO_TIMESTAMPNS_OLD && lengthBytes >= TIMESPEC_BYTES) {
      this.stampUs = timespecUs(view, offset);
    } else if (this.family === 'ipv4' || level !== SOL_IPV6) {
      return;
    } else if (type === IPV6_HOPLIMIT && lengthBytes >= 4) {
      this.ttl = view.getInt32(offset, HOST_LITTLE_ENDIAN);
    } else if (type === IPV6_PKTINFO && lengthBytes >= IPV6_ADDRESS_BYTES) {
      for (let index = 0; index < IPV6_ADDRESS_BYTES; index++) {
        this.destination[index] = this.#control[offset + index];
      }
    }
  }
}
/** struct timespec of 64-bit Linux in whole microseconds. */
function timespecUs(view, offset) {
  const lowFirst = HOST_LITTLE_ENDIAN;
  const secondsLow = view.getUint32(offset + (lowFirst ? 0 : 4), lowFirst);
  const secondsHigh = view.getInt32(offset + (lowFirst ? 4 : 0), lowFirst);
  const nanoseconds = view.getUint32(offset + (lowFirst ? 8 : 12), lowFirst);
  const seconds = secondsHigh * 0x1_0000_0000 + secondsLow;
  return seconds * 1_000_000 + Math.floor(nanoseconds / 1000);
}
function viewOf(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
//# sourceMappingURL=received-advert.js.map
