/**
 * Servers that misbehave, all at once: each check gives its reason, no good one is late for it, and
 * nothing is left behind.
 */
import { createSocket } from 'node:dgram';
import { readdirSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { CheckRunner } from '../../../src/controller/checks.ts';
import type { CheckConfig } from '../../../src/core/config/check.ts';
import { checkDefinition } from '../../../src/core/health/check-key.ts';
import { BAD_BEHAVIOUR, type BadBehaviour, dnsLoopAnswer } from '../../lab/bad-behaviour.ts';
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

const stream = (behaviour: BadBehaviour) => () =>
  serve(
    tcpServer((socket) => {
      BAD_BEHAVIOUR[behaviour](socket.resume());
    }),
  );

async function dnsLoop(): Promise<TestServer['target']> {
  const socket = createSocket('udp4');
  socket.on('message', (query, from) => {
    socket.send(dnsLoopAnswer(query), from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  closers.push(() => new Promise((resolve) => void socket.close(() => resolve())));
  return { address: '127.0.0.1', port: (socket.address() as AddressInfo).port };
}

const login = {
  ...{ ...tlsSettings, tls: false, user: 'monitor', password: null, database: null },
  ...{ query: 'SELECT 1', result: null, resultMatches: null },
};

/** A check, its server, and the reason that it must give. */
const HOSTILE: Readonly<
  Record<string, readonly [CheckConfig, () => Promise<TestServer['target']>, string]>
> = {
  'a byte a minute': [http(), stream('a byte a minute'), 'timeout'],
  'a header without end': [patient(http()), stream('a header without end'), 'protocol'],
  'a gigabyte of body': [
    patient(http({ bodyMatches: 'needle' })),
    stream('a gigabyte of body'),
    'too-large',
  ],
  'a body that never goes on': [
    http({ bodyContains: 'needle' }),
    stream('a body that never goes on'),
    'timeout',
  ],
  'redirects without end': [http(), stream('redirects without end'), 'status'],
  'an expression that backtracks': [
    http({ bodyMatches: '^(a+)+$' }),
    stream('an expression that backtracks'),
    // Or 'cannot-run', which comes after a longer time than the check has here.
    'timeout',
  ],
  'half a TLS handshake': [
    { ...http(), tls: true, tlsVerify: false },
    stream('half a TLS handshake'),
    'timeout',
  ],
  'a TLS handshake of garbage': [
    { ...http(), tls: true, tlsVerify: false },
    stream('floods of garbage'),
    'tls',
  ],
  'HTTP/2 frames of garbage': [
    { ...http(), version: '2' },
    stream('floods of garbage'),
    'protocol',
  ],
  'a greeting without end': [
    {
      ...{ ...tcpCheck, ...timing, kind: 'dialogue', tls: false, ...tlsSettings },
      steps: [{ send: null, expect: '^220 ', refuse: null, starttls: false }],
    },
    stream('floods of garbage'),
    'too-large',
  ],
  'a PostgreSQL server of a byte a minute': [
    { ...{ ...tcpCheck, ...timing, kind: 'postgresql' }, ...login },
    stream('a PostgreSQL server of a byte a minute'),
    'timeout',
  ],
  'a PostgreSQL server of notices without end': [
    patient({ ...{ ...tcpCheck, ...timing, kind: 'postgresql' }, ...login }),
    stream('a PostgreSQL server of notices without end'),
    'too-large',
  ],
  'a MySQL server of a byte a minute': [
    { ...{ ...tcpCheck, ...timing, kind: 'mysql' }, ...login },
    stream('a MySQL server of a byte a minute'),
    'timeout',
  ],
  'a MySQL server of garbage': [
    patient({ ...{ ...tcpCheck, ...timing, kind: 'mysql' }, ...login }),
    stream('floods of garbage'),
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
