/** HTTP checks beyond one plain GET: what is asked and how, several at once, digests, versions. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttp, type RequestListener } from 'node:http';
import { createServer as createHttp2, createSecureServer as createHttp2s } from 'node:http2';
import { createServer as createHttps } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { runCheckCommand } from '../../../src/controller/check-command.ts';
import type { HttpCheckConfig, HttpRequestConfig } from '../../../src/core/config/check.ts';
import type { CheckTarget } from '../../../src/core/health/check-key.ts';
import { BODY_LENGTH_MAX_BYTES } from '../../../src/probes/body.ts';
import { createProbe } from '../../../src/probes/probe.ts';
import { TrustStore } from '../../../src/probes/trust-store.ts';
import type { TestCertificate, TestServer } from './servers.ts';
import { httpCheck, httpRequest, listen, makeCertificate, tcpServer, waitFor } from './servers.ts';

const servers: TestServer[] = [];
async function serving(server: Promise<TestServer>): Promise<TestServer> {
  servers.push(await server);
  return server;
}
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

let good: TestCertificate;
let other: TestCertificate;
let directory: string;
beforeAll(() => {
  good = makeCertificate('DNS:www.example.org,IP:127.0.0.1');
  other = makeCertificate('DNS:other.example.org');
  directory = mkdtempSync(join(tmpdir(), 'vipkeeper-test-'));
});
afterAll(() => {
  good.remove();
  other.remove();
  rmSync(directory, { recursive: true });
});

async function run(
  target: CheckTarget,
  requests: readonly Partial<HttpRequestConfig>[],
  settings: Partial<HttpCheckConfig> = {},
  signal = new AbortController().signal,
): Promise<string> {
  const all = requests.map((request) => ({ ...httpRequest, ...request }));
  const check = { ...httpCheck, ...settings, requests: all };
  const result = await createProbe(check, target, new TrustStore(), runCheckCommand).run(signal);
  if (result === null) return 'null';
  return result.ok ? 'ok' : `${result.failure.reason}: ${result.failure.detail}`;
}

function httpServer(serve: RequestListener): Promise<TestServer> {
  return serving(listen(createHttp(serve)));
}

describe('a request', () => {
  test('has its method, headers and body, and ours unless it says otherwise', async () => {
    const seen: unknown[] = [];
    const server = await httpServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => {
        body += chunk;
      });
      request.on('end', () => {
        const { accept, 'user-agent': agent, 'x-check': own } = request.headers;
        seen.push([request.method, body, accept, agent, own]);
        response.end();
      });
    });
    const headers = [
      ['X-Check', 'a b'],
      ['User-Agent', 'other'],
    ] as const;
    expect(await run(server.target, [{ method: 'POST', body: 'ping=1\n', headers }])).toBe('ok');
    expect(await run(server.target, [{ method: 'HEAD' }])).toBe('ok');
    expect(await run(server.target, [{ method: 'OPTIONS' }])).toBe('ok');
    expect(seen).toEqual([
      ['POST', 'ping=1\n', '*/*', 'other', 'a b'],
      ['HEAD', '', '*/*', 'vipkeeper', undefined],
      ['OPTIONS', '', '*/*', 'vipkeeper', undefined],
    ]);
  });

  test('of version 1.0 says so, with and without a body', async () => {
    const heads: string[] = [];
    const server = await serving(
      tcpServer((socket) =>
        socket.once('data', (chunk) => {
          heads.push(String(chunk).split('\r\n')[0] ?? '');
          socket.end('HTTP/1.0 200 OK\r\n\r\nall of it');
        }),
      ),
    );
    const requests = [{ bodyMatches: '^all of it$' }];
    expect(await run(server.target, requests, { version: '1.0' })).toBe('ok');
    const posted = [{ method: 'POST', body: 'a HTTP/1.1\r\n' }];
    expect(await run(server.target, posted, { version: '1.0' })).toBe('ok');
    expect(heads).toEqual(['GET /healthz HTTP/1.0', 'POST /healthz HTTP/1.0']);
    expect(server.errors).toEqual([]);
  });
});

describe('a digest', () => {
  const body = Buffer.from('a page that never changes\n');
  const hexOf = (algorithm: string) => createHash(algorithm).update(body).digest('hex');

  test.each(['md5', 'sha256'] as const)('%s of the whole body decides', async (algorithm) => {
    const server = await httpServer((_request, response) => {
      response.write(body.subarray(0, 7));
      setImmediate(() => response.end(body.subarray(7)));
    });
    const digest = { algorithm, hex: hexOf(algorithm) };
    expect(await run(server.target, [{ digest, bodyContains: 'page' }])).toBe('ok');
    const wrong = { algorithm, hex: digest.hex.replaceAll(/./g, '0') };
    const detail = `The ${algorithm} of the body is ${digest.hex}; expected ${wrong.hex}`;
    expect(await run(server.target, [{ digest: wrong }])).toBe(`body: ${detail}`);
  });

  test('of a body that is too large is no success', async () => {
    const server = await httpServer((_request, response) =>
      response.end(Buffer.alloc(BODY_LENGTH_MAX_BYTES + 1)),
    );
    const digest = { algorithm: 'md5' as const, hex: hexOf('md5') };
    expect(await run(server.target, [{ digest }])).toMatch(/^too-large: /);
  });
});

describe('several requests', () => {
  test('are made at once, and all must succeed', async () => {
    const waiting: (() => void)[] = [];
    const server = await httpServer((_request, response) => {
      waiting.push(() => response.end('fine'));
      // None is answered before all are there: in a row they would wait for ever.
      if (waiting.length === 3) for (const answer of waiting) answer();
    });
    const paths = [{ path: '/a' }, { path: '/b', bodyContains: 'fine' }, { path: '/c' }];
    expect(await run(server.target, paths)).toBe('ok');
    expect(server.accepted()).toBe(3);
    await waitFor('the connections to close', () => server.open() === 0);
    expect(server.errors).toEqual([]);
  });

  test('fail with the first that fails, which is named, and the others end', async () => {
    const server = await httpServer((request, response) => {
      if (request.url === '/b') response.writeHead(404).end();
    });
    const paths = [{ path: '/a' }, { path: '/b' }, { path: '/c' }];
    const result = await run(server.target, paths, { timeoutUs: 60_000_000 });
    expect(result).toBe('status: GET /b: Status 404');
    await waitFor('the connections to close', () => server.open() === 0);
  });

  test('share the one timeout', async () => {
    const server = await httpServer((request, response) => {
      if (request.url === '/a') response.end();
    });
    const result = await run(server.target, [{ path: '/a' }, { path: '/b' }], {
      timeoutUs: 150_000,
    });
    expect(result).toBe('timeout: GET /b: Waited 150 ms for the header of the answer');
  });

  test('are given up together, without a verdict', async () => {
    const server = await httpServer(() => {});
    const abort = new AbortController();
    const running = run(server.target, [{ path: '/a' }, { path: '/b' }], {}, abort.signal);
    await waitFor('the connections', () => server.open() === 2);
    abort.abort();
    expect(await running).toBe('null');
    await waitFor('the connections to close', () => server.open() === 0);
  });
});

describe('HTTP/2', () => {
  const serve = (request: { readonly headers: unknown }, response: { end(text: string): void }) => {
    const { ':authority': authority } = request.headers as Record<string, string>;
    response.end(`to ${authority}`);
  };

  test('is spoken without TLS by prior knowledge', async () => {
    const server = await serving(listen(createHttp2(serve)));
    const requests = [{ host: 'www.example.org', bodyMatches: '^to www\\.example\\.org$' }];
    expect(await run(server.target, requests, { version: '2' })).toBe('ok');
    await waitFor('the connection to close', () => server.open() === 0);
    expect(server.errors).toEqual([]);
    expect(await run(server.target, [{ status: [[204, 204]] }], { version: '2' })).toBe(
      'status: Status 200',
    );
  });

  test('is chosen over TLS, or it is a failure', async () => {
    const { key, certificate: cert } = good;
    const tls = { tls: true, caFile: good.certificateFile };
    const second = await serving(listen(createHttp2s({ key, cert }, serve)));
    const requests = [{ bodyContains: 'to 127.0.0.1' }];
    expect(await run(second.target, requests, { ...tls, version: '2' })).toBe('ok');
    await waitFor('the connection to close', () => second.open() === 0);
    const first = await serving(
      listen(createHttps({ key, cert }, (_, response) => response.end())),
    );
    expect(await run(first.target, [{}], { ...tls, version: '2' })).toMatch(
      /^(protocol: The server does not choose HTTP\/2|tls: )/,
    );
  });

  test('of a server that speaks another protocol is a failure, and soon', async () => {
    const server = await httpServer((_request, response) => response.end());
    const result = await run(server.target, [{}], { version: '2', timeoutUs: 60_000_000 });
    expect(result).toMatch(/^(protocol: The answer is not HTTP\/2: |reset: )/);
    await waitFor('the connection to close', () => server.open() === 0);
  });

  test('of a server that hangs behind its header times out', async () => {
    const server = await serving(
      listen(createHttp2((_request, response) => void response.writeHead(200).write('half'))),
    );
    const result = await run(server.target, [{}], { version: '2', timeoutUs: 300_000 });
    expect(result).toBe('timeout: Waited 300 ms for the body of the answer');
    await waitFor('the connection to close', () => server.open() === 0);
  });

  test('that is silent times out', async () => {
    const server = await serving(tcpServer((socket) => socket.resume()));
    const result = await run(server.target, [{}], { version: '2', timeoutUs: 150_000 });
    expect(result).toBe('timeout: Waited 150 ms for the header of the answer');
    await waitFor('the connection to close', () => server.open() === 0);
  });
});

describe('our own certificate', () => {
  /** Takes who shows a certificate of `good`, and says its subject. */
  function demanding(): Promise<TestServer> {
    const { key, certificate: cert } = good;
    const server = createHttps(
      { key, cert, ca: [cert], requestCert: true, rejectUnauthorized: false },
      (request, response) => {
        const { authorized } = request.socket as TLSSocket;
        response.writeHead(authorized ? 200 : 403).end();
      },
    );
    return serving(listen(server));
  }

  const tls = () => ({ tls: true, caFile: good.certificateFile });
  const file = (name: string, text: string) => {
    const path = join(directory, name);
    writeFileSync(path, text);
    return path;
  };

  test('is shown, from two files or one', async () => {
    const server = await demanding();
    expect(await run(server.target, [{}], tls())).toBe('status: Status 403');
    const keyFile = file('key.pem', good.key);
    const two = { ...tls(), certificateFile: good.certificateFile, keyFile };
    expect(await run(server.target, [{}], two)).toBe('ok');
    const both = file('both.pem', `${good.certificate}${good.key}`);
    const one = { ...tls(), certificateFile: both, keyFile: both };
    expect(await run(server.target, [{}], one)).toBe('ok');
  });

  test('that cannot be used fails every run with its reason, and nobody is asked', async () => {
    const server = await demanding();
    const certificateFile = good.certificateFile;
    const missing = join(directory, 'missing.pem');
    const garbage = file('garbage.pem', 'no key');
    const foreign = file('foreign.pem', other.key);
    const failing = async (settings: Partial<HttpCheckConfig>) =>
      run(server.target, [{}], { ...tls(), ...settings });
    expect(await failing({ certificateFile, keyFile: missing })).toMatch(
      /^cannot-run: The key file .*missing\.pem cannot be used: .*ENOENT/,
    );
    expect(await failing({ certificateFile: missing, keyFile: garbage })).toMatch(
      /^cannot-run: The certificate file .*missing\.pem cannot be used: ENOENT/,
    );
    expect(await failing({ certificateFile: garbage, keyFile: garbage })).toMatch(
      /^cannot-run: The certificate file .*garbage\.pem holds no certificate in PEM/,
    );
    for (const keyFile of [garbage, foreign, certificateFile]) {
      expect(await failing({ certificateFile, keyFile })).toMatch(
        /^cannot-run: The key file .* cannot be used: /,
      );
    }
    expect(server.accepted()).toBe(0);
  });

  test('that is replaced is the new one from the next run on', async () => {
    const server = await demanding();
    const path = file('rotated.pem', `${other.certificate}${other.key}`);
    const check: HttpCheckConfig = { ...httpCheck, ...tls(), certificateFile: path, keyFile: path };
    const probe = createProbe(check, server.target, new TrustStore(), runCheckCommand);
    const signal = new AbortController().signal;
    expect(await probe.run(signal)).toMatchObject({ ok: false, failure: { reason: 'status' } });
    file('rotated.pem', `${good.certificate}${good.key}\n`);
    expect(await probe.run(signal)).toMatchObject({ ok: true });
  });

  test('a least version of TLS that the server does not speak is a failure of TLS', async () => {
    const { key, certificate: cert } = good;
    const old = createHttps({ key, cert, maxVersion: 'TLSv1.2' }, (_, response) => response.end());
    const server = await serving(listen(old));
    expect(await run(server.target, [{}], tls())).toBe('ok');
    expect(await run(server.target, [{}], { ...tls(), tlsMin: '1.3' })).toMatch(/^tls: /);
  });
});
