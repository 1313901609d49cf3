/**
 * DNS messages for one question: RFC 1035 section 4, with the record types of RFC 3596 (AAAA) and
 * RFC 2782 (SRV). Queries are written, answers read.
 *
 *   id | QR opcode AA TC RD RA rcode | counts of questions, answers, authorities, additionals |
 *     question: name, type, class | records: name, type, class, TTL, length, data
 *
 * Invariants: a compressed name goes backwards only, with every pointer further than the one
 * before, so that no name can make the reader run in circles; nothing is read past the end.
 */
import { formatIp } from '../ip.ts';
import { ok, type Result } from '../result.ts';
import { readU16, writeU16 } from './bytes.ts';
import { type DecodeError, decodeError } from './decode-error.ts';
import { DNS_TYPES, type DnsType } from './dns-names.ts';

const HEADER_BYTES = 12;
const CLASS_IN = 1;
const LABEL_BYTES_MAX = 63;
/** RFC 1035 section 2.3.4, with the lengths of the labels and the root. */
const NAME_BYTES_MAX = 255;
const FLAG_RESPONSE = 0x8000;
const FLAG_TRUNCATED = 0x0200;
const FLAG_RECURSION_DESIRED = 0x0100;

export interface DnsRecord {
  /** Number of the type. */
  readonly type: number;
  /** As a zone file has it, names without their last dot; hexadecimal digits for other types. */
  readonly data: string;
}

export interface DnsAnswer {
  readonly id: number;
  readonly truncated: boolean;
  /** Number of the response code: an index of DNS_RCODES, or one without a name. */
  readonly rcode: number;
  /** Name in lower case and number of the type; null when the question was left out. */
  readonly question: { readonly name: string; readonly type: number } | null;
  /** Those of the answer section; empty when the message was truncated. */
  readonly records: readonly DnsRecord[];
}

/** True for a name that a query can carry: labels of 1 to 63 printable ASCII characters. */
export function isDnsName(name: string): boolean {
  if (name === '.') return true;
  const labels = labelsOf(name);
  if (!labels.every((label) => /^[\x21-\x7e]{1,63}$/.test(label))) return false;
  return labels.reduce((sum, label) => sum + label.length + 1, 1) <= NAME_BYTES_MAX;
}

function labelsOf(name: string): string[] {
  return name.replace(/\.$/, '').split('.');
}

/** A recursive query for `name`, for which isDnsName() holds; `id` is 0 to 65535. */
export function encodeDnsQuery(id: number, name: string, type: DnsType): Uint8Array {
  const labels = name === '.' ? [] : labelsOf(name);
  const nameBytes = labels.reduce((sum, label) => sum + label.length + 1, 1);
  const query = new Uint8Array(HEADER_BYTES + nameBytes + 4);
  writeU16(query, 0, id);
  writeU16(query, 2, FLAG_RECURSION_DESIRED);
  writeU16(query, 4, 1);
  let offset = HEADER_BYTES;
  for (const label of labels) {
    query[offset++] = label.length;
    for (const character of label) query[offset++] = character.charCodeAt(0);
  }
  writeU16(query, offset + 1, DNS_TYPES[type]);
  writeU16(query, offset + 3, CLASS_IN);
  return query;
}

/** Reads an answer to one question. */
export function decodeDnsAnswer(bytes: Uint8Array): Result<DnsAnswer, DecodeError> {
  if (bytes.length < HEADER_BYTES) return decodeError('truncated', `${bytes.length} bytes`);
  const flags = readU16(bytes, 2);
  if ((flags & FLAG_RESPONSE) === 0) return decodeError('unsupported', 'A query, no answer');
  const questions = readU16(bytes, 4);
  if (questions > 1) return decodeError('unsupported', `${questions} questions; expected 1`);
  const head = {
    id: readU16(bytes, 0),
    truncated: (flags & FLAG_TRUNCATED) !== 0,
    rcode: flags & 0xf,
  };
  let offset = HEADER_BYTES;
  let question: DnsAnswer['question'] = null;
  if (questions === 1) {
    const name = readName(bytes, offset);
    if (!name.ok) return name;
    offset = name.value.end + 4;
    if (offset > bytes.length) return decodeError('truncated', 'The question is cut');
    question = { name: name.value.text.toLowerCase(), type: readU16(bytes, name.value.end) };
  }
  // RFC 2181 section 9: what is in a truncated answer is not used.
  if (head.truncated) return ok({ ...head, question, records: [] });
  const records: DnsRecord[] = [];
  // Each has 11 bytes at least, so the message's length bounds their number.
  for (let count = readU16(bytes, 6); count > 0; count--) {
    const record = readRecord(bytes, offset);
    if (!record.ok) return record;
    records.push(record.value.record);
    offset = record.value.end;
  }
  return ok({ ...head, question, records });
}

function readRecord(
  bytes: Uint8Array,
  offset: number,
): Result<{ readonly record: DnsRecord; readonly end: number }, DecodeError> {
  const name = readName(bytes, offset);
  if (!name.ok) return name;
  const { end } = name.value;
  if (end + 10 > bytes.length) return decodeError('truncated', 'A record is cut');
  const type = readU16(bytes, end);
  const start = end + 10;
  const next = start + readU16(bytes, end + 8);
  if (next > bytes.length) return decodeError('truncated', 'The data of a record is cut');
  const data = readData(bytes, { type, start, end: next });
  return data.ok ? ok({ record: { type, data: data.value }, end: next }) : data;
}

interface DataPlace {
  readonly type: number;
  readonly start: number;
  readonly end: number;
}

function readData(bytes: Uint8Array, place: DataPlace): Result<string, DecodeError> {
  const { type, start, end } = place;
  const lengthBytes = end - start;
  switch (type) {
    case DNS_TYPES.A:
    case DNS_TYPES.AAAA: {
      const family = type === DNS_TYPES.A ? 'ipv4' : 'ipv6';
      if (lengthBytes !== (family === 'ipv4' ? 4 : 16)) break;
      return ok(formatIp(bytes, family, start));
    }
    case DNS_TYPES.NS:
    case DNS_TYPES.CNAME:
    case DNS_TYPES.PTR:
      return readNames(bytes, place, { numbers: 0, names: 1, after: 0 });
    case DNS_TYPES.MX:
      return readNames(bytes, place, { numbers: 1, names: 1, after: 0 });
    case DNS_TYPES.SRV:
      return readNames(bytes, place, { numbers: 3, names: 1, after: 0 });
    case DNS_TYPES.SOA:
      return readNames(bytes, place, { numbers: 0, names: 2, after: 5 });
    case DNS_TYPES.TXT:
      return readTexts(bytes, start, end);
    default:
      return ok(hexOf(bytes.subarray(start, end)));
  }
  return decodeError('malformed', `${lengthBytes} bytes of data for a record of type ${type}`);
}

/** 16-bit numbers, names, and 32-bit numbers, which must fill the data. */
function readNames(
  bytes: Uint8Array,
  { start, end }: DataPlace,
  form: { readonly numbers: number; readonly names: number; readonly after: number },
): Result<string, DecodeError> {
  const parts: string[] = [];
  let offset = start;
  if (start + form.numbers * 2 > end) return decodeError('truncated', 'The data is cut');
  for (let count = 0; count < form.numbers; count++, offset += 2) {
    parts.push(String(readU16(bytes, offset)));
  }
  for (let count = 0; count < form.names; count++) {
    const name = readName(bytes, offset);
    if (!name.ok) return name;
    parts.push(name.value.text);
    offset = name.value.end;
  }
  if (offset + form.after * 4 !== end) return decodeError('malformed', 'Data of a wrong length');
  for (let count = 0; count < form.after; count++, offset += 4) {
    parts.push(String(readU16(bytes, offset) * 0x1_0000 + readU16(bytes, offset + 2)));
  }
  return ok(parts.join(' '));
}

/** The character strings of a TXT record, one after the other. */
function readTexts(bytes: Uint8Array, start: number, end: number): Result<string, DecodeError> {
  let text = '';
  for (let offset = start; offset < end; ) {
    const next = offset + 1 + (bytes[offset] as number);
    if (next > end) return decodeError('truncated', 'A text is cut');
    text += printable(bytes, offset + 1, next);
    offset = next;
  }
  return ok(text);
}

/** The name at `offset` and where what follows it begins. */
function readName(
  bytes: Uint8Array,
  offset: number,
): Result<{ readonly text: string; readonly end: number }, DecodeError> {
  const labels: string[] = [];
  let nameBytes = 1;
  let place = offset;
  let end: number | null = null;
  // A pointer must go before everything that was read for this name: RFC 1035 section 4.1.4 has
  // them point to a prior occurrence.
  let limit = offset;
  for (;;) {
    if (place >= bytes.length) return decodeError('truncated', 'A name is cut');
    const length = bytes[place] as number;
    if (length >= 0xc0) {
      if (place + 2 > bytes.length) return decodeError('truncated', 'A name is cut');
      const target = readU16(bytes, place) & 0x3fff;
      if (target >= limit) return decodeError('malformed', 'A name points forwards or to itself');
      end ??= place + 2;
      limit = target;
      place = target;
    } else if (length > LABEL_BYTES_MAX) {
      return decodeError('malformed', `Label of type ${length >> 6}`);
    } else if (length === 0) {
      return ok({ text: labels.length === 0 ? '.' : labels.join('.'), end: end ?? place + 1 });
    } else {
      nameBytes += length + 1;
      if (nameBytes > NAME_BYTES_MAX) return decodeError('malformed', 'A name above 255 bytes');
      if (place + 1 + length > bytes.length) return decodeError('truncated', 'A name is cut');
      labels.push(printable(bytes, place + 1, place + 1 + length));
      place += 1 + length;
    }
  }
}

/** Bytes as Latin-1: every byte is one character, so that equal text is equal bytes. */
function printable(bytes: Uint8Array, start: number, end: number): string {
  let text = '';
  for (let index = start; index < end; index++) text += String.fromCharCode(bytes[index] as number);
  return text;
}

function hexOf(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}
