import { writeFileSync } from 'node:fs';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { createServer as createTcp } from 'node:net';
import { join } from 'node:path';
import { createServer as createTls } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { runCheckCommand } from '../../../src/controller/check-command.ts';
import type { HttpRequestConfig } from '../../../src/core/config/check.ts';
import type { HttpCheckConfig } from '../../../src/core/config/config.ts';
import type { ProbeResult } from '../../../src/core/health/probe-result.ts';
import { BODY_LENGTH_MAX_BYTES } from '../../../src/probes/body.ts';
import { tlsName } from '../../../src/probes/http-request.ts';
import { createProbe } from '../../../src/probes/probe.ts';
import { TrustStore } from '../../../src/probes/trust-store.ts';
import type { TestCertificate, TestServer } from './servers.ts';
import {
  closedTarget,
  httpCheck,
  httpRequest,
  listen,
  makeCertificate,
  silentTarget,
  tcpServer,
  waitFor,
} from './servers.ts';

const servers: TestServer[] = [];
async function serving(server: Promise<TestServer>): Promise<TestServer> {
  servers.push(await server);
  return server;
}
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

const never = new AbortController().signal;

/** Runs one HTTP check, with the settings given. */
function run(
  target: { readonly address: string; readonly port: number },
  settings: Partial<HttpCheckConfig & HttpRequestConfig> = {},
): Promise<ProbeResult | null> {
  const request = Object.fromEntries(
    Object.entries(httpRequest).map(([name, value]) => [
      name,
      Object.hasOwn(settings, name) ? settings[name as keyof HttpRequestConfig] : value,
    ]),
  ) as unknown as HttpRequestConfig;
  const check = { ...httpCheck, requests: [request], ...settings };
  return createProbe(check, target, new TrustStore(), runCheckCommand).run(never);
}

/** 'ok', 'null', or the reason of the failure and its detail. */
function verdict(result: ProbeResult | null): string {
  if (result === null) return 'null';
  return result.ok ? 'ok' : `${result.failure.reason}: ${result.failure.detail}`;
}

function httpServer(serve: RequestListener): Promise<TestServer> {
  return serving(listen(createHttp(serve)));
}

/** Sends the header and nothing more of what it promises. */
function hang(request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { 'content-length': 10 });
  if (request.method === 'HEAD') response.end();
  else response.write('half');
}

/** A server that sends these bytes, whatever it is asked, and leaves the connection open. */
function rawServer(answer: string): Promise<TestServer> {
  return serving(tcpServer((socket) => socket.once('data', () => socket.write(answer))));
}

/** More than fits into the buffers of two sockets, less than can be sent in the closing time. */
const SENT_MAX_BYTES = 16 * 1024 * 1024;

/** Sends a body without end, as fast as it is read. */
async function endlessServer(): Promise<TestServer & { sentBytes(): number }> {
  const block = Buffer.alloc(64 * 1024, 'x');
  let sentBytes = 0;
  const server = await httpServer((_request, response) => {
    const send = (): void => {
      if (response.destroyed) return;
      sentBytes += block.length;
      if (response.write(block)) setImmediate(send);
      else response.once('drain', send);
    };
    send();
  });
  return { ...server, sentBytes: () => sentBytes };
}

describe('HTTP probe: verdicts', () => {
  test('a good status is up, over one connection that ends in order', async () => {
    const server = await httpServer((_request, response) => response.end('fine'));
    expect(verdict(await run(server.target))).toBe('ok');
    expect(verdict(await run(server.target))).toBe('ok');
    await waitFor('the connections to close', () => server.open() === 0);
    expect(server.accepted()).toBe(2);
    expect(server.errors).toEqual([]);
  });

  test('the request says what the check says', async () => {
    const requests: IncomingMessage[] = [];
    const server = await httpServer((request, response) => {
      requests.push(request);
      response.end();
    });
    const { address, port } = server.target;
    await run(server.target, { path: '/ready?full=1' });
    await run(server.target, { host: 'www.example.org' });
    expect(requests.map(({ method, url }) => `${method} ${url}`)).toEqual([
      'GET /ready?full=1',
      'GET /healthz',
    ]);
    expect(requests[0]?.headers).toMatchObject({
      host: `${address}:${port}`,
      'user-agent': 'vipkeeper',
      connection: 'close',
      'accept-encoding': 'identity',
    });
    expect(requests[1]?.headers.host).toBe('www.example.org');
  });

  test.each([
    [200, [[200, 299]], 'ok'],
    [299, [[200, 299]], 'ok'],
    [300, [[200, 299]], 'status: Status 300'],
    [503, [[200, 299]], 'status: Status 503'],
    [
      404,
      [
        [200, 200],
        [404, 404],
      ],
      'ok',
    ],
    [
      204,
      [
        [200, 200],
        [404, 404],
      ],
      'status: Status 204',
    ],
  ] as const)('status %i with %j is "%s"', async (status, ranges, expected) => {
    const server = await httpServer((_request, response) => response.writeHead(status).end());
    expect(verdict(await run(server.target, { status: ranges }))).toBe(expected);
  });

  test('a redirect is not followed', async () => {
    const server = await httpServer((_request, response) => {
      response.writeHead(302, { location: '/elsewhere' }).end();
    });
    expect(verdict(await run(server.target))).toBe('status: Status 302');
    expect(server.accepted()).toBe(1);
  });

  test('an interim response is not the verdict', async () => {
    const server = await rawServer(
      'HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n',
    );
    expect(verdict(await run(server.target))).toBe('status: Status 500');
  });

  test.each([
    [{ bodyContains: 'all good' }, 'ok'],
    [{ bodyContains: 'bad' }, 'body: The body does not contain "bad"'],
    [{ bodyMatches: '^it is ALL|all g..d$' }, 'ok'],
    [{ bodyMatches: '^all' }, 'body: The body does not match /^all/u'],
    [{ bodyContains: 'good', bodyMatches: 'is' }, 'ok'],
    [{ bodyContains: 'bad', bodyMatches: 'is' }, 'body: The body does not contain "bad"'],
    [{ bodyContains: 'good', bodyMatches: 'isn' }, 'body: The body does not match /isn/u'],
  ])('the body "it is all good" with %j is "%s"', async (settings, expected) => {
    const server = await httpServer((_request, response) => {
      response.write('it is all');
      setImmediate(() => response.end(' good'));
    });
    expect(verdict(await run(server.target, settings))).toBe(expected);
  });

  test('a body that ends with the connection is complete', async () => {
    const server = await serving(
      tcpServer((socket) => socket.once('data', () => socket.end('HTTP/1.0 200 OK\r\n\r\nhello'))),
    );
    expect(verdict(await run(server.target, { bodyMatches: '^hello$' }))).toBe('ok');
  });

  test('IPv6 works', async () => {
    const server = await serving(
      listen(
        createHttp((request, response) => response.end(request.headers.host)),
        '::1',
      ),
    );
    const bodyContains = `[::1]:${server.target.port}`;
    expect(verdict(await run(server.target, { bodyContains }))).toBe('ok');
  });
});

describe('HTTP probe: servers that misbehave', () => {
  test('a refused connection is named so', async () => {
    expect(verdict(await run(await closedTarget()))).toMatch(/^connection-refused: /);
  });

  test('a server that answers no SYN times out waiting for the connection', async () => {
    const silent = await silentTarget();
    try {
      const result = await run(silent.target, { timeoutUs: 150_000 });
      expect(verdict(result)).toBe('timeout: Waited 150 ms for the connection');
    } finally {
      silent.close();
    }
  });

  test('a server that never answers times out, and its socket is closed', async () => {
    const server = await rawServer('');
    const result = await run(server.target, { timeoutUs: 100_000 });
    expect(verdict(result)).toBe('timeout: Waited 100 ms for the header of the answer');
    await waitFor('the socket to close', () => server.open() === 0);
  });

  test('a server that trickles its header times out', async () => {
    const server = await serving(
      tcpServer((socket) => {
        const timer = setInterval(() => socket.write('H'), 5);
        socket.resume().write('HTTP/1.1 200 OK\r\nX-Slow: ');
        socket.once('close', () => clearInterval(timer));
      }),
    );
    const result = await run(server.target, { timeoutUs: 200_000 });
    expect(verdict(result)).toBe('timeout: Waited 200 ms for the header of the answer');
    await waitFor('the socket to close', () => server.open() === 0);
  });

  test('a server that trickles its body times out', async () => {
    const server = await httpServer((_request, response) => {
      const timer = setInterval(() => response.write('x'), 5);
      response.once('close', () => clearInterval(timer));
    });
    const expected = 'timeout: Waited 200 ms for the body of the answer';
    for (const bodyContains of ['y', null]) {
      const result = await run(server.target, { timeoutUs: 200_000, bodyContains });
      expect(verdict(result)).toBe(expected);
    }
    await waitFor('the sockets to close', () => server.open() === 0);
  });

  test('a server that hangs behind its header is down, unless only that is asked for', async () => {
    const server = await httpServer(hang);
    const result = await run(server.target, { timeoutUs: 300_000 });
    expect(verdict(result)).toBe('timeout: Waited 300 ms for the body of the answer');
    expect(verdict(await run(server.target, { method: 'HEAD' }))).toBe('ok');
    await waitFor('the sockets to close', () => server.open() === 0);
  });

  test('an answer that is cut off is no answer, and one that goes on for long is one', async () => {
    const cut = await serving(
      tcpServer((socket) =>
        socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf')),
      ),
    );
    expect(verdict(await run(cut.target))).toMatch(/^reset: Before the answer was complete: /);
    const endless = await endlessServer();
    expect(verdict(await run(endless.target))).toBe('ok');
    await waitFor('the sockets to close', () => endless.open() === 0);
  });

  test('text that is there decides before a body without end', async () => {
    const server = await rawServer('HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nready');
    const settings = { timeoutUs: 60_000_000, bodyContains: 'ready' };
    expect(verdict(await run(server.target, settings))).toBe('ok');
  });

  test('a regular expression that backtracks without end fails, and soon', async () => {
    const server = await httpServer((_request, response) => response.end(`${'a'.repeat(64)}!`));
    const result = await run(server.target, { bodyMatches: '^(a+)+$', timeoutUs: 10_000_000 });
    expect(verdict(result)).toBe('cannot-run: The regular expression /^(a+)+$/u took too long');
    expect(result?.durationUs).toBeLessThan(5_000_000);
  });

  test.each(['bodyContains', 'bodyMatches'])(
    'an endless body is too large for %s',
    async (name) => {
      const server = await endlessServer();
      const result = await run(server.target, { [name]: 'needle' });
      const expected = `too-large: Undecided after ${BODY_LENGTH_MAX_BYTES} bytes of the body`;
      expect(verdict(result)).toBe(expected);
      await waitFor('the socket to close', () => server.open() === 0);
      expect(server.sentBytes()).toBeLessThan(SENT_MAX_BYTES);
    },
  );

  test('an endless body that nobody looks at is left at once', async () => {
    const server = await endlessServer();
    expect(verdict(await run(server.target))).toBe('ok');
    await waitFor('the socket to close', () => server.open() === 0);
    expect(server.sentBytes()).toBeLessThan(SENT_MAX_BYTES);
  });

  test('a reset before the answer is named so', async () => {
    const server = await serving(
      tcpServer((socket) => socket.once('data', () => socket.resetAndDestroy())),
    );
    expect(verdict(await run(server.target))).toMatch(/^reset: /);
  });

  test('a close before the answer is named so', async () => {
    const server = await serving(tcpServer((socket) => socket.once('data', () => socket.end())));
    expect(verdict(await run(server.target))).toMatch(/^reset: /);
  });

  test('a close in the middle of the body is not a match', async () => {
    const cut = 'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhello';
    const server = await serving(tcpServer((socket) => socket.once('data', () => socket.end(cut))));
    const result = await run(server.target, { bodyMatches: '^hello$' });
    expect(verdict(result)).toMatch(/^(reset|protocol): /);
  });

  test.each([
    'SSH-2.0-OpenSSH_9.2\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: what\r\n\r\n',
    `HTTP/1.1 200 OK\r\nX-Long: ${'x'.repeat(100_000)}\r\n\r\n`,
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
  ])('an answer that is not HTTP is a protocol failure: %j', async (answer) => {
    const server = await rawServer(answer);
    expect(verdict(await run(server.target))).toMatch(/^protocol: /);
    await waitFor('the socket to close', () => server.open() === 0);
  });

  test('settings that cannot be sent or compiled cannot run', async () => {
    const server = await httpServer((_request, response) => response.end());
    expect(verdict(await run(server.target, { path: '/\r\nX: y' }))).toMatch(/^cannot-run: /);
    expect(verdict(await run(server.target, { host: 'a\r\nX: y' }))).toMatch(/^cannot-run: /);
    expect(verdict(await run(server.target, { bodyMatches: '(' }))).toMatch(/^cannot-run: /);
  });

  test('aborting closes the socket and gives no verdict', async () => {
    const server = await rawServer('');
    const abort = new AbortController();
    const probe = createProbe(httpCheck, server.target, new TrustStore(), runCheckCommand);
    const running = probe.run(abort.signal);
    await waitFor('the connection', () => server.open() === 1);
    abort.abort();
    expect(await running).toBeNull();
    await waitFor('the socket to close', () => server.open() === 0);
    expect(await probe.run(abort.signal)).toBeNull();
    expect(server.accepted()).toBe(1);
  });
});

describe('HTTPS probe', () => {
  let good: TestCertificate;
  let other: TestCertificate;
  beforeAll(() => {
    good = makeCertificate('DNS:www.example.org,IP:127.0.0.1');
    other = makeCertificate('DNS:other.example.org');
  });
  afterAll(() => {
    good.remove();
    other.remove();
  });

  /** Answers with the name that the client asked for, or 'none'. */
  function httpsServer(certificate: TestCertificate): Promise<TestServer> {
    const { key, certificate: cert } = certificate;
    const server = createHttps({ key, cert }, (request, response) => {
      const { servername } = request.socket as { servername?: string | false };
      response.end(`name=${servername || 'none'}`);
    });
    return serving(listen(server));
  }

  test('a self-signed certificate is refused by default', async () => {
    const server = await httpsServer(good);
    expect(verdict(await run(server.target, { tls: true }))).toMatch(/^tls-untrusted: /);
    await waitFor('the socket to close', () => server.open() === 0);
  });

  test('a certificate of the CA file is accepted for the address, without SNI', async () => {
    const server = await httpsServer(good);
    const settings = { tls: true, caFile: good.certificateFile, bodyMatches: '^name=none$' };
    expect(verdict(await run(server.target, settings))).toBe('ok');
    await waitFor('the socket to close', () => server.open() === 0);
    expect(server.errors).toEqual([]);
  });

  test('the server name is sent and verified: serverName, else host without its port', async () => {
    const server = await httpsServer(good);
    const tls = { tls: true, caFile: good.certificateFile };
    const named = { ...tls, bodyMatches: '^name=www\\.example\\.org$' };
    const serverName = 'www.example.org';
    expect(verdict(await run(server.target, { ...named, serverName }))).toBe('ok');
    expect(verdict(await run(server.target, { ...named, host: `${serverName}:443` }))).toBe('ok');
    const wrong = { ...tls, serverName: 'wrong.example.org' };
    expect(verdict(await run(server.target, wrong))).toMatch(/^tls-untrusted: .*altname/i);
  });

  test('a server that hangs behind its header is down', async () => {
    const { key, certificate: cert } = good;
    const server = await serving(listen(createHttps({ key, cert }, hang)));
    const settings = { tls: true, caFile: good.certificateFile, timeoutUs: 500_000 };
    const expected = 'timeout: Waited 500 ms for the body of the answer';
    expect(verdict(await run(server.target, settings))).toBe(expected);
  });

  test('a certificate of another authority is refused', async () => {
    const server = await httpsServer(other);
    const settings = { tls: true, caFile: good.certificateFile, serverName: 'other.example.org' };
    expect(verdict(await run(server.target, settings))).toMatch(/^tls-untrusted: /);
  });

  test('without verification any certificate will do, and failures keep their names', async () => {
    const server = await httpsServer(other);
    const settings = { tls: true, tlsVerify: false };
    expect(verdict(await run(server.target, settings))).toBe('ok');
    const wanted = { ...settings, bodyContains: 'nothing' };
    expect(verdict(await run(server.target, wanted))).toMatch(/^body: /);
  });

  test('without verification a failure behind the handshake is not one of trust', async () => {
    const { key, certificate: cert } = other;
    const garbage = createTls({ key, cert }, (socket) => socket.write('SSH-2.0-x\r\n'));
    const server = await serving(listen(garbage));
    const result = await run(server.target, { tls: true, tlsVerify: false });
    expect(verdict(result)).toMatch(/^protocol: /);
  });

  test('an unusable CA file fails every run, until it can be used', async () => {
    const server = await httpsServer(good);
    const caFile = join(good.directory, 'ca.pem');
    const check = { ...httpCheck, tls: true, caFile };
    const probe = createProbe(check, server.target, new TrustStore(), runCheckCommand);
    expect(verdict(await probe.run(never))).toMatch(/^cannot-run: .*ca\.pem.*ENOENT/);
    writeFileSync(caFile, 'no certificate');
    expect(verdict(await probe.run(never))).toMatch(/^cannot-run: .*holds no certificate/);
    writeFileSync(
      caFile,
      good.certificate.replace(/^.*\n.*\n/, '-----BEGIN CERTIFICATE-----\nAAAA\n'),
    );
    expect(verdict(await probe.run(never))).toMatch(/^cannot-run: .*cannot be used/);
    expect(server.accepted()).toBe(0);
    writeFileSync(caFile, good.certificate);
    expect(verdict(await probe.run(never))).toBe('ok');
    const directory = createProbe(
      { ...check, caFile: good.directory },
      server.target,
      new TrustStore(),
      runCheckCommand,
    );
    expect(verdict(await directory.run(never))).toMatch(/^cannot-run: .*not a regular file/);
  });

  test('a server that does not speak TLS is a TLS failure', async () => {
    const server = await serving(
      listen(
        createTcp((socket) => socket.once('data', () => socket.write('HTTP/1.1 400 No\r\n\r\n'))),
      ),
    );
    expect(verdict(await run(server.target, { tls: true }))).toBe(
      'tls: The server does not speak TLS (wrong version number)',
    );
    await waitFor('the socket to close', () => server.open() === 0);
  });

  test('a server that is silent in the TLS handshake times out', async () => {
    const server = await rawServer('');
    const result = await run(server.target, { tls: true, timeoutUs: 150_000 });
    expect(verdict(result)).toBe('timeout: Waited 150 ms for the TLS handshake');
    await waitFor('the socket to close', () => server.open() === 0);
  });

  test('a server that closes in the TLS handshake is a reset', async () => {
    const server = await serving(tcpServer((socket) => socket.once('data', () => socket.end())));
    expect(verdict(await run(server.target, { tls: true }))).toBe(
      'reset: The server closed the connection in the TLS handshake',
    );
  });

  test('a server that refuses the handshake is told by its alert', async () => {
    // Level fatal, 40: RFC 8446 section 6.
    const alert = Buffer.from('15030300020228', 'hex');
    const server = await serving(
      tcpServer((socket) => socket.once('data', () => socket.end(alert))),
    );
    expect(verdict(await run(server.target, { tls: true }))).toBe(
      'tls: The server sent the TLS alert handshake failure',
    );
  });
});

test.each([
  [{ serverName: 'a.test', host: 'b.test:8443' }, 'a.test'],
  [{ serverName: null, host: 'b.test:8443' }, 'b.test'],
  [{ serverName: null, host: 'b.test' }, 'b.test'],
  [{ serverName: null, host: '[2001:db8::1]:8443' }, '2001:db8::1'],
  [{ serverName: null, host: null }, '192.0.2.1'],
])('tlsName: %j is for %s', (check, expected) => {
  expect(tlsName(check, { address: '192.0.2.1', port: 443 })).toBe(expected);
});
