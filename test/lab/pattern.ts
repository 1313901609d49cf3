/**
 * Pattern: the bytes of the lab's long downloads, the same at a given offset for every server,
 * so that a client can tell that nothing was lost, doubled or mixed up.
 */

/** A prime length: a stream that slips by any power of two no longer matches. */
const PATTERN_BYTES = 65_521;

const pattern = makePattern();

function makePattern(): Uint8Array {
  const bytes = new Uint8Array(PATTERN_BYTES);
  // Numerical Recipes' linear congruential generator; its high byte is random enough.
  let state = 1;
  for (let index = 0; index < PATTERN_BYTES; index += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

/** Up to `lengthBytes` of the pattern from `offset`; shorter where the pattern wraps. */
export function patternAt(offset: number, lengthBytes: number): Uint8Array {
  const start = offset % PATTERN_BYTES;
  return pattern.subarray(start, Math.min(start + lengthBytes, PATTERN_BYTES));
}

/** Offset of the first byte of `chunk` (received at `offset`) that differs, or -1. */
export function mismatchAt(offset: number, chunk: Uint8Array): number {
  let done = 0;
  while (done < chunk.length) {
    const expected = patternAt(offset + done, chunk.length - done);
    const actual = chunk.subarray(done, done + expected.length);
    if (Buffer.compare(expected, actual) !== 0) {
      return offset + done + expected.findIndex((byte, index) => byte !== actual[index]);
    }
    done += expected.length;
  }
  return -1;
}
