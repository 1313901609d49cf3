/**
 * BFD control packets: RFC 5880 section 4.1, without an authentication section.
 *
 *   version 1, diagnostic | state, P F C A D M | detect multiplier | length |
 *     my discriminator | your discriminator |
 *     desired minimum TX | required minimum RX | required minimum echo RX   (microseconds)
 *
 * Encoding allocates nothing. Decoding refuses what the packet alone decides, in the order of
 * section 6.8.6; what a session decides is bfd/receive.ts.
 */
import { assert } from '../assert.ts';
import {
  BFD_STATES,
  type BfdControl,
  type BfdRefusal,
  type BfdRefusalReason,
} from '../bfd/types.ts';
import { ok, type Result } from '../result.ts';
import { writeU16 } from './bytes.ts';

/** UDP ports: RFC 5881 section 4 (single hop) and RFC 5883 section 5 (multihop). */
export const BFD_PORT_SINGLE_HOP = 3784;
export const BFD_PORT_MULTIHOP = 4784;
/** Source ports: RFC 5881 section 4. */
export const BFD_SOURCE_PORT_MIN = 49_152;
export const BFD_SOURCE_PORT_MAX = 65_535;

/** Length of every packet that is sent, and the least of one that is received. */
export const BFD_CONTROL_BYTES = 24;
/** With the two bytes that begin an authentication section. */
const AUTHENTICATED_BYTES_MIN = 26;
const VERSION = 1;
const UINT32_MAX = 2 ** 32 - 1;

const FLAG_POLL = 0x20;
const FLAG_FINAL = 0x10;
const FLAG_CONTROL_PLANE_INDEPENDENT = 0x08;
const FLAG_AUTHENTICATION = 0x04;
const FLAG_DEMAND = 0x02;
const FLAG_MULTIPOINT = 0x01;

/**
 * Writes the packet at the start of `target` and returns BFD_CONTROL_BYTES. The bits C, A and M
 * and the echo interval are zero. Values out of range are defects of the caller.
 */
export function encodeBfdControl(target: Uint8Array, control: BfdControl): number {
  assert(target.length >= BFD_CONTROL_BYTES, 'the buffer is too small for a control packet');
  const { diagnostic, detectMultiplier } = control;
  assert(diagnostic >= 0 && diagnostic <= 31, 'a diagnostic is 0 to 31');
  assert(detectMultiplier >= 1 && detectMultiplier <= 255, 'a detect multiplier is 1 to 255');
  assert(control.myDiscriminator !== 0, 'my discriminator is not 0');
  assert(!(control.poll && control.final), 'poll and final exclude each other');
  target[0] = (VERSION << 5) | diagnostic;
  target[1] =
    (BFD_STATES.indexOf(control.state) << 6) |
    (control.poll ? FLAG_POLL : 0) |
    (control.final ? FLAG_FINAL : 0) |
    (control.demand ? FLAG_DEMAND : 0);
  target[2] = detectMultiplier;
  target[3] = BFD_CONTROL_BYTES;
  writeU32(target, 4, control.myDiscriminator);
  writeU32(target, 8, control.yourDiscriminator);
  writeU32(target, 12, control.desiredMinTxUs);
  writeU32(target, 16, control.requiredMinRxUs);
  writeU32(target, 20, 0);
  return BFD_CONTROL_BYTES;
}

/** A control packet and the bits that a session looks at before it takes it. */
export interface DecodedBfdControl extends BfdControl {
  /** The A bit: there is an authentication section. */
  readonly authenticated: boolean;
  /** The C bit: the remote system's BFD survives the death of its control plane. */
  readonly controlPlaneIndependent: boolean;
}

/**
 * The control packet in the first `lengthBytes` of `bytes`, the UDP payload, which may be longer
 * than what was stored. What follows the packet's own length is ignored.
 */
export function decodeBfdControl(
  bytes: Uint8Array,
  lengthBytes: number,
): Result<DecodedBfdControl, BfdRefusal> {
  const storedBytes = Math.min(bytes.length, lengthBytes);
  if (storedBytes < 4) return refuse('truncated', `${storedBytes} bytes; expected 24`);
  const first = bytes[0] as number;
  const second = bytes[1] as number;
  const detectMultiplier = bytes[2] as number;
  const length = bytes[3] as number;
  const version = first >> 5;
  if (version !== VERSION) return refuse('version', `Version ${version}; expected 1`);
  const authenticated = (second & FLAG_AUTHENTICATION) !== 0;
  const leastBytes = authenticated ? AUTHENTICATED_BYTES_MIN : BFD_CONTROL_BYTES;
  if (length < leastBytes) return refuse('length', `Length ${length}; expected ${leastBytes}`);
  if (length > storedBytes) {
    return refuse('truncated', `Length ${length} in ${storedBytes} bytes`);
  }
  if (detectMultiplier === 0) return refuse('multiplier', 'Detect multiplier 0');
  if ((second & FLAG_MULTIPOINT) !== 0) return refuse('multipoint', 'The multipoint bit is set');
  const myDiscriminator = readU32(bytes, 4);
  if (myDiscriminator === 0) return refuse('discriminator', 'My discriminator is 0');
  const yourDiscriminator = readU32(bytes, 8);
  const state = BFD_STATES[second >> 6] as BfdControl['state'];
  if (yourDiscriminator === 0 && state !== 'down' && state !== 'admin-down') {
    return refuse('state', `State ${state} without your discriminator`);
  }
  return ok({
    state,
    diagnostic: first & 0x1f,
    poll: (second & FLAG_POLL) !== 0,
    final: (second & FLAG_FINAL) !== 0,
    demand: (second & FLAG_DEMAND) !== 0,
    detectMultiplier,
    myDiscriminator,
    yourDiscriminator,
    desiredMinTxUs: readU32(bytes, 12),
    requiredMinRxUs: readU32(bytes, 16),
    authenticated,
    controlPlaneIndependent: (second & FLAG_CONTROL_PLANE_INDEPENDENT) !== 0,
  });
}

function refuse(
  reason: BfdRefusalReason,
  detail: string,
): { readonly ok: false; readonly error: BfdRefusal } {
  return { ok: false, error: { reason, detail } };
}

function readU32(bytes: Uint8Array, offset: number): number {
  const high = ((bytes[offset] as number) << 8) | (bytes[offset + 1] as number);
  const low = ((bytes[offset + 2] as number) << 8) | (bytes[offset + 3] as number);
  return high * 0x1_0000 + low;
}

function writeU32(target: Uint8Array, offset: number, value: number): void {
  assert(Number.isInteger(value) && value >= 0 && value <= UINT32_MAX, 'not a 32-bit integer');
  writeU16(target, offset, value >>> 16);
  writeU16(target, offset + 2, value);
}
