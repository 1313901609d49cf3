/** What checks cost, as far as it decides how many threads they get. */
import { expect, test } from 'vitest';
import { costUs } from '../../../src/controller/check-cost.ts';
import type { CheckConfig } from '../../../src/core/config/check.ts';
import { configOf } from '../config/read.ts';

function costOf(check: string): number {
  const text = `services: {s: {address: "192.0.2.1:80", servers: [10.0.0.1], check: ${check}}}`;
  const found = configOf(text).services[0]?.servers[0]?.check as CheckConfig;
  return costUs(found);
}

test.each([
  ['{http: {}}', '{https: {}}'],
  ['ldap', '{ldap: {tls: tls}}'],
  ['ldap', '{ldap: {tls: starttls}}'],
  ['{sip: {transport: tcp}}', '{sip: {transport: tls}}'],
  ['imap', 'imaps'],
  ['smtp', 'smtps'],
  ['smtp', '{dialogue: {protocol: smtp, starttls: true}}'],
  ['imap', '{dialogue: {protocol: imap, starttls: true}}'],
  ['postgresql', '{postgresql: {tls: true}}'],
])('%s is without a handshake, %s with one', (plain, tls) => {
  expect(costOf(plain)).toBeLessThan(1_000);
  expect(costOf(tls) - costOf(plain)).toBeGreaterThan(1_000);
});

test('a password of PostgreSQL is thousands of digests', () => {
  const login = costOf('{postgresql: {user: a, password: b, database: c}}');
  expect(login - costOf('postgresql')).toBeGreaterThan(1_000);
});

test('several requests are as many connections', () => {
  expect(costOf('{https: {requests: [{path: /a}, {path: /b}]}}')).toBe(2 * costOf('{https: {}}'));
});

test('the cheapest is a connection by TCP, and what runs in no thread costs none', () => {
  const kinds = ['{http: {}}', '{dns: {}}', '{udp: {}}', 'ping', 'redis', 'ldap', 'sip'];
  for (const kind of kinds) expect(costOf(kind)).toBeGreaterThan(costOf('tcp'));
  expect(costOf('{file: {path: /x}}')).toBe(0);
});
