import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeDnsAnswer, encodeDnsQuery, isDnsName } from '../../../../src/core/wire/dns.ts';
import { DNS_TYPES, type DnsType } from '../../../../src/core/wire/dns-names.ts';

/** Bytes of text with `\xNN`-free parts: numbers are bytes, texts are their characters. */
function bytes(...parts: readonly (number | string)[]): Uint8Array {
  return Uint8Array.from(
    parts.flatMap((part) =>
      typeof part === 'number' ? [part] : [...part].map((character) => character.charCodeAt(0)),
    ),
  );
}

/** The header of an answer with one question and `answers` records. */
function head(answers: number, flags = 0x8180): number[] {
  return [0x12, 0x34, flags >> 8, flags & 0xff, 0, 1, 0, answers, 0, 0, 0, 0];
}

const QUESTION = [1, 'a', 4, 'test', 0, 0, 1, 0, 1] as const;

function record(type: number, ...data: (number | string)[]): (number | string)[] {
  const length = bytes(...data).length;
  return [0xc0, 12, type >> 8, type & 0xff, 0, 1, 0, 0, 0, 9, length >> 8, length & 0xff, ...data];
}

function dataOf(type: number, ...data: (number | string)[]): string {
  const decoded = decodeDnsAnswer(bytes(...head(1), ...QUESTION, ...record(type, ...data)));
  return decoded.ok ? (decoded.value.records[0]?.data ?? 'none') : decoded.error.detail;
}

test('encodeDnsQuery: one recursive question, as RFC 1035 section 4 has it', () => {
  expect(encodeDnsQuery(0x1234, 'a.test', 'A')).toEqual(
    bytes(0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...QUESTION),
  );
  expect(encodeDnsQuery(0x1234, 'a.test.', 'A')).toEqual(encodeDnsQuery(0x1234, 'a.test', 'A'));
  expect([...encodeDnsQuery(0, '.', 'SOA').subarray(12)]).toEqual([0, 0, 6, 0, 1]);
});

test('isDnsName: labels of 1 to 63 characters, 255 bytes in all', () => {
  const long = 'x'.repeat(63);
  const most = `${long}.${long}.${long}.${'y'.repeat(61)}`;
  for (const name of ['.', 'a', 'a.test.', '_sip._udp.test', long, most]) {
    expect(isDnsName(name), name).toBe(true);
  }
  for (const name of ['', '..', 'a..b', '.a', `${long}x`, `${most}y`, 'é.test', 'a b']) {
    expect(isDnsName(name), name).toBe(false);
  }
});

describe('decodeDnsAnswer', () => {
  test.each([
    [DNS_TYPES.A, [192, 0, 2, 1], '192.0.2.1'],
    [DNS_TYPES.AAAA, [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], '2001:db8::1'],
    [DNS_TYPES.CNAME, [1, 'b', 0xc0, 14], 'b.test'],
    [DNS_TYPES.MX, [0, 10, 1, 'm', 0], '10 m'],
    [DNS_TYPES.SRV, [0, 1, 0, 2, 0x13, 0xc4, 0], '1 2 5060 .'],
    [DNS_TYPES.TXT, [2, 'ab', 0, 1, 'c'], 'abc'],
    [DNS_TYPES.CAA, [0, 5, 'is'], '00056973'],
    [
      DNS_TYPES.SOA,
      [1, 'n', 0, 1, 'h', 0, 0x78, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5],
      'n h 2013265921 2 3 4 5',
    ],
  ])('data of type %i is written as in a zone file', (type, data, text) => {
    expect(dataOf(type, ...data)).toBe(text);
  });

  test.each([
    [DNS_TYPES.A, [1, 2, 3], '3 bytes of data for a record of type 1'],
    [DNS_TYPES.MX, [0], 'The data is cut'],
    [DNS_TYPES.MX, [0, 10, 0, 0], 'Data of a wrong length'],
    [DNS_TYPES.TXT, [3, 'ab'], 'A text is cut'],
    // The record's data begins at 36.
    [DNS_TYPES.NS, [0xc0, 36], 'A name points forwards or to itself'],
    [DNS_TYPES.NS, [0xc0, 37], 'A name points forwards or to itself'],
    [DNS_TYPES.NS, [0x80, 0], 'Label of type 2'],
  ])('wrong data of type %i is refused: %j', (type, data, detail) => {
    expect(dataOf(type, ...data)).toBe(detail);
  });

  test('the header says what is wrong', () => {
    const detail = (message: Uint8Array) => {
      const decoded = decodeDnsAnswer(message);
      return decoded.ok ? decoded.value : decoded.error.reason;
    };
    expect(detail(new Uint8Array(11))).toBe('truncated');
    expect(detail(bytes(...head(0, 0x0100), ...QUESTION))).toBe('unsupported');
    expect(detail(bytes(...head(0, 0x8183), ...QUESTION))).toEqual({
      id: 0x1234,
      truncated: false,
      rcode: 3,
      question: { name: 'a.test', type: 1 },
      records: [],
    });
    expect(detail(bytes(...head(5, 0x8380), ...QUESTION))).toMatchObject({ truncated: true });
  });

  test('two pointers that point at each other are refused', () => {
    const message = bytes(...head(1), 0xc0, 14, 0xc0, 12, 0, 1, 0, 1);
    expect(decodeDnsAnswer(message)).toMatchObject({ ok: false, error: { reason: 'malformed' } });
  });

  test('any bytes give a result, in time that their length bounds', () => {
    const flags = fc.constantFrom(0x8180, 0x8380, 0x0100);
    const noise = fc.uint8Array({ maxLength: 300 });
    fc.assert(
      fc.property(flags, fc.nat(0xffff), noise, (value, count, rest) => {
        const message = Uint8Array.from([...head(0, value), ...rest]);
        message[6] = count >> 8;
        message[7] = count & 0xff;
        const decoded = decodeDnsAnswer(message);
        if (decoded.ok) expect(decoded.value.records.length).toBeLessThanOrEqual(rest.length / 11);
      }),
      { numRuns: 2000 },
    );
  });

  test('every cut of a good answer is refused as truncated', () => {
    const whole = bytes(...head(2), ...QUESTION, ...record(1, 1, 2, 3, 4), ...record(15, 0, 1, 0));
    expect(decodeDnsAnswer(whole).ok).toBe(true);
    for (let length = 0; length < whole.length; length++) {
      const decoded = decodeDnsAnswer(whole.subarray(0, length));
      expect(decoded, `${length} bytes`).toMatchObject({ error: { reason: 'truncated' } });
    }
  });

  test('a query that is turned into its answer has the question that was asked', () => {
    const label = fc.stringMatching(/^[a-z0-9-]{1,20}$/);
    const name = fc.array(label, { minLength: 1, maxLength: 8 }).map((labels) => labels.join('.'));
    const types = Object.keys(DNS_TYPES) as DnsType[];
    fc.assert(
      fc.property(fc.nat(0xffff), name, fc.constantFrom(...types), (id, asked, type) => {
        const message = encodeDnsQuery(id, asked, type);
        message[2] = 0x81;
        expect(decodeDnsAnswer(message)).toMatchObject({
          value: { id, question: { name: asked, type: DNS_TYPES[type] } },
        });
      }),
    );
  });
});
