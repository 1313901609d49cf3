/**
 * Servers that are no directory, or lie: what the client library `ldapts` would read without end,
 * or take for success, is a failure with its reason. Those marked so were its own.
 */
import { describe, expect, test } from 'vitest';
import { close, heard, hex, verdict } from './hostile.ts';

/** An element of BER, of less than 128 bytes. */
function ber(tag: string, ...content: readonly (Buffer | string)[]): Buffer {
  const body = Buffer.concat(content.map((part) => (typeof part === 'string' ? hex(part) : part)));
  return Buffer.concat([hex(tag), Buffer.from([body.length]), body]);
}
const message = (id: number, ...content: readonly (Buffer | string)[]) =>
  ber('30', Buffer.from([2, 1, id]), ...content);
const words = (text: string) => ber('04', Buffer.from(text));

const SUCCESS = '0a0100 0400 0400';
const BOUND = message(2, ber('61', SUCCESS));
const ENTRY = message(3, ber('64', '0400 3000'));
const DONE = message(3, ber('65', SUCCESS));

const LOGIN = '{ldap: {bind_dn: "cn=u", password: geheim}}';
const SEARCH = LOGIN.replace('geheim', 'geheim, base: "o=b", scope: one, filter: "(cn=x)"');
const talk = (check: string, ...turns: Buffer[]) => verdict(check, turns, false);

test('a conversation as it should be, in one piece and byte by byte', async () => {
  const turns = [BOUND, Buffer.concat([ENTRY, DONE])];
  expect(await verdict(SEARCH, turns, false)).toBe('ok');
  expect(Buffer.concat(heard.slice(0, 2)).toString('hex')).toBe(
    [
      '3016020102 6011 020103 0404636e3d75 800667656865696d',
      '3029020103 6324 04036f3d62 0a0101 0a0103 020101 020100 0101ff',
      'a307 0402636e 040178 3005 0403312e31',
    ]
      .join('')
      .replaceAll(' ', ''),
  );
  await close();
  expect(await verdict(SEARCH, turns, false, 1)).toBe('ok');
});

describe('an answer to the bind', () => {
  test.each<readonly [string, Buffer, string]>([
    // The library's own: success.
    ['of nothing', message(2, '6100'), 'protocol: truncated: A result is cut'],
    ['without words', message(2, ber('61', '0a0100')), 'protocol: truncated: A result is cut'],
    [
      'with a code of no byte',
      message(2, ber('61', '0a00 0400 0400')),
      'protocol: malformed: No result code',
    ],
    // The library's own: no end, and all memory.
    [
      'with an element that ends elsewhere',
      message(2, ber('61', SUCCESS, '877f')),
      'protocol: truncated: An element reaches beyond its message',
    ],
    [
      'with an element of less than nothing',
      message(2, ber('61', SUCCESS, '8784ffffffff')),
      'protocol: truncated: An element reaches beyond its message',
    ],
    [
      'with words of less than nothing',
      message(2, ber('61', '0a0100 0400 0484ffffffff')),
      'protocol: truncated: An element reaches beyond its message',
    ],
    [
      'with half a length',
      message(2, ber('61', SUCCESS, '8784ff')),
      'protocol: truncated: An element reaches beyond its message',
    ],
    [
      'with controls in the wrong place, without end',
      message(2, ber('61', SUCCESS, 'a07f')),
      'protocol: truncated: An element reaches beyond its message',
    ],
    ['with controls of nothing', message(2, ber('61', SUCCESS), 'a0030a0100'), 'ok'],
    ['with controls without end', message(2, ber('61', SUCCESS), 'a084ffffffff'), 'ok'],
    ['with what nobody knows', message(2, ber('61', SUCCESS, 'a30404026162 870101 df00')), 'ok'],
    [
      'with a code of five bytes',
      message(2, ber('61', '0a050000000000 0400 0400')),
      'protocol: malformed: No result code',
    ],
    [
      'with a code below nothing',
      message(2, ber('61', '0a01ff 0400 0400')),
      'status: The bind was refused: result code -1',
    ],
    [
      'with a text for a code',
      message(2, ber('61', '040130 0400 0400')),
      'protocol: malformed: No result code',
    ],
    [
      'with a number for words',
      message(2, ber('61', '0a0100 020101 0400')),
      'protocol: malformed: No result',
    ],
    [
      'by no number',
      ber('30', '0200', ber('61', SUCCESS)),
      'protocol: malformed: No message identifier',
    ],
    [
      'by a long number',
      ber('30', '02050000000002', ber('61', SUCCESS)),
      'protocol: malformed: No message identifier',
    ],
    [
      'by another number',
      message(3, ber('61', SUCCESS)),
      'protocol: An answer that was not asked for: to 3',
    ],
    [
      'that ends the connection',
      message(0, ber('78', '0a0134 0400', words('später'), ber('8a', '312e33'))),
      'protocol: An answer that was not asked for: unavailable (52): später',
    ],
    [
      'in the words of the server',
      message(2, ber('61', '0a0131 0400', words('nicht für dich'))),
      'status: The bind was refused: invalidCredentials (49): nicht für dich',
    ],
    [
      'of bytes that are no text',
      message(2, ber('61', '0a0135 0400 0402ff41')),
      'status: The bind was refused: unwillingToPerform (53): \ufffdA',
    ],
    [
      'of another kind',
      message(2, ber('65', SUCCESS)),
      'status: The bind was refused: result code 0',
    ],
    [
      'that is an entry',
      message(2, ber('64', '0400 3000')),
      'status: The bind was refused: search-entry',
    ],
    ['in parts', message(2, ber('79', '0400')), 'protocol: unsupported: Operation 121'],
    [
      'of another protocol',
      Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'),
      'protocol: unsupported: Tag 83, no LDAP message',
    ],
    ['of a length to come', hex('3080 020102'), 'protocol: malformed: A length of form 128'],
    [
      'of four gigabytes',
      hex('3084ffffffff 020102'),
      'protocol: malformed: A message of 4294967301 bytes',
    ],
  ])('%s', async (_, said, expected) => {
    expect(await talk(LOGIN, said)).toBe(expected);
  });
});

describe('an answer to the search', () => {
  test.each<readonly [string, Buffer, RegExp]>([
    // The library's own: no end. Of entries nothing is read.
    ['an entry of nothing', Buffer.concat([message(3, '6400'), DONE]), /^ok$/],
    [
      'an entry that ends elsewhere',
      Buffer.concat([message(3, ber('64', '0400 04025fff')), DONE]),
      /^ok$/,
    ],
    [
      'a reference of less than nothing',
      Buffer.concat([message(3, ber('73', '0484ffffffff')), DONE]),
      /^body: No entry below "o=b" matches \(cn=x\)$/,
    ],
    ['entries without end', Buffer.concat(Array(7000).fill(ENTRY)), /^too-large: /],
    ['a second bind', BOUND, /^protocol: An answer that was not asked for: to 2$/],
    [
      'an end of another kind',
      Buffer.concat([ENTRY, message(3, ber('61', SUCCESS))]),
      /^status: The search failed: result code 0$/,
    ],
    ['an end of nothing', Buffer.concat([ENTRY, message(3, '6500')]), /^protocol: truncated: /],
  ])('%s', async (_, said, expected) => {
    expect(await talk(SEARCH, BOUND, said)).toMatch(expected);
  });
});

test('words before the TLS handshake, and none of ours', async () => {
  const secure = LOGIN.replace('bind_dn', 'tls: starttls, bind_dn');
  const begun = message(1, ber('78', SUCCESS));
  expect(await talk(secure, Buffer.concat([begun, BOUND]))).toBe(
    'protocol: The server spoke before the TLS handshake',
  );
  expect(heard).toEqual([hex('301d020101 7718 8016 312e332e362e312e342e312e313436362e3230303337')]);
  await close();
  expect(await talk(secure, message(1, ber('78', '0a0102 0400', words('no TLS'))))).toBe(
    'status: StartTLS was refused: protocolError (2): no TLS',
  );
  expect(Buffer.concat(heard).includes('geheim')).toBe(false);
});
