/**
 * Messages that are put together from parts: text as bytes, bytes as text, and one after another.
 * For protocols in which a message is rare, so that an array more or less does not matter.
 */

/** The text in UTF-8; lone surrogates become U+FFFD, as everywhere. */
export function utf8(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of text) {
    const point = character.codePointAt(0) as number;
    const code = point >= 0xd800 && point <= 0xdfff ? 0xfffd : point;
    if (code < 0x80) bytes.push(code);
    else if (code < 0x800) bytes.push(0xc0 | (code >> 6), 0x80 | (code & 0x3f));
    else if (code < 0x1_0000) {
      bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f));
    } else {
      bytes.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 0x3f));
      bytes.push(0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f));
    }
  }
  return Uint8Array.from(bytes);
}

/** Bytes as Latin-1: every byte is one character. Reads from `start` to before `end`. */
export function latin1(bytes: Uint8Array, start = 0, end: number = bytes.length): string {
  let text = '';
  for (let index = start; index < end; index++) text += String.fromCharCode(bytes[index] as number);
  return text;
}

/** Where the first NUL at or behind `start` and before `end` is; null when there is none. */
export function findNul(bytes: Uint8Array, start: number, end: number): number | null {
  for (let index = start; index < end; index++) if (bytes[index] === 0) return index;
  return null;
}

/** The parts, one after another. */
export function concat(parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

/** A message at the beginning of a stream's bytes, and how many of them it takes. */
export interface Framed<T> {
  readonly message: T;
  readonly lengthBytes: number;
}
