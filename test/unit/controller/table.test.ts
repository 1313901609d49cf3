/** Table over a kernel that is the pure model of the table: what it does for services that follow. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readTable, Table, type TableOptions } from '../../../src/controller/table.ts';
import type { Config, ServiceIdentity } from '../../../src/core/config/config.ts';
import { apply } from '../../../src/core/ipvs/apply.ts';
import {
  type IpvsOperation,
  type ObservedRealServer,
  type ObservedService,
  serverKey,
  serviceKey,
} from '../../../src/core/ipvs/model.ts';
import { ownedToJson } from '../../../src/core/ipvs/owned.ts';
import { readOwnedText } from '../../../src/core/ipvs/owned-journal.ts';
import type { Problem } from '../../../src/core/problem.ts';
import { err, ok, type Result } from '../../../src/core/result.ts';
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
/** What was found where something was repaired. */
let repaired: string[];
let wanted: boolean | null;
let table: Table;
/** Called when the services were read, before they are handed out. */
let onDump: () => void;
/** The same for the servers of a service. */
let onServers: (key: string) => void;
let beforeApply: () => void;
/** What every dump meets; null for a kernel that answers. */
let dumpProblem: Problem | null;
let problems: Problem[];
let weight: number;

function answer<T>(value: T): Result<T, Problem> {
  return dumpProblem === null ? ok(value) : err(dumpProblem);
}

/** Few servers are read in one turn. */
let readsNow: boolean;
/** Names of the calls that read the kernel, in order. */
let reads: string[];

const turn = () => new Promise(setImmediate);

/** The part of IpvsClient that Table uses. */
const client = {
  dump: async () => {
    const read = kernel;
    await turn();
    return ok([...read]);
  },
  dumpServices: async () => {
    reads.push('services');
    const read = kernel;
    await turn();
    onDump();
    return answer(new Map(read.map((one) => [serviceKey(one.service.identity), one])));
  },
  dumpServers: async (identity: ServiceIdentity) => {
    const key = serviceKey(identity);
    reads.push(`servers of ${key}`);
    const read = kernel.find((one) => serviceKey(one.service.identity) === key)?.servers ?? [];
    await turn();
    onServers(key);
    return answer(read);
  },
  // What happens while servers are read happens only where that takes turns.
  dumpServersNow: (identity: ServiceIdentity) => {
    if (!readsNow) return null;
    const key = serviceKey(identity);
    reads.push(`servers of ${key}, now`);
    return answer(kernel.find((one) => serviceKey(one.service.identity) === key)?.servers ?? []);
  },
  dumpService: async (identity: ServiceIdentity) => {
    const key = serviceKey(identity);
    reads.push(key);
    const read = kernel.find((one) => serviceKey(one.service.identity) === key) ?? null;
    await turn();
    return answer(read);
  },
  apply: async (operations: readonly IpvsOperation[]) => {
    beforeApply();
    const { table: next, results } = apply(operations, kernel);
    kernel = next;
    applied.push(...operations);
    return results.map(({ operation, error }) => ({
      operation,
      errno: error === null ? 0 : 1,
      problem: error === null ? null : { code: 'VK-IPVS', message: error, cure: '' },
      outdated: error === 'EEXIST' || error === 'ESRCH' || error === 'ENOENT',
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
    onCompared: () => {},
    onLeaving: (began, ended) =>
      left.push([began.length, ...ended.map(({ connectionsLeft }) => connectionsLeft)]),
    onChanges: (operations, cause, items) => {
      changes.push(...operations.map(() => cause));
      repaired.push(...items.map(({ class: kind, detail }) => `${kind}: ${detail}`));
    },
    onProblem: (problem) => problems.push(problem),
  });
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vipkeeper-table-'));
  [kernel, applied, changes, wanted, reads] = [[], [], [], false, []];
  [left, repaired] = [[], []];
  onDump = () => {};
  onServers = () => {};
  beforeApply = () => {};
  [dumpProblem, problems, weight, readsNow] = [null, [], 1, false];
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

  test('is known once it was compared as a whole, as it was programmed', async () => {
    expect(table.known).toBeNull();
    await table.start();
    const entry = table.known?.get(ALWAYS);
    expect(entry?.servers.map((server) => server.weight)).toEqual([1]);
    expect(new Map(await readTable(client))).toEqual(new Map([[ALWAYS, entry]]));
  });

  test('of what cannot be read nothing is known', async () => {
    const unread = { dump: async () => err({ code: 'VK-IPVS', message: 'no', cure: '' }) };
    expect(await readTable(unread as unknown as IpvsClient)).toBeNull();
  });

  test('reads the few servers of a known service in one turn', async () => {
    readsNow = true;
    await table.start();
    reads = [];
    kernel = kernel.map((one) => ({
      ...one,
      servers: one.servers.map((server) => ({ ...server, weight: 7 })),
    }));
    await table.reconcile();
    expect(reads).toEqual(['services', `servers of ${ALWAYS}, now`]);
    expect(kernel.flatMap(({ servers }) => servers.map((server) => server.weight))).toEqual([1]);
    expect(changes.at(-1)).toBe('drift');
    expect(repaired).toEqual(['altered: weight 7, wanted 1']);
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

  test('programs it, too, when the instance becomes active in the middle of the start', async () => {
    const started = table.start();
    wanted = true;
    table.activate(['web']);
    await started;
    expect(present()).toEqual([WEB, ALWAYS]);
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

  test('a service that is deleted while it is compared is repaired, counted and told whole', async () => {
    await table.start();
    changes = [];
    onDump = () => {
      onDump = () => {};
      kernel = [];
    };
    await table.reconcile();
    await table.reconcile();
    expect(present()).toEqual([ALWAYS]);
    expect(kernel.map(({ servers }) => servers.length)).toEqual([1]);
    expect(table.report().drift).toEqual({ missing: 2, altered: 0, leftover: 0 });
    expect(changes).toEqual(['drift', 'drift']);
    noProblems();
  });

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
    beforeApply = () => {
      beforeApply = () => {};
      kernel = kernel.filter(({ service }) => serviceKey(service.identity) !== WEB);
    };
    table.changed(['web', 'always']);
    await table.reconcile();
    noProblems();
    expect(present()).toEqual([WEB, ALWAYS]);
    expect(weights()).toEqual([[5], [5]]);
    expect(table.report()).toMatchObject({ lastError: null, operationErrors: 0 });
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

/** A table of 40 services, of which one may have another weight. */
function manyServices(weight = 1, count = 40) {
  const services = Array.from({ length: count }, (_, index) => {
    const servers = `[{address: "10.0.0.1:80", weight: ${index === 7 ? weight : 1}}, "10.0.0.2:80"]`;
    return `  s${index}: {address: "192.0.2.1:${1000 + index}", check: none, servers: ${servers}}`;
  });
  return configOf(`ipvs: {on_remove: delete}\nservices:\n${services.join('\n')}`);
}

/** The table over these services, all of them wanted with their configured weights. */
function open(config: ReturnType<typeof manyServices>): Table {
  return new Table(optionsOf(config), {
    client,
    weights: (service) =>
      new Map(
        service.servers.map((one) => {
          return [
            serverKey(one),
            { weight: weights.get(serverKey(one)) ?? one.weight, reason: 'healthy' },
          ];
        }),
      ),
    wanted: () => true,
    onCompared: () => {},
    onLeaving: () => {},
    onChanges: (operations, cause) =>
      changes.push(...operations.map(({ kind }) => `${cause} ${kind}`)),
    onProblem: (problem) => problems.push(problem),
  });
}

/** Weights that are not the configured ones. */
const weights = new Map<string, number>();
const SEVENTH = 'tcp 192.0.2.1:1007';

function weightOf(service: string, server: string): number | undefined {
  const entry = kernel.find((one) => serviceKey(one.service.identity) === service);
  return entry?.servers.find((one) => serverKey(one) === server)?.weight;
}

/** As another program would. */
function tamper(...operations: readonly IpvsOperation[]): void {
  kernel = apply(operations, kernel).table;
}

describe('Table and the work of a change', () => {
  beforeEach(() => {
    weights.clear();
  });

  test('reads and changes one service when one server changes', async () => {
    const many = open(manyServices());
    await many.start();
    [reads, applied] = [[], []];
    weights.set('10.0.0.1:80', 5);
    many.changed(['s7']);
    await many.reconfigure(optionsOf(manyServices()));
    expect(applied.slice(0, 1).map(({ kind }) => kind)).toEqual(['set-server']);
    expect(reads[0]).toBe(SEVENTH);
    expect(weightOf(SEVENTH, '10.0.0.1:80')).toBe(5);
    await many.close();
  });

  test('gives entries to the services that have them now, and deletes those that none has', async () => {
    const ports = (a: string, b: string, c: string) =>
      configOf(`ipvs: {on_remove: delete}
services:
  a: {address: [${a}], check: none, on_remove: delete, servers: ["10.0.0.1:80"]}
  b: {address: [${b}], check: none, on_remove: delete, servers: ["10.0.0.2:80"]}
  c: {address: [${c}], check: none, on_remove: delete, servers: ["10.0.0.3:80"]}`);
    const [one, two, three, four] = [1, 2, 3, 4].map((port) => `"192.0.2.1:${port}"`) as [
      string,
      string,
      string,
      string,
    ];
    const first = ports(one, two, `${three}, ${four}`);
    const second = ports(two, one, four);
    // One of them stays as it is.
    const last = ports(two, `${one}, ${three}`, four);
    const services = [second.services[0], last.services[1], second.services[2]];
    const many = open(first);
    await many.start();
    const held = () =>
      kernel.map(({ service, servers }) => [
        serviceKey(service.identity).slice(-1),
        ...servers.map(({ address }) => address),
      ]);
    expect(held()).toEqual([
      ['1', '10.0.0.1'],
      ['2', '10.0.0.2'],
      ['3', '10.0.0.3'],
      ['4', '10.0.0.3'],
    ]);
    await many.reconfigure(optionsOf(second));
    await many.reconcile();
    expect(held()).toEqual([
      ['1', '10.0.0.2'],
      ['2', '10.0.0.1'],
      ['4', '10.0.0.3'],
    ]);
    reads = [];
    await many.reconfigure({ ...optionsOf(last), services: services as typeof last.services });
    expect(reads).toEqual(['tcp 192.0.2.1:1', 'tcp 192.0.2.1:3']);
    expect(held()).toEqual([
      ['1', '10.0.0.2'],
      ['2', '10.0.0.1'],
      ['3', '10.0.0.2'],
      ['4', '10.0.0.3'],
    ]);
    expect(many.report().drift).toEqual({ missing: 0, altered: 0, leftover: 0 });
    await many.close();
  });

  test('leaves services of a new configuration alone that are the same objects', async () => {
    const before = manyServices(1);
    const many = open(before);
    await many.start();
    [reads, applied] = [[], []];
    const [, , , , , , , seventh] = manyServices(9).services;
    const services = before.services.map((one) => (one.name === 's7' ? seventh : one));
    await many.reconfigure({ ...optionsOf(before), services: services as typeof before.services });
    expect(reads).toEqual([SEVENTH]);
    expect(applied).toEqual([expect.objectContaining({ kind: 'set-server' })]);
    expect(weightOf(SEVENTH, '10.0.0.1:80')).toBe(9);
    [reads, applied] = [[], []];
    await many.reconfigure({ ...optionsOf(before), services: before.services.slice(1) });
    expect(reads.sort()).toEqual(['tcp 192.0.2.1:1000', SEVENTH].sort());
    expect(applied.map(({ kind }) => kind)).toEqual(['set-server', 'delete-service']);
    expect(many.report().drift).toEqual({ missing: 0, altered: 0, leftover: 0 });
    await many.close();
  });

  test('programs what changes during a comparison before the comparison ends', async () => {
    const many = open(manyServices());
    await many.start();
    applied = [];
    let unread = 0;
    onServers = (key) => {
      if (key === 'tcp 192.0.2.1:1003') {
        weights.set('10.0.0.2:80', 3);
        many.changed(['s39']);
      }
      if (applied.length > 0) unread++;
    };
    await many.reconcile();
    expect(weightOf('tcp 192.0.2.1:1039', '10.0.0.2:80')).toBe(3);
    // Most services were still to be read when it was done.
    expect(unread).toBeGreaterThan(30);
    expect(many.report().drift).toEqual({ missing: 0, altered: 0, leftover: 0 });
    await many.close();
  });

  test('owns what it is about to program, and no longer what it has deleted', async () => {
    const many = open(manyServices());
    const recorded = () =>
      ownedToJson(readOwnedText(readFileSync(join(directory, 'owned.json'), 'utf8')).owned);
    const before: number[] = [];
    beforeApply = () => before.push(Object.keys(recorded()).length);
    await many.start();
    expect(before[0]).toBeGreaterThan(0);
    expect(before.at(-1)).toBe(40);
    expect(recorded()[SEVENTH]).toEqual(['10.0.0.1:80', '10.0.0.2:80']);
    const config = manyServices();
    await many.reconfigure({ ...optionsOf(config), services: config.services.slice(0, 7) });
    expect(Object.keys(recorded())).toHaveLength(7);
    await many.close();
  });
});

describe('Table and what others do to the kernel', () => {
  const identity = { kind: 'address', protocol: 'tcp', address: '192.0.2.1', port: 1007 } as const;
  const server = { address: '10.0.0.1', port: 80 };
  let many: Table;

  beforeEach(async () => {
    weights.clear();
    many = open(manyServices());
    await many.start();
    changes = [];
  });
  afterEach(() => many.close());

  test.each([
    ['a server', { kind: 'delete-server', identity, ...server }, { missing: 1 }, ['add-server']],
    [
      'a service',
      { kind: 'delete-service', identity },
      { missing: 3 },
      ['add-service', 'add-server', 'add-server'],
    ],
  ] as const)('puts %s back that is missing, as drift', async (_what, operation, drift, kinds) => {
    tamper(operation);
    await many.reconcile();
    expect(many.report().drift).toEqual({ altered: 0, leftover: 0, ...drift });
    expect(changes).toEqual(kinds.map((kind) => `drift ${kind}`));
  });

  test('tells drift from its own wish in the same service', async () => {
    tamper({ kind: 'delete-server', identity, ...server });
    weights.set('10.0.0.2:80', 8);
    many.changed(['s7']);
    await many.reconcile();
    expect(changes.filter((one) => one.startsWith('drift'))).toEqual(['drift add-server']);
    expect(changes).toContain('plan set-server');
    expect(many.report().drift).toEqual({ missing: 1, altered: 0, leftover: 0 });
    expect(weightOf(SEVENTH, '10.0.0.2:80')).toBe(8);
  });

  test('tells of a foreign server in a service of ours, where it gets clients', async () => {
    expect(many.report().strangers).toEqual([]);
    const one = (kernel[0] as ObservedService).servers[0] as ObservedRealServer;
    const stranger = { ...one, address: '10.9.9.9', port: 80, weight: 7 };
    tamper({ kind: 'add-server', identity, server: stranger });
    await many.reconcile();
    const found = { service: 's7', entry: SEVENTH, server: '10.9.9.9:80', weight: 7 };
    expect(many.report()).toMatchObject({ foreignServers: 1, strangers: [found] });
  });

  test('leaves an entry that somebody makes anew where ours has been, as a foreign one', async () => {
    const config = manyServices();
    const { service } = kernel[7] as ObservedService;
    await many.reconfigure({ ...optionsOf(config), services: config.services.slice(0, 7) });
    changes = [];
    tamper({ kind: 'add-service', service });
    await many.reconcile();
    const none = { missing: 0, altered: 0, leftover: 0 };
    expect(many.report()).toMatchObject({ drift: none, foreignServices: 1, foreignServers: 0 });
    expect(changes).toEqual([]);
    tamper({ kind: 'delete-service', identity: service.identity });
    await many.reconcile();
    expect(many.report().foreignServices).toBe(0);
  });

  test('takes it out where nobody else may have entries, told and counted as leftover', async () => {
    const { services, ipvs, ...files } = optionsOf(manyServices());
    const exclusive = { ...ipvs, ownership: 'exclusive' } as const;
    await many.reconfigure({ ...files, services, ipvs: exclusive });
    const [first] = kernel as [ObservedService];
    const foreign = { ...identity, port: 9_999 };
    tamper({ kind: 'add-service', service: { ...first.service, identity: foreign } });
    await many.reconcile();
    expect(many.report().drift).toEqual({ missing: 0, altered: 0, leftover: 1 });
    expect(changes).toEqual(['drift delete-service']);
    expect(kernel).toHaveLength(40);
  });

  test('reads a service again whose table was another than it had read', async () => {
    onServers = (key) => {
      if (key !== SEVENTH) return;
      onServers = () => {};
      // Behind the back of the comparison: the wish to change a weight meets no server.
      weights.set('10.0.0.1:80', 4);
      tamper({ kind: 'delete-server', identity, ...server });
    };
    await many.reconcile();
    expect(weightOf(SEVENTH, '10.0.0.1:80')).toBe(4);
    expect(problems).toEqual([]);
    expect(many.report().operationErrors).toBe(0);
  });

  test('gives up on a table that never holds still, and says so once', async () => {
    beforeApply = () => tamper({ kind: 'delete-server', identity, ...server });
    for (let round = 1; round <= 3; round++) {
      weights.set('10.0.0.1:80', 4 + round);
      tamper({
        kind: 'add-server',
        identity,
        server: { ...(kernel[0] as ObservedService).servers[0], ...server, weight: 1 } as never,
      });
      onServers = () => {};
      await many.reconcile();
    }
    beforeApply = () => {};
    weights.clear();
    await many.reconcile();
    expect(weightOf(SEVENTH, '10.0.0.1:80')).toBe(1);
    expect(many.report().lastError).toBe(null);
    expect(problems.length).toBeLessThanOrEqual(2);
  });
});

describe('Table and a comparison that ends in the middle', () => {
  test('does what was planned until then, but deletes nothing', async () => {
    weights.clear();
    const config = manyServices();
    const many = open(config);
    await many.start();
    tamper({
      kind: 'delete-server',
      identity: { kind: 'address', protocol: 'tcp', address: '192.0.2.1', port: 1002 },
      ...{ address: '10.0.0.2', port: 80 },
    });
    onServers = (key) => {
      if (key !== 'tcp 192.0.2.1:1005') return;
      dumpProblem = { code: 'VK-IPVS', message: 'Cannot read the servers', cure: 'Wait' };
    };
    applied = [];
    await many.reconcile();
    expect(applied.map(({ kind }) => kind)).toEqual(['add-server']);
    expect(many.report().lastError).toBe('Cannot read the servers');
    onServers = () => {};
    dumpProblem = null;
    await many.reconcile();
    expect(many.report()).toMatchObject({ lastError: null, drift: { missing: 1 } });
    await many.close();
  });

  test('leaves nothing behind that a stop would program', async () => {
    const config = manyServices();
    const many = open({ ...config, ipvs: { ...config.ipvs, onStop: 'remove' } });
    onServers = () => {};
    const started = many.start();
    await many.close();
    await started;
    expect(kernel).toEqual([]);
  });
});

describe('Table after the death of a controller', () => {
  test('takes over what is there, without a change and without a window', async () => {
    weights.clear();
    const first = open(manyServices());
    await first.start();
    const before = kernel;
    // The first one is gone without a word; the second knows what was written down.
    applied = [];
    const second = open(manyServices());
    await second.start();
    expect(applied).toEqual([]);
    expect(kernel).toEqual(before);
    await second.reconfigure({ ...optionsOf(manyServices()), services: [] });
    expect(kernel).toEqual([]);
    await Promise.all([first.close(), second.close()]);
  });
});
