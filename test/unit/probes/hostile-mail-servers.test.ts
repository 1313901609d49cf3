/**
 * Mail servers that refuse, and servers that are none or lie: what the client of `nodemailer`
 * makes of them is a verdict with its reason, in the words of the server.
 */
import { describe, expect, test } from 'vitest';
import { close, heard, verdict } from './hostile.ts';

const GREETING = '220-mail.test ESMTP\r\n220 ready\r\n';
const HELLO = '250-mail.test\r\n250-STARTTLS\r\n250 HELP\r\n';
const STARTTLS = '{dialogue: {protocol: smtp, starttls: true}}';
const talk = (check: string, ...turns: string[]) =>
  verdict(
    check,
    turns.map((turn) => Buffer.from(turn)),
    true,
  );
const said = () => Buffer.concat(heard).toString('latin1');

test('a conversation as it should be, in one piece and byte by byte', async () => {
  const turns = [GREETING, HELLO].map((turn) => Buffer.from(turn));
  expect(await verdict('smtp', turns, true)).toBe('ok');
  expect(said()).toMatch(/^EHLO vipkeeper\r\n(QUIT\r\n)?$/);
  await close();
  expect(await verdict('smtp', turns, true, 1)).toBe('ok');
});

test('a server that knows no EHLO', async () => {
  expect(await talk('smtp', GREETING, '502 what?\r\n', '250 mail.test\r\n')).toBe('ok');
  expect(said()).toMatch(/^EHLO vipkeeper\r\nHELO vipkeeper\r\n(QUIT\r\n)?$/);
});

test.each<readonly [string, string]>([
  [
    '554 no service, see http://mail.test\r\n',
    'status: Refused: 554 no service, see http://mail.test',
  ],
  ['421-too many\r\n421 later\r\n', 'status: Refused: 421-too many 421 later'],
  ['450 für heute geschlossen\r\n', 'status: Refused: 450 für heute geschlossen'],
  ['250 ready\r\n', 'protocol: Expected 220 for the greeting: 250'],
  ['SSH-2.0-OpenSSH_9.2\r\n', 'protocol: unsupported: No SMTP server'],
  ['22', 'timeout: Waited 2000 ms for the greeting'],
  ['22\r\n', 'protocol: unsupported: No SMTP server'],
  ['2200 ready\r\n', 'protocol: malformed: A reply without its code'],
  ['\r\n', 'protocol: unsupported: No SMTP server'],
  [`220 ${'x'.repeat(20_000)}`, 'protocol: malformed: A reply of more than 16384 bytes'],
  ['220-x\r\n'.repeat(5000), 'protocol: malformed: A reply of more than 16384 bytes'],
])('a greeting of %j', async (greeting, expected) => {
  expect(await talk('smtp', greeting)).toBe(expected);
});

test.each<readonly [string, string]>([
  ['421 shutting down\r\n', 'status: Refused: 421 shutting down'],
  ['220 ready\r\n', 'protocol: Expected 250 for the answer to EHLO: 220'],
  ['354 go on\r\n', 'protocol: Not an answer of SMTP: Invalid HELO. response=354 go on: 354 go on'],
  ['', 'timeout: Waited 2000 ms for the answer to EHLO'],
])('an answer to the hello of %j', async (answer, expected) => {
  expect(await talk('smtp', GREETING, answer, answer)).toBe(expected);
});

describe('STARTTLS', () => {
  test.each<readonly [string, string]>([
    ['454 not now\r\n', 'status: Refused: 454 not now'],
    ['220 go\r\n250 mail.test\r\n', 'protocol: The server spoke before the TLS handshake'],
    ['220 go', 'timeout: Waited 2000 ms for the answer to STARTTLS'],
  ])('an answer of %j', async (answer, expected) => {
    expect(await talk(STARTTLS, GREETING, HELLO, answer)).toBe(expected);
    expect(said()).toBe('EHLO vipkeeper\r\nSTARTTLS\r\n');
  });

  test('is asked for where it is not offered, and not where it is not wanted', async () => {
    const refusal = '503 not here\r\n';
    expect(await talk(STARTTLS, GREETING, '250 mail.test\r\n', refusal)).toBe(
      'status: Refused: 503 not here',
    );
    await close();
    // A HELO knows none.
    expect(await talk(STARTTLS, GREETING, '502 what?\r\n')).toBe('status: Refused: 502 what?');
  });
});
