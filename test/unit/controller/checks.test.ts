import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { createServer as createHttp } from 'node:http';
import type { Socket } from 'node:net';
import { createServer as createTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type {
  CheckChangeReport,
  CheckResultReport,
  CheckRunnerOptions,
  CheckSnapshot,
} from '../../../src/controller/checks.ts';
import { CheckRunner } from '../../../src/controller/checks.ts';
import type {
  CheckConfig,
  RealServerConfig,
  ServiceConfig,
} from '../../../src/core/config/config.ts';
import { plainService } from '../../../src/core/config/plain-service.ts';
import type { CheckDefinition, CheckTarget } from '../../../src/core/health/check-key.ts';
import { checkDefinition, checksOf } from '../../../src/core/health/check-key.ts';
import type { TestServer } from '../probes/servers.ts';
import {
  closedTarget,
  httpCheck,
  httpRequest,
  listen,
  tcpCheck,
  tcpServer,
  waitFor,
} from '../probes/servers.ts';
import { configureRunner } from './configure-checks.ts';

/** 20 ms between two runs: short enough to wait for many of them. */
const fast = { ...tcpCheck, intervalUs: 20_000 };
const fastHttp = { ...httpCheck, intervalUs: 20_000 };

const HOST = { address: '127.0.0.1', port: 0 };

let results: CheckResultReport[];
let changes: CheckChangeReport[];
let weights: string[];
let defects: unknown[];
let runners: CheckRunner[];
let servers: TestServer[];

beforeEach(() => {
  results = [];
  changes = [];
  weights = [];
  defects = [];
  runners = [];
  servers = [];
});

afterEach(async () => {
  await Promise.all(runners.map((runner) => runner.stop()));
  await Promise.all(servers.map((server) => server.close()));
  expect(defects).toEqual([]);
});

const nowUs = () => Math.round(performance.now() * 1000);

function newRunner(
  options: CheckRunnerOptions = {},
  onResult: (report: CheckResultReport) => void = () => {},
): CheckRunner {
  const runner = new CheckRunner(options, {
    nowUs,
    onResult: (report) => {
      results.push(report);
      onResult(report);
    },
    onChange: (report) => changes.push(report),
    onWeight: (key) => weights.push(key),
    onDefect: (error) => defects.push(error),
  });
  runners.push(runner);
  return runner;
}

async function serving(server: Promise<TestServer>): Promise<TestServer> {
  servers.push(await server);
  return server;
}

/** Keeps connections open without an answer. */
function silentServer(): Promise<TestServer> {
  return serving(tcpServer((socket: Socket) => socket.resume()));
}

function definitions(...wanted: [CheckConfig, CheckTarget][]): Map<string, CheckDefinition> {
  const all = wanted.map(([check, target]) => checkDefinition(check, target));
  return new Map(all.map((definition) => [definition.key, definition]));
}

function only(runner: CheckRunner): CheckSnapshot {
  const snapshots = runner.snapshot();
  expect(snapshots).toHaveLength(1);
  return snapshots[0] as CheckSnapshot;
}

function service(name: string, target: CheckTarget, check: CheckConfig): ServiceConfig {
  const server: RealServerConfig = {
    ...target,
    weight: 1,
    forwarding: 'nat',
    tunnel: { kind: 'ipip' },
    upperThreshold: 0,
    lowerThreshold: 0,
    check,
    maintenance: [],
  };
  const identity = { kind: 'address', protocol: 'tcp', address: '192.0.2.10', port: 80 } as const;
  return plainService({ name, entries: [{ identity, follow: null }], servers: [server] });
}

/** Sockets and timers that this process holds. */
function activeResources(): string[] {
  const kinds = ['TCPSocketWrap', 'TCPConnectWrap', 'TLSWrap', 'Timeout', 'Immediate'];
  return process.getActiveResourcesInfo().filter((kind) => kinds.includes(kind));
}

test('CheckRunner: a server that comes and goes falls after fall, rises after rise', async () => {
  const server = await tcpServer((socket) => socket.resume());
  const runner = newRunner();
  configureRunner(runner, definitions([fast, server.target]));
  expect(only(runner)).toMatchObject({
    kind: 'tcp',
    target: server.target,
    status: 'unknown',
    lastDurationUs: null,
    lastFailure: null,
  });
  await waitFor('the first verdict', () => changes.length === 1);
  expect(only(runner).status).toBe('up');

  await server.close();
  await waitFor('the fall', () => changes.length === 2);
  expect(only(runner)).toMatchObject({
    status: 'down',
    sinceUs: changes[1]?.atUs,
    failures: 3,
    successes: 0,
    lastFailure: { reason: 'connection-refused' },
  });

  const { address, port } = server.target;
  await serving(
    listen(
      createTcp((socket) => socket.resume()),
      address,
      port,
    ),
  );
  await waitFor('the rise', () => changes.length === 3);
  expect(changes.map(({ change }) => [change.to, change.reason.kind])).toEqual([
    ['up', 'first-success'],
    ['down', 'fall'],
    ['up', 'rise'],
  ]);
  expect(results.every((report) => report.result.durationUs > 0)).toBe(true);
  expect(only(runner).lastDurationUs).toBeGreaterThan(0);
});

test('CheckRunner: one verdict of failure takes an unknown server down', async () => {
  const target = await closedTarget();
  configureRunner(newRunner(), definitions([fast, target]));
  await waitFor('the first verdict', () => changes.length === 1);
  expect(results).toHaveLength(1);
  expect(changes[0]?.change).toMatchObject({
    from: 'unknown',
    to: 'down',
    reason: { kind: 'first-failure', failure: { reason: 'connection-refused' } },
  });
});

test('CheckRunner: a server of two services is checked once', async () => {
  const server = await silentServer();
  const runner = newRunner();
  const { target } = server;
  configureRunner(runner, checksOf([service('web', target, fast), service('also', target, fast)]));
  await waitFor('some results', () => results.length >= 5);
  expect(only(runner).status).toBe('up');
  // One more connection than results may be under way.
  expect(server.accepted() - results.length).toBeLessThanOrEqual(1);
});

test('CheckRunner: HTTP checks run, and report what they saw', async () => {
  const server = await serving(
    listen(createHttp((_request, response) => response.writeHead(503).end())),
  );
  const runner = newRunner();
  configureRunner(runner, definitions([fastHttp, server.target]));
  await waitFor('the first verdict', () => changes.length === 1);
  expect(only(runner)).toMatchObject({
    kind: 'http',
    status: 'down',
    lastFailure: { reason: 'status', detail: 'Status 503' },
  });
});

test('CheckRunner: no more runs than allowed are in flight, and everyone gets a turn', async () => {
  const held: ServerResponse[] = [];
  const paths: (string | undefined)[] = [];
  let answered = 0;
  let mostInFlight = 0;
  const server = await serving(
    listen(
      createHttp((request, response) => {
        paths.push(request.url);
        held.push(response);
        mostInFlight = Math.max(mostInFlight, paths.length - answered);
      }),
    ),
  );
  const wanted = Array.from({ length: 12 }, (_, index) => `/${index}`);
  const slow = { ...fastHttp, timeoutUs: 60_000_000 };
  configureRunner(
    newRunner({ concurrentRunsMax: 3 }),
    definitions(
      ...wanted.map((path): [CheckConfig, CheckTarget] => [
        { ...slow, requests: [{ ...httpRequest, path }] },
        server.target,
      ]),
    ),
  );
  for (let turn = 0; turn < 24; turn++) {
    await waitFor('three runs in flight', () => paths.length === answered + 3);
    answered++;
    held.shift()?.end();
  }
  expect(mostInFlight).toBe(3);
  // Requests of runs that are in flight together may arrive in another order than they began.
  expect([...new Set(paths.slice(0, 12 + 2))].sort()).toEqual(wanted.sort());
});

test('CheckRunner: at most one run of a check is in flight, and skipped slots count', async () => {
  const server = await silentServer();
  const runner = newRunner();
  const check = { ...fastHttp, intervalUs: 10_000, timeoutUs: 55_000 };
  let mostOpen = 0;
  configureRunner(runner, definitions([check, server.target]));
  await waitFor('four runs', () => {
    mostOpen = Math.max(mostOpen, server.accepted() - results.length);
    return results.length >= 4;
  });
  expect(mostOpen).toBe(1);
  expect(only(runner).skippedSlots).toBeGreaterThanOrEqual(3 * 5);
});

test('CheckRunner: a check that is told to run now does, and its schedule stays one', async () => {
  const server = await serving(tcpServer((socket) => socket.resume()));
  const runner = newRunner();
  const slow = { ...tcpCheck, intervalUs: 3_600_000_000, startSpreadUs: 0 };
  configureRunner(runner, definitions([slow, server.target]));
  // The first run is in flight: once more, however often it is said.
  for (let count = 0; count < 5; count++) runner.runNow(() => true);
  await waitFor('two results', () => results.length === 2);
  runner.runNow(() => false);
  for (let run = 3; run <= 6; run++) {
    runner.runNow(({ target }) => target.port === server.target.port);
    await waitFor('the next result', () => results.length === run);
  }
  expect(only(runner)).toMatchObject({ successes: 6, skippedSlots: 0 });
  await runner.stop();
  runner.runNow(() => true);
  expect(results).toHaveLength(6);
});

test('CheckRunner: reconfiguring keeps what did not change and starts the rest', async () => {
  const [kept, gone, fresh] = [await silentServer(), await silentServer(), await silentServer()];
  const runner = newRunner();
  configureRunner(runner, definitions([fast, kept.target], [fast, gone.target]));
  await waitFor('both to be up', () => changes.length === 2);
  const before = runner.snapshot().find((each) => each.target.port === kept.target.port);
  const resultsBefore = results.filter((each) => each.target.port === kept.target.port).length;

  configureRunner(runner, definitions([fast, kept.target], [fast, fresh.target]));
  const goneAccepted = gone.accepted();
  const snapshots = runner.snapshot();
  expect(snapshots.map((each) => [each.target.port, each.status])).toEqual([
    [kept.target.port, 'up'],
    [fresh.target.port, 'unknown'],
  ]);
  expect(snapshots[0]).toEqual(before);
  await waitFor('the new one to be up', () => changes.length === 3);
  await waitFor('more results of the old one', () => {
    const now = results.filter((each) => each.target.port === kept.target.port).length;
    return now >= resultsBefore + 3;
  });
  expect(changes.map((each) => each.target.port).slice(2)).toEqual([fresh.target.port]);
  expect(gone.accepted() - goneAccepted).toBeLessThanOrEqual(1);
});

test('CheckRunner: another weight is told without a change of health', async () => {
  const path = join(mkdtempSync(join(tmpdir(), 'vipkeeper-weight-')), 'weight');
  const check: CheckConfig = { ...fast, kind: 'file', path };
  const [key] = [...definitions([check, HOST]).keys()] as [string];
  writeFileSync(path, '5');
  const runner = newRunner();
  configureRunner(runner, definitions([check, HOST]));
  await waitFor('the first weight', () => runner.memory(key)?.weight === 5);
  expect(weights).toEqual([]);
  writeFileSync(path, '6');
  await waitFor('the second weight', () => runner.memory(key)?.weight === 6);
  expect(weights).toContain(key);
  expect(changes).toHaveLength(1);
  rmSync(dirname(path), { recursive: true });
});

test('CheckRunner: a removed check reports nothing more, even from a run in flight', async () => {
  const server = await silentServer();
  const runner = newRunner();
  configureRunner(runner, definitions([fastHttp, server.target]));
  await waitFor('a run in flight', () => server.open() === 1);
  configureRunner(runner, new Map());
  await waitFor('its socket to close', () => server.open() === 0);
  expect(runner.snapshot()).toEqual([]);
  await runner.stop();
  expect(results).toEqual([]);
});

test('CheckRunner: a check removed between verdict and close reports nothing', async () => {
  const runner = newRunner();
  let removed = false;
  const halfOpen = createTcp({ allowHalfOpen: true }, (socket) => {
    // The end of the client's side tells that it has its verdict.
    socket.resume().once('end', () => {
      configureRunner(runner, new Map());
      removed = true;
    });
  });
  const server = await serving(listen(halfOpen));
  configureRunner(runner, definitions([fast, server.target]));
  await waitFor('the verdict of the first run', () => removed);
  await runner.stop();
  expect(results).toEqual([]);
});

test('CheckRunner: stop closes all sockets and timers, then reports nothing', async () => {
  const silent = await silentServer();
  const answering = await serving(listen(createHttp((_request, response) => response.end())));
  const baseline = activeResources().length;
  const runner = newRunner();
  const slow = { ...fastHttp, timeoutUs: 60_000_000 };
  const tls = { ...slow, tls: true };
  configureRunner(
    runner,
    definitions([slow, silent.target], [tls, silent.target], [fastHttp, answering.target]),
  );
  await waitFor('runs in flight', () => silent.open() === 2 && results.length >= 2);
  const stopping = runner.stop();
  const reported = results.length;
  await stopping;
  await waitFor('the sockets of the servers to close', () => {
    return silent.open() === 0 && answering.open() === 0;
  });
  await waitFor('no more resources than before', () => activeResources().length <= baseline);
  expect(results).toHaveLength(reported);
  expect(() => configureRunner(runner, definitions([fast, silent.target]))).toThrow(
    'A stopped runner',
  );
});

test('CheckRunner: an exception of a port is handed over, and the check goes on', async () => {
  const server = await silentServer();
  const failing = new Error('a port that fails');
  const runner = newRunner({}, () => {
    if (results.length === 1) throw failing;
  });
  configureRunner(runner, definitions([fast, server.target]));
  await waitFor('further results', () => results.length >= 3);
  expect(defects.splice(0)).toEqual([failing]);
});
