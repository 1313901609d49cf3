/** Answers of HTTP/1 as RFC 9112 has them, whole and in pieces, and what is refused. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  encodeHttpRequest,
  HTTP_HEAD_BYTES_MAX,
  HTTP_HEADS_BYTES_MAX,
  HttpAnswerReader,
  type HttpRequest,
} from '../../../../src/core/wire/http.ts';
import { latin1 } from '../../../../src/core/wire/parts.ts';

const bytesOf = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));

/** Status, body and outcome of pieces that come one after another, and then of the end. */
function readPieces(pieces: readonly Uint8Array[], method = 'GET', ends = true): string {
  let status = '';
  let body = '';
  const reader = new HttpAnswerReader(method, {
    onStatus: (code) => {
      status += `${code} `;
    },
    onBody: (bytes) => {
      body += latin1(bytes);
    },
  });
  let outcome = 'open';
  for (const piece of pieces) {
    const result = reader.push(piece);
    if (!result.ok) outcome = `${result.error.reason}: ${result.error.detail}`;
    else if (result.value) outcome = 'complete';
  }
  if (ends && outcome === 'open') {
    const result = reader.end();
    outcome = result.ok ? 'complete at the end' : `${result.error.reason}`;
  }
  return `${status}${JSON.stringify(body)} ${outcome}`;
}

const read = (text: string, method = 'GET') => readPieces([bytesOf(text)], method);

const OK = 'HTTP/1.1 200 OK\r\n';
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`;

const ACCEPTED: readonly (readonly [string, string])[] = [
  [`${OK}Content-Length: 2\r\n\r\nhi`, '200 "hi" complete'],
  [`${OK}content-LENGTH:\t2 \r\n\r\nhi`, '200 "hi" complete'],
  [`${OK}Content-Length: 2\r\n\r\nhigh`, '200 "hi" complete'],
  [`${OK}Content-Length: 0\r\n\r\n`, '200 "" complete'],
  ['HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n', '200 "" complete'],
  ['HTTP/1.0 200 OK\r\n\r\nto the end', '200 "to the end" complete at the end'],
  ['HTTP/2.0 200 OK\r\n\r\n', '200 "" complete at the end'],
  [`\r\n${OK}\r\nhi`, '200 "hi" complete at the end'],
  [`${OK}X: \xe9\t~\r\nContent-Length: 1\r\n\r\n\0`, '200 "\\u0000" complete'],
  ['HTTP/1.1 700 Odd\r\nContent-Length: 1\r\n\r\nx', '700 "x" complete'],
  [`${CHUNKED}2\r\nhi\r\n0\r\n\r\n`, '200 "hi" complete'],
  [`${CHUNKED}2;a="b c"\r\nhi\r\n1\r\n!\r\n000\r\nA: b\r\nC: d\r\n\r\nx`, '200 "hi!" complete'],
  [
    `${CHUNKED}A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n`,
    '200 "01234567890123456789a" complete',
  ],
  [`${OK}Transfer-Encoding: gzip\r\n\r\nhi`, '200 "hi" complete at the end'],
  [
    `${OK}Transfer-Encoding: gzip\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n`,
    '200 "hi" complete',
  ],
  [`${OK}Transfer-Encoding: chunked, gzip\r\n\r\n2\r\n`, '200 "2\\r\\n" complete at the end'],
  // Scripts that answer by themselves end lines so.
  ['HTTP/1.1 200 OK\nX: y\n\nhi\n', '200 "hi\\n" complete at the end'],
  ['\nHTTP/1.0 200\nContent-Length: 2\n\nhi', '200 "hi" complete'],
  [`HTTP/1.1 100 Go\n\n${OK}Content-Length: 1\n\r\nx`, '200 "x" complete'],
  ['HTTP/1.1 204 No\r\n\r\nhi', '204 "" complete'],
  ['HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n', '304 "" complete'],
  [
    `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n${OK}Content-Length: 1\r\n\r\nx`,
    '200 "x" complete',
  ],
];

const REFUSED: readonly (readonly [string, RegExp])[] = [
  ['SSH-2.0-x\r\n', /^"" malformed: Expected HTTP\/1, found S$/],
  ['ICY 200 OK\r\n\r\n', /^"" malformed/],
  ['http/1.1 200 OK\r\n\r\n', /^"" malformed/],
  ['HTTP/1.2 200 OK\r\n\r\n', /^"" malformed/],
  ['HTTP/1.1  200 OK\r\n\r\n', /three digits/],
  ['HTTP/1.1 20 OK\r\n\r\n', /three digits/],
  ['HTTP/1.1 099 OK\r\n\r\n', /below 100/],
  ['HTTP/1.1 2000\r\n\r\n', /blank behind the status/],
  ['HTTP/1.1 200 O\nK\r\n\r\n', /names of headers/],
  ['HTTP/1.1 200 O\0K\r\n\r\n', /reason phrase/],
  ['HTTP/1.1 200 OK\rX', /line feed/],
  [`${OK} X: y\r\n\r\n`, /name of a header/],
  [`${OK}X : y\r\n\r\n`, /names of headers/],
  [`${OK}X(: y\r\n\r\n`, /names of headers/],
  [`${OK}X: y\r\n z\r\n\r\n`, /name of a header/],
  [`${OK}X: a\0b\r\n\r\n`, /values of headers/],
  [`${OK}X: a\rb\r\n\r\n`, /line feed/],
  [`${OK}: y\r\n\r\n`, /name of a header/],
  [`${OK}Content-Length: what\r\n\r\n`, /no number/],
  [`${OK}Content-Length: +2\r\n\r\n`, /no number/],
  [`${OK}Content-Length: -2\r\n\r\n`, /no number/],
  [`${OK}Content-Length: 2, 2\r\n\r\n`, /no number/],
  [`${OK}Content-Length:\r\n\r\n`, /no number/],
  [`${OK}Content-Length: 9999999999999999\r\n\r\n`, /no number/],
  [`${OK}Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi`, /twice/],
  [`${OK}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nhi`, /Both/],
  ['HTTP/1.1 101 Other\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n', /nobody asked/],
  [`${CHUNKED}2\nhi\r\n0\r\n\r\n`, /^200 "" malformed/],
  [`${CHUNKED}2 \r\nhi\r\n0\r\n\r\n`, /^200 "" malformed/],
  [`${CHUNKED}-2\r\nhi\r\n0\r\n\r\n`, /size of a chunk/],
  [`${CHUNKED}0x2\r\nhi\r\n0\r\n\r\n`, /size of a chunk/],
  [`${CHUNKED}\r\nhi\r\n0\r\n\r\n`, /size of a chunk/],
  [`${CHUNKED}2\r\nhi!\r\n0\r\n\r\n`, /^200 "hi" malformed: Expected the end of a chunk/],
  [`${CHUNKED}2;\0\r\nhi\r\n0\r\n\r\n`, /extension/],
  [`${CHUNKED}00000000000002\r\n`, /too long/],
  [`${OK}X: ${'x'.repeat(HTTP_HEAD_BYTES_MAX)}`, /more than 16384 bytes/],
  [`${OK}${'X: y\r\n'.repeat(3_000)}`, /more than 16384 bytes/],
  ['\r\n'.repeat(9_000), /more than 16384 bytes/],
  [`HTTP/1.1 102 ${'x'.repeat(9_000)}\r\n\r\n`.repeat(8), /Headers of more than 65536 bytes/],
  [`${CHUNKED}${`1;${'x'.repeat(9_000)}\r\nx\r\n`.repeat(8)}`, /Headers of more than 65536 bytes/],
  [`${CHUNKED}1;${'x'.repeat(HTTP_HEAD_BYTES_MAX + 1)}`, /more than 16384 bytes/],
  [`${CHUNKED}0\r\nX: ${'x'.repeat(HTTP_HEAD_BYTES_MAX)}`, /more than 16384 bytes/],
  [`${OK}Transfer-Encoding: ${'x'.repeat(300)}\r\n\r\n`, /without end/],
];

const CUT = [
  '',
  'HTTP/1.1 2',
  OK,
  'HTTP/1.1 100 Continue\r\n\r\n',
  `${OK}Content-Length: 9\r\n\r\nhi`,
  `${CHUNKED}9\r\nhi`,
  `${CHUNKED}2\r\nhi\r\n`,
  `${CHUNKED}2\r\nhi\r\n0\r\n`,
];

describe('an answer', () => {
  test.each(ACCEPTED)('%j is read as %s', (text, expected) => {
    expect(read(text)).toBe(expected);
  });

  test('that is ambiguous, of another protocol, or without bound is refused', () => {
    for (const [text, expected] of REFUSED) {
      expect([text.slice(0, 80), read(text)]).toEqual([
        text.slice(0, 80),
        expect.stringMatching(expected),
      ]);
    }
  });

  test.each(CUT)('that ends as %j is not whole', (text) => {
    expect(read(text)).toMatch(/ truncated$|^"" truncated$/);
  });

  test('to HEAD has no body, whatever its head says', () => {
    expect(read(`${OK}Content-Length: 9\r\n\r\n`, 'HEAD')).toBe('200 "" complete');
    expect(read(CHUNKED, 'HEAD')).toBe('200 "" complete');
  });

  test('with many small chunks is no answer with long headers', () => {
    const chunks = `1\r\nx\r\n`.repeat(HTTP_HEADS_BYTES_MAX / 4);
    expect(read(`${CHUNKED}${chunks}0\r\n\r\n`)).toMatch(/^200 "x+" complete$/);
  });

  test('is the same in pieces of any size', () => {
    const texts = [...ACCEPTED, ...REFUSED].map(([text]) => text).concat(CUT);
    const short = texts.filter((text) => text.length < 1_000);
    for (const text of short) {
      const bytes = bytesOf(text);
      const whole = readPieces([bytes]);
      for (let at = 0; at <= bytes.length; at++) {
        expect(readPieces([bytes.subarray(0, at), bytes.subarray(at)])).toBe(whole);
      }
      expect(readPieces(Array.from(bytes, (byte) => Uint8Array.of(byte)))).toBe(whole);
    }
  });
});

test('whatever comes in whatever pieces, nothing is thrown, and pieces do not matter', () => {
  const words = [
    OK,
    CHUNKED,
    'Content-Length: 3\r\n',
    '\r\n',
    '2\r\nhi\r\n',
    '0\r\n',
    ' ',
    'x',
    '\n',
  ];
  const text = fc
    .array(fc.oneof(fc.constantFrom(...words), fc.string({ unit: 'binary-ascii', maxLength: 4 })))
    .map((parts) => parts.join(''));
  const cuts = fc.array(fc.nat(200), { maxLength: 6 });
  fc.assert(
    fc.property(text, cuts, fc.constantFrom('GET', 'HEAD'), (content, places, method) => {
      const bytes = bytesOf(content);
      const pieces: Uint8Array[] = [];
      let from = 0;
      for (const to of [...places, bytes.length].sort((left, right) => left - right)) {
        pieces.push(bytes.subarray(from, to));
        from = Math.min(to, bytes.length);
      }
      expect(readPieces(pieces, method)).toBe(readPieces([bytes], method));
    }),
    { numRuns: 2_000 },
  );
});

describe('a request', () => {
  const plain: HttpRequest = {
    ...{ method: 'GET', path: '/a?b', version: '1.1', body: null },
    headers: [
      ['Host', 'x:80'],
      ['X-Check', 'é\t1'],
    ],
  };
  const sent = (changes: Partial<HttpRequest>) => {
    const encoded = encodeHttpRequest({ ...plain, ...changes });
    return encoded.ok ? latin1(encoded.value) : encoded.error.reason;
  };

  test('is lines, and a body with its length', () => {
    const head = 'GET /a?b HTTP/1.1\r\nHost: x:80\r\nX-Check: \xe9\t1\r\nConnection: close\r\n';
    expect(sent({})).toBe(`${head}\r\n`);
    expect(sent({ version: '1.0' })).toBe(`${head.replace('1.1', '1.0')}\r\n`);
    expect(sent({ body: 'é' })).toBe(`${head}Content-Length: 2\r\n\r\n\xc3\xa9`);
    expect(sent({ method: 'POST' })).toMatch(/^POST .*\r\nContent-Length: 0\r\n\r\n$/s);
  });

  test.each([
    { path: '' },
    { path: '/\r\nX: y' },
    { path: '/a b' },
    { path: '/\u0100' },
    { headers: [['Host', 'a\r\nX: y']] },
    { headers: [['Ho st', 'a']] },
    { headers: [['', 'a']] },
    { headers: [['X', 'Ā']] },
  ] as const)('%j cannot be sent', (changes) => {
    expect(sent(changes)).toBe('malformed');
  });
});
