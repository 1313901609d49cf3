/**
 * The body of a long answer: UTF-8 in pieces of memory outside of V8's heap, where tens of megabytes
 * of text would have it collect garbage at length. It is shared memory, which V8 does not count as a
 * reason to collect either. As nothing would free it soon, it is used again for the next answers.
 */

const PIECE_BYTES = 64 * 1024;
/** Pieces that are kept for the next answers, 128 MiB: the metrics of 50,000 checks. */
const FREE_MAX = 2_048;

const free: Uint8Array[] = [];
const encoder = new TextEncoder();

interface Piece {
  readonly bytes: Uint8Array;
  /** Bytes of it that are in use. */
  used: number;
}

export class Body {
  readonly #pieces: Piece[] = [];
  #users = 1;

  add(text: string): void {
    for (let rest = text; rest.length > 0; ) {
      const piece = this.#pieces.at(-1) ?? this.#addPiece();
      const { read, written } = encoder.encodeInto(rest, piece.bytes.subarray(piece.used));
      piece.used += written;
      if (read === rest.length) return;
      rest = rest.slice(read);
      this.#addPiece();
    }
  }

  get lengthBytes(): number {
    return this.#pieces.reduce((sum, { used }) => sum + used, 0);
  }

  /** UTF-8, until the last user has released the body. */
  parts(): readonly Uint8Array[] {
    return this.#pieces.map(({ bytes, used }) => bytes.subarray(0, used));
  }

  /** Somebody else uses it as well: each of them is to release it. */
  retain(): void {
    this.#users++;
  }

  /** One user needs its parts no more; after the last one, other bodies are put there. */
  release(): void {
    if (--this.#users > 0) return;
    for (const { bytes } of this.#pieces.splice(0)) if (free.length < FREE_MAX) free.push(bytes);
  }

  #addPiece(): Piece {
    const bytes = free.pop() ?? new Uint8Array(new SharedArrayBuffer(PIECE_BYTES));
    const piece = { bytes, used: 0 };
    this.#pieces.push(piece);
    return piece;
  }
}
