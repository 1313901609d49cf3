/**
 * Logins by caching_sha2_password, byte by byte as MySQL's manual has them ("Client/Server
 * Protocol", "Caching_sha2_password information"): Debian has no server with this plugin. All else
 * of MySQL checks is tested against MariaDB in test/servers.
 */
import type { Socket } from 'node:net';
import { createSecureContext, TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { ask } from '../../servers/ask.ts';
import { makeCertificate, type TestCertificate, type TestServer, tcpServer } from './servers.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const text = (value: string) => Buffer.from(`${value}\0`, 'latin1');
const NONCE = hex('0a2f4a6f 4b492230 584c724a 250d0350 52021715');
/** XOR(SHA256(password), SHA256(SHA256(SHA256(password)), nonce)) of `secret`. */
const SCRAMBLE = hex('f490e76f66d9d86665ce54d98c78d0acfe2fb0b08b423da807144873d30b312c');
const SHA2 = 'caching_sha2_password';

/** Protocol::HandshakeV10 of a server that can do everything, TLS included. */
function handshake(plugin: string): Buffer {
  return Buffer.concat([
    ...[hex('0a'), text('8.0.36'), hex('07000000'), NONCE.subarray(0, 8), hex('00')],
    ...[hex('ffff ff 0200 ffdf 15'), Buffer.alloc(10), NONCE.subarray(8), hex('00'), text(plugin)],
  ]);
}

/** Protocol::HandshakeResponse41 of user monitor, with no database's name. */
function login(tls: boolean, plugin: string, response: Buffer): Buffer {
  return Buffer.concat([
    ...[hex(tls ? '0dfa2810' : '0df22810'), hex('00000000 e0'), Buffer.alloc(23), text('monitor')],
    ...[Buffer.from([response.length]), response, text(''), text(plugin)],
  ]);
}

const FAST_SUCCESS = hex('0103');
const FULL_LOGIN = hex('0104');
const OK = hex('00 00 00 0200 0000');
const QUIT = hex('01');

let certificate: TestCertificate;
let server: TestServer | null = null;
beforeAll(() => {
  certificate = makeCertificate('DNS:db.test');
});
afterEach(async () => {
  await server?.close();
  server = null;
});
afterAll(() => certificate.remove());

/** What the server says after each packet of the client, in turn; `tls`: TLS begins there. */
type Answer = Buffer | 'tls' | null;

/** A server that says its lines in their order; what the client sent, with sequence numbers. */
async function serve(first: Buffer, answers: readonly Answer[]) {
  const heard: [number, string][] = [];
  server = await tcpServer((plain) => {
    let socket: Socket = plain;
    let received = Buffer.alloc(0);
    const waiting = [...answers];
    const say = (sequence: number, payload: Buffer) => {
      const head = Buffer.from([payload.length & 0xff, payload.length >> 8, 0, sequence]);
      socket.write(Buffer.concat([head, payload]));
    };
    const hear = (data: Buffer) => {
      received = Buffer.concat([received, data]);
      while (received.length >= 4 && received.length >= 4 + received.readUIntLE(0, 3)) {
        const length = received.readUIntLE(0, 3);
        const sequence = received[3] as number;
        heard.push([sequence, received.subarray(4, 4 + length).toString('hex')]);
        received = received.subarray(4 + length);
        let answer = waiting.shift() ?? null;
        if (answer === 'tls') {
          const { certificate: cert, key } = certificate;
          plain.removeListener('data', hear);
          // The client does not wait for an answer: its handshake may be here already.
          plain.pause();
          if (received.length > 0) plain.unshift(received);
          received = Buffer.alloc(0);
          const secureContext = createSecureContext({ cert, key });
          socket = new TLSSocket(plain, { isServer: true, secureContext });
          socket.on('data', hear);
          socket.on('error', () => {});
          continue;
        }
        for (let next = sequence + 1; answer !== null; next++) {
          say(next, answer);
          // A success of the plugin is followed by that of the login.
          answer = answer === FAST_SUCCESS ? OK : null;
        }
      }
    };
    plain.on('data', hear);
    say(0, first);
  });
  return { heard, port: server.target.port };
}

const sent = (packets: readonly (readonly [number, Buffer])[]) =>
  packets.map(([sequence, payload]) => [sequence, payload.toString('hex')]);
const CHECK = 'user: monitor, password: secret';

test('a password that the server knows goes as a scramble', async () => {
  const { heard, port } = await serve(handshake(SHA2), [FAST_SUCCESS, null]);
  expect(await ask({ check: `{mysql: {${CHECK}}}`, port })).toBe('ok');
  await expect
    .poll(() => heard)
    .toEqual(
      sent([
        [1, login(false, SHA2, SCRAMBLE)],
        [0, QUIT],
      ]),
    );
});

test('an account with this plugin on a server with another one', async () => {
  const native = 'mysql_native_password';
  const change = Buffer.concat([hex('fe'), text(SHA2), NONCE, hex('00')]);
  const { heard, port } = await serve(handshake(native), [change, FAST_SUCCESS, null]);
  expect(await ask({ check: `{mysql: {${CHECK}}}`, port })).toBe('ok');
  expect(heard[1]).toEqual([3, SCRAMBLE.toString('hex')]);
});

test('a password that the server does not know yet goes by TLS only', async () => {
  const plain = await serve(handshake(SHA2), [FULL_LOGIN, null]);
  expect(await ask({ check: `{mysql: {${CHECK}}}`, port: plain.port })).toBe(
    'status: The server wants the password itself, which goes by TLS only',
  );
  expect(plain.heard).toEqual(sent([[1, login(false, SHA2, SCRAMBLE)]]));
  await server?.close();

  const secure = await serve(handshake(SHA2), ['tls', FULL_LOGIN, OK, null]);
  const trusted = `tls: true, server_name: db.test, ca_file: ${certificate.certificateFile}`;
  expect(await ask({ check: `{mysql: {${CHECK}, ${trusted}}}`, port: secure.port })).toBe('ok');
  await expect
    .poll(() => secure.heard)
    .toEqual(
      sent([
        [1, login(true, SHA2, SCRAMBLE).subarray(0, 32)],
        [2, login(true, SHA2, SCRAMBLE)],
        [4, text('secret')],
        [0, QUIT],
      ]),
    );
});

test('an account without password sends none', async () => {
  const { heard, port } = await serve(handshake(SHA2), [OK, null]);
  expect(await ask({ check: '{mysql: {user: monitor}}', port })).toBe('ok');
  expect(heard[0]).toEqual([1, login(false, SHA2, Buffer.alloc(0)).toString('hex')]);
});

test('what the plugin does not say is a refusal', async () => {
  const { port } = await serve(handshake(SHA2), [hex('0105')]);
  expect(await ask({ check: `{mysql: {${CHECK}}}`, port })).toBe(
    `status: Invalid AuthMoreData packet received by ${SHA2} plugin in STATE_TOKEN_SENT state.`,
  );
});
