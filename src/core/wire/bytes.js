/**
 * Big-endian integers in byte arrays, and copies without a view: what every codec needs.
 * Nothing here allocates. Callers have checked the bounds; a read past the end is a defect.
 */
/** The 16-bit unsigned integer in network order at `offset`. */
export function readU16(bytes, offset) {
  return (bytes[offset] << 8) | bytes[offset + 1];
}
/** Writes the low 16 bits of `value` in network order at `offset`. */
export function writeU16(target, offset, value) {
  target[offset] = (value >>> 8) & 0xff;
  target[offset + 1] = value & 0xff;
}
/** True when both hold the same bytes. */
export function equalBytes(left, right) {
  if (left.length !== right.length) return false;
  for (let index = 0; index < left.length; index++) {
    if (left[index] !== right[index]) return false;
  }
  return true;
}
/** "0x00ff": a 16-bit field as protocol analysers show it. */
export function formatU16(value) {
  return `0x${value.toString(16).padStart(4, '0')}`;
}
//# sourceMappingURL=bytes.js.map
