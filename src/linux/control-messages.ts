/**
 * Control messages of recvmsg(2) (struct cmsghdr of 64-bit Linux, linux/socket.h) as the kernel
 * lays them out, in host byte order. Reads every field within its bounds and never throws: a
 * message that does not fit ends the walk.
 */
import { HOST_LITTLE_ENDIAN } from './sockaddr.ts';

/** 8 bytes of length, 4 of level, 4 of type. */
const CMSGHDR_BYTES = 16;
const TIMESPEC_BYTES = 16;

/** Calls `visit` for each message in the first `lengthBytes`, with its data's place. */
export function walkControlMessages(
  view: DataView,
  lengthBytes: number,
  visit: (level: number, type: number, offset: number, dataBytes: number) => void,
): void {
  const end = Math.min(lengthBytes, view.byteLength);
  let offset = 0;
  while (offset + CMSGHDR_BYTES <= end) {
    // Lengths are far below 2^32, so the low half is the length and the high half is 0.
    const length = view.getUint32(offset + (HOST_LITTLE_ENDIAN ? 0 : 4), HOST_LITTLE_ENDIAN);
    if (length < CMSGHDR_BYTES || length > end - offset) return;
    const level = view.getInt32(offset + 8, HOST_LITTLE_ENDIAN);
    const type = view.getInt32(offset + 12, HOST_LITTLE_ENDIAN);
    visit(level, type, offset + CMSGHDR_BYTES, length - CMSGHDR_BYTES);
    offset += (length + 7) & ~7;
  }
}

/** struct timespec of 64-bit Linux in whole microseconds; null when the data is too short. */
export function readTimespecUs(view: DataView, offset: number, dataBytes: number): number | null {
  if (dataBytes < TIMESPEC_BYTES) return null;
  const lowFirst = HOST_LITTLE_ENDIAN;
  const secondsLow = view.getUint32(offset + (lowFirst ? 0 : 4), lowFirst);
  const secondsHigh = view.getInt32(offset + (lowFirst ? 4 : 0), lowFirst);
  const nanoseconds = view.getUint32(offset + (lowFirst ? 8 : 12), lowFirst);
  const seconds = secondsHigh * 0x1_0000_0000 + secondsLow;
  return seconds * 1_000_000 + Math.floor(nanoseconds / 1000);
}
