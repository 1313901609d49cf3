/**
 * Servers that misbehave, all at once: each check gives its reason, no good one is late for it, and
 * nothing is left behind.
 */
import { createSocket } from 'node:dgram';
import { readdirSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { CheckRunner } from '../../../src/controller/checks.ts';
import type { CheckConfig } from '../../../src/core/config/check.ts';
import { checkDefinition } from '../../../src/core/health/check-key.ts';
import {
  httpCheck,
  httpRequest,
  listen,
  type TestServer,
  tcpCheck,
  tcpServer,
  tlsSettings,
  waitFor,
} from '../probes/servers.ts';
import { configureRunner } from './configure-checks.ts';

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(closers.splice(0).map((close) => close()));
});

const timing = { intervalUs: 400_000, timeoutUs: 300_000, startSpreadUs: 100_000 };
const http = (changes: Partial<typeof httpRequest> = {}) => ({
  ...{ ...httpCheck, ...timing },
  requests: [{ ...httpRequest, ...changes }],
});

/** Reading much takes its time on a busy machine, and would be a timeout. */
const patient = <T extends CheckConfig>(check: T): T => ({ ...check, timeoutUs: 10_000_000 });

async function serve(server: Promise<TestServer>): Promise<TestServer['target']> {
  const { target, close } = await server;
  closers.push(close);
  return target;
}

const stream = (behave: (socket: Socket) => void) => serve(tcpServer(behave));

/** Sends for as long as the client reads. */
function flood(socket: Socket, block: Buffer): void {
  const send = (): void => {
    if (socket.destroyed) return;
    if (socket.write(block)) setImmediate(send);
    else socket.once('drain', send);
  };
  send();
}

/** RFC 1035 section 4.1.4: a name whose pointer leads to itself. */
async function dnsLoop(): Promise<TestServer['target']> {
  const socket = createSocket('udp4');
  socket.on('message', (query, from) => {
    const answer = Buffer.from(query);
    answer.writeUInt16BE(0x8180, 2);
    answer.writeUInt16BE(1, 6);
    const pointer = Buffer.from([0xc0 | (answer.length >> 8), answer.length & 0xff]);
    const rest = Buffer.from([0, 6, 0, 1, 0, 0, 0, 0, 0, 0]);
    socket.send(Buffer.concat([answer, pointer, rest]), from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  closers.push(() => new Promise((resolve) => void socket.close(() => resolve())));
  return { address: '127.0.0.1', port: (socket.address() as AddressInfo).port };
}

const HEAD = 'HTTP/1.1 200 OK\r\n';
const block = Buffer.alloc(64 * 1024, 'x');
const login = {
  ...{ ...tlsSettings, tls: false, user: 'monitor', password: null, database: null },
  ...{ query: 'SELECT 1', result: null, resultMatches: null },
};

/** A check, its server, and the reason that it must give. */
const HOSTILE: Readonly<
  Record<string, readonly [CheckConfig, () => Promise<TestServer['target']>, string]>
> = {
  'a byte a minute': [http(), () => stream((socket) => socket.resume().write('H')), 'timeout'],
  'a header without end': [
    patient(http()),
    () =>
      stream((socket) => flood(socket.resume(), Buffer.from(`${HEAD}X-A: ${'a'.repeat(9999)}`))),
    'protocol',
  ],
  'a gigabyte of body': [
    patient(http({ bodyMatches: 'needle' })),
    () =>
      stream((socket) => {
        socket.resume().write(`${HEAD}Content-Length: 1073741824\r\n\r\n`);
        flood(socket, block);
      }),
    'too-large',
  ],
  'a body that never goes on': [
    http({ bodyContains: 'needle' }),
    () => stream((socket) => socket.resume().write(`${HEAD}Content-Length: 9\r\n\r\nn`)),
    'timeout',
  ],
  'redirects without end': [
    http(),
    () =>
      serve(listen(createHttp((_, response) => response.writeHead(302, { location: '/' }).end()))),
    'status',
  ],
  'an expression that backtracks': [
    http({ bodyMatches: '^(a+)+$' }),
    () => serve(listen(createHttp((_, response) => response.end(`${'a'.repeat(64)}!`)))),
    // Or 'cannot-run', which comes after a longer time than the check has here.
    'timeout',
  ],
  'half a TLS handshake': [
    { ...http(), tls: true, tlsVerify: false },
    // The header of a record whose rest never comes (RFC 8446 section 5.1).
    () => stream((socket) => socket.resume().write(Buffer.from([22, 3, 3, 0x20, 0, 2]))),
    'timeout',
  ],
  'a TLS handshake of garbage': [
    { ...http(), tls: true, tlsVerify: false },
    () => stream((socket) => flood(socket.resume(), block)),
    'tls',
  ],
  'HTTP/2 frames of garbage': [
    { ...http(), version: '2' },
    () => stream((socket) => flood(socket.resume(), block)),
    'protocol',
  ],
  'a greeting without end': [
    {
      ...{ ...tcpCheck, ...timing, kind: 'dialogue', tls: false, ...tlsSettings },
      steps: [{ send: null, expect: '^220 ', refuse: null, starttls: false }],
    },
    () => stream((socket) => flood(socket.resume(), block)),
    'too-large',
  ],
  'a PostgreSQL server of a byte a minute': [
    { ...{ ...tcpCheck, ...timing, kind: 'postgresql' }, ...login },
    () => stream((socket) => socket.resume().write('R')),
    'timeout',
  ],
  // Each has the form of a notice.
  'a PostgreSQL server of notices without end': [
    patient({ ...{ ...tcpCheck, ...timing, kind: 'postgresql' }, ...login }),
    () => stream((socket) => flood(socket.resume(), Buffer.from('N\0\0\0\x08Sx\0\0'))),
    'too-large',
  ],
  'a MySQL server of a byte a minute': [
    { ...{ ...tcpCheck, ...timing, kind: 'mysql' }, ...login },
    () => stream((socket) => socket.resume().write('\x4a')),
    'timeout',
  ],
  'a MySQL server of garbage': [
    patient({ ...{ ...tcpCheck, ...timing, kind: 'mysql' }, ...login }),
    () => stream((socket) => flood(socket.resume(), block)),
    'protocol',
  ],
  'a DNS name that is a loop': [
    {
      ...{ ...tcpCheck, ...timing, kind: 'dns', type: 'SOA', name: '.', rcodes: ['NOERROR'] },
      ...{ answer: null, answerMatches: null },
    },
    dnsLoop,
    'protocol',
  ],
  'a script that never ends': [
    {
      ...{ ...tcpCheck, ...timing, kind: 'script', command: ['/bin/sleep', '600'] },
      ...{ dynamicWeight: false, user: null, group: null, scriptSecurity: false },
    },
    async () => ({ address: '127.0.0.1', port: 0 }),
    'timeout',
  ],
};

const descriptors = () => readdirSync('/proc/self/fd').length;

test('each gives its reason, good checks go on and stay good, and nothing is left', async () => {
  const good = await serve(listen(createHttp((_, response) => response.end('fine'))));
  const before = descriptors();
  const goodChecks: CheckConfig[] = [
    { ...tcpCheck, intervalUs: 400_000 },
    { ...httpCheck, intervalUs: 400_000 },
    { ...http({ bodyMatches: '^fine$' }), timeoutUs: 5_000_000 },
  ];
  const definitions = new Map<string, ReturnType<typeof checkDefinition>>();
  const reasons = new Map<string, string>();
  const names = new Map<string, string>();
  for (const check of goodChecks) {
    const definition = checkDefinition(check, good);
    definitions.set(definition.key, definition);
  }
  const goodKeys = [...definitions.keys()];
  for (const [name, [check, start]] of Object.entries(HOSTILE)) {
    const definition = checkDefinition(check, await start());
    definitions.set(definition.key, definition);
    names.set(definition.key, name);
  }
  const defects: unknown[] = [];
  const runs = new Map<string, number>();
  const failedGood: unknown[] = [];
  const runner = new CheckRunner(
    {},
    {
      nowUs: () => Math.round(performance.now() * 1000),
      onResult: ({ key, result }) => {
        runs.set(key, (runs.get(key) ?? 0) + 1);
        const name = names.get(key);
        if (name === undefined) {
          if (!result.ok) failedGood.push(result.failure);
        } else reasons.set(name, result.ok ? 'ok' : result.failure.reason);
      },
      onChange: () => {},
      onWeight: () => {},
      onDefect: (error) => defects.push(error),
    },
  );
  configureRunner(runner, definitions);
  await waitFor('five runs of each good check', () =>
    goodKeys.every((key) => (runs.get(key) ?? 0) >= 5),
  );
  await waitFor('a reason of each', () => reasons.size === names.size);
  const most = descriptors();
  await runner.stop();
  const expected = Object.entries(HOSTILE).map(([name, [, , reason]]) => [name, reason]);
  expect(Object.fromEntries(reasons)).toEqual(Object.fromEntries(expected));
  expect(failedGood).toEqual([]);
  expect(defects).toEqual([]);
  // Each run has one connection, of which this process holds the other end too.
  expect(most - before).toBeLessThan(4 * definitions.size);
  await Promise.all(closers.splice(0).map((close) => close()));
  await waitFor('the descriptors to go', () => descriptors() <= before + 8);
}, 60_000);
