/**
 * Search filters of LDAP from their text: RFC 4515. Read here, and not by the client library
 * `ldapts`, because a mistake must be found when the configuration is read, in processes that do
 * not load it; and because it knows no attributes by number or with options, takes the bytes
 * behind a backslash for characters, and does not miss a parenthesis at the end.
 */
import { err, ok, type Result } from '../result.ts';
import { latin1, utf8 } from './parts.ts';

/** Filters are nested by hand: deeper ones are a mistake, and reading them must end. */
const DEPTH_MAX = 20;

/** Values are bytes, one a character. */
export type LdapFilter =
  | { readonly kind: 'and' | 'or'; readonly filters: readonly LdapFilter[] }
  | { readonly kind: 'not'; readonly filter: LdapFilter }
  | { readonly kind: 'present'; readonly attribute: string }
  | {
      readonly kind: 'equal' | 'at-least' | 'at-most' | 'similar';
      readonly attribute: string;
      readonly value: string;
    }
  | {
      readonly kind: 'substrings';
      readonly attribute: string;
      /** '' for none. */
      readonly initial: string;
      readonly any: readonly string[];
      /** '' for none. */
      readonly final: string;
    }
  | {
      readonly kind: 'extensible';
      /** '' for all that the rule is for. */
      readonly attribute: string;
      /** '' for that of the attribute. */
      readonly rule: string;
      /** Those in the entry's name too. */
      readonly inName: boolean;
      readonly value: string;
    };

const SETS = { '&': 'and', '|': 'or' } as const;
const COMPARISONS = { '=': 'equal', '>=': 'at-least', '<=': 'at-most', '~=': 'similar' } as const;
const ITEM = /^([A-Za-z][\w.;-]*|\d[\d.]*)(=|>=|<=|~=)([^()]*)$/;
const EXTENSIBLE = /^([A-Za-z][\w.;-]*|\d[\d.]*)?(:dn)?(?::([A-Za-z][\w-]*|\d[\d.]*))?:=([^()]*)$/i;

/** The filter, or what is wrong with its text. */
export function parseLdapFilter(text: string): Result<LdapFilter, string> {
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

  filter(depth: number): Result<LdapFilter, string> {
    if (depth > DEPTH_MAX) return err(`more than ${DEPTH_MAX} parentheses in one another`);
    if (!this.#take('(')) return err('an opening parenthesis is missing');
    const sign = this.#text[this.#at] ?? '';
    if (sign !== '&' && sign !== '|' && sign !== '!') return this.#item();
    this.#at++;
    const filters: LdapFilter[] = [];
    while (this.#text[this.#at] === '(') {
      const part = this.filter(depth + 1);
      if (!part.ok) return part;
      filters.push(part.value);
    }
    if (!this.#take(')')) return err('a closing parenthesis is missing');
    const [first] = filters;
    if (first === undefined || (sign === '!' && filters.length > 1)) {
      return err(`${sign} stands before ${filters.length} filters`);
    }
    return ok(sign === '!' ? { kind: 'not', filter: first } : { kind: SETS[sign], filters });
  }

  #item(): Result<LdapFilter, string> {
    const end = this.#text.indexOf(')', this.#at);
    if (end < 0) return err('a closing parenthesis is missing');
    const item = this.#text.slice(this.#at, end);
    this.#at = end + 1;
    return parseItem(item);
  }

  #take(sign: string): boolean {
    if (this.#text[this.#at] !== sign) return false;
    this.#at++;
    return true;
  }
}

function parseItem(item: string): Result<LdapFilter, string> {
  const [, attribute, sign, value] = ITEM.exec(item) ?? [];
  if (attribute === undefined || sign === undefined || value === undefined) {
    return parseExtensible(item);
  }
  if (sign === '=' && value === '*') return ok({ kind: 'present', attribute });
  const pieces: string[] = [];
  for (const piece of value.split('*')) {
    const bytes = bytesOf(piece);
    if (!bytes.ok) return bytes;
    pieces.push(bytes.value);
  }
  const [initial = '', ...others] = pieces;
  const final = others.pop();
  if (final === undefined) {
    return ok({ kind: COMPARISONS[sign as keyof typeof COMPARISONS], attribute, value: initial });
  }
  if (sign !== '=') return err(`a * has no meaning behind ${sign}`);
  const any = others.filter((piece) => piece !== '');
  if (initial === '' && any.length === 0 && final === '') return err('only *');
  return ok({ kind: 'substrings', attribute, initial, any, final });
}

function parseExtensible(item: string): Result<LdapFilter, string> {
  const [whole, attribute = '', dn, rule = '', text = ''] = EXTENSIBLE.exec(item) ?? [];
  if (whole === undefined || (attribute === '' && rule === '')) {
    return err(`"${item}" is no attribute with =, >=, <=, ~= or := and a value`);
  }
  const value = bytesOf(text);
  if (!value.ok) return value;
  const inName = dn !== undefined;
  return ok({ kind: 'extensible', attribute, rule, inName, value: value.value });
}

/** The bytes of a value's text, one a character; backslash and two digits stand for one. */
function bytesOf(text: string): Result<string, string> {
  let bytes = '';
  for (const [, digits, plain, wrong] of text.matchAll(/\\([\da-fA-F]{2})|([^\\]+)|(\\)/g)) {
    if (wrong !== undefined) {
      return err(`"${text}" has a backslash without two hexadecimal digits`);
    }
    bytes +=
      digits === undefined
        ? latin1(utf8(plain ?? ''))
        : String.fromCharCode(Number.parseInt(digits, 16));
  }
  return ok(bytes);
}
