/**
 * A table of 10,000 servers in the turns of the event loop: none is long beside the whole work.
 * The kernel behind it is a map that costs nothing.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Table } from '../../../src/controller/table.ts';
import type { ServiceConfig, ServiceIdentity } from '../../../src/core/config/config.ts';
import { apply } from '../../../src/core/ipvs/apply.ts';
import {
  type IpvsOperation,
  type ObservedService,
  serverKey,
  serviceKey,
} from '../../../src/core/ipvs/model.ts';
import { ok } from '../../../src/core/result.ts';
import type { IpvsClient } from '../../../src/linux/ipvs/client.ts';
import { configOf } from '../config/read.ts';
import { stallOf } from '../stall.ts';

const SERVICES = 5_000;

const kernel = new Map<string, ObservedService>();
let operations = 0;

const client = {
  dump: async () => ok([...kernel.values()]),
  dumpServices: async () => ok(new Map(kernel)),
  dumpServers: async (identity: ServiceIdentity) => {
    return ok(kernel.get(serviceKey(identity))?.servers ?? []);
  },
  dumpServersNow: (identity: ServiceIdentity) =>
    ok(kernel.get(serviceKey(identity))?.servers ?? []),
  dumpService: async (identity: ServiceIdentity) => ok(kernel.get(serviceKey(identity)) ?? null),
  apply: async (list: readonly IpvsOperation[]) => {
    operations += list.length;
    return list.map((operation) => {
      const identity = 'identity' in operation ? operation.identity : operation.service.identity;
      const key = serviceKey(identity);
      const before = kernel.get(key);
      const [after] = apply([operation], before === undefined ? [] : [before]).table;
      if (after === undefined) kernel.delete(key);
      else kernel.set(key, after);
      return { operation, errno: 0, problem: null, outdated: false };
    });
  },
} as unknown as IpvsClient;

const [ONE] = configOf(`services:
  one: {address: "192.0.2.1:10000", check: none, servers: ["10.0.0.1:80", "10.0.0.2:80"]}`).services;

const services = Array.from({ length: SERVICES }, (_, index): ServiceConfig => {
  const one = ONE as ServiceConfig;
  const identity = { kind: 'address', protocol: 'tcp', address: '192.0.2.1' } as const;
  const entry = { identity: { ...identity, port: 10_000 + index }, follow: null };
  return { ...one, name: `s${index}`, entries: [entry] };
});

const { ipvs: IPVS } = configOf('services: {}');

let directory: string;
let table: Table;
let weight = 1;
let decisions = 0;
let wanted = true;

function open(ipvs = IPVS): Table {
  const files = { ownedFile: join(directory, 'owned'), leavingFile: join(directory, 'leaving') };
  return new Table(
    { services, ipvs, ...files },
    {
      client,
      weights: (service) => {
        decisions++;
        return new Map(
          service.servers.map((one) => [serverKey(one), { weight, reason: 'healthy' as const }]),
        );
      },
      wanted: () => wanted,
      onCompared: () => {},
      onLeaving: () => {},
      onChanges: () => {},
      onProblem: ({ message }) => expect.fail(message),
    },
  );
}

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'vipkeeper-large-'));
  table = open();
});

afterAll(async () => {
  await table.close();
  rmSync(directory, { recursive: true });
});

describe('a large table', () => {
  test('is programmed and compared in many short turns', async () => {
    const first = await stallOf(() => table.start());
    expect(operations).toBe(3 * SERVICES);
    expect(kernel.size).toBe(SERVICES);
    const again = await stallOf(() => table.reconcile());
    expect(operations).toBe(3 * SERVICES);
    for (const { stallMs, allMs } of [first, again]) expect(stallMs).toBeLessThan(allMs / 2);
  });

  test('is taken out and programmed again with its instance, in many short turns', async () => {
    operations = 0;
    const names = services.map(({ name }) => name);
    wanted = false;
    table.changed(names);
    await table.reconcile();
    expect(kernel.size).toBe(0);
    wanted = true;
    const activated = await stallOf(async () => {
      table.activate(names);
      while (kernel.size < SERVICES) await new Promise((resolve) => setTimeout(resolve, 1));
    });
    expect(activated.stallMs).toBeLessThan(activated.allMs / 2);
    await table.reconcile();
    // Nothing was done twice: a server goes with its service.
    expect(operations).toBe(4 * SERVICES);
    expect(table.report().drift).toEqual({ missing: 0, altered: 0, leftover: 0 });
  });

  test('is read and told for people whole, in however many turns', async () => {
    const keys = [...kernel.keys()].sort();
    expect([...((await table.refresh()) ?? new Map()).keys()].sort()).toEqual(keys);
    expect((await table.owned()).map(([key]) => key).sort()).toEqual(keys);
  });

  test('changes one server by the work of one service', async () => {
    [operations, decisions] = [0, 0];
    weight = 7;
    table.changed(['s2500']);
    while (operations < 2) await new Promise(setImmediate);
    expect([operations, decisions]).toEqual([2, 1]);
    weight = 1;
    await table.reconcile();
  });

  test('is adopted by the next controller, which compares nothing before it knows what is wanted', async () => {
    await table.close();
    operations = 0;
    // Long before all services, and what is ours, are known.
    table = open({ ...IPVS, reconcileIntervalUs: 1_000 });
    const first = await stallOf(() => table.start());
    expect(operations).toBe(0);
    expect((await table.owned()).length).toBe(SERVICES);
    expect(first.stallMs).toBeLessThan(first.allMs / 2);
    await table.close();
  });
});
