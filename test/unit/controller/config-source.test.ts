/** ConfigSource with its reader in a process of its own, as a reload uses it. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ConfigSource as Source } from '../../../src/controller/config-source.ts';
import { REPOSITORY } from '../../lab/host.ts';

const COMPILED = pathToFileURL(join(REPOSITORY, 'dist/src/controller/config-source.js')).href;
const READER = join(REPOSITORY, 'dist/src/controller/config-worker.js');

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vipkeeper-config-'));
});

afterEach(() => rmSync(directory, { recursive: true }));

it('reads a file without services after one with services as what it says', async () => {
  // The reader is a file beside it, so that only the compiled one can start it.
  const { ConfigSource } = (await import(COMPILED)) as { ConfigSource: typeof Source };
  const path = join(directory, 'vipkeeper.yaml');
  const source = new ConfigSource({ path, director: 'dir-a' });
  const names = async (services: string): Promise<readonly string[]> => {
    writeFileSync(path, `services: ${services}\n`);
    const { result } = await source.read();
    if (!result.ok) throw new Error(JSON.stringify(result.error));
    return result.value.services.map(({ name }) => name);
  };
  const web = '{web: {address: "192.0.2.10:80", servers: ["10.0.0.11:80"]}}';
  expect(await names(web)).toEqual(['web']);
  expect(await names('{}')).toEqual([]);
  expect(await names(web)).toEqual(['web']);
});

it('ends without a word when whoever asked has ended', async () => {
  const path = join(directory, 'vipkeeper.yaml');
  const services = Array.from({ length: 3_000 }, (_, index) => {
    return `  s${index}: {address: "192.0.2.10:${index + 1}", check: none, servers: ["10.0.0.11:80"]}\n`;
  });
  writeFileSync(path, `services:\n${services.join('')}`);
  const reader = fork(READER, [JSON.stringify({ path, director: 'dir-a' })], {
    execArgv: [],
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let errors = '';
  reader.stderr?.on('data', (chunk: Buffer) => {
    errors += chunk.toString('utf8');
  });
  const exited = once(reader, 'exit');
  const silent = once(reader.stderr as Readable, 'end');
  // In the middle of the answer, of which the first part has come.
  reader.once('message', () => reader.disconnect());
  const [[status]] = await Promise.all([exited, silent]);
  expect([status, errors]).toEqual([0, '']);
});
