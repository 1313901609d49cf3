import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import {
  CheckPool,
  type CheckPoolOptions,
  workersFor,
} from '../../../src/controller/check-pool.ts';
import type { CheckChangeReport, CheckResultReport } from '../../../src/controller/checks.ts';
import type { CheckConfig } from '../../../src/core/config/check.ts';
import type { CheckDefinition } from '../../../src/core/health/check-key.ts';
import { checkDefinition } from '../../../src/core/health/check-key.ts';
import { monotonicUs } from '../../../src/linux/clock.ts';
import { talksOf } from '../../property/talks.ts';
import {
  closedTarget,
  listen,
  type TestServer,
  tcpCheck,
  tcpServer,
  tlsSettings,
  waitFor,
} from '../probes/servers.ts';
import { configurePool } from './configure-checks.ts';

const results: CheckResultReport[] = [];
const changes: CheckChangeReport[] = [];
const defects: unknown[] = [];
const pools: CheckPool[] = [];
const servers: TestServer[] = [];
const directories: string[] = [];
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.stop()));
  await Promise.all(servers.splice(0).map((server) => server.close()));
  // Not before: threads leave marks in them as they end.
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
  expect(defects.splice(0)).toEqual([]);
  results.length = 0;
  changes.length = 0;
});

// Threads need compiled files; tests run from sources.
const WORKER_FILE = new URL('../../../dist/src/controller/check-worker.js', import.meta.url);

function newPool(workers: number | null, workerFile = WORKER_FILE): CheckPool {
  return poolWith({ workers, workerFile });
}

/** `options` may be changed. */
function poolWith(options: CheckPoolOptions): CheckPool {
  const pool = new CheckPool(options, {
    nowUs: monotonicUs,
    onResult: (report) => results.push(report),
    onChange: (report) => changes.push(report),
    onWeight: () => {},
    onDefect: (error) => defects.push(error),
  });
  pools.push(pool);
  return pool;
}

async function serving(server: Promise<TestServer>): Promise<TestServer> {
  servers.push(await server);
  return server;
}

const fast: CheckConfig = { ...tcpCheck, intervalUs: 20_000, timeoutUs: 1_000_000 };

function definitions(...list: CheckDefinition[]): Map<string, CheckDefinition> {
  return new Map(list.map((definition) => [definition.key, definition]));
}

test.each([
  ['in this thread', 0],
  ['in a worker', 1],
])(
  'CheckPool: a server that has clients falls after as many failures as configured, %s',
  async (_where, workers) => {
    const check = { ...fast, fall: 3, intervalUs: 50_000 };
    const serving = checkDefinition(check, await closedTarget());
    const other = checkDefinition(check, await closedTarget());
    const pool = newPool(workers);
    await configurePool(pool, definitions(serving, other), new Map([[serving.key, 'serving']]));
    await waitFor('the changes', () => changes.length === 2);
    const reasons = new Map(changes.map(({ key, change }) => [key, change.reason.kind]));
    expect(reasons).toEqual(
      new Map([
        [serving.key, 'fall'],
        [other.key, 'first-failure'],
      ]),
    );
    const told = results.filter(({ key }) => key === serving.key);
    expect(told.length).toBeGreaterThanOrEqual(3);
  },
);

test.each([
  ['in this thread', 0],
  ['in a worker', 1],
])(
  'CheckPool: a server that was out comes back after as many successes as configured, %s',
  async (_where, workers) => {
    const check = { ...fast, rise: 3, intervalUs: 50_000 };
    const target = (await serving(tcpServer((one) => one.resume()))).target;
    const out = checkDefinition(check, target);
    const other = checkDefinition({ ...check, rise: 4 }, target);
    const pool = newPool(workers);
    await configurePool(pool, definitions(out, other), new Map([[out.key, 'out']]));
    await waitFor('the changes', () => changes.length === 2);
    expect(new Map(changes.map(({ key, change }) => [key, change.reason.kind]))).toEqual(
      new Map([
        [out.key, 'rise'],
        [other.key, 'first-success'],
      ]),
    );
    expect(results.filter(({ key }) => key === out.key).length).toBeGreaterThanOrEqual(3);
  },
);

test('CheckPool: workers tell states, results and changes as this thread does', async () => {
  const up = checkDefinition(fast, (await serving(tcpServer((one) => one.resume()))).target);
  const down = checkDefinition(fast, await closedTarget());
  const pool = newPool(2);
  await configurePool(pool, definitions(up, down));
  expect(pool.workers).toBe(2);
  expect(pool.snapshot().map(({ key, status }) => [key, status])).toEqual([
    [up.key, 'unknown'],
    [down.key, 'unknown'],
  ]);
  await waitFor('several results of both', () => {
    const counts = pool.snapshot().map(({ successes, failures }) => successes + failures);
    return counts.every((count) => count >= 5);
  });
  expect(pool.snapshot().map(({ status }) => status)).toEqual(['up', 'down']);
  expect(pool.snapshot()[1]?.lastFailure?.reason).toBe('connection-refused');
  expect(changes.map(({ change }) => change.to).sort()).toEqual(['down', 'up']);
  expect(results.filter(({ key }) => key === up.key).every(({ result }) => result.ok)).toBe(true);
});

test('CheckPool: what is known goes along when checks move between threads', async () => {
  const target = (await serving(tcpServer((one) => one.resume()))).target;
  const quick = checkDefinition({ ...fast, rise: 1 }, target);
  const pool = newPool(null);
  await configurePool(pool, definitions(quick));
  expect(pool.workers).toBe(0);
  await waitFor('the check to be up', () => pool.state(quick.key)?.status === 'up');
  const { sinceUs } = pool.snapshot()[0] ?? {};

  // So many handshakes that no thread does them beside everything else.
  const busy = Array.from({ length: 40 }, (_, index) =>
    checkDefinition(
      { ...fast, intervalUs: 1_000 },
      { address: '127.0.0.1', port: target.port + index },
    ),
  ).filter(({ key }) => key !== quick.key);
  await configurePool(pool, definitions(quick, ...busy));
  expect(pool.workers).toBeGreaterThan(0);
  expect(pool.state(quick.key)).toMatchObject({ status: 'up', sinceUs });
  const before = results.filter(({ key }) => key === quick.key).length;
  await waitFor(
    'results from the worker',
    () => results.filter(({ key }) => key === quick.key).length > before + 2,
  );
  expect(pool.state(quick.key)).toMatchObject({ status: 'up', sinceUs });

  await configurePool(pool, definitions(quick));
  expect(pool.workers).toBe(0);
  expect(pool.state(quick.key)).toMatchObject({ status: 'up', sinceUs });
  expect(changes.filter(({ key }) => key === quick.key)).toHaveLength(1);
});

/** A worker's program that loads once it is let, and leaves marks of its beginnings and ends. */
function loadingWhenLet(): {
  readonly program: URL;
  readonly load: () => void;
  readonly begun: () => number;
  readonly ended: () => number;
} {
  const directory = mkdtempSync(join(tmpdir(), 'vk-pool-'));
  directories.push(directory);
  const path = join(directory, 'load');
  const program = join(directory, 'worker.mjs');
  const count = (mark: string) =>
    readdirSync(directory).filter((name) => name.startsWith(`${mark}-`)).length;
  writeFileSync(
    program,
    `import { existsSync, writeFileSync } from 'node:fs';
     import { threadId } from 'node:worker_threads';
     const mark = (what) => writeFileSync(${JSON.stringify(directory)} + '/' + what + threadId, '');
     process.on('exit', () => mark('ended-'));
     mark('begun-');
     while (!existsSync(${JSON.stringify(path)})) await new Promise((go) => setTimeout(go, 5));
     await import(${JSON.stringify(WORKER_FILE.href)});`,
  );
  return {
    program: pathToFileURL(program),
    load: () => writeFileSync(path, ''),
    begun: () => count('begun'),
    ended: () => count('ended'),
  };
}

test('CheckPool: checks go on where they are while threads for them load', async () => {
  const worker = loadingWhenLet();
  const options = { workers: 0, workerFile: worker.program };
  const pool = poolWith(options);
  const { target } = await serving(tcpServer((one) => one.resume()));
  const first = checkDefinition(fast, target);
  const second = checkDefinition(fast, await closedTarget());
  await configurePool(pool, definitions(first));
  await waitFor('the check to be up', () => pool.state(first.key)?.status === 'up');
  options.workers = 2;
  const configured = configurePool(pool, definitions(first, second));
  await waitFor('the threads to load', () => worker.begun() === 2);
  const before = results.length;
  await waitFor('results while they load', () => results.length > before + 5);
  expect(pool.workers).toBe(0);
  // What is new begins with the threads.
  expect(results.every(({ key }) => key === first.key)).toBe(true);
  worker.load();
  await configured;
  expect(pool.workers).toBe(2);
  const after = results.length;
  await waitFor('results of both', () =>
    [first, second].every(({ key }) => results.slice(after).some((one) => one.key === key)),
  );
  expect(changes.filter(({ key }) => key === first.key)).toHaveLength(1);
});

test.each(['load', 'end'])('CheckPool: a stop waits for threads that %s', async (what) => {
  const worker = loadingWhenLet();
  const options = { workers: 2, workerFile: worker.program };
  const pool = poolWith(options);
  const first = checkDefinition(fast, await closedTarget());
  const second = checkDefinition({ ...fast, intervalUs: 30_000 }, await closedTarget());
  const configured = configurePool(pool, definitions(first));
  await waitFor('the threads to load', () => worker.begun() === 2);
  if (what === 'end') {
    worker.load();
    await configured;
    options.workers = 0;
    await configurePool(pool, definitions(first, second));
    expect(pool.workers).toBe(0);
  }
  const stopped = pool.stop();
  worker.load();
  await stopped;
  expect(worker.ended()).toBe(2);
  await configured;
  expect(pool.workers).toBe(0);
});

test.each([0, 2])(
  'CheckPool: a check with other timing keeps its state, %i workers',
  async (workers) => {
    const server = await serving(
      listen(createServer((_request, response) => response.end('well'))),
    );
    const first = checkDefinition(fast, server.target);
    const second = checkDefinition({ ...fast, intervalUs: 30_000 }, server.target);
    const pool = newPool(workers);
    await configurePool(pool, definitions(first));
    await waitFor('the check to be up', () => pool.state(first.key)?.status === 'up');
    await configurePool(pool, definitions(second));
    expect(pool.state(first.key)).toBeNull();
    expect(pool.state(second.key)?.status).toBe('up');
    await waitFor('its results', () => results.some(({ key }) => key === second.key));
    expect(changes).toHaveLength(1);
  },
);

test('CheckPool: a check with other timing keeps the weight that was asked for', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'vk-pool-'));
  const path = join(directory, 'weight');
  writeFileSync(path, '6');
  const host = { address: '127.0.0.1', port: 0 };
  const check: CheckConfig = { ...fast, kind: 'file', path };
  const first = checkDefinition(check, host);
  const second = checkDefinition({ ...check, intervalUs: 60_000_000 }, host);
  const pool = newPool(0);
  await configurePool(pool, definitions(first));
  await waitFor('the weight', () => pool.weight(first.key) === 6);
  await configurePool(pool, definitions(second));
  expect(pool.weight(second.key)).toBe(6);
  rmSync(directory, { recursive: true });
});

test('CheckPool: the weight that was asked for outlives a failure, until there is another one', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'vk-pool-'));
  const path = join(directory, 'weight');
  writeFileSync(path, '6');
  const check: CheckConfig = { ...fast, kind: 'file', path, fall: 1, rise: 1 };
  const definition = checkDefinition(check, { address: '127.0.0.1', port: 0 });
  const pool = newPool(0);
  await configurePool(pool, definitions(definition));
  await waitFor('the weight', () => pool.weight(definition.key) === 6);
  writeFileSync(path, 'down');
  await waitFor('the failure', () => pool.state(definition.key)?.status === 'down');
  expect(pool.weight(definition.key)).toBe(6);
  writeFileSync(path, 'up');
  await waitFor('the success', () => pool.state(definition.key)?.status === 'up');
  expect(pool.weight(definition.key)).toBeNull();
  rmSync(directory, { recursive: true });
});

test('CheckPool: after the death of a worker the next one goes on with what is known', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'vk-pool-'));
  try {
    const mark = join(directory, 'mark');
    const program = join(directory, 'worker.mjs');
    // Ends by itself once the mark is there, and removes it, so that its successor lives.
    writeFileSync(
      program,
      `import { existsSync, rmSync } from 'node:fs';
       setInterval(() => {
         if (!existsSync(${JSON.stringify(mark)})) return;
         rmSync(${JSON.stringify(mark)});
         process.exit(3);
       }, 10).unref();
       await import(${JSON.stringify(WORKER_FILE.href)});`,
    );
    const up = checkDefinition(fast, (await serving(tcpServer((one) => one.resume()))).target);
    const pool = newPool(1, pathToFileURL(program));
    await configurePool(pool, definitions(up));
    await waitFor('the check to be up', () => pool.state(up.key)?.status === 'up');
    writeFileSync(mark, '');
    await waitFor('the death to be told', () => defects.length > 0);
    expect(String(defects.splice(0)[0])).toContain('ended with 3');
    const before = results.length;
    await waitFor('results of the next worker', () => results.length > before + 2);
    expect(pool.state(up.key)?.status).toBe('up');
    expect(changes).toHaveLength(1);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

/** A server that says, after each word of the client, what a real one said. */
function speaking(protocol: 'mysql' | 'postgresql'): Promise<TestServer> {
  const [talk] = talksOf(protocol);
  return tcpServer((socket) => {
    const turns = [...(talk?.turns ?? [])];
    const say = () => socket.write(turns.shift() ?? '');
    socket.on('data', say);
    if (protocol === 'mysql') say();
  });
}

test.each(['controller', 'start'])(
  'CheckPool: databases are asked by the worker of dist, as in %s, and by libraries beside it',
  async (kind) => {
    const installed = new URL('../../../dist/start/check-worker.js', import.meta.url);
    const pool = newPool(1, kind === 'start' ? installed : WORKER_FILE);
    const login = {
      ...{ ...fast, ...tlsSettings, tls: false, user: 'monitor', password: null, database: null },
      ...{ query: 'SELECT 42', result: '42', resultMatches: null },
    };
    const checks: CheckDefinition[] = [];
    for (const protocol of ['mysql', 'postgresql'] as const) {
      const { target } = await serving(speaking(protocol));
      checks.push(checkDefinition({ ...login, kind: protocol }, target));
    }
    await configurePool(pool, definitions(...checks));
    await waitFor('a result of both', () =>
      checks.every(({ key }) => results.some((result) => result.key === key)),
    );
    expect(pool.snapshot().map(({ lastFailure, status }) => [lastFailure, status])).toEqual([
      [null, 'up'],
      [null, 'up'],
    ]);
  },
);

test('libraries of protocols are loaded by the first check that asks by them', () => {
  const probes = new URL('../../../dist/src/probes/', import.meta.url).href;
  const program = `
    import { Session } from 'node:inspector';
    const { probeLdap } = await import('${probes}ldap.js');
    const { probePostgresql } = await import('${probes}postgresql.js');
    const { probeMysql } = await import('${probes}mysql.js');
    const { probeSmtp } = await import('${probes}smtp.js');
    const scripts = [];
    const session = new Session();
    session.connect();
    session.on('Debugger.scriptParsed', ({ params }) => scripts.push(params.url));
    session.post('Debugger.enable');
    const loaded = () => ['pg', 'mysql2', 'ldapts', 'nodemailer'].filter((name) =>
      scripts.some((file) => file.includes('/node_modules/' + name + '/')));
    const target = { address: '127.0.0.1', port: 9 };
    const options = { timeoutMs: 1000, signal: AbortSignal.abort() };
    const steps = [loaded()];
    const path = { source: null, device: null, mark: null, via: null };
    await probePostgresql({ ...path, user: null }, target, {}, options);
    steps.push(loaded());
    await probePostgresql({ ...path, user: 'm' }, target, {}, options);
    steps.push(loaded());
    await probeMysql({ ...path, user: 'm' }, target, {}, options);
    steps.push(loaded());
    await probeLdap(path, target, {}, options);
    steps.push(loaded());
    await probeSmtp(path, target, {}, options);
    steps.push(loaded());
    console.log(JSON.stringify(steps));
  `;
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
  });
  expect(JSON.parse(output)).toEqual([
    [],
    [],
    ['pg'],
    ['pg', 'mysql2'],
    ['pg', 'mysql2', 'ldapts'],
    ['pg', 'mysql2', 'ldapts', 'nodemailer'],
  ]);
});

test('workersFor: quick checks stay in the thread, many handshakes get all processors', () => {
  const many = (count: number, check: CheckConfig) =>
    new Array<CheckDefinition>(count).fill(
      checkDefinition(check, { address: '192.0.2.1', port: 80 }),
    );
  const second = 1_000_000;
  expect(workersFor(many(5_000, { ...tcpCheck, intervalUs: second }), 2)).toBe(0);
  expect(workersFor(many(20_000, { ...tcpCheck, intervalUs: second }), 8)).toBe(2);
  expect(workersFor(many(60_000, { ...tcpCheck, intervalUs: second }), 2)).toBe(2);
  expect(workersFor([], 2)).toBe(0);
});
