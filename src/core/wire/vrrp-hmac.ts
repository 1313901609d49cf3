/**
 * The authentication trailer of VRRP version 3 as keepalived 2.4.2 and later send it (Internet
 * Draft draft-cassen-vrrp-auth-hmac). It follows the message (PDU), whose length is exact:
 *
 *   type 1 | key id | 0 (16 bits) | seconds (32) | 1/65536 s (16) | counter (16) |
 *     HMAC-SHA256 of the MAC input, first 16 of its bytes
 *
 * MAC input: 4 or 6 | version | VRID | 0 | source, zero padded to 16 bytes, then the PDU with a
 * checksum of 0, then the trailer with a MAC of zeros. The hash is a parameter.
 */
import { assert } from '../assert.ts';
import type { AddressFamily } from '../config/config.ts';
import { readU16, writeU16 } from './bytes.ts';
import { CHECKSUM_OFFSET, MAX_ADVERTISEMENT_BYTES, type TrailerWriter } from './vrrp.ts';

/** Length of the trailer. */
export const HMAC_TRAILER_BYTES = 28;

const TYPE_HMAC_SHA256 = 1;
const PSEUDO_HEADER_BYTES = 20;
const MAC_BYTES = 16;
const MAC_OFFSET = HMAC_TRAILER_BYTES - MAC_BYTES;

/** Length of a scratch buffer that every MAC input fits in. */
export const MAC_INPUT_BYTES_MAX: number =
  PSEUDO_HEADER_BYTES + MAX_ADVERTISEMENT_BYTES + HMAC_TRAILER_BYTES;

/** HMAC-SHA256 of `input` under `key`: 16 bytes or more, of which the first 16 count. */
export type Mac = (key: Uint8Array, input: Uint8Array) => Uint8Array;

/**
 * A point in a sender's order of advertisements: 64 bits, the time of sending with a counter.
 * Compared by sequenceIsAfter (vrrp/replay.ts), never by size.
 */
export interface HmacSequence {
  /** Seconds since 1970 modulo 2 to the 32. */
  readonly seconds: number;
  /** 1/65536 of a second in the high 16 bits, a counter in the low 16. */
  readonly fraction: number;
}

/** Who is authenticated: what the MAC binds beside the bytes themselves. */
export interface HmacSender {
  readonly family: AddressFamily;
  /** Source address of the IP packet, 4 or 16 bytes. */
  readonly source: Uint8Array;
}

export interface HmacSigning extends HmacSender {
  /** 1 to 255. */
  readonly keyId: number;
  readonly key: Uint8Array;
  readonly sequence: HmacSequence;
  readonly mac: Mac;
  /** MAC_INPUT_BYTES_MAX bytes, overwritten. */
  readonly scratch: Uint8Array;
}

/** The trailer for encodeAdvertisement to write behind its message. */
export function hmacTrailer(signing: HmacSigning): TrailerWriter {
  return {
    lengthBytes: HMAC_TRAILER_BYTES,
    write: (target, messageBytes) => writeTrailer(target, messageBytes, signing),
  };
}

function writeTrailer(target: Uint8Array, messageBytes: number, signing: HmacSigning): void {
  const { keyId, key, sequence, mac, scratch } = signing;
  assert(keyId >= 1 && keyId <= 255, 'a key id is 1 to 255');
  target[messageBytes] = TYPE_HMAC_SHA256;
  target[messageBytes + 1] = keyId;
  writeU16(target, messageBytes + 2, 0);
  writeU32(target, messageBytes + 4, sequence.seconds);
  writeU32(target, messageBytes + 8, sequence.fraction);
  const input = macInput(scratch, target, messageBytes, signing);
  const digest = mac(key, input);
  for (let index = 0; index < MAC_BYTES; index++) {
    target[messageBytes + MAC_OFFSET + index] = digest[index] as number;
  }
}

/** A received trailer. Nothing in it is to be trusted before verifyHmac says so. */
export interface HmacTrailer {
  readonly keyId: number;
  readonly sequence: HmacSequence;
  /** Type and reserved field are what this format has; otherwise it is of another. */
  readonly wellFormed: boolean;
}

/** The trailer of a received `signed` message: the message and HMAC_TRAILER_BYTES, no more. */
export function readHmacTrailer(signed: Uint8Array): HmacTrailer {
  const offset = messageLength(signed);
  return {
    keyId: signed[offset + 1] as number,
    sequence: { seconds: readU32(signed, offset + 4), fraction: readU32(signed, offset + 8) },
    wellFormed: signed[offset] === TYPE_HMAC_SHA256 && readU16(signed, offset + 2) === 0,
  };
}

export interface HmacVerification extends HmacSender {
  readonly key: Uint8Array;
  readonly mac: Mac;
  /** MAC_INPUT_BYTES_MAX bytes, overwritten. */
  readonly scratch: Uint8Array;
}

/** True when the MAC of a received `signed` message (see readHmacTrailer) is right. */
export function verifyHmac(signed: Uint8Array, verification: HmacVerification): boolean {
  const { key, mac, scratch } = verification;
  const offset = messageLength(signed);
  const digest = mac(key, macInput(scratch, signed, offset, verification));
  // Every byte is looked at, so that the time taken does not tell how many were right.
  let different = digest.length < MAC_BYTES ? 1 : 0;
  for (let index = 0; index < MAC_BYTES; index++) {
    different |= (signed[offset + MAC_OFFSET + index] as number) ^ (digest[index] ?? 0);
  }
  return different === 0;
}

function messageLength(signed: Uint8Array): number {
  const lengthBytes = signed.length - HMAC_TRAILER_BYTES;
  assert(lengthBytes > CHECKSUM_OFFSET + 1, 'this message has no trailer');
  return lengthBytes;
}

function macInput(
  scratch: Uint8Array,
  signed: Uint8Array,
  messageBytes: number,
  { family, source }: HmacSender,
): Uint8Array {
  const message = PSEUDO_HEADER_BYTES;
  const end = message + messageBytes + HMAC_TRAILER_BYTES;
  assert(scratch.length >= end, 'the scratch buffer is too small for the MAC input');
  scratch.fill(0, 0, message);
  scratch[0] = family === 'ipv4' ? 4 : 6;
  scratch[1] = (signed[0] as number) >> 4;
  scratch[2] = signed[1] as number;
  scratch.set(source, 4);
  scratch.set(signed.subarray(0, messageBytes + MAC_OFFSET), message);
  writeU16(scratch, message + CHECKSUM_OFFSET, 0);
  scratch.fill(0, end - MAC_BYTES, end);
  return scratch.subarray(0, end);
}

function readU32(bytes: Uint8Array, offset: number): number {
  return readU16(bytes, offset) * 0x10000 + readU16(bytes, offset + 2);
}

function writeU32(target: Uint8Array, offset: number, value: number): void {
  writeU16(target, offset, value >>> 16);
  writeU16(target, offset + 2, value);
}
