/**
 * HTTP/1 (RFC 9112), as much of it as a check needs: one request, and the answer to it read from
 * pieces of any size, in little memory, as strictly as the standard allows: an answer that two
 * readers could understand differently is refused.
 *
 *   interim heads* --> head --> body: none, by length, in chunks, or to the end of the connection
 */
import { assert, assertNever } from '../assert.ts';
import { ok, type Result } from '../result.ts';
import { type DecodeError, decodeError } from './decode-error.ts';
import { concat, utf8 } from './parts.ts';

/** Longest head of an answer: status line and fields; also the fields behind chunks. */
export const HTTP_HEAD_BYTES_MAX: number = 16 * 1024;
/** Of all heads of an answer together, its interim ones included, and of what chunks say beside. */
export const HTTP_HEADS_BYTES_MAX: number = 64 * 1024;
/** Digits of a chunk's size: as many as an exact integer has. */
const SIZE_DIGITS_MAX = 13;
/** What is kept of Transfer-Encoding. */
const ENCODING_CHARACTERS_MAX = 256;

export interface HttpRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly version: '1.0' | '1.1';
  /** Names with values, Host included; not those that say where the request ends. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string | null;
}

/** RFC 9110 section 9.3: methods whose requests have content, so that none is said to be there. */
const CONTENT_METHODS = ['POST', 'PUT', 'PATCH'];

/** The request over a connection of its own; refuses what would end a line or a word in it. */
export function encodeHttpRequest(request: HttpRequest): Result<Uint8Array, DecodeError> {
  const { method, path, version, headers, body } = request;
  if (!/^[\x21-\x7e\x80-\xff]+$/.test(path)) {
    return decodeError('malformed', `The path ${JSON.stringify(path)} cannot be sent`);
  }
  const lines = [`${method} ${path} HTTP/${version}`];
  for (const [name, value] of headers) {
    if (!/^[!#$%&'*+.^_`|~\w-]+$/.test(name) || !/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) {
      return decodeError('malformed', `The header ${JSON.stringify(name)} cannot be sent`);
    }
    lines.push(`${name}: ${value}`);
  }
  lines.push('Connection: close');
  const content = utf8(body ?? '');
  if (body !== null || CONTENT_METHODS.includes(method)) {
    lines.push(`Content-Length: ${content.length}`);
  }
  const head = `${lines.join('\r\n')}\r\n\r\n`;
  // Of text that is no ASCII each character is a byte, as it was written (RFC 9110 section 5.5).
  const bytes = Uint8Array.from(head, (character) => character.charCodeAt(0));
  return ok(concat([bytes, content]));
}

/** Is told what comes, in order; `bytes` are valid within the call. */
export interface HttpAnswerEvents {
  /** The final head is complete; the status is 200 or more. */
  onStatus(status: number): void;
  onBody(bytes: Uint8Array): void;
}

type State =
  | 'start'
  | 'start-lf'
  | 'version'
  | 'code'
  | 'after-code'
  | 'reason'
  | 'line-lf'
  | 'field-start'
  | 'name'
  | 'value'
  | 'head-lf'
  | 'body'
  | 'body-to-end'
  | 'chunk-size'
  | 'chunk-extension'
  | 'chunk-size-lf'
  | 'chunk-body'
  | 'chunk-cr'
  | 'chunk-lf'
  | 'complete';

const CR = 13;
const LF = 10;
const SPACE = 32;
const TAB = 9;
const COLON = 58;
const SEMICOLON = 59;

const VERSION = /^HTTP\/(?:1\.[01]|2\.0) $/;
const VERSION_CHARACTERS = 'HTTP/1.1 '.length;

/** RFC 9110 section 5.6.2. */
const isToken: readonly boolean[] = Array.from({ length: 256 }, (_, code) =>
  /[!#$%&'*+.^_`|~\w-]/.test(code < 128 ? String.fromCharCode(code) : '\0'),
);

/** RFC 9110 section 5.5: visible characters, blanks, and what is no ASCII. */
function isText(byte: number): boolean {
  return (byte >= SPACE && byte !== 127) || byte === TAB;
}

/** Reads the answer to one request. */
export class HttpAnswerReader {
  readonly #events: HttpAnswerEvents;
  readonly #toHead: boolean;
  #state: State = 'start';
  #error: DecodeError | null = null;
  #headBytes = 0;
  #headsBytes = 0;
  /** The word that is being read: of the version, or a field's name in lower case, or its value. */
  #word = '';
  #name = '';
  #status = 0;
  #digits = 0;
  /** Of Content-Length; null when there is none. */
  #lengthBytes: number | null = null;
  /** Of Transfer-Encoding, all fields of it; null when there is none. */
  #encoding: string | null = null;
  /** Of the body, or of the chunk. */
  #leftBytes = 0;
  /** The fields behind the last chunk are being read. */
  #trailer = false;

  /** `method`: of the request; an answer to HEAD has no body. */
  constructor(method: string, events: HttpAnswerEvents) {
    this.#toHead = method === 'HEAD';
    this.#events = events;
  }

  /** Takes the next bytes: true when the answer is complete. What comes behind it is not read. */
  push(bytes: Uint8Array): Result<boolean, DecodeError> {
    let index = 0;
    while (index < bytes.length && this.#error === null && this.#state !== 'complete') {
      if (this.#isBody()) index += this.#takeBody(bytes, index);
      else this.#take(bytes[index++] as number);
    }
    return this.#outcome();
  }

  /** The server has ended the connection: true when that ends the answer. */
  end(): Result<boolean, DecodeError> {
    if (this.#error === null && this.#state === 'body-to-end') this.#state = 'complete';
    if (this.#error === null && this.#state !== 'complete') {
      return decodeError('truncated', 'The server closed the connection');
    }
    return this.#outcome();
  }

  #outcome(): Result<boolean, DecodeError> {
    if (this.#error !== null) return { ok: false, error: this.#error };
    return ok(this.#state === 'complete');
  }

  #isBody(): boolean {
    const state = this.#state;
    return state === 'body' || state === 'body-to-end' || state === 'chunk-body';
  }

  #takeBody(bytes: Uint8Array, from: number): number {
    const toEnd = this.#state === 'body-to-end';
    const length = toEnd ? bytes.length - from : Math.min(this.#leftBytes, bytes.length - from);
    if (!toEnd) this.#leftBytes -= length;
    this.#events.onBody(bytes.subarray(from, from + length));
    if (!toEnd && this.#leftBytes === 0) {
      this.#state = this.#state === 'body' ? 'complete' : 'chunk-cr';
    }
    return length;
  }

  /** One byte of anything but a body. */
  #take(byte: number): void {
    if (!this.#isFraming() && !this.#isWithinBounds()) return;
    switch (this.#state) {
      case 'start':
        // Empty lines before the first are of an answer before, and do no harm.
        if (byte === CR) this.#state = 'start-lf';
        else if (byte !== LF) this.#begin(byte);
        return;
      case 'start-lf':
        return this.#expect(byte === LF, 'start', 'a line feed');
      case 'version':
        return this.#takeVersion(byte);
      case 'code':
        return this.#takeCode(byte);
      case 'after-code':
        if (!this.#endsLine(byte))
          this.#expect(byte === SPACE, 'reason', 'a blank behind the status');
        return;
      case 'reason':
        if (!this.#endsLine(byte)) this.#expect(isText(byte), 'reason', 'a reason phrase');
        return;
      case 'line-lf':
        return this.#expect(byte === LF, 'field-start', 'a line feed');
      case 'field-start':
        if (byte === CR) this.#state = 'head-lf';
        else if (byte === LF) this.#endHead();
        else this.#beginField(byte);
        return;
      case 'name':
        return this.#takeName(byte);
      case 'value':
        return this.#takeValue(byte);
      case 'head-lf':
        if (byte !== LF) return this.#refuse('Expected a line feed behind the header');
        return this.#endHead();
      case 'chunk-size':
        return this.#takeSize(byte);
      case 'chunk-extension':
        if (byte === CR) this.#state = 'chunk-size-lf';
        else this.#expect(isText(byte), 'chunk-extension', 'an extension of a chunk');
        return;
      case 'chunk-size-lf':
        if (byte !== LF) return this.#refuse('Expected a line feed behind the size of a chunk');
        return this.#beginChunk();
      case 'chunk-cr':
        return this.#expect(byte === CR, 'chunk-lf', 'the end of a chunk');
      case 'chunk-lf':
        this.#expect(byte === LF, 'chunk-size', 'the end of a chunk');
        this.#digits = 0;
        this.#headBytes = 0;
        return;
      case 'body':
      case 'body-to-end':
      case 'chunk-body':
      case 'complete':
        assert(false, 'Bodies are not taken byte by byte, and behind the end nothing is');
        return;
      default:
        assertNever(this.#state);
    }
  }

  /**
   * Whether it ends a line of the header, or begins to: a line feed alone does it too, as scripts
   * write it that answer checks by themselves (RFC 9112 section 2.2 lets a recipient take it).
   */
  #endsLine(byte: number): boolean {
    if (byte === CR) this.#state = 'line-lf';
    else if (byte === LF) this.#state = 'field-start';
    return byte === CR || byte === LF;
  }

  /** What chunks have around them, which is short by itself. */
  #isFraming(): boolean {
    const state = this.#state;
    return (
      state === 'chunk-size' ||
      state === 'chunk-size-lf' ||
      state === 'chunk-cr' ||
      state === 'chunk-lf'
    );
  }

  #isWithinBounds(): boolean {
    this.#headBytes++;
    this.#headsBytes++;
    if (this.#headBytes > HTTP_HEAD_BYTES_MAX) {
      this.#refuse(`A header of more than ${HTTP_HEAD_BYTES_MAX} bytes`);
    } else if (this.#headsBytes > HTTP_HEADS_BYTES_MAX) {
      this.#refuse(`Headers of more than ${HTTP_HEADS_BYTES_MAX} bytes`);
    }
    return this.#error === null;
  }

  #expect(isExpected: boolean, next: State, what: string): void {
    if (isExpected) this.#state = next;
    else this.#refuse(`Expected ${what}`);
  }

  #refuse(detail: string): void {
    this.#error = { reason: 'malformed', detail };
  }

  #begin(byte: number): void {
    this.#word = '';
    this.#state = 'version';
    this.#takeVersion(byte);
  }

  #takeVersion(byte: number): void {
    this.#word += String.fromCharCode(byte);
    const { length } = this.#word;
    if (length < VERSION_CHARACTERS && 'HTTP/'.startsWith(this.#word.slice(0, 5))) return;
    if (!VERSION.test(this.#word)) return this.#refuse(`Expected HTTP/1, found ${this.#word}`);
    this.#state = 'code';
    this.#status = 0;
    this.#digits = 0;
  }

  #takeCode(byte: number): void {
    const digit = byte - 48;
    if (digit < 0 || digit > 9) return this.#refuse('Expected a status of three digits');
    this.#status = this.#status * 10 + digit;
    if (++this.#digits < 3) return;
    if (this.#status < 100) return this.#refuse('A status below 100');
    this.#state = 'after-code';
  }

  #beginField(byte: number): void {
    if (isToken[byte] !== true) return this.#refuse('Expected the name of a header');
    this.#word = '';
    this.#state = 'name';
    this.#takeName(byte);
  }

  #takeName(byte: number): void {
    if (byte === COLON) {
      this.#name = this.#word;
      this.#word = '';
      this.#state = 'value';
      return;
    }
    if (isToken[byte] !== true) return this.#refuse('A character that is not for names of headers');
    // Longer than any name that matters is none of them.
    if (this.#word.length <= 'transfer-encoding'.length) {
      this.#word += String.fromCharCode(byte >= 65 && byte <= 90 ? byte + 32 : byte);
    }
  }

  #takeValue(byte: number): void {
    if (this.#endsLine(byte)) {
      if (!this.#trailer) this.#endField(this.#name, this.#word);
      return;
    }
    if (!isText(byte)) return this.#refuse('A character that is not for values of headers');
    if (this.#name !== 'content-length' && this.#name !== 'transfer-encoding') return;
    this.#word += String.fromCharCode(byte);
    if (this.#word.length > ENCODING_CHARACTERS_MAX) this.#refuse(`A ${this.#name} without end`);
  }

  #endField(name: string, value: string): void {
    if (name === 'transfer-encoding') {
      this.#encoding = this.#encoding === null ? value : `${this.#encoding},${value}`;
    } else if (name === 'content-length') {
      const digits = /^[ \t]*(\d{1,15})[ \t]*$/.exec(value)?.[1];
      if (digits === undefined) return this.#refuse('Content-Length is no number of bytes');
      if (this.#lengthBytes !== null) return this.#refuse('Content-Length is there twice');
      this.#lengthBytes = Number(digits);
    }
  }

  /** RFC 9112 section 6.3: how long the body is. */
  #endHead(): void {
    this.#headBytes = 0;
    if (this.#trailer) {
      this.#state = 'complete';
      return;
    }
    const [status, lengthBytes, encoding] = [this.#status, this.#lengthBytes, this.#encoding];
    // What a proxy and a server could take for the ends of different messages.
    if (lengthBytes !== null && encoding !== null) {
      return this.#refuse('Both Content-Length and Transfer-Encoding');
    }
    this.#lengthBytes = null;
    this.#encoding = null;
    if (status === 101) return this.#refuse('Another protocol, which nobody asked for');
    if (status < 200) {
      this.#state = 'start';
      return;
    }
    const chunked = encoding !== null && /(?:^|,)[ \t]*chunked[ \t]*$/i.test(encoding);
    if (this.#toHead || status === 204 || status === 304 || lengthBytes === 0) {
      this.#state = 'complete';
    } else if (chunked) {
      this.#state = 'chunk-size';
      this.#digits = 0;
    } else {
      this.#state = lengthBytes === null ? 'body-to-end' : 'body';
    }
    this.#leftBytes = chunked ? 0 : (lengthBytes ?? 0);
    this.#events.onStatus(status);
  }

  #takeSize(byte: number): void {
    const digit = hexDigit(byte);
    if (digit !== null) {
      if (++this.#digits > SIZE_DIGITS_MAX) return this.#refuse('The size of a chunk is too long');
      this.#leftBytes = this.#leftBytes * 16 + digit;
      return;
    }
    if (this.#digits === 0) return this.#refuse('Expected the size of a chunk');
    if (byte === CR) this.#state = 'chunk-size-lf';
    else this.#expect(byte === SEMICOLON, 'chunk-extension', 'the end of the size of a chunk');
  }

  #beginChunk(): void {
    if (this.#leftBytes > 0) {
      this.#state = 'chunk-body';
      return;
    }
    this.#trailer = true;
    this.#headBytes = 0;
    this.#state = 'field-start';
  }
}

/** The value of a hexadecimal digit; null when it is none. */
function hexDigit(byte: number): number | null {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : null;
}
