/** Checks that leave by a source, a device or with a mark of their own, of every kind. */
import { createSocket } from 'node:dgram';
import { readdirSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { runCheckCommand } from '../../../src/controller/check-command.ts';
import type { CheckConfig } from '../../../src/core/config/check.ts';
import type { CheckTarget } from '../../../src/core/health/check-key.ts';
import { createProbe } from '../../../src/probes/probe.ts';
import { TrustStore } from '../../../src/probes/trust-store.ts';
import type { TestCertificate, TestServer } from './servers.ts';
import {
  httpCheck,
  listen,
  makeCertificate,
  tcpCheck,
  tcpServer,
  tlsSettings,
  waitFor,
} from './servers.ts';

const SOURCE = '127.0.0.77';
const closers: (() => Promise<void>)[] = [];
let certificate: TestCertificate;

beforeAll(() => {
  certificate = makeCertificate('IP:127.0.0.1');
});
afterAll(() => certificate.remove());
afterEach(async () => {
  await Promise.all(closers.splice(0).map((close) => close()));
});

async function serving(server: Promise<TestServer>): Promise<TestServer> {
  const { close } = await server;
  closers.push(close);
  return server;
}

async function run(check: CheckConfig, target: CheckTarget): Promise<string> {
  const probe = createProbe(check, target, new TrustStore(), runCheckCommand);
  const result = await probe.run(new AbortController().signal);
  if (result === null) return 'null';
  return result.ok ? 'ok' : `${result.failure.reason}: ${result.failure.detail}`;
}

interface Case {
  readonly check: CheckConfig;
  readonly target: CheckTarget;
  /** Addresses that the server was asked from. */
  readonly seen: readonly (string | undefined)[];
}

const greeting = { send: null, expect: 'hello', refuse: null, starttls: false };
const dialogueCheck = {
  ...{ ...tcpCheck, kind: 'dialogue' as const, tls: false },
  ...{ ...tlsSettings, steps: [greeting] },
};

/** A server for each kind, which writes down who asks. */
const CASES: Readonly<Record<string, () => Promise<Case>>> = {
  tcp: () => byStream(tcpCheck, (socket) => socket.resume()),
  dialogue: () => byStream(dialogueCheck, (socket) => socket.resume().write('hello\r\n')),
  http: async () => {
    const seen: (string | undefined)[] = [];
    const server = createHttp((request, response) => {
      seen.push(request.socket.remoteAddress);
      response.end();
    });
    const { target } = await serving(listen(server));
    return { check: httpCheck, target, seen };
  },
  https: async () => {
    const seen: (string | undefined)[] = [];
    const { key, certificate: cert } = certificate;
    const server = createHttps({ key, cert }, (request, response) => {
      seen.push(request.socket.remoteAddress);
      response.end();
    });
    const { target } = await serving(listen(server));
    const check = { ...httpCheck, tls: true, caFile: certificate.certificateFile };
    return { check, target, seen };
  },
  udp: async () => {
    const seen: string[] = [];
    const socket = createSocket('udp4');
    socket.on('message', (message, from) => {
      seen.push(from.address);
      socket.send(message, from.port, from.address);
    });
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    closers.push(() => new Promise((resolve) => void socket.close(() => resolve())));
    const target = { address: '127.0.0.1', port: (socket.address() as AddressInfo).port };
    const wanted = { payloadHex: '70', replyRequired: true, replyHex: '70' };
    const lengths = { minLengthBytes: 0, maxLengthBytes: 9 };
    return { check: { ...tcpCheck, kind: 'udp', ...wanted, ...lengths }, target, seen };
  },
};

async function byStream(check: CheckConfig, serve: (socket: Socket) => void): Promise<Case> {
  const seen: (string | undefined)[] = [];
  const { target } = await serving(
    tcpServer((socket) => {
      seen.push(socket.remoteAddress);
      serve(socket);
    }),
  );
  return { check, target, seen };
}

describe.each(Object.entries(CASES))('%s check', (_kind, make) => {
  test('comes from its source, by its device', async () => {
    const { check, target, seen } = await make();
    expect(await run({ ...check, source: SOURCE } as CheckConfig, target)).toBe('ok');
    expect(await run({ ...check, device: 'lo' } as CheckConfig, target)).toBe('ok');
    await waitFor('both to be seen', () => seen.length === 2);
    expect(seen).toEqual([SOURCE, '127.0.0.1']);
  });

  test('cannot run without its source or its device, and leaves no descriptor', async () => {
    const { check, target, seen } = await make();
    const before = readdirSync('/proc/self/fd').length;
    const missing = { ...check, device: 'vk-none' } as CheckConfig;
    expect(await run(missing, target)).toBe('cannot-run: This director has no interface vk-none');
    const foreign = { ...check, source: '198.51.100.1' } as CheckConfig;
    expect(await run(foreign, target)).toBe(
      'cannot-run: This director does not have the address 198.51.100.1',
    );
    await waitFor('descriptors to go', () => readdirSync('/proc/self/fd').length <= before);
    expect(seen).toEqual([]);
  });

  test('a refused connection over a path of its own is named so', async () => {
    const { check, target } = await make();
    await Promise.all(closers.splice(0).map((close) => close()));
    const refused = await run({ ...check, source: SOURCE } as CheckConfig, target);
    expect(refused).toMatch(/^connection-refused: /);
  });
});
