/** A plan is used again only where nothing that it was made from differs. */
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KeeperPlan } from '../../../src/keeper/messages.ts';
import { forgetPlan, storedPlan, storePlan } from '../../../src/keeper/stored-plan.ts';

const BUILD = 'build-1';
const TEXT = 'vrrp: {}\n';

let directory: string;
let config: string;
let key: string;
let stored: string;
let plan: KeeperPlan;
const before = process.env.STATE_DIRECTORY;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'vk-'));
  config = join(directory, 'vipkeeper.yaml');
  key = join(directory, 'key');
  writeFileSync(config, TEXT);
  writeFileSync(key, 'k'.repeat(32), { mode: 0o600 });
  process.env.STATE_DIRECTORY = join(directory, 'state');
  stored = join(directory, 'state', 'start.json');
  plan = {
    director: 'a',
    instances: [],
    announceGroups: [],
    fifo: null,
    bfd: [],
    static: { addresses: [], routes: [], rules: [] },
    trackers: [],
    runtimeDirectory: join(directory, 'run'),
    tuning: {
      scheduling: 'normal',
      holdUs: 1,
      dynamicInterfaces: false,
      startupDelayUs: 0,
      delayAfterBootUs: 0,
    },
  };
  await keep();
});

afterEach(() => {
  if (before === undefined) delete process.env.STATE_DIRECTORY;
  else process.env.STATE_DIRECTORY = before;
  rmSync(directory, { recursive: true, force: true });
});

async function keep(
  director: string | null = 'a',
  interfaces: readonly string[] = ['lo'],
): Promise<void> {
  const sources = [config, key].map((path) => ({
    path,
    mode: statSync(path).mode,
    content: readFileSync(path),
  }));
  await storePlan({ config, director }, { plan, sources, interfaces }, BUILD);
}

const read = (director: string | null = 'a') => storedPlan({ config, director }, BUILD);

/** Makes a change to the stored file's bytes, which stay as many. */
function damage(from: string, to: string): void {
  const bytes = readFileSync(stored);
  const at = bytes.indexOf(from);
  expect(at).toBeGreaterThan(0);
  bytes.write(to, at, 'latin1');
  writeFileSync(stored, bytes);
}

describe('a stored plan', () => {
  it('is given back while nothing has changed, and is readable by its owner only', () => {
    expect(read()).toEqual(plan);
    expect(statSync(stored).mode & 0o777).toBe(0o600);
  });

  it.each<[string, () => unknown]>([
    ['the file has other content of the same length', () => writeFileSync(config, 'vrrp: []\n')],
    ['the file is longer', () => writeFileSync(config, `${TEXT}#\n`)],
    ['the file is gone', () => rmSync(config)],
    ['the file has other permissions', () => chmodSync(config, 0o640)],
    ['a key file has other content', () => writeFileSync(key, 'K'.repeat(32))],
    ['a key file is open to everybody', () => chmodSync(key, 0o604)],
    ['a key file is gone', () => rmSync(key)],
    ['it was tampered with', () => damage('"director":"a"', '"director":"b"')],
    ['it is cut off', () => writeFileSync(stored, readFileSync(stored).subarray(0, -1))],
    ['it is empty', () => writeFileSync(stored, '')],
    ['it is open to others', () => chmodSync(stored, 0o644)],
    ['its directory can be written to by others', () => chmodSync(join(directory, 'state'), 0o777)],
    ['an interface is missing', () => keep('a', ['lo', 'nonexistent0'])],
    ['it was made for the default director', () => keep(null)],
    ['it was forgotten', () => forgetPlan(BUILD)],
  ])('is not used when %s', async (_, change) => {
    await change();
    expect(read()).toBeNull();
  });

  it('holds a file that is written in parts', async () => {
    writeFileSync(config, Buffer.alloc(1_000_001, 'vrrp: {} # long\n'));
    expect(read()).toBeNull();
    await keep();
    expect(read()).toEqual(plan);
    writeFileSync(config, Buffer.alloc(1_000_001, 'vrrp: {} # Long\n'));
    expect(read()).toBeNull();
  });

  it('is not used by another build, for another director or another file', () => {
    expect(storedPlan({ config, director: 'a' }, 'build-2')).toBeNull();
    expect(storedPlan({ config, director: 'a' }, null)).toBeNull();
    expect(read('b')).toBeNull();
    expect(read(null)).toBeNull();
    const other = join(directory, 'other.yaml');
    symlinkSync(config, other);
    expect(storedPlan({ config: other, director: 'a' }, BUILD)).toBeNull();
  });

  it('is not used while a director with its runtime directory answers', async () => {
    mkdirSync(plan.runtimeDirectory);
    const server = createServer();
    const socket = join(plan.runtimeDirectory, 'control.sock');
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    expect(read()).toBeNull();
    await new Promise((resolve) => server.close(resolve));
    expect(read()).toEqual(plan);
  });

  it('is not kept by a build without identity', async () => {
    forgetPlan(BUILD);
    await storePlan({ config, director: 'a' }, { plan, sources: [], interfaces: [] }, null);
    expect(read()).toBeNull();
  });
});
