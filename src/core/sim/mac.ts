/**
 * The MAC of the simulated world: a mixing of key and input into 16 bytes, so that a wrong key or
 * a changed byte is found out. It protects from nothing else; the daemon's is HMAC-SHA256.
 */

const DIGEST_BYTES = 16;

/** 16 bytes that depend on every byte of `key` and `input`. */
export function simulatedMac(key: Uint8Array, input: Uint8Array): Uint8Array {
  let low = 0x811c9dc5;
  let high = 0x9e3779b9;
  for (const bytes of [key, input]) {
    for (const byte of bytes) {
      low = Math.imul(low ^ byte, 0x01000193);
      high = Math.imul(high ^ (low >>> 15), 0x85ebca6b);
    }
  }
  const digest = new Uint8Array(DIGEST_BYTES);
  for (let index = 0; index < DIGEST_BYTES; index++) {
    low = Math.imul(low ^ (high >>> 13), 0x01000193);
    high = Math.imul(high ^ (low >>> 16), 0xc2b2ae35);
    digest[index] = high >>> 24;
  }
  return digest;
}
