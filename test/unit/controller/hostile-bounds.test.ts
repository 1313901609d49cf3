/**
 * Hundreds of checks of servers that drip, flood or never answer: memory and descriptors stay below
 * a bound. The servers are another process, so that what is counted here belongs to the checks.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { afterEach, expect, test, vi } from 'vitest';
import { CheckRunner } from '../../../src/controller/checks.ts';
import type { CheckConfig } from '../../../src/core/config/check.ts';
import { checkDefinition } from '../../../src/core/health/check-key.ts';
import { httpCheck, httpRequest, tcpCheck, tlsSettings, waitFor } from '../probes/servers.ts';
import { configureRunner } from './configure-checks.ts';

/** What each server sends first, what again and again, and how often: 0 for as fast as it is read. */
const SERVERS = {
  silent: ['', '', 60_000],
  dripHead: ['HTTP/1.1 200 OK\r\nX: ', 'x', 20],
  dripBody: ['HTTP/1.1 200 OK\r\n\r\n', 'x', 20],
  floodHead: ['HTTP/1.1 200 OK\r\n', 'X: y\r\n', 0],
  floodInterim: ['', 'HTTP/1.1 102 Wait\r\n\r\n', 0],
  floodBody: ['HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n', 'x', 0],
  floodExtension: ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;', 'x', 0],
  floodText: ['', 'x', 0],
} as const;
type Name = keyof typeof SERVERS;

const PROGRAM = `
  const { createServer } = require('node:net');
  const ports = {};
  for (const [name, [first, again, everyMs]] of Object.entries(${JSON.stringify(SERVERS)})) {
    const block = everyMs === 0 ? Buffer.from(again.repeat(Math.ceil(65536 / again.length))) : again;
    const server = createServer((socket) => {
      socket.on('error', () => {}).resume();
      if (first !== '') socket.write(first);
      const flood = () => {
        if (!socket.destroyed && socket.write(block)) setImmediate(flood);
      };
      if (everyMs === 0) {
        socket.on('drain', flood);
        return flood();
      }
      const timer = setInterval(() => again !== '' && socket.write(block), everyMs);
      socket.on('close', () => clearInterval(timer));
    });
    server.listen({ host: '127.0.0.1', port: 0, backlog: 1024 }, () => {
      ports[name] = server.address().port;
      if (Object.keys(ports).length === ${Object.keys(SERVERS).length}) {
        process.stdout.write(JSON.stringify(ports));
      }
    });
  }
  process.stdin.resume().on('end', () => process.exit());
`;

let servers: ChildProcess | null = null;
afterEach(() => {
  servers?.kill('SIGKILL');
});

async function startServers(): Promise<Record<Name, number>> {
  const child = spawn(process.execPath, ['-e', PROGRAM], { stdio: ['pipe', 'pipe', 'inherit'] });
  servers = child;
  const text = await new Promise<Buffer>((resolve) => child.stdout.once('data', resolve));
  return JSON.parse(String(text)) as Record<Name, number>;
}

const timing = { intervalUs: 1_000_000, timeoutUs: 800_000 };
const http = (changes: Partial<typeof httpRequest> = {}): CheckConfig => ({
  ...{ ...httpCheck, ...timing },
  requests: [{ ...httpRequest, ...changes }],
});
const tcp: CheckConfig = { ...tcpCheck, ...timing };
const dialogue: CheckConfig = {
  ...{ ...tcpCheck, ...timing, kind: 'dialogue', tls: false, ...tlsSettings },
  steps: [{ send: null, expect: '^220 ', refuse: null, starttls: false }],
};
const looking = { bodyContains: 'needle' };

/** A check, the server that it meets, and the verdict where only time or load decide otherwise. */
const MEETINGS: readonly (readonly [CheckConfig, Name, RegExp])[] = [
  [http(), 'silent', /^timeout$/],
  [http(), 'dripHead', /^timeout$/],
  [http(looking), 'dripBody', /^timeout$/],
  [http(), 'floodHead', /^(protocol|timeout)$/],
  [http(), 'floodInterim', /^(protocol|timeout)$/],
  [http(looking), 'floodBody', /^(too-large|timeout)$/],
  [http(), 'floodBody', /^(ok|timeout)$/],
  [http(looking), 'floodExtension', /^(protocol|timeout)$/],
  [tcp, 'floodText', /^(ok|timeout)$/],
  [dialogue, 'floodText', /^(too-large|timeout)$/],
];
/** Checks of each meeting. */
const EACH = 30;
/** Of the heap, and outside of it what buffers take. */
function memoryBytes(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const descriptors = () => readdirSync('/proc/self/fd').length;

test('hundreds of checks of hostile servers stay within bounds of memory and descriptors', async () => {
  const ports = await startServers();
  const definitions = new Map<string, ReturnType<typeof checkDefinition>>();
  const expected = new Map<string, readonly [Name, RegExp]>();
  for (const [check, name, verdict] of MEETINGS) {
    for (let index = 0; index < EACH; index++) {
      const target = { address: '127.0.0.1', port: ports[name] };
      // Checks of one server that differ in nothing would be one check.
      const own: CheckConfig = { ...check, timeoutUs: check.timeoutUs + index };
      const definition = checkDefinition(own, target);
      definitions.set(definition.key, definition);
      expected.set(definition.key, [name, verdict]);
    }
  }
  expect(definitions.size).toBe(MEETINGS.length * EACH);
  const runs = new Map<string, number>();
  const wrong: string[] = [];
  const defects: unknown[] = [];
  const runner = new CheckRunner(
    {},
    {
      nowUs: () => Math.round(performance.now() * 1000),
      onResult: ({ key, result }) => {
        runs.set(key, (runs.get(key) ?? 0) + 1);
        const [name, verdict] = expected.get(key) as readonly [Name, RegExp];
        const found = result.ok ? 'ok' : result.failure.reason;
        if (!verdict.test(found)) wrong.push(`${name}: ${found}`);
      },
      onChange: () => {},
      onWeight: () => {},
      onDefect: (error) => defects.push(error),
    },
  );
  const before = { bytes: memoryBytes(), descriptors: descriptors() };
  const most = { ...before };
  const look = setInterval(() => {
    most.bytes = Math.max(most.bytes, memoryBytes());
    most.descriptors = Math.max(most.descriptors, descriptors());
  }, 5);
  try {
    configureRunner(runner, definitions);
    const ranTwice = () => [...definitions.keys()].every((key) => (runs.get(key) ?? 0) >= 2);
    await vi.waitFor(() => expect(ranTwice()).toBe(true), { timeout: 90_000, interval: 50 });
  } finally {
    clearInterval(look);
    await runner.stop();
  }
  expect(defects).toEqual([]);
  expect(wrong).toEqual([]);
  // One connection each, and a few of the process itself.
  expect(most.descriptors - before.descriptors).toBeLessThanOrEqual(definitions.size + 16);
  expect(most.bytes - before.bytes).toBeLessThan(96 * 1024 * 1024);
  await waitFor('the descriptors to go', () => descriptors() <= before.descriptors + 4);
}, 120_000);
