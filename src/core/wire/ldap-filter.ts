/**
 * Search filters of LDAP from their text: RFC 4515, in the form of RFC 4511 section 4.5.1.7.
 * `&`, `|`, `!`, `=`, `>=`, `<=`, `~=`, presence and substrings; no extensible matches.
 */
import { err, ok, type Result } from '../result.ts';
import { ber } from './ldap.ts';
import { utf8 } from './parts.ts';

/** Filters are nested by hand: deeper ones are a mistake, and reading them must end. */
const DEPTH_MAX = 20;

const SETS: Readonly<Record<string, number>> = { '&': 0xa0, '|': 0xa1 };
const NOT = 0xa2;
const COMPARISONS: Readonly<Record<string, number>> = {
  '=': 0xa3,
  '>=': 0xa5,
  '<=': 0xa6,
  '~=': 0xa8,
};
const SUBSTRINGS = 0xa4;
const PRESENT = 0x87;
const SEQUENCE = 0x30;
const OCTET_STRING = 0x04;
const ITEM = /^([A-Za-z][\w.;-]*|\d[\d.]*)(=|>=|<=|~=)([^()]*)$/;

/** The filter in BER, or what is wrong with its text. */
export function encodeLdapFilter(text: string): Result<Uint8Array, string> {
  // RFC 4515 demands the parentheses, which people leave out.
  const reader = new Reader(text.startsWith('(') ? text : `(${text})`);
  const filter = reader.filter(0);
  if (!filter.ok) return filter;
  return reader.ended ? filter : err('something follows the last parenthesis');
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get ended(): boolean {
    return this.#at === this.#text.length;
  }

  filter(depth: number): Result<Uint8Array, string> {
    if (depth > DEPTH_MAX) return err(`more than ${DEPTH_MAX} parentheses in one another`);
    if (!this.#take('(')) return err('an opening parenthesis is missing');
    const sign = this.#text[this.#at] ?? '';
    const set = SETS[sign];
    if (set === undefined && sign !== '!') return this.#item();
    this.#at++;
    const parts: Uint8Array[] = [];
    while (this.#text[this.#at] === '(') {
      const part = this.filter(depth + 1);
      if (!part.ok) return part;
      parts.push(part.value);
    }
    if (!this.#take(')')) return err('a closing parenthesis is missing');
    if (parts.length === 0 || (set === undefined && parts.length > 1)) {
      return err(`${sign} stands before ${parts.length} filters`);
    }
    return ok(ber(set ?? NOT, ...parts));
  }

  #item(): Result<Uint8Array, string> {
    const end = this.#text.indexOf(')', this.#at);
    if (end < 0) return err('a closing parenthesis is missing');
    const item = this.#text.slice(this.#at, end);
    this.#at = end + 1;
    const [, attribute, sign, value] = ITEM.exec(item) ?? [];
    if (attribute === undefined || sign === undefined || value === undefined) {
      return err(`"${item}" is no attribute with =, >=, <= or ~= and a value`);
    }
    return encodeItem(attribute, sign, value);
  }

  #take(sign: string): boolean {
    if (this.#text[this.#at] !== sign) return false;
    this.#at++;
    return true;
  }
}

function encodeItem(attribute: string, sign: string, value: string): Result<Uint8Array, string> {
  const name = ber(OCTET_STRING, utf8(attribute));
  if (sign === '=' && value === '*') return ok(ber(PRESENT, utf8(attribute)));
  const pieces: Uint8Array[] = [];
  for (const piece of value.split('*')) {
    const bytes = literalBytes(piece);
    if (bytes === null) return err(`"${piece}" has a backslash without two hexadecimal digits`);
    pieces.push(bytes);
  }
  const [first, ...others] = pieces;
  if (first === undefined) return err('a value is missing');
  if (others.length === 0)
    return ok(ber(COMPARISONS[sign] as number, name, ber(OCTET_STRING, first)));
  if (sign !== '=') return err(`a * has no meaning behind ${sign}`);
  // initial [0], any [1], final [2].
  const parts = pieces.flatMap((piece, index) => {
    if (piece.length === 0) return [];
    const tag = index === 0 ? 0x80 : index === others.length ? 0x82 : 0x81;
    return [ber(tag, piece)];
  });
  if (parts.length === 0) return err('only *');
  return ok(ber(SUBSTRINGS, name, ber(SEQUENCE, ...parts)));
}

/** Backslash and two digits stand for a byte; null for anything else behind a backslash. */
function literalBytes(text: string): Uint8Array | null {
  const bytes: number[] = [];
  for (const [, digits, plain, wrong] of text.matchAll(/\\([\da-fA-F]{2})|([^\\]+)|(\\)/g)) {
    if (wrong !== undefined) return null;
    if (digits !== undefined) bytes.push(Number.parseInt(digits, 16));
    else bytes.push(...utf8(plain ?? ''));
  }
  return Uint8Array.from(bytes);
}
