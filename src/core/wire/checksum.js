/**
 * The internet checksum (RFC 1071): the ones' complement of the ones' complement sum of all
 * 16-bit words. A sum is carried from range to range as a folded 16-bit number, so a checksum
 * over several ranges and a pseudo-header needs no copy and no allocation.
 * Only the last range of a sum may have an odd length: it is padded with a zero byte.
 */
/**
 * Ones' complement sum of the big-endian words of `bytes` from `start` to `end` (exclusive),
 * added to `initial` (any non-negative integer, such as an earlier sum). Returns 0 to 0xffff.
 */
export function onesComplementSum(bytes, start, end, initial) {
  let sum = initial;
  const lastWord = end - 1;
  let index = start;
  for (; index < lastWord; index += 2) {
    sum += (bytes[index] << 8) | bytes[index + 1];
  }
  if (index < end) sum += bytes[index] << 8;
  // Not by shifts: the unfolded sum of a long range may need more than 32 bits.
  while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
  return sum;
}
/**
 * Sum of the pseudo-header of an upper-layer packet of `lengthBytes` between two addresses of one
 * family. IPv4: source, destination, zero, protocol, length (RFC 5798 section 5.2.8, as for UDP
 * in RFC 768). IPv6: source, destination, 32-bit length, zeros, next header (RFC 8200 section
 * 8.1). Zeros add nothing and the length's two words fold into one, so one sum serves both.
 */
export function pseudoHeaderSum(source, destination, protocol, lengthBytes) {
  const sourceSum = onesComplementSum(source, 0, source.length, protocol + lengthBytes);
  return onesComplementSum(destination, 0, destination.length, sourceSum);
}
/**
 * The checksum field's value for a sum taken with that field as zero. Over received bytes, field
 * included, it is 0 exactly when the checksum is right (RFC 1071 section 1).
 */
export function finishChecksum(sum) {
  return ~sum & 0xffff;
}
//# sourceMappingURL=checksum.js.map
