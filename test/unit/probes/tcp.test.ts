import { createServer } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { runCheckCommand } from '../../../src/controller/check-command.ts';
import type { ProbeResult } from '../../../src/core/health/probe-result.ts';
import { CLOSE_GRACE_MS } from '../../../src/linux/tcp-connector.ts';
import { createProbe } from '../../../src/probes/probe.ts';
import { probeTcp } from '../../../src/probes/tcp.ts';
import { TrustStore } from '../../../src/probes/trust-store.ts';
import type { TestServer } from './servers.ts';
import {
  closedTarget,
  listen,
  NO_PATH,
  silentTarget,
  tcpCheck,
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

/** 'ok', 'null', or the reason of the failure. */
function verdict(result: ProbeResult | null): string {
  if (result === null) return 'null';
  return result.ok ? 'ok' : result.failure.reason;
}

test('probeTcp: an accepting server is up and sees an orderly close', async () => {
  const server = await serving(tcpServer((socket) => socket.resume()));
  const result = await probeTcp(NO_PATH, server.target, { timeoutMs: 2000, signal: never });
  expect(verdict(result)).toBe('ok');
  expect(result?.durationUs).toBeGreaterThan(0);
  await waitFor('the server to see the close', () => server.open() === 0);
  expect(server.accepted()).toBe(1);
  expect(server.errors).toEqual([]);
});

test('probeTcp: a server that greets is done with when it closes, not later', async () => {
  const server = await serving(tcpServer((socket) => socket.resume().write('220 hello\r\n')));
  const elapsedMs: number[] = [];
  for (let run = 0; run < 5; run++) {
    const startMs = performance.now();
    const result = await probeTcp(NO_PATH, server.target, { timeoutMs: 2000, signal: never });
    expect(verdict(result)).toBe('ok');
    elapsedMs.push(performance.now() - startMs);
  }
  // The best of several: a busy machine delays some, but waiting in vain would delay all.
  expect(Math.min(...elapsedMs)).toBeLessThan(CLOSE_GRACE_MS);
  expect(server.errors).toEqual([]);
});

test('probeTcp: a server that never closes is left after the grace', async () => {
  const halfOpen = createServer({ allowHalfOpen: true }, (socket) => socket.resume());
  const server = await serving(listen(halfOpen));
  const startMs = performance.now();
  const result = await probeTcp(NO_PATH, server.target, { timeoutMs: 60_000, signal: never });
  expect(verdict(result)).toBe('ok');
  expect(performance.now() - startMs).toBeGreaterThanOrEqual(CLOSE_GRACE_MS - 2);
});

test('probeTcp: a refused connection is named so', async () => {
  const result = await probeTcp(NO_PATH, await closedTarget(), { timeoutMs: 2000, signal: never });
  expect(verdict(result)).toBe('connection-refused');
});

test('probeTcp: IPv6 works', async () => {
  const server = await serving(listen(createServer(), '::1'));
  const result = await probeTcp(NO_PATH, server.target, { timeoutMs: 2000, signal: never });
  expect(verdict(result)).toBe('ok');
});

test('probeTcp: an address that cannot be connected to is cannot-run or unreachable', async () => {
  // 255.255.255.255 is refused by the kernel itself, without a packet.
  const target = { address: '255.255.255.255', port: 80 };
  const result = await probeTcp(NO_PATH, target, { timeoutMs: 2000, signal: never });
  expect(['cannot-run', 'unreachable']).toContain(verdict(result));
});

test('probeTcp: a signal that is already aborted opens no connection', async () => {
  const server = await serving(tcpServer((socket) => socket.resume()));
  const result = await probeTcp(NO_PATH, server.target, {
    timeoutMs: 2000,
    signal: AbortSignal.abort(),
  });
  expect(result).toBeNull();
  expect(verdict(await probeTcp(NO_PATH, server.target, { timeoutMs: 2000, signal: never }))).toBe(
    'ok',
  );
  expect(server.accepted()).toBe(1);
});

test('probeTcp: aborting after the verdict keeps the verdict', async () => {
  const abort = new AbortController();
  const halfOpen = createServer({ allowHalfOpen: true }, (socket) => {
    // The end of the client's side tells that it has its verdict.
    socket.resume().once('end', () => abort.abort());
  });
  const server = await serving(listen(halfOpen));
  const result = await probeTcp(NO_PATH, server.target, { timeoutMs: 2000, signal: abort.signal });
  expect(verdict(result)).toBe('ok');
  expect(abort.signal.aborted).toBe(true);
});

test('probeTcp: a server that answers no SYN times out, at the timeout', async () => {
  const silent = await silentTarget();
  try {
    const startMs = performance.now();
    const result = await probeTcp(NO_PATH, silent.target, { timeoutMs: 150, signal: never });
    expect(verdict(result)).toBe('timeout');
    expect(performance.now() - startMs).toBeLessThan(900);
    expect(result?.durationUs).toBeGreaterThanOrEqual(149_000);
  } finally {
    silent.close();
  }
});

test('probeTcp: after a stall of this process, an answer that waits counts', async () => {
  const server = await serving(tcpServer((socket) => socket.resume()));
  const running = probeTcp(NO_PATH, server.target, { timeoutMs: 20, signal: never });
  // The connection is under way after this tick, and the kernel completes it during the stall.
  await new Promise((resolve) => process.nextTick(resolve));
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60);
  expect(verdict(await running)).toBe('ok');
});

test('probeTcp: aborting before the verdict gives none', async () => {
  const silent = await silentTarget();
  try {
    const abort = new AbortController();
    const running = probeTcp(NO_PATH, silent.target, { timeoutMs: 60_000, signal: abort.signal });
    setImmediate(() => abort.abort());
    expect(await running).toBeNull();
  } finally {
    silent.close();
  }
});

test('createProbe: a check without any port cannot run', async () => {
  const probe = createProbe(
    tcpCheck,
    { address: '127.0.0.1', port: 0 },
    new TrustStore(),
    runCheckCommand,
  );
  expect(verdict(await probe.run(never))).toBe('cannot-run');
});
