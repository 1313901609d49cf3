/** Dialogues with real servers on loopback: up, lying, slow, half-open, flooding. */
import { createServer as createTls } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { runCheckCommand } from '../../../src/controller/check-command.ts';
import type { DialogueCheckConfig } from '../../../src/core/config/check.ts';
import { DIALOGUE_EXPRESSIONS, DIALOGUES } from '../../../src/core/health/dialogues.ts';
import { createProbe } from '../../../src/probes/probe.ts';
import { TrustStore } from '../../../src/probes/trust-store.ts';
import type { TestCertificate, TestServer } from './servers.ts';
import {
  closedTarget,
  listen,
  makeCertificate,
  tcpCheck,
  tcpServer,
  tlsSettings,
  waitFor,
} from './servers.ts';

const servers: TestServer[] = [];
async function serving(server: Promise<TestServer>): Promise<TestServer> {
  servers.push(await server);
  return await server;
}
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

const { kind: _, ...timing } = tcpCheck;

function check(changes: Partial<DialogueCheckConfig>): DialogueCheckConfig {
  return {
    kind: 'dialogue',
    ...timing,
    tls: false,
    ...tlsSettings,
    steps: DIALOGUES.ftp.steps,
    ...changes,
  };
}

/** 'ok', 'null', or the reason of the failure and its detail. */
async function run(
  server: Pick<TestServer, 'target'>,
  changes: Partial<DialogueCheckConfig> = {},
): Promise<string> {
  const probe = createProbe(check(changes), server.target, new TrustStore(), runCheckCommand);
  const result = await probe.run(new AbortController().signal);
  if (result === null) return 'null';
  return result.ok ? 'ok' : `${result.failure.reason}: ${result.failure.detail}`;
}

/** Greets, then answers each line by its first word; remembers what it was told. */
async function lineServer(greeting: string, answers: Readonly<Record<string, string>>) {
  const heard: string[] = [];
  const server = await serving(
    tcpServer((socket) => {
      socket.write(greeting);
      socket.on('data', (data) => {
        for (const line of data.toString().split('\r\n').slice(0, -1)) {
          heard.push(line);
          const answer = answers[line.split(' ').slice(0, 2).join(' ')];
          if (answer !== undefined) socket.write(answer);
        }
      });
      socket.on('end', () => socket.end());
    }),
  );
  return { ...server, heard };
}

describe('dialogue probe: ready-made', () => {
  test.each<[keyof typeof DIALOGUES, string, Record<string, string>, string[]]>([
    ['ftp', '220 ready\r\n', {}, ['QUIT']],
    ['imap', '* OK ready\r\n', { 'a1 NOOP': 'a1 OK done\r\n' }, ['a1 NOOP', 'a2 LOGOUT']],
    ['pop3', '+OK ready\r\n', {}, ['QUIT']],
    ['nntp', '201 no posting\r\n', {}, ['QUIT']],
    ['redis', '', { PING: '+PONG\r\n' }, ['PING', 'QUIT']],
    ['redis', '', { PING: '-NOAUTH Authentication required.\r\n' }, ['PING', 'QUIT']],
  ])('%s: a good server is up and hears a goodbye', async (name, greeting, answers, heard) => {
    const server = await lineServer(greeting, answers);
    expect(await run(server, { steps: DIALOGUES[name].steps })).toBe('ok');
    await waitFor('the goodbye', () => server.heard.length === heard.length);
    expect(server.heard).toEqual(heard);
    expect(server.errors).toEqual([]);
  });

  test.each<[keyof typeof DIALOGUES, string]>([
    ['ftp', '421 too many\r\n'],
    ['ftp', '421-too many\r\n'],
    ['imap', '* BYE overloaded\r\n'],
    ['pop3', '-ERR locked\r\n'],
    ['nntp', '400 closed\r\n'],
    ['redis', '-LOADING the dataset\r\n'],
  ])('%s: a refusal fails at once: %s', async (name, greeting) => {
    const server = await lineServer(greeting, {});
    const seen = await run(server, { steps: DIALOGUES[name].steps, timeoutUs: 600_000_000 });
    expect(seen).toBe(`status: Refused: ${greeting.trim()}`);
  });

  test('lines that come a byte at a time, and a refusal behind others', async () => {
    const bytewise = (text: string) =>
      serving(
        tcpServer((socket) => {
          socket.setNoDelay(true);
          for (const byte of Buffer.from(text)) socket.write(Buffer.of(byte));
          socket.resume();
        }),
      );
    const { steps } = DIALOGUES.ftp;
    expect(await run(await bytewise('220-one\r\n220-two\r\n220 three\r\n'), { steps })).toBe('ok');
    expect(await run(await bytewise('220-one\r\n421 two\r\n'), { steps })).toBe(
      'status: Refused: 220-one 421 two',
    );
    // A line that is not all there says nothing.
    expect(await run(await bytewise('220 three'), { steps, timeoutUs: 50_000 })).toMatch(
      /^timeout: /,
    );
  });

  test('their expressions need no thread, as they are as quick as texts are short', async () => {
    const threads = () => (process.report.getReport() as { workers: object[] }).workers.length;
    expect(threads()).toBe(0);
    const server = await lineServer('220 ready\r\n', {});
    const own = { send: null, expect: '^220 r', refuse: null, starttls: false };
    expect(await run(server, { steps: [own] })).toBe('ok');
    expect(threads()).toBe(1);
    const pieces = ['220 ', '220-', '+OK ', '* OK ', 'a0 OK ', '-NOAUTH ', '-ERR', '4', ' ', '\r'];
    for (const source of DIALOGUE_EXPRESSIONS) {
      const expression = new RegExp(source ?? '', 'um');
      const startMs = performance.now();
      for (const piece of pieces) {
        expression.test(piece.repeat(65_536 / piece.length));
        expression.test(`${piece}${'x'.repeat(65_536)}`);
      }
      // The square of these lengths would take minutes.
      expect(performance.now() - startMs).toBeLessThan(5_000);
    }
  });
});

describe('dialogue probe: bounds', () => {
  test('a closed port, a server that closes and one that is silent are failures', async () => {
    expect(await run({ target: await closedTarget() })).toMatch(/^connection-refused: /);
    expect(await run(await serving(tcpServer((socket) => socket.end())))).toMatch(
      /^reset: Closed, waiting for what step 1 expects/,
    );
    const silent = await serving(tcpServer((socket) => socket.resume()));
    expect(await run(silent, { timeoutUs: 50_000 })).toBe(
      'timeout: Waited 50 ms for what step 1 expects',
    );
  });

  test('an answer that comes a byte at a time counts, what an earlier step used does not', async () => {
    const server = await serving(
      tcpServer((socket) => {
        for (const byte of Buffer.from('one\r\n')) socket.write(Buffer.of(byte));
        socket.resume();
      }),
    );
    const once = { send: null, expect: '^one\r\n', refuse: null, starttls: false };
    expect(await run(server, { steps: [once] })).toBe('ok');
    expect(await run(server, { steps: [once, once], timeoutUs: 50_000 })).toMatch(
      /for what step 2/,
    );
  });

  test('a server that talks without end is left', async () => {
    const flood = await serving(
      tcpServer((socket) => {
        const send = () => {
          while (!socket.destroyed && socket.write('x'.repeat(4096)));
        };
        socket.on('drain', send);
        send();
      }),
    );
    expect(await run(flood)).toMatch(/^too-large: More than 65536 bytes/);
    await waitFor('the connection to close', () => flood.open() === 0);
  });

  test('an expression that backtracks without end is a failure', async () => {
    const server = await lineServer(`${'a'.repeat(40)}\r\n`, {});
    const steps = [{ send: null, expect: '^(a+)+!$', refuse: null, starttls: false }];
    expect(await run(server, { steps })).toMatch(/^cannot-run: The regular expression/);
  });
});

describe('dialogue probe: TLS', () => {
  let certificate: TestCertificate;
  beforeAll(() => {
    certificate = makeCertificate('DNS:mail.test');
  });
  afterAll(() => certificate.remove());

  test('certificate and name are verified unless told otherwise', async () => {
    const { key, certificate: cert, certificateFile: caFile } = certificate;
    const server = await serving(
      listen(createTls({ key, cert }, (socket) => void socket.end('+OK ready\r\n'))),
    );
    const tls = { tls: true, steps: DIALOGUES.pop3.steps };
    expect(await run(server, { ...tls, caFile, serverName: 'mail.test' })).toBe('ok');
    expect(await run(server, { ...tls, tlsVerify: false })).toBe('ok');
    expect(await run(server, tls)).toMatch(/^tls-untrusted: /);
    expect(await run(server, { ...tls, caFile, serverName: 'other.test' })).toMatch(
      /^tls-untrusted: /,
    );
    expect(await run(server, { ...tls, caFile: '/missing' })).toMatch(/^cannot-run: /);
  });

  test('a server without TLS fails the handshake', async () => {
    const plain = await lineServer('+OK plain\r\n', {});
    expect(await run(plain, { tls: true, steps: DIALOGUES.pop3.steps })).toMatch(/^tls: /);
  });
});
