/**
 * LDAP messages (RFC 4511) in BER, as much of them as a check needs: bind, search, StartTLS and
 * unbind are written, their answers read.
 *
 *   SEQUENCE { messageID INTEGER, protocolOp [APPLICATION n] { … }, controls [0] OPTIONAL }
 *
 * Invariants: lengths are definite (RFC 4511 section 5.1) and of at most four bytes; a message
 * above LDAP_MESSAGE_BYTES_MAX is refused as soon as its length is known.
 */
import { ok, type Result } from '../result.ts';
import { type DecodeError, decodeError } from './decode-error.ts';
import { concat, type Framed, latin1, utf8 } from './parts.ts';

/** Longest message that is read. */
export const LDAP_MESSAGE_BYTES_MAX: number = 64 * 1024;

const SEQUENCE = 0x30;
const INTEGER = 0x02;
const BOOLEAN = 0x01;
const OCTET_STRING = 0x04;
const ENUMERATED = 0x0a;
const BIND_REQUEST = 0x60;
const UNBIND_REQUEST = 0x42;
const SEARCH_REQUEST = 0x63;
const EXTENDED_REQUEST = 0x77;
const SIMPLE_PASSWORD = 0x80;
const REQUEST_NAME = 0x80;
/** RFC 4511 section 4.14.1. */
const START_TLS = '1.3.6.1.4.1.1466.20037';
/** RFC 4511 section 4.5.1.8: no attributes are asked for. */
const NO_ATTRIBUTES = '1.1';

/** By the number of the scope in a search request: RFC 4511 section 4.5.1.2. */
export const LDAP_SCOPES = ['base', 'one', 'sub'] as const;
export type LdapScope = (typeof LDAP_SCOPES)[number];

/** Result codes that are told of by name: RFC 4511 section 4.1.9. */
const RESULT_NAMES: Readonly<Record<number, string>> = {
  1: 'operationsError',
  2: 'protocolError',
  3: 'timeLimitExceeded',
  7: 'authMethodNotSupported',
  8: 'strongerAuthRequired',
  10: 'referral',
  13: 'confidentialityRequired',
  32: 'noSuchObject',
  34: 'invalidDNSyntax',
  48: 'inappropriateAuthentication',
  49: 'invalidCredentials',
  50: 'insufficientAccessRights',
  51: 'busy',
  52: 'unavailable',
  53: 'unwillingToPerform',
  80: 'other',
};

/** 0 is success. */
export interface LdapResult {
  readonly code: number;
  /** 'invalidCredentials (49): what the server says'. */
  readonly text: string;
}

export type LdapAnswer =
  | {
      readonly kind: 'bind' | 'search-done' | 'extended';
      readonly id: number;
      readonly result: LdapResult;
    }
  | { readonly kind: 'search-entry' | 'search-reference'; readonly id: number };

const ANSWERS: Readonly<Record<number, LdapAnswer['kind']>> = {
  97: 'bind',
  100: 'search-entry',
  101: 'search-done',
  115: 'search-reference',
  120: 'extended',
};

/** One element: tag, length, content. */
export function ber(
  tag: number,
  ...content: readonly (Uint8Array | readonly number[])[]
): Uint8Array {
  const body = concat(content);
  const { length } = body;
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x1_0000
        ? [tag, 0x82, length >> 8, length & 0xff]
        : [tag, 0x84, length >>> 24, (length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff];
  return concat([head, body]);
}

const integer = (value: number) => ber(INTEGER, [value]);
const octets = (text: string, tag = OCTET_STRING) => ber(tag, utf8(text));
const message = (id: number, operation: Uint8Array) => ber(SEQUENCE, integer(id), operation);

/** A simple bind of version 3; both texts empty for an anonymous one. `id` is 1 to 127. */
export function encodeLdapBind(id: number, name: string, password: string): Uint8Array {
  const credentials = octets(password, SIMPLE_PASSWORD);
  return message(id, ber(BIND_REQUEST, integer(3), octets(name), credentials));
}

export interface LdapSearch {
  readonly base: string;
  readonly scope: LdapScope;
  /** As encodeLdapFilter() gives it. */
  readonly filter: Uint8Array;
}

/** A search for one entry, without attributes. `id` is 1 to 127. */
export function encodeLdapSearch(id: number, { base, scope, filter }: LdapSearch): Uint8Array {
  return message(
    id,
    ber(
      SEARCH_REQUEST,
      octets(base),
      ber(ENUMERATED, [LDAP_SCOPES.indexOf(scope)]),
      // Aliases are followed, at the base and below it.
      ber(ENUMERATED, [3]),
      integer(1),
      integer(0),
      ber(BOOLEAN, [0xff]),
      filter,
      ber(SEQUENCE, octets(NO_ATTRIBUTES)),
    ),
  );
}

/** `id` is 1 to 127. */
export function encodeLdapStartTls(id: number): Uint8Array {
  return message(id, ber(EXTENDED_REQUEST, octets(START_TLS, REQUEST_NAME)));
}

/** `id` is 1 to 127. */
export function encodeLdapUnbind(id: number): Uint8Array {
  return message(id, ber(UNBIND_REQUEST));
}

interface Element {
  readonly tag: number;
  readonly start: number;
  readonly end: number;
}

/** The answer that `bytes` begin with; null while it is not complete. */
export function decodeLdapAnswer(
  bytes: Uint8Array,
): Result<Framed<LdapAnswer> | null, DecodeError> {
  const whole = readElement(bytes, 0);
  if (!whole.ok) return whole;
  if (whole.value === null) return ok(null);
  const { tag, start, end } = whole.value;
  if (tag !== SEQUENCE) return decodeError('unsupported', `Tag ${tag}, no LDAP message`);
  if (end > LDAP_MESSAGE_BYTES_MAX) return decodeError('malformed', `A message of ${end} bytes`);
  if (end > bytes.length) return ok(null);
  const id = readInside(bytes, start, end);
  if (!id.ok) return id;
  if (id.value.tag !== INTEGER) return decodeError('malformed', 'No message identifier');
  const operation = readInside(bytes, id.value.end, end);
  if (!operation.ok) return operation;
  const kind = ANSWERS[operation.value.tag];
  if (kind === undefined) return decodeError('unsupported', `Operation ${operation.value.tag}`);
  const number = readNumber(bytes, id.value);
  if (kind === 'search-entry' || kind === 'search-reference') {
    return ok({ message: { kind, id: number }, lengthBytes: end });
  }
  const result = readResult(bytes, operation.value);
  return result.ok
    ? ok({ message: { kind, id: number, result: result.value }, lengthBytes: end })
    : result;
}

/** resultCode, matchedDN, diagnosticMessage: RFC 4511 section 4.1.9. */
function readResult(bytes: Uint8Array, { start, end }: Element): Result<LdapResult, DecodeError> {
  const code = readInside(bytes, start, end);
  if (!code.ok) return code;
  if (code.value.tag !== ENUMERATED) return decodeError('malformed', 'No result code');
  const matched = readInside(bytes, code.value.end, end);
  if (!matched.ok) return matched;
  const words = readInside(bytes, matched.value.end, end);
  if (!words.ok) return words;
  const number = readNumber(bytes, code.value);
  const said = latin1(bytes, words.value.start, words.value.end);
  const name = RESULT_NAMES[number];
  const text = name === undefined ? `result code ${number}` : `${name} (${number})`;
  return ok({ code: number, text: said === '' ? text : `${text}: ${said}` });
}

/** An element's place, whether its content is there or not; null while its head is not complete. */
function readElement(bytes: Uint8Array, start: number): Result<Element | null, DecodeError> {
  if (start + 2 > bytes.length) return ok(null);
  const tag = bytes[start] as number;
  const first = bytes[start + 1] as number;
  if (first < 0x80) return ok({ tag, start: start + 2, end: start + 2 + first });
  const count = first & 0x7f;
  if (count < 1 || count > 4) return decodeError('malformed', `A length of form ${first}`);
  const content = start + 2 + count;
  if (content > bytes.length) return ok(null);
  let length = 0;
  for (let index = start + 2; index < content; index++) length = length * 256 + (bytes[index] ?? 0);
  return ok({ tag, start: content, end: content + length });
}

/** An element that must end at `limit` or before. */
function readInside(bytes: Uint8Array, start: number, limit: number): Result<Element, DecodeError> {
  // What is behind the message is not ours.
  const element = readElement(bytes.subarray(0, limit), start);
  if (!element.ok) return element;
  if (element.value === null || element.value.end > limit) {
    return decodeError('truncated', 'An element reaches beyond its message');
  }
  return ok(element.value);
}

/** Of the last four bytes: identifiers and codes are small. */
function readNumber(bytes: Uint8Array, { start, end }: Element): number {
  let value = 0;
  for (let index = Math.max(start, end - 4); index < end; index++) {
    value = value * 256 + (bytes[index] ?? 0);
  }
  return value;
}
