/**
 * Servers that are no PostgreSQL or MySQL, or lie: what the client libraries would throw, print,
 * wait for without end or give away is a failure with its reason. Each case was one of theirs.
 */
import { describe, expect, test, vi } from 'vitest';
import { ask } from '../../servers/ask.ts';
import { close, heard, hex, serve, verdict } from './hostile.ts';

describe('PostgreSQL', () => {
  const message = (type: string, content: string | Buffer, length?: number) => {
    const body = typeof content === 'string' ? hex(content) : content;
    const head = Buffer.from(`${type}\0\0\0\0`, 'latin1');
    head.writeUInt32BE(length ?? body.length + 4, 1);
    return Buffer.concat([head, body]);
  };
  const READY = message('Z', '49');
  const IN = Buffer.concat([message('R', '00000000'), READY]);
  const DESCRIPTION = message('T', `0001 ${'61'}00 00000000 0000 00000017 0004 ffffffff 0000`);
  const ROW = message('D', '0001 00000001 31');
  const DONE = message('C', Buffer.from('SELECT 1\0'));
  const sasl = message('R', Buffer.from('\0\0\0\nSCRAM-SHA-256\0\0', 'latin1'));
  const words = (number: number, text: string) =>
    message(
      'R',
      Buffer.concat([hex(`000000${number.toString(16).padStart(2, '0')}`), Buffer.from(text)]),
    );

  const LOGIN = '{postgresql: {user: u, password: geheim}}';
  const QUERY = '{postgresql: {user: u, password: geheim, query: SELECT 1, result: "1"}}';
  const talk = (check: string, ...turns: Buffer[]) => verdict(check, turns, false);

  test('a conversation as it should be, in one piece and byte by byte', async () => {
    const turns = [IN, Buffer.concat([DESCRIPTION, ROW, DONE, READY])];
    expect(await verdict(QUERY, turns, false)).toBe('ok');
    await close();
    expect(await verdict(QUERY, turns, false, 1)).toBe('ok');
  });

  test.each<readonly [string, Buffer, string | RegExp]>([
    ['an error without its end', message('E', '53 78 00'), 'protocol: truncated: An error is cut'],
    ['an error of nothing', message('E', ''), 'protocol: truncated: An error is cut'],
    ['a notice without its end', message('N', '53 78 00 4d'), /^protocol: truncated: /],
    ['a cut request', message('R', ''), 'protocol: truncated: An authentication request is cut'],
    ['a cut salt', message('R', '00000005 0102'), /^reset: |^timeout: |^protocol: /],
    [
      'another protocol',
      Buffer.from('220 mail.test ESMTP\r\n'),
      'protocol: unsupported: A message of type 50',
    ],
    [
      'text',
      Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'),
      /^protocol: malformed: A message of \d+ bytes$/,
    ],
    ['a cut description', message('T', '0001 61'), /^protocol: Not an answer of PostgreSQL: /],
    [
      'a description of less than none',
      message('T', 'ffff'),
      /^protocol: Not an answer of PostgreSQL: /,
    ],
    [
      'a message that there is not',
      message('Q', ''),
      /^protocol: Not an answer of PostgreSQL: received invalid/,
    ],
    ['ready for whom', READY, 'protocol: Not expected in a login: ready'],
    [
      'GSSAPI',
      message('R', '00000007'),
      'status: The server wants a way to authenticate that is not known: 7',
    ],
    [
      'the password as it is',
      message('R', '00000003'),
      'status: The server wants the password as it is, which goes by TLS only',
    ],
    [
      'an unknown SASL',
      message('R', Buffer.from('\0\0\0\nX-OWN\0\0', 'latin1')),
      /^protocol: .*SCRAM-SHA-256/,
    ],
    [
      'two logins',
      Buffer.concat([message('R', '00000000'), message('R', '00000000')]),
      /^protocol: Not expected in a login/,
    ],
    ['more than there is room for', message('S', Buffer.alloc(70_000, 'a')), /^too-large: /],
    [
      'a gigabyte announced',
      message('S', '', 0x4000_0000),
      'protocol: malformed: A message of 1073741824 bytes',
    ],
    [
      'a refusal',
      message('E', Buffer.from('SFATAL\0C53300\0Msorry, too many clients already\0\0')),
      'status: 53300: sorry, too many clients already',
    ],
  ])('%s', async (_, said, expected) => {
    expect(await talk(LOGIN, said)).toMatch(
      typeof expected === 'string' ? new RegExp(`^${expected}$`) : expected,
    );
    expect(Buffer.concat(heard).includes('geheim')).toBe(false);
  });

  test.each<readonly [string, Buffer, RegExp]>([
    [
      'a row with less than it announces',
      message('D', '7fff fffffffc'),
      /^protocol: truncated: A row is cut$/,
    ],
    ['a value of less than nothing', message('D', '0001 fffffffc'), /^body: /],
    ['a value that is cut', message('D', '0001 000000ff 31'), /^ok$|^body: /],
    ['a row of two columns', message('D', '0002 00000001 31 00000001 32'), /^protocol: /],
  ])('%s', async (_, row, expected) => {
    expect(await talk(QUERY, IN, Buffer.concat([DESCRIPTION, row, DONE, READY]))).toMatch(expected);
  });

  test('a row that nothing announced', async () => {
    expect(await talk(QUERY, IN, Buffer.concat([ROW, DONE, READY]))).toMatch(/^protocol: /);
  });

  test('a row before the query', async () => {
    expect(await talk(QUERY, Buffer.concat([message('R', '00000000'), ROW]))).toMatch(
      /^protocol: Not an answer of PostgreSQL: Received unexpected dataRow/,
    );
  });

  test('a copy in place of a result', async () => {
    const error = message('E', Buffer.from('SERROR\0C57014\0Mno\0\0'));
    expect(await talk(QUERY, IN, message('G', '00 0000'), Buffer.concat([error, READY]))).toBe(
      'status: 57014: no',
    );
  });

  test('a server that does not prove that it knows the password', async () => {
    expect(await talk(LOGIN, sasl, IN)).toBe(
      'protocol: The server has not proved that it knows the password',
    );
    await close();
    // The rest is what SCRAM does with a nonce that is not ours, or costs too much.
    expect(await talk(LOGIN, sasl, words(11, 'r=abc,s=c2FsdA==,i=4096'))).toMatch(
      /^protocol: .*nonce/,
    );
    await close();
    expect(await talk(LOGIN, sasl, words(12, 'v=AAAA'))).toMatch(
      /^protocol: Not expected in a login/,
    );
  });

  test('the price of a password is bounded', async () => {
    const answer = (first: string) => (data: Buffer) => {
      const nonce = /r=([^,]+)$/.exec(data.toString('latin1'))?.[1] ?? '';
      return words(11, `r=${nonce}server,${first}`);
    };
    const price = answer('s=c2FsdA==,i=1000001');
    let turn = 0;
    const port = await serve((socket) =>
      socket.on(
        'data',
        (data) => void (turn++ === 0 ? socket.write(sasl) : socket.write(price(data))),
      ),
    );
    expect(await ask({ check: LOGIN, port, timeoutMs: 2000 })).toMatch(
      /^protocol: .*iteration count 1000001 exceeds/,
    );
  });

  test('nothing of the environment is sent', async () => {
    for (const name of ['PGOPTIONS', 'PGREPLICATION', 'PGAPPNAME', 'PGPASSWORD', 'PGDATABASE']) {
      vi.stubEnv(name, 'fromoutside');
    }
    vi.stubEnv('PGSSLMODE', 'require');
    vi.stubEnv('PGSSLNEGOTIATION', 'direct');
    expect(await talk(LOGIN, IN)).toBe('ok');
    expect(heard[0]?.subarray(8).toString('latin1')).toBe(
      'user\0u\0database\0u\0application_name\0vipkeeper\0client_encoding\0UTF8\0\0',
    );
    await close();
    expect(await talk('{postgresql: {user: u}}', sasl)).toBe(
      'status: The server wants a password, and the check has none',
    );
  });
});

describe('MySQL', () => {
  const packet = (sequence: number, payload: string | Buffer) => {
    const body = typeof payload === 'string' ? hex(payload) : payload;
    const head = Buffer.from([body.length & 0xff, (body.length >> 8) & 0xff, 0, sequence]);
    return Buffer.concat([head, body]);
  };
  const text = (value: string) => Buffer.from(`${value}\0`, 'latin1');
  /** A server with these lower capabilities; 0x800 is TLS. */
  const greeting = (plugin: string, capabilities = 'fff7') =>
    packet(
      0,
      Buffer.concat([
        ...[hex('0a'), text('8.0.36'), hex('07000000 3131313131313131 00'), hex(capabilities)],
        ...[
          hex('2d 0200 ffdf 15'),
          Buffer.alloc(10),
          Buffer.alloc(12, '1'),
          hex('00'),
          text(plugin),
        ],
      ]),
    );
  const NATIVE = greeting('mysql_native_password');
  const IN = packet(2, '00 00 00 0200 0000');
  const column = (sequence: number) =>
    packet(sequence, '03646566 00 00 00 0161 00 0c 3f00 02000000 03 8100 00 0000');
  const END = '05000005 fe00000200';
  const switchTo = (plugin: string) =>
    packet(2, Buffer.concat([hex('fe'), text(plugin), Buffer.alloc(20, '2'), hex('00')]));

  const LOGIN = '{mysql: {user: u, password: geheim}}';
  const QUERY = '{mysql: {user: u, password: geheim, query: SELECT 1, result: "1"}}';
  const talk = (check: string, ...turns: Buffer[]) => verdict(check, turns, true);
  const result = (...rows: Buffer[]) =>
    Buffer.concat([packet(1, '01'), column(2), packet(3, 'fe00000200'), ...rows]);

  test('a conversation as it should be, in one piece and byte by byte', async () => {
    const turns = [NATIVE, IN, result(packet(4, '0131'), hex(END))];
    expect(await verdict(QUERY, turns, true)).toBe('ok');
    await close();
    expect(await verdict(QUERY, turns, true, 1)).toBe('ok');
  });

  test.each<readonly [string, Buffer, string | RegExp]>([
    [
      'another protocol',
      Buffer.from('220 mail.test ESMTP\r\n'),
      'protocol: malformed: A packet of 3158578 bytes',
    ],
    ['a packet of nothing', packet(0, ''), 'protocol: malformed: A packet of 0 bytes'],
    ['protocol 9', packet(0, '09 31 00'), 'protocol: unsupported: Protocol 9'],
    ['a cut handshake', packet(0, '0a 31 00 01'), /^protocol: Not an answer of MySQL: /],
    [
      'a server that is full',
      packet(0, Buffer.concat([hex('ff 1004'), Buffer.from('Too many connections')])),
      'status: Error 1040: Too many connections',
    ],
    ['a cut error', packet(0, 'ff'), /^protocol: Not an answer of MySQL: /],
    [
      'a wrong number',
      packet(7, NATIVE.subarray(4)),
      /^protocol: Not an answer of MySQL: .*out of order/,
    ],
  ])('%s', async (_, said, expected) => {
    expect(await talk(LOGIN, said)).toMatch(
      typeof expected === 'string' ? new RegExp(`^${expected}$`) : expected,
    );
  });

  test.each<readonly [string, Buffer, RegExp]>([
    ['the password as it is', switchTo('mysql_clear_password'), /^status: .* by TLS only$/],
    ['the password by a key', packet(2, '0104'), /^status: .* by TLS only$/],
    [
      'another plugin with a key',
      switchTo('sha256_password'),
      /^status: The account has the plugin sha256_password; expected /,
    ],
    [
      'ed25519',
      switchTo('client_ed25519'),
      /^status: The account has the plugin client_ed25519; expected /,
    ],
    [
      'a name of JavaScript',
      switchTo('__proto__'),
      /^status: The account has the plugin __proto__; /,
    ],
    ['the plugin of old', packet(2, 'fe'), /^protocol: truncated: The name of a plugin is cut$/],
    [
      'a second factor',
      packet(2, Buffer.concat([hex('02'), text('mysql_clear_password')])),
      /^status: The account wants a second factor$/,
    ],
    ['something else', packet(2, '0331'), /^protocol: Not an answer of MySQL: Unexpected packet/],
    ['a number out of order', packet(9, '00 00 00 0200 0000'), /^protocol: .*out of order/],
  ])('a login that wants %s', async (_, said, expected) => {
    expect(await talk(LOGIN, greeting('caching_sha2_password'), said)).toMatch(expected);
    expect(heard.length).toBe(1);
    expect(Buffer.concat(heard).includes('geheim')).toBe(false);
  });

  test.each<readonly [string, Buffer, RegExp]>([
    [
      'a row with a length that there is not',
      result(packet(4, 'ff31')),
      /^protocol: Not an answer of MySQL: /,
    ],
    ['a row that is cut', result(packet(4, 'fc'), hex(END)), /^body: The query gave ; expected 1$/],
    [
      'a column that is cut',
      Buffer.concat([packet(1, '01'), packet(2, '03646566')]),
      /^protocol: Not an answer of MySQL: /,
    ],
    [
      'no end of the columns',
      Buffer.concat([packet(1, '01'), column(2), column(3)]),
      /^protocol: Not an answer of MySQL: Expected EOF/,
    ],
    ['a count that is cut', packet(1, 'fe01'), /^protocol: Not an answer of MySQL: /],
    ['a success that is cut', packet(1, '00'), /^protocol: Not an answer of MySQL: /],
    [
      'an error',
      packet(1, Buffer.concat([hex('ff 2804 23'), Buffer.from('42000no')])),
      /^status: Error 1064: no$/,
    ],
    ['NULL', result(packet(4, 'fb'), hex(END)), /^body: The query gave NULL; expected 1$/],
    ['no row', result(hex(END).fill(4, 3, 4)), /^body: The query gave no row; expected 1$/],
    [
      'rows without end',
      result(...Array.from({ length: 9000 }, (_, index) => packet((4 + index) & 0xff, '03616161'))),
      /^too-large: /,
    ],
  ])('%s', async (_, said, expected) => {
    expect(await talk(QUERY, NATIVE, IN, said)).toMatch(expected);
  });

  test('a server that asks for a file gets nothing', async () => {
    const wish = packet(1, Buffer.concat([hex('fb'), Buffer.from('/etc/passwd')]));
    expect(await talk(QUERY, NATIVE, IN, wish, packet(3, '00 00 00 0200 0000'))).toMatch(
      /^protocol: Not an answer of MySQL: /,
    );
    expect(heard.at(2)).toEqual(hex('00000002'));
  });

  test('TLS that is not offered, and words before it', async () => {
    const secure = LOGIN.replace('user', 'tls: true, user');
    expect(await talk(secure, greeting('mysql_native_password', 'fff7'))).toBe(
      'tls: The server does not speak TLS',
    );
    expect(heard).toEqual([]);
    await close();
    const early = Buffer.concat([greeting('mysql_native_password', 'ffff'), IN]);
    expect(await talk(secure, early)).toBe('protocol: The server spoke before the TLS handshake');
    expect(Buffer.concat(heard).includes('mysql_native_password')).toBe(false);
  });
});
