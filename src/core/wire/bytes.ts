/**
 * Big-endian integers in byte arrays, and copies without a view: what every codec needs.
 * Nothing here allocates. Callers have checked the bounds; a read past the end is a defect.
 */

/** The 16-bit unsigned integer in network order at `offset`. */
export function readU16(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset] as number) << 8) | (bytes[offset + 1] as number);
}

/** Writes the low 16 bits of `value` in network order at `offset`. */
export function writeU16(target: Uint8Array, offset: number, value: number): void {
  target[offset] = (value >>> 8) & 0xff;
  target[offset + 1] = value & 0xff;
}

/** True when both hold the same bytes. */
export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) return false;
  for (let index = 0; index < left.length; index++) {
    if (left[index] !== right[index]) return false;
  }
  return true;
}

/** "0x00ff": a 16-bit field as protocol analysers show it. */
export function formatU16(value: number): string {
  return `0x${value.toString(16).padStart(4, '0')}`;
}
