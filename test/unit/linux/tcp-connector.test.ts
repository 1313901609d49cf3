import { readdirSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { SystemError } from '../../../src/linux/libc.ts';
import { type ConnectOutcome, TcpConnector } from '../../../src/linux/tcp-connector.ts';
import { closedTarget, type TestServer, tcpServer, waitFor } from '../probes/servers.ts';

const HERE = { source: null, device: null, mark: null, via: null };
const servers: TestServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

async function greeting(): Promise<TestServer> {
  const server = await tcpServer((socket) => socket.resume().write('220 hello\r\n'));
  servers.push(server);
  return server;
}

test('TcpConnector: many connections at once each have one outcome, and leave nothing', async () => {
  const server = await greeting();
  const refused = await closedTarget();
  const connector = new TcpConnector();
  const before = readdirSync('/proc/self/fd').length;
  const outcomes = { established: 0, failed: 0, timeout: 0, none: 0 };
  const count = (outcome: ConnectOutcome) => {
    outcomes[outcome?.kind ?? 'none']++;
  };
  for (let index = 0; index < 300; index++) {
    connector.open({ ...HERE, ...(index % 3 === 0 ? refused : server.target) }, 10_000, count);
  }
  expect(connector.size).toBe(300);
  await waitFor('all to be done', () => connector.size === 0);
  expect(outcomes).toEqual({ established: 200, failed: 100, timeout: 0, none: 0 });
  await waitFor('the server to see the closes', () => server.open() === 0);
  expect(server.errors).toEqual([]);
  // The server's own sockets are in this process too.
  await waitFor('the descriptors to be free', () => readdirSync('/proc/self/fd').length <= before);
});

test('TcpConnector: the outcome comes in a later turn, with the time that it took', async () => {
  const server = await greeting();
  const connector = new TcpConnector();
  let within = true;
  const outcome = await new Promise<ConnectOutcome>((resolve) => {
    connector.open({ ...HERE, ...server.target }, 5_000, (result) => {
      expect(within).toBe(false);
      resolve(result);
    });
    within = false;
  });
  expect(outcome?.kind).toBe('established');
  expect(outcome?.durationMs).toBeGreaterThan(0);
});

test('TcpConnector: giving up twice is giving up once', async () => {
  const server = await greeting();
  const connector = new TcpConnector();
  const outcomes: ConnectOutcome[] = [];
  const giveUp = connector.open({ ...HERE, ...server.target }, 5_000, (outcome) => {
    outcomes.push(outcome);
  });
  giveUp();
  giveUp();
  await waitFor('the outcome', () => outcomes.length > 0);
  expect(outcomes).toEqual([null]);
  expect(connector.size).toBe(0);
});

test('TcpConnector: a device or a source that is not there is told at once', () => {
  const connector = new TcpConnector();
  const target = { address: '127.0.0.1', port: 9 };
  const open = (path: Partial<typeof HERE> | { device: string } | { source: string }) => () =>
    connector.open({ ...HERE, ...path, ...target }, 1_000, () => {});
  expect(open({ device: 'nonesuch0' })).toThrow(SystemError);
  expect(open({ source: '192.0.2.77' })).toThrow(/EADDRNOTAVAIL/);
  expect(connector.size).toBe(0);
});
