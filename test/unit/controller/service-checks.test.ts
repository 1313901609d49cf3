/** Which checks the services ask for, from one configuration to the next. */
import { describe, expect, test } from 'vitest';
import { ServiceChecks } from '../../../src/controller/service-checks.ts';
import { configOf } from '../config/read.ts';

function services(...lines: readonly string[]) {
  return configOf(`services:\n${lines.map((line) => `  ${line}\n`).join('')}`).services;
}

const A = 'a: {address: "192.0.2.1:80", servers: ["10.0.0.1:80"]}';
const B = 'b: {address: "192.0.2.1:81", servers: ["10.0.0.1:80", "10.0.0.2:80"]}';
const UNCHECKED = 'c: {address: "192.0.2.1:82", check: none, servers: ["10.0.0.1:80"]}';

/** The services that use each check, by the addresses of their servers. */
function users(checks: ServiceChecks): Record<string, readonly string[]> {
  const entries = [...checks.definitions].map(([key, { target }]) => {
    return [target.address, [...checks.usersOf(key)].sort()] as const;
  });
  return Object.fromEntries(entries.sort());
}

describe('ServiceChecks', () => {
  test('has each check once, with all that use it', () => {
    const checks = new ServiceChecks();
    expect(checks.configure(services(A, B, UNCHECKED))).toBe(true);
    expect(users(checks)).toEqual({ '10.0.0.1': ['a', 'b'], '10.0.0.2': ['b'] });
    expect(checks.usersOf('no such check')).toEqual([]);
  });

  test('says whether there are other checks than before', () => {
    const checks = new ServiceChecks();
    const [a, b] = services(A, B);
    checks.configure([a, b].filter((one) => one !== undefined));
    const same = services(B.replace('wlc', 'rr'))[0];
    expect(checks.configure([a, same].filter((one) => one !== undefined))).toBe(false);
    expect(users(checks)).toEqual({ '10.0.0.1': ['a', 'b'], '10.0.0.2': ['b'] });
    expect(checks.configure(services(A))).toBe(true);
    expect(users(checks)).toEqual({ '10.0.0.1': ['a'] });
    expect(checks.configure(services(A.replace('10.0.0.1:80', '10.0.0.3:80')))).toBe(true);
    expect(users(checks)).toEqual({ '10.0.0.3': ['a'] });
    expect(checks.configure([])).toBe(true);
    expect(checks.definitions.size).toBe(0);
  });
});
