/** Which checks the services ask for, from one configuration to the next. */
import { describe, expect, test } from 'vitest';
import { ServiceChecks } from '../../../src/controller/service-checks.ts';
import type { ServiceConfig } from '../../../src/core/config/config.ts';
import type { FoundAs } from '../../../src/core/health/check-state.ts';
import { apply } from '../../../src/core/ipvs/apply.ts';
import type { ObservedTable } from '../../../src/core/ipvs/entries.ts';
import { serviceKey } from '../../../src/core/ipvs/model.ts';
import { configOf } from '../config/read.ts';
import { server, service, WEB } from '../core/ipvs/samples.ts';

function services(...lines: readonly string[]) {
  return configOf(`services:\n${lines.map((line) => `  ${line}\n`).join('')}`).services;
}

const A = 'a: {address: "192.0.2.1:80", servers: ["10.0.0.1:80"]}';
const B = 'b: {address: "192.0.2.1:81", servers: ["10.0.0.1:80", "10.0.0.2:80"]}';
const UNCHECKED = 'c: {address: "192.0.2.1:82", check: none, servers: ["10.0.0.1:80"]}';

/** A change in short: addresses of the servers whose checks are new or gone. */
async function change(checks: ServiceChecks, services: readonly ServiceConfig[]) {
  const { added, removed } = await checks.configure(services);
  for (const { key, target } of added) addresses.set(key, target.address);
  const addressOf = (key: string) => addresses.get(key) ?? key;
  return {
    added: added.map(({ target }) => target.address).sort(),
    removed: removed.map(addressOf).sort(),
  };
}

const addresses = new Map<string, string>();
const NOTHING = { added: [], removed: [] };

/** The services that use each check that is known, by the addresses of their servers. */
function users(checks: ServiceChecks): Record<string, readonly string[]> {
  const entries = [...addresses].map(([key, address]) => {
    return [address, [...checks.usersOf(key)].sort()] as const;
  });
  return Object.fromEntries(entries.filter(([, names]) => names.length > 0).sort());
}

describe('ServiceChecks', () => {
  test('has each check once, with all that use it', async () => {
    const checks = new ServiceChecks();
    const added = ['10.0.0.1', '10.0.0.2'];
    expect(await change(checks, services(A, B, UNCHECKED))).toEqual({ added, removed: [] });
    expect(users(checks)).toEqual({ '10.0.0.1': ['a', 'b'], '10.0.0.2': ['b'] });
    expect(checks.usersOf('no such check')).toEqual([]);
    expect(checks.size).toBe(2);
  });

  test('tells which checks begin and which nobody asks for any more', async () => {
    const checks = new ServiceChecks();
    const [a, b] = services(A, B) as [ServiceConfig, ServiceConfig];
    await change(checks, [a, b]);
    const same = services(B.replace('wlc', 'rr'))[0] as ServiceConfig;
    expect(await change(checks, [a, same])).toEqual(NOTHING);
    expect(users(checks)).toEqual({ '10.0.0.1': ['a', 'b'], '10.0.0.2': ['b'] });
    expect(await change(checks, services(A))).toEqual({ added: [], removed: ['10.0.0.2'] });
    expect(users(checks)).toEqual({ '10.0.0.1': ['a'] });
    const moved = services(A.replace('10.0.0.1:80', '10.0.0.3:80'));
    expect(await change(checks, moved)).toEqual({ added: ['10.0.0.3'], removed: ['10.0.0.1'] });
    expect(users(checks)).toEqual({ '10.0.0.3': ['a'] });
    expect(await change(checks, [])).toEqual({ added: [], removed: ['10.0.0.3'] });
    expect(checks.size).toBe(0);
  });

  test('a check that goes from one service to another stays', async () => {
    const checks = new ServiceChecks();
    const [a, b] = services(A, B.replace('"10.0.0.1:80", ', '')) as [ServiceConfig, ServiceConfig];
    await change(checks, [a, b]);
    const swapped = services(
      A.replace('10.0.0.1:80', '10.0.0.2:80'),
      B.replace(', "10.0.0.2:80"', ''),
    );
    expect(await change(checks, swapped)).toEqual(NOTHING);
    expect(users(checks)).toEqual({ '10.0.0.1': ['b'], '10.0.0.2': ['a'] });
  });

  describe('how servers are found', () => {
    const lines = [
      A.replace(':80"]', ':80", "10.0.0.4:80", "10.0.0.5:80"]'),
      B,
      'up: {address: "192.0.2.1:83", check: {tcp: {}, initial: up}, servers: ["10.0.0.5:80", "10.0.0.6:80"]}',
      'gone: {address: "192.0.2.1:84", on_failure: remove, servers: ["10.0.0.7:80", {address: "10.0.0.8:80", weight: 0}], sorry_servers: ["10.0.0.9:80"]}',
    ];

    /** 'address initial' of those that are found so. */
    async function found(as: FoundAs, table: ObservedTable, starting: boolean) {
      const checks = new ServiceChecks();
      const { added } = await checks.configure(services(...lines));
      const all = await checks.found(added, table, starting);
      const some = added.filter(({ key }) => all.get(key) === as);
      return some.map(({ target, check }) => `${target.address} ${check.initial}`).sort();
    }

    const TABLE = tableOf([
      [80, '10.0.0.1', 0],
      [81, '10.0.0.1', 3],
      [80, '10.0.0.4', 0],
      [83, '10.0.0.5', 0],
      [83, '10.0.0.6', 1],
      [84, '10.0.0.8', 0],
      [84, '10.0.0.9', 0],
      [90, '10.0.0.2', 1],
    ]);

    test.each([true, false])('with clients, starting: %s', async (starting) => {
      // One that is new gets clients at once, if the configuration says so.
      expect(await found('serving', new Map(), starting)).toEqual(['10.0.0.5 up', '10.0.0.6 up']);
      // Of the services that share a check, one is enough; who has weight 0 has none.
      expect(await found('serving', TABLE, starting)).toEqual(['10.0.0.1 unknown', '10.0.0.6 up']);
    });

    test('out, by weight 0 or by missing where that means a failure, at a start alone', async () => {
      // Neither who has weight 0 by the file, nor sorry servers, nor who is new.
      const out = ['10.0.0.4 unknown', '10.0.0.5 up', '10.0.0.7 unknown'];
      expect(await found('out', TABLE, true)).toEqual(out);
      expect(await found('out', new Map(), true)).toEqual([]);
      // Later, weight 0 may be that of a server that was never checked.
      expect(await found('out', TABLE, false)).toEqual([]);
    });

    test('only those of the checks that are asked for', async () => {
      const checks = new ServiceChecks();
      const { added } = await checks.configure(services(...lines));
      const before = await checks.found(added, TABLE, true);
      const after = await checks.found(added.slice(1), TABLE, true);
      expect([...before.keys()].filter((key) => !after.has(key))).toEqual([added[0]?.key]);
    });
  });
});

/** The kernel's table: ports of services with their servers and weights. */
function tableOf(servers: readonly (readonly [number, string, number])[]): ObservedTable {
  const identityOf = (port: number) => ({ ...WEB, address: '192.0.2.1', port });
  const ports = [...new Set(servers.map(([port]) => port))];
  const { table } = apply(
    [
      ...ports.map((port) => {
        return { kind: 'add-service', service: service(identityOf(port)) } as const;
      }),
      ...servers.map(([port, address, weight]) => {
        const one = server(0, { address, port: 80, weight });
        return { kind: 'add-server', identity: identityOf(port), server: one } as const;
      }),
    ],
    [],
  );
  return new Map(table.map((entry) => [serviceKey(entry.service.identity), entry]));
}
