/** The checks by datagrams (DNS, UDP, ping) against real sockets on loopback. */
import { createSocket } from 'node:dgram';
import { readdirSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { runCheckCommand } from '../../../src/controller/check-command.ts';
import type {
  CheckConfig,
  DnsCheckConfig,
  UdpCheckConfig,
} from '../../../src/core/config/check.ts';
import type { ProbeResult } from '../../../src/core/health/probe-result.ts';
import { encodeDnsQuery } from '../../../src/core/wire/dns.ts';
import { createProbe } from '../../../src/probes/probe.ts';
import { TrustStore } from '../../../src/probes/trust-store.ts';
import { matchesPattern } from '../../../src/probes/udp.ts';
import { listen, type TestServer, tcpCheck, tcpServer } from './servers.ts';

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

const { kind: _, ...timing } = tcpCheck;
const udpCheck: UdpCheckConfig = {
  kind: 'udp',
  ...timing,
  payloadHex: '70696e67',
  replyRequired: true,
  replyHex: '',
  minLengthBytes: 0,
  maxLengthBytes: 65_535,
};
const dnsCheck: DnsCheckConfig = {
  kind: 'dns',
  ...timing,
  type: 'A',
  name: 'www.example.org',
  rcodes: ['NOERROR'],
  answer: null,
  answerMatches: null,
};

interface UdpServer {
  readonly target: { readonly address: string; readonly port: number };
  readonly received: Buffer[];
}

/** Answers every datagram with what `answer` makes of it, none for silence. */
async function udpServer(
  answer: (question: Buffer) => readonly Uint8Array[],
  host = '127.0.0.1',
  port = 0,
): Promise<UdpServer> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  const received: Buffer[] = [];
  socket.on('message', (question, from) => {
    received.push(question);
    for (const reply of answer(question)) socket.send(reply, from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(port, host, resolve));
  closers.push(() => new Promise<void>((resolve) => void socket.close(() => resolve())));
  return { target: { address: host, port: (socket.address() as AddressInfo).port }, received };
}

async function closedUdp(): Promise<UdpServer['target']> {
  const { target } = await udpServer(() => []);
  await closers.pop()?.();
  return target;
}

async function run(
  check: CheckConfig,
  target: UdpServer['target'],
  signal = new AbortController().signal,
): Promise<string> {
  const result = await createProbe(check, target, new TrustStore(), runCheckCommand).run(signal);
  return verdict(result);
}

/** 'ok', 'null', or the reason of the failure and its detail. */
function verdict(result: ProbeResult | null): string {
  if (result === null) return 'null';
  return result.ok ? 'ok' : `${result.failure.reason}: ${result.failure.detail}`;
}

function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

describe('UDP probe', () => {
  test('what is sent and what comes back are the configured bytes', async () => {
    const server = await udpServer(() => [Buffer.from('pong\n')]);
    expect(await run(udpCheck, server.target)).toBe('ok');
    expect(await run({ ...udpCheck, replyHex: '70xx6e67' }, server.target)).toBe('ok');
    expect(server.received.map(String)).toEqual(['ping', 'ping']);
    expect(await run({ ...udpCheck, replyHex: '71' }, server.target)).toBe(
      'body: The reply 706f6e670a does not begin with 71',
    );
  });

  test.each([
    [5, 5, 'ok'],
    [6, 100, 'body: A reply of 5 bytes; expected 6 to 100'],
    [0, 4, 'body: A reply of 5 bytes; expected 0 to 4'],
  ])('a reply of 5 bytes within %i and %i is %s', async (minLengthBytes, maxLengthBytes, seen) => {
    const server = await udpServer(() => [Buffer.from('pong\n')]);
    const check = { ...udpCheck, minLengthBytes, maxLengthBytes };
    expect(await run(check, server.target)).toBe(seen);
  });

  test('silence is a failure or a success, as configured', async () => {
    const server = await udpServer(() => []);
    const quick = { ...udpCheck, timeoutUs: 30_000 };
    expect(await run(quick, server.target)).toBe('timeout: Waited 30 ms for a reply');
    expect(await run({ ...quick, replyRequired: false }, server.target)).toBe('ok');
  });

  test.each([true, false])('a closed port is refused, reply required: %s', async (required) => {
    const check = { ...udpCheck, replyRequired: required };
    expect(await run(check, await closedUdp())).toMatch(/^connection-refused: /);
  });

  test('an empty datagram is sent too', async () => {
    const server = await udpServer(() => [Buffer.from('x')]);
    expect(await run({ ...udpCheck, payloadHex: '' }, server.target)).toBe('ok');
    expect(server.received).toEqual([Buffer.alloc(0)]);
  });

  test('it speaks IPv6', async () => {
    const server = await udpServer(() => [Buffer.from('pong')], '::1');
    expect(await run(udpCheck, server.target)).toBe('ok');
  });

  test('who gives up gets no verdict, and no descriptor stays open', async () => {
    const server = await udpServer(() => []);
    const before = descriptors();
    const abort = new AbortController();
    const runs = [1, 2, 3].map(() => run(udpCheck, server.target, abort.signal));
    abort.abort();
    expect(await Promise.all(runs)).toEqual(['null', 'null', 'null']);
    expect(descriptors()).toBe(before);
  });

  test('a target that no route leads to, or no socket reaches, is a failure', async () => {
    expect(await run(udpCheck, { address: '255.255.255.255', port: 9 })).toMatch(/^cannot-run: /);
  });

  test('matchesPattern: digits in any case, X for any, a prefix only', () => {
    const bytes = Uint8Array.of(0xab, 0x0f);
    for (const pattern of ['', 'ab', 'AB0f', 'xX0X']) {
      expect(matchesPattern(bytes, pattern), pattern).toBe(true);
    }
    for (const pattern of ['ac', 'ab0f00', '0f']) {
      expect(matchesPattern(bytes, pattern), pattern).toBe(false);
    }
  });
});

interface Answered {
  readonly flags?: number;
  readonly records?: readonly Uint8Array[];
  readonly id?: number;
}

/** An answer to `query` with its question. */
function answerTo(query: Buffer, { flags = 0x8180, records = [], id }: Answered): Buffer {
  const head = Buffer.from(query.subarray(0, 12));
  if (id !== undefined) head.writeUInt16BE(id, 0);
  head.writeUInt16BE(flags, 2);
  head.writeUInt16BE(records.length, 6);
  return Buffer.concat([head, query.subarray(12), ...records]);
}

/** An A record of the question's name. */
function a(...address: number[]): Uint8Array {
  return Uint8Array.of(0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address);
}

describe('DNS probe', () => {
  test('a good answer is up, the query is as configured', async () => {
    const server = await udpServer((query) => [answerTo(query, { records: [a(192, 0, 2, 1)] })]);
    expect(await run(dnsCheck, server.target)).toBe('ok');
    const [query] = server.received as [Buffer];
    expect(query).toEqual(
      Buffer.from(encodeDnsQuery(query.readUInt16BE(0), 'www.example.org', 'A')),
    );
  });

  test.each([
    ['192.0.2.2', null, 'ok'],
    ['192.0.2.3', null, 'body: No record is 192.0.2.3: 192.0.2.1, 192.0.2.2'],
    [null, '^192\\.0\\.2\\.\\d$', 'ok'],
    [null, '^10\\.', 'body: No record matches /^10\\./u: 192.0.2.1, 192.0.2.2'],
  ])('answer %s, expression %s: %s', async (answer, answerMatches, seen) => {
    const records = [a(192, 0, 2, 1), a(192, 0, 2, 2)];
    const server = await udpServer((query) => [answerTo(query, { records })]);
    expect(await run({ ...dnsCheck, answer, answerMatches }, server.target)).toBe(seen);
  });

  test.each([
    [0x8183, ['NOERROR'], 'status: Response code NXDOMAIN'],
    [0x8183, ['NOERROR', 'NXDOMAIN'], 'ok'],
    [0x8182, ['NOERROR'], 'status: Response code SERVFAIL'],
    [0x818f, ['NOERROR'], 'status: Response code RCODE15'],
  ] as const)('flags %i with rcodes %j: %s', async (flags, rcodes, seen) => {
    const server = await udpServer((query) => [answerTo(query, { flags })]);
    expect(await run({ ...dnsCheck, rcodes }, server.target)).toBe(seen);
  });

  test('answers to other queries are passed over until the right one comes', async () => {
    const server = await udpServer((query) => [
      answerTo(query, { id: query.readUInt16BE(0) ^ 1, flags: 0x8183 }),
      answerTo(Buffer.from(encodeDnsQuery(query.readUInt16BE(0), 'x.test', 'A')), {}),
      Buffer.from('nonsense'),
      answerTo(query, {}),
    ]);
    expect(await run(dnsCheck, server.target)).toBe('ok');
  });

  test('a flood of wrong answers ends the attempt', async () => {
    const server = await udpServer((query) =>
      Array.from({ length: 100 }, () => answerTo(query, { id: query.readUInt16BE(0) ^ 1 })),
    );
    expect(await run(dnsCheck, server.target)).toMatch(/^protocol: 64 datagrams/);
  });

  test('a name that points to itself is a failure, not a loop', async () => {
    const loop = Uint8Array.of(0xc0, 33, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 1, 2, 3, 4);
    const server = await udpServer((query) => [answerTo(query, { records: [loop] })]);
    expect(await run(dnsCheck, server.target)).toMatch(/^protocol: malformed: A name points/);
  });

  test('a server that is gone or silent is a failure', async () => {
    expect(await run(dnsCheck, await closedUdp())).toMatch(/^connection-refused: /);
    const server = await udpServer(() => []);
    const quick = { ...dnsCheck, timeoutUs: 30_000 };
    expect(await run(quick, server.target)).toBe('timeout: Waited 30 ms for the answer');
  });

  /** A server that cuts its answers by UDP, and one by TCP beside it. */
  async function cutting(tcp: Promise<TestServer>): Promise<UdpServer['target']> {
    const server = await tcp;
    closers.push(() => server.close());
    const { port } = server.target;
    return (await udpServer((query) => [answerTo(query, { flags: 0x8380 })], '127.0.0.1', port))
      .target;
  }

  test('an answer that was cut is asked for by TCP, also a byte at a time', async () => {
    const target = await cutting(
      tcpServer((socket) => {
        socket.once('data', (data) => {
          const answer = answerTo(data.subarray(2), { records: [a(192, 0, 2, 9)] });
          const bytes = Buffer.concat([Buffer.of(0, answer.length), answer]);
          for (const byte of bytes) socket.write(Buffer.of(byte));
        });
      }),
    );
    expect(await run({ ...dnsCheck, answer: '192.0.2.9' }, target)).toBe('ok');
    expect(await run({ ...dnsCheck, answer: '192.0.2.8' }, target)).toMatch(/^body: /);
  });

  test('a server that closes or stalls by TCP is a failure', async () => {
    const closing = await cutting(tcpServer((socket) => socket.end()));
    expect(await run(dnsCheck, closing)).toMatch(/^reset: /);
    const stalling = await cutting(listen(createServer((socket) => void socket.write('\x00'))));
    expect(await run({ ...dnsCheck, timeoutUs: 50_000 }, stalling)).toBe(
      'timeout: Waited 50 ms for the answer by TCP',
    );
  });

  test('a regular expression that backtracks without end is a failure', async () => {
    const text = 'a'.repeat(40);
    const record = [0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, 41, 40, ...Buffer.from(text)];
    const server = await udpServer((query) => [
      answerTo(query, { records: [Uint8Array.from(record)] }),
    ]);
    const check: DnsCheckConfig = { ...dnsCheck, type: 'TXT', answerMatches: '^(a+)+$ ' };
    expect(await run(check, server.target)).toMatch(/^cannot-run: The regular expression/);
  });
});

describe('ping probe', () => {
  const ping: CheckConfig = { kind: 'ping', ...timing };

  test.each(['127.0.0.1', '::1'])('%s answers, several at a time', async (address) => {
    const before = descriptors();
    const runs = Array.from({ length: 8 }, () => run(ping, { address, port: 0 }));
    expect(new Set(await Promise.all(runs))).toEqual(new Set(['ok']));
    expect(descriptors()).toBe(before);
  });

  test('an address that nobody has is a failure', async () => {
    // TEST-NET-1 (RFC 5737): no answer, or no route.
    const seen = await run({ ...ping, timeoutUs: 30_000 }, { address: '192.0.2.77', port: 0 });
    expect(seen).toMatch(/^(timeout|unreachable|cannot-run): /);
  });
});
