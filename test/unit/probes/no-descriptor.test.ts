/** A director without descriptors: every check fails with that reason, and none succeeds. */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCheckCommand } from '../../../src/controller/check-command.ts';
import type { CheckConfig } from '../../../src/core/config/check.ts';
import { createProbe } from '../../../src/probes/probe.ts';
import { TrustStore } from '../../../src/probes/trust-store.ts';
import type { TestServer } from './servers.ts';
import { httpCheck, tcpCheck, tcpServer, tlsSettings } from './servers.ts';

let server: TestServer;
let soft: string;

beforeAll(async () => {
  server = await tcpServer((socket) =>
    socket.on('data', () => socket.end('HTTP/1.0 200 OK\r\n\r\n')),
  );
  soft = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? '1024';
});
afterAll(async () => {
  await server.close();
});

function limitDescriptors(most: string): void {
  execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${most}:`]);
}

/** Descriptors that are free again before the limit is lifted: starting `prlimit` takes some itself. */
const RESERVE = 64;

const udp = { payloadHex: '', replyRequired: true, replyHex: '' };
const CHECKS: Readonly<Record<string, CheckConfig>> = {
  tcp: tcpCheck,
  'tcp with a path': { ...tcpCheck, source: '127.0.0.1' },
  http: httpCheck,
  'http with a path': { ...httpCheck, device: 'lo' },
  https: { ...httpCheck, tls: true, tlsVerify: false },
  'http/2': { ...httpCheck, version: '2' },
  dialogue: {
    ...{ ...tcpCheck, kind: 'dialogue', tls: false, ...tlsSettings },
    steps: [{ send: 'x', expect: 'HTTP', refuse: null, starttls: false }],
  },
  udp: { ...tcpCheck, kind: 'udp', ...udp, minLengthBytes: 0, maxLengthBytes: 9 },
  dns: {
    ...{ ...tcpCheck, kind: 'dns', type: 'SOA', name: '.', rcodes: ['NOERROR'] },
    ...{ answer: null, answerMatches: null },
  },
  ping: { ...tcpCheck, kind: 'ping' },
  file: { ...tcpCheck, kind: 'file', path: '/etc/hostname' },
  script: {
    ...{ ...tcpCheck, kind: 'script', command: ['/bin/true'], dynamicWeight: false },
    ...{ user: null, group: null, scriptSecurity: false },
  },
};

test.each(Object.entries(CHECKS))('%s cannot run, and runs again afterwards', async (_, check) => {
  const signal = new AbortController().signal;
  const probe = createProbe(check, server.target, new TrustStore(), runCheckCommand);
  // What is loaded at the first run is loaded, and what was allocated stays.
  const before = await probe.run(signal);
  const opened: number[] = [];
  const most = Math.max(...readdirSync('/proc/self/fd').map(Number)) + 1 + RESERVE;
  limitDescriptors(String(most));
  let result: Awaited<ReturnType<typeof probe.run>>;
  try {
    try {
      for (;;) opened.push(openSync('/dev/null', 'r'));
    } catch {
      // All are taken.
    }
    result = await probe.run(signal);
  } finally {
    for (const fd of opened) closeSync(fd);
    limitDescriptors(soft);
  }
  expect(result).toMatchObject({ ok: false, failure: { reason: 'cannot-run' } });
  expect(result?.ok === false && result.failure.detail).toMatch(/EMFILE|descriptor/);
  const after = await probe.run(signal);
  expect(after?.ok).toBe(before?.ok);
});
