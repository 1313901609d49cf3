/**
 * Real servers on loopback for the tests of probes and checks: each keeps track of its sockets,
 * so that a test can wait until the last one is gone, and closes them all at the end.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { AddressInfo, Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HttpRequestConfig, SocketPath, TlsConfig } from '../../../src/core/config/check.ts';
import type { HttpCheckConfig, TcpCheckConfig } from '../../../src/core/config/config.ts';
import type { CheckTarget } from '../../../src/core/health/check-key.ts';

export interface TestServer {
  readonly target: CheckTarget;
  /** Connections accepted so far. */
  accepted(): number;
  /** Connections that are open now. */
  open(): number;
  /** Errors of connections, 'ECONNRESET' for example. */
  readonly errors: string[];
  close(): Promise<void>;
}

/** Starts a server of any kind on a free port of 127.0.0.1, or of `host`. */
export async function listen(server: Server, host = '127.0.0.1', port = 0): Promise<TestServer> {
  const sockets = new Set<Socket>();
  const errors: string[] = [];
  let accepted = 0;
  server.on('connection', (socket: Socket) => {
    accepted++;
    sockets.add(socket);
    socket.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code ?? error.message));
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return {
    target: { address: host, port: (server.address() as AddressInfo).port },
    accepted: () => accepted,
    open: () => sockets.size,
    errors,
    close: () => {
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      for (const socket of sockets) socket.destroy();
      return closed;
    },
  };
}

/** A TCP server that does `serve` with every connection. */
export function tcpServer(serve: (socket: Socket) => void): Promise<TestServer> {
  return listen(createServer(serve));
}

/** An address and port of loopback where nobody listens. */
export async function closedTarget(): Promise<CheckTarget> {
  const server = await tcpServer(() => {});
  await server.close();
  return server.target;
}

/** Connections that a listener with a backlog of 1 holds for a process that accepts none. */
const BACKLOG_CONNECTIONS = 2;

const STOPPED_SERVER = `
  const server = require('node:net').createServer();
  server.listen({ host: '127.0.0.1', port: 0, backlog: 1 }, () => {
    process.stdout.write(String(server.address().port));
  });
`;

export interface SilentTarget {
  readonly target: CheckTarget;
  /** From now on it answers: also a SYN that the kernel sends again, a second after the first. */
  resume(): void;
  close(): void;
}

/** A listener whose process is stopped and whose backlog is full: it answers no SYN. */
export async function silentTarget(): Promise<SilentTarget> {
  const stdio: ['ignore', 'pipe', 'inherit'] = ['ignore', 'pipe', 'inherit'];
  const child = spawn(process.execPath, ['-e', STOPPED_SERVER], { stdio });
  const port = await new Promise<number>((resolve) => {
    child.stdout.once('data', (text: Buffer) => resolve(Number(text.toString())));
  });
  child.kill('SIGSTOP');
  const target = { address: '127.0.0.1', port };
  const fillers = Array.from({ length: BACKLOG_CONNECTIONS }, () => connect(port, '127.0.0.1'));
  for (const filler of fillers) filler.on('error', () => {});
  await waitFor('the backlog to fill', () => fillers.every((filler) => !filler.pending));
  return {
    target,
    resume: () => child.kill('SIGCONT'),
    close: () => {
      for (const filler of fillers) filler.destroy();
      child.kill('SIGKILL');
    },
  };
}

/** Resolves when the condition holds; rejects after a generous time, saying what was awaited. */
export async function waitFor(what: string, condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error(`Waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export const NO_PATH: SocketPath = { source: null, device: null, mark: null, via: null };

export const tcpCheck: TcpCheckConfig = {
  kind: 'tcp',
  intervalUs: 1_000_000,
  timeoutUs: 2_000_000,
  fall: 3,
  rise: 2,
  retryDelayUs: null,
  jitterUs: 0,
  startSpreadUs: null,
  initial: 'unknown',
  address: null,
  port: null,
  ...NO_PATH,
};

export const tlsSettings: TlsConfig = {
  tlsVerify: true,
  serverName: null,
  caFile: null,
  certificateFile: null,
  keyFile: null,
  tlsMin: '1.2',
};

export const httpRequest: HttpRequestConfig = {
  method: 'GET',
  path: '/healthz',
  host: null,
  headers: [],
  body: null,
  status: [[200, 299]],
  bodyContains: null,
  bodyMatches: null,
  digest: null,
};

export const httpCheck: HttpCheckConfig = {
  ...tcpCheck,
  kind: 'http',
  tls: false,
  ...tlsSettings,
  version: '1.1',
  requests: [httpRequest],
};

export interface TestCertificate {
  readonly directory: string;
  /** The certificate, which is its own authority. */
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly key: string;
  readonly certificate: string;
  remove(): void;
}

/** A self-signed certificate for `names`, as in 'DNS:a.test,IP:127.0.0.1'; needs openssl. */
export function makeCertificate(names: string): TestCertificate {
  const directory = mkdtempSync(join(tmpdir(), 'vipkeeper-test-'));
  const keyFile = join(directory, 'key.pem');
  const certificateFile = join(directory, 'certificate.pem');
  const subject = ['-subj', '/CN=vipkeeper test', '-addext', `subjectAltName=${names}`];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const files = ['-keyout', keyFile, '-out', certificateFile];
  const parts = ['req', '-x509', '-days', '2', ...key, ...files, ...subject];
  execFileSync('openssl', parts, { stdio: ['ignore', 'ignore', 'pipe'] });
  return {
    directory,
    certificateFile,
    keyFile,
    key: readFileSync(keyFile, 'utf8'),
    certificate: readFileSync(certificateFile, 'utf8'),
    remove: () => rmSync(directory, { recursive: true }),
  };
}
