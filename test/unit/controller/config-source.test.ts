/** ConfigSource with its reader in a process of its own, as a reload uses it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ConfigSource as Source } from '../../../src/controller/config-source.ts';
import { REPOSITORY } from '../../lab/host.ts';

const COMPILED = pathToFileURL(join(REPOSITORY, 'dist/src/controller/config-source.js')).href;

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
