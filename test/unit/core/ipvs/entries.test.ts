/** Services of several entries: who is in which, and what they say together. */
import { expect, test } from 'vitest';
import type { ServiceConfig } from '../../../../src/core/config/config.ts';
import { desiredEntries } from '../../../../src/core/ipvs/desired.ts';
import { countsOfServers, entriesText } from '../../../../src/core/ipvs/entries.ts';
import {
  type ObservedRealServer,
  type ObservedService,
  serverKey,
  serviceKey,
} from '../../../../src/core/ipvs/model.ts';
import { configOf } from '../../config/read.ts';

function serviceOf(text: string): ServiceConfig {
  const [service] = configOf(`services: {s: {check: none, ${text}}}`).services;
  if (service === undefined) throw new Error('no service');
  return service;
}

function table(service: ServiceConfig): readonly (readonly string[])[] {
  return desiredEntries(service, () => 1).map((entry) => [
    serviceKey(entry.service.identity),
    ...entry.servers.map(serverKey),
  ]);
}

test('every entry has every server, under the port that it has there', () => {
  expect(
    table(serviceOf('address: "192.0.2.1:80,443", servers: [10.0.0.1, "10.0.0.2:8080"]')),
  ).toEqual([
    ['tcp 192.0.2.1:80', '10.0.0.1:80', '10.0.0.2:8080'],
    ['tcp 192.0.2.1:443', '10.0.0.1:443', '10.0.0.2:8080'],
  ]);
});

test('servers serve their own family where a service has both', () => {
  const text = 'fwmark: 5, family: both, forwarding: tun, servers: [10.0.0.1, "2001:db8::1"]';
  expect(table(serviceOf(text))).toEqual([
    ['fwmark 5 ipv4', '10.0.0.1:0'],
    ['fwmark 5 ipv6', '[2001:db8::1]:0'],
  ]);
});

test('a tunnel carries the other family where the service has one only', () => {
  const text = 'address: "192.0.2.1-2:80", forwarding: tun, servers: ["2001:db8::1"]';
  expect(table(serviceOf(text))).toEqual([
    ['tcp 192.0.2.1:80', '[2001:db8::1]:80'],
    ['tcp 192.0.2.2:80', '[2001:db8::1]:80'],
  ]);
});

test('counts are sums over the entries, the weight is the highest', () => {
  const service = serviceOf('address: "192.0.2.1:80,443", servers: [10.0.0.1, 10.0.0.2]');
  const stats = { connections: 5, packetsIn: 4, packetsOut: 3, bytesIn: 2, bytesOut: 1 };
  const rates = {};
  const observed = new Map(
    desiredEntries(service, () => 1).map((entry, index): [string, ObservedService] => {
      const servers = entry.servers.slice(0, 2 - index).map((server): ObservedRealServer => {
        const counters = { activeConnections: 1, inactiveConnections: 2, persistentConnections: 3 };
        return { ...server, weight: index, ...counters, stats: { ...stats, ...rates } };
      });
      const whole = { service: entry.service, stats: { ...stats, ...rates }, servers };
      return [serviceKey(entry.service.identity), whole];
    }),
  );
  const counts = countsOfServers(service, observed);
  expect(counts.get('10.0.0.1:0')).toEqual({
    ...{ weight: 1, activeConnections: 2, inactiveConnections: 4, persistentConnections: 6 },
    ...{ connections: 10, packetsIn: 8, packetsOut: 6, bytesIn: 4, bytesOut: 2 },
  });
  expect(counts.get('10.0.0.2:0')).toMatchObject({ weight: 0, connections: 5 });
  expect(countsOfServers(service, new Map()).size).toBe(0);
  expect(entriesText(service.entries)).toBe('tcp 192.0.2.1:80 and 1 more');
});
