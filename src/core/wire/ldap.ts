/**
 * LDAP messages (RFC 4511) in BER: as much of a server's answers as is looked at before the client
 * library `ldapts` gets them. It would read an element that reaches beyond its message without end,
 * and take a result that has no code for success.
 *
 *   SEQUENCE { messageID INTEGER, protocolOp [APPLICATION n] { … }, controls [0] OPTIONAL }
 *
 * Invariants: lengths are definite (RFC 4511 section 5.1) and of at most four bytes; a message
 * above LDAP_MESSAGE_BYTES_MAX is refused as soon as its length is known.
 */
import { ok, type Result } from '../result.ts';
import { type DecodeError, decodeError } from './decode-error.ts';
import type { Framed } from './parts.ts';

/** Longest message that is read. */
export const LDAP_MESSAGE_BYTES_MAX: number = 64 * 1024;

const SEQUENCE = 0x30;
const INTEGER = 0x02;
const OCTET_STRING = 0x04;
const ENUMERATED = 0x0a;
/** resultCode, matchedDN, diagnosticMessage: RFC 4511 section 4.1.9. */
const RESULT = [ENUMERATED, OCTET_STRING, OCTET_STRING] as const;
/** Identifiers and codes are below 2 to the 31st. */
const NUMBER_BYTES_MAX = 4;

/** What a search goes through: RFC 4511 section 4.5.1.2. */
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

/** A result in words, 'invalidCredentials (49): what the server says'. */
export function ldapResultText(code: number, said: string): string {
  const name = RESULT_NAMES[code];
  const text = name === undefined ? `result code ${code}` : `${name} (${code})`;
  return said === '' ? text : `${text}: ${said}`;
}

/** The answer that ends an operation. */
export interface LdapEnd {
  readonly kind: 'bind' | 'search-done' | 'extended';
  readonly id: number;
  /** Elements, one after another, that begin with those of a result. */
  readonly content: Uint8Array;
}

/** What a search finds, of which nothing is read. */
export interface LdapFinding {
  readonly kind: 'search-entry' | 'search-reference';
  readonly id: number;
}

export type LdapAnswer = LdapEnd | LdapFinding;

const ANSWERS: Readonly<Record<number, LdapAnswer['kind']>> = {
  97: 'bind',
  100: 'search-entry',
  101: 'search-done',
  115: 'search-reference',
  120: 'extended',
};

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
  const number = readInside(bytes, start, end);
  if (!number.ok) return number;
  if (!isNumber(number.value, INTEGER)) return decodeError('malformed', 'No message identifier');
  const operation = readInside(bytes, number.value.end, end);
  if (!operation.ok) return operation;
  const kind = ANSWERS[operation.value.tag];
  if (kind === undefined) return decodeError('unsupported', `Operation ${operation.value.tag}`);
  const id = readNumber(bytes, number.value);
  if (kind === 'search-entry' || kind === 'search-reference') {
    return ok({ message: { kind, id }, lengthBytes: end });
  }
  const content = bytes.subarray(operation.value.start, operation.value.end);
  const checked = checkResult(content);
  return checked.ok ? ok({ message: { kind, id, content }, lengthBytes: end }) : checked;
}

/** Whether a content is elements that begin with those of a result, up to its end. */
function checkResult(content: Uint8Array): Result<null, DecodeError> {
  let count = 0;
  for (let at = 0; at < content.length; count++) {
    const element = readInside(content, at, content.length);
    if (!element.ok) return element;
    const expected = RESULT[count] ?? element.value.tag;
    if (expected === ENUMERATED && !isNumber(element.value, ENUMERATED)) {
      return decodeError('malformed', 'No result code');
    }
    if (element.value.tag !== expected) return decodeError('malformed', 'No result');
    at = element.value.end;
  }
  return count < RESULT.length ? decodeError('truncated', 'A result is cut') : ok(null);
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

function isNumber({ tag, start, end }: Element, expected: number): boolean {
  return tag === expected && end > start && end - start <= NUMBER_BYTES_MAX;
}

function readNumber(bytes: Uint8Array, { start, end }: Element): number {
  let value = 0;
  for (let index = start; index < end; index++) value = value * 256 + (bytes[index] ?? 0);
  return value;
}
