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

it('tells of many services, and of their long file, whole', async () => {
  const { ConfigSource } = (await import(COMPILED)) as { ConfigSource: typeof Source };
  const path = join(directory, 'vipkeeper.yaml');
  const source = new ConfigSource({ path, director: 'dir-a' });
  const names = Array.from({ length: 1_500 }, (_, index) => `s${index}`);
  const comment = `# ${'long '.repeat(200)}\n`;
  const write = (weight: number): string => {
    const services = names.map((name, index) => {
      const server = `{address: "10.0.0.11:80", weight: ${index === 700 ? weight : 1}}`;
      return `  ${name}: {address: "192.0.2.10:${index + 1}", check: none, servers: [${server}]}\n`;
    });
    const text = `services:\n${comment.repeat(400)}${services.join('')}`;
    writeFileSync(path, text);
    return text;
  };
  const read = async () => {
    const { result, sources } = await source.read();
    if (!result.ok) throw new Error(JSON.stringify(result.error));
    const texts = sources.map(({ content }) => Buffer.from(content).toString());
    return { services: result.value.services, texts };
  };
  const first = write(1);
  const before = await read();
  expect(before.services.map(({ name }) => name)).toEqual(names);
  expect(before.texts).toEqual([first]);
  const second = write(7);
  const after = await read();
  expect(after.texts).toEqual([second]);
  const others = (services: typeof after.services) => services.filter((_, index) => index !== 700);
  expect(after.services[700]?.servers[0]?.weight).toBe(7);
  // What did not change is the same objects.
  expect(others(after.services).every((one, index) => one === others(before.services)[index])).toBe(
    true,
  );
  // The reader of a few does not stay.
  writeFileSync(path, 'services: {}\n');
  expect((await read()).services).toEqual([]);
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
