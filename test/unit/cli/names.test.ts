/** The names that completion scripts ask for. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { runProgram } from '../../../src/cli/program.ts';
import { STATUS } from '../status-fixture.ts';
import { fakeTerminal } from './fake-terminal.ts';

let directory: string;
let server: Server | null = null;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vipkeeper-names-'));
});

afterEach(() => {
  server?.closeAllConnections();
  server?.close();
  server = null;
  rmSync(directory, { recursive: true });
});

async function listens(started: Server): Promise<void> {
  server = started;
  await new Promise<void>((resolve) => started.listen(join(directory, 'control.sock'), resolve));
}

async function told(kind: string): Promise<string> {
  const terminal = fakeTerminal();
  const ports = {
    terminal,
    cleanUp: () => expect.fail('no clean-up'),
    readOverrides: () => expect.fail('no plan'),
    interruption: () => new AbortController().signal,
  };
  const args = ['names', kind, '--runtime-directory', directory];
  expect(await runProgram(args, ports)).toBe(0);
  expect(terminal.written.err).toBe('');
  return terminal.written.out;
}

test('are those of the running director, and plain words only', async () => {
  const [service] = STATUS.services;
  const odd = { ...service, name: 'odd $(name)' };
  const status = { ...STATUS, services: [...STATUS.services, odd] };
  await listens(createServer((_request, response) => response.end(JSON.stringify(status))));
  expect(await told('instance')).toBe(STATUS.instances.map(({ name }) => `${name}\n`).join(''));
  const servers = STATUS.services.flatMap(({ name, servers: members }) =>
    members.map((member) => `${name}/${member.server}\n`),
  );
  expect(servers).not.toEqual([]);
  expect(await told('server')).toBe(servers.join(''));
});

test('are none, and without a word, where no director runs or one does not answer', async () => {
  expect(await told('server')).toBe('');
  await listens(createServer(() => {}));
  expect(await told('instance')).toBe('');
});
