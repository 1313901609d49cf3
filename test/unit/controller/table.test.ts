/** Table over a kernel that is the pure model of the table: what it does for services that follow. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Table, type TableOptions } from '../../../src/controller/table.ts';
import type { Config, ServiceIdentity } from '../../../src/core/config/config.ts';
import { apply } from '../../../src/core/ipvs/apply.ts';
import {
  type IpvsOperation,
  type ObservedService,
  serverKey,
  serviceKey,
} from '../../../src/core/ipvs/model.ts';
import type { Problem } from '../../../src/core/problem.ts';
import { err, ok } from '../../../src/core/result.ts';
import type { IpvsClient } from '../../../src/linux/ipvs/client.ts';
import { configOf } from '../config/read.ts';

const CONFIG = configOf(`vrrp: {vips: {interface: eth0, vrid: 1, addresses: [192.0.2.10/24]}}
services:
  web: {address: "192.0.2.10:80", check: none, only_on_active: true, servers: ["10.0.0.1:80"]}
  always: {address: "192.0.2.10:81", check: none, servers: ["10.0.0.1:81"]}`);

let directory: string;
let kernel: readonly ObservedService[];
let applied: IpvsOperation[];
let changes: string[];
/** How many began to leave, and the connections that each that ended was left with. */
let left: number[][];
let wanted: boolean | null;
let table: Table;
/** Called when a dump was read, before it is handed out. */
let onDump: () => void;
/** Called before operations are applied. */
let onApply: () => void;
/** What every dump meets; null for a kernel that answers. */
let dumpProblem: Problem | null;
let problems: Problem[];
let weight: number;

/** The part of IpvsClient that Table uses. */
const client = {
  dump: async () => {
    const read = kernel;
    await new Promise(setImmediate);
    onDump();
    return dumpProblem === null ? ok([...read]) : err(dumpProblem);
  },
  dumpService: async (identity: ServiceIdentity) => {
    const key = serviceKey(identity);
    const read = kernel.find((one) => serviceKey(one.service.identity) === key) ?? null;
    await new Promise(setImmediate);
    return dumpProblem === null ? ok(read) : err(dumpProblem);
  },
  apply: async (operations: readonly IpvsOperation[]) => {
    onApply();
    const { table: next, results } = apply(operations, kernel);
    kernel = next;
    applied.push(...operations);
    return results.map(({ operation, error }) => ({
      operation,
      errno: error === null ? 0 : 1,
      problem: error === null ? null : { code: 'VK-IPVS', message: error, cure: '' },
    }));
  },
} as unknown as IpvsClient;

function optionsOf({ services, ipvs }: Config): TableOptions {
  const [ownedFile, leavingFile] = ['owned.json', 'leaving.json'].map((name) =>
    join(directory, name),
  ) as [string, string];
  return { services, ipvs, ownedFile, leavingFile };
}

function make(options: TableOptions): Table {
  return new Table(options, {
    client,
    weights: (service) =>
      new Map(service.servers.map((one) => [serverKey(one), { weight, reason: 'healthy' }])),
    wanted: ({ onlyOnActive }) => (onlyOnActive ? wanted : true),
    onLeaving: (began, ended) =>
      left.push([began.length, ...ended.map(({ connectionsLeft }) => connectionsLeft)]),
    onChanges: (operations, cause) => changes.push(...operations.map(() => cause)),
    onProblem: (problem) => problems.push(problem),
  });
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vipkeeper-table-'));
  [kernel, applied, changes, wanted] = [[], [], [], false];
  left = [];
  onDump = () => {};
  onApply = () => {};
  [dumpProblem, problems, weight] = [null, [], 1];
  table = make(optionsOf(CONFIG));
});

afterEach(async () => {
  await table.close();
  rmSync(directory, { recursive: true });
});

/** Without one that the test expects. */
function noProblems(): void {
  expect(problems).toEqual([]);
}

function present(): readonly string[] {
  return kernel.map(({ service }) => serviceKey(service.identity)).sort();
}

const WEB = 'tcp 192.0.2.10:80';
const ALWAYS = 'tcp 192.0.2.10:81';

describe('Table and a service of an instance', () => {
  afterEach(noProblems);

  test('leaves it out while the instance is not active here', async () => {
    await table.start();
    expect(present()).toEqual([ALWAYS]);
  });

  test('programs it in the same turn when the instance becomes active', async () => {
    await table.start();
    wanted = true;
    table.activate(['web']);
    expect(present()).toEqual([WEB, ALWAYS]);
    expect(kernel.find((one) => serviceKey(one.service.identity) === WEB)?.servers).toHaveLength(1);
    await table.reconcile();
    expect(table.report().drift).toEqual({ missing: 0, altered: 0, leftover: 0 });
    expect(table.report().operationErrors).toBe(0);
  });

  test('takes it out again, as its own wish and not as drift', async () => {
    wanted = true;
    await table.start();
    expect(present()).toEqual([WEB, ALWAYS]);
    wanted = false;
    table.changed(['web']);
    await table.reconcile();
    expect(present()).toEqual([ALWAYS]);
    expect(table.report().drift).toEqual({ missing: 0, altered: 0, leftover: 0 });
    expect(new Set(changes)).toEqual(new Set(['plan']));
    wanted = true;
    table.activate(['web']);
    expect(present()).toEqual([WEB, ALWAYS]);
  });

  test('leaves it as it is while nobody knows the state of the instance', async () => {
    wanted = true;
    await table.start();
    wanted = null;
    await table.reconcile();
    table.changed(['web']);
    await table.reconcile();
    expect(present()).toEqual([WEB, ALWAYS]);
  });

  test('does not act on a comparison that is older than the activation', async () => {
    await table.start();
    applied = [];
    onDump = () => {
      onDump = () => {};
      wanted = true;
      table.activate(['web']);
    };
    await table.reconcile();
    expect(applied.map(({ kind }) => kind)).toEqual(['add-service', 'add-server']);
    expect(table.report().operationErrors).toBe(0);
    expect(table.report().drift).toEqual({ missing: 0, altered: 0, leftover: 0 });
  });
});

describe('Table and a kernel that does not do as it is told', () => {
  const LOST: Problem = { code: 'VK-IPVS', message: 'Cannot read the services', cure: 'Wait' };
  const weights = () => kernel.map(({ servers }) => servers.map((one) => one.weight));

  test('tells once of a table that cannot be read, and goes on when it can', async () => {
    await table.start();
    noProblems();
    dumpProblem = LOST;
    applied = [];
    await table.reconcile();
    await table.reconcile();
    expect(problems).toEqual([LOST]);
    expect(table.report()).toMatchObject({ lastError: LOST.message, reconciles: 1 });
    expect(applied).toEqual([]);
    dumpProblem = null;
    kernel = [];
    await table.reconcile();
    expect(table.report()).toMatchObject({ lastError: null, reconciles: 2, drift: { missing: 2 } });
    expect(present()).toEqual([ALWAYS]);
  });

  test('takes a change that it could not make for its own wish, not for drift', async () => {
    await table.start();
    dumpProblem = LOST;
    weight = 0;
    table.changed(['always']);
    await table.reconcile();
    expect(weights()).toEqual([[1]]);
    dumpProblem = null;
    await table.reconcile();
    expect(weights()).toEqual([[0]]);
    expect(table.report().drift).toEqual({ missing: 0, altered: 0, leftover: 0 });
    expect(problems).toEqual([LOST]);
  });

  test('does the rest of a plan whose service somebody deletes, and repairs that', async () => {
    wanted = true;
    await table.start();
    weight = 5;
    onApply = () => {
      onApply = () => {};
      kernel = kernel.filter(({ service }) => serviceKey(service.identity) !== WEB);
    };
    table.changed(['web', 'always']);
    await table.reconcile();
    await table.reconcile();
    expect(problems.map(({ message }) => message)).toEqual(['ESRCH']);
    expect(present()).toEqual([WEB, ALWAYS]);
    expect(weights()).toEqual([[5], [5]]);
    expect(table.report()).toMatchObject({ lastError: null, operationErrors: 1 });
  });
});

describe('Table and servers that are taken out of the configuration', () => {
  const configured = (services: string) => optionsOf(configOf(`services: ${services}`));
  const TWO =
    '{a: {address: "192.0.2.10:81-82", check: none, servers: ["10.0.0.1:81", "10.0.0.2:81"]}}';
  afterEach(noProblems);

  const ONE = TWO.replace(', "10.0.0.2:81"', '');

  /** Connections of every server of this address. */
  function connect(address: string, activeConnections: number): void {
    kernel = kernel.map((entry) => ({
      ...entry,
      servers: entry.servers.map((one) =>
        one.address === address ? { ...one, activeConnections } : one,
      ),
    }));
  }

  function weights(): readonly string[] {
    return kernel.flatMap(({ service, servers }) =>
      servers.map((one) => `${serviceKey(service.identity)} ${serverKey(one)} ${one.weight}`),
    );
  }

  const FIRST = ['tcp 192.0.2.10:81 10.0.0.1:81 1', 'tcp 192.0.2.10:82 10.0.0.1:81 1'];
  const QUIESCED = ['tcp 192.0.2.10:81 10.0.0.2:81 0', 'tcp 192.0.2.10:82 10.0.0.2:81 0'];

  test('get weight 0 in every entry and go with their last connection, as our own wish', async () => {
    await table.reconfigure(configured(TWO));
    connect('10.0.0.2', 1);
    await table.reconfigure(configured(ONE));
    expect(weights().toSorted()).toEqual([...FIRST, ...QUIESCED].toSorted());
    expect(table.leaving()).toHaveLength(2);
    expect(table.leaving()[0]).toMatchObject({ name: 'a', server: '10.0.0.2:81' });
    await table.reconcile();
    expect(weights()).toHaveLength(4);
    connect('10.0.0.2', 0);
    await table.reconcile();
    expect(weights()).toEqual(FIRST);
    expect([table.leaving(), left]).toEqual([[], [[2], [0, 0, 0]]]);
    expect(table.report().drift).toEqual({ missing: 0, altered: 0, leftover: 0 });
  });

  test('are taken in again when they are back in the file', async () => {
    await table.reconfigure(configured(TWO));
    connect('10.0.0.2', 1);
    await table.reconfigure(configured(ONE));
    await table.reconfigure(configured(TWO));
    expect(table.leaving()).toEqual([]);
    expect(weights()).toHaveLength(4);
    expect(weights().every((one) => one.endsWith(' 1'))).toBe(true);
  });

  test('go on leaving after a restart, with the same deadline, also of a service that is gone', async () => {
    await table.reconfigure(configured(TWO));
    connect('10.0.0.1', 1);
    connect('10.0.0.2', 1);
    await table.reconfigure(configured('{}'));
    const before = table.leaving();
    expect(before.map(({ name }) => name)).toEqual(['a', 'a', 'a', 'a']);
    await table.close();
    table = make(configured('{}'));
    await table.start();
    expect(table.leaving()).toEqual(before);
    expect(weights()).toHaveLength(4);
    connect('10.0.0.1', 0);
    connect('10.0.0.2', 0);
    await table.reconcile();
    expect(kernel).toEqual([]);
    expect(table.report().drift).toEqual({ missing: 0, altered: 0, leftover: 0 });
  });

  test('are deleted at once where the configuration says so', async () => {
    await table.reconfigure(configured(TWO));
    connect('10.0.0.2', 1);
    await table.reconfigure(
      configured(ONE.replace('check: none', 'check: none, on_remove: delete')),
    );
    expect(weights()).toEqual(FIRST);
  });
});
