/** Which checks the services ask for, from one configuration to the next. */
import { describe, expect, test } from 'vitest';
import { ServiceChecks } from '../../../src/controller/service-checks.ts';
import type { ServiceConfig } from '../../../src/core/config/config.ts';
import { configOf } from '../config/read.ts';

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
});
