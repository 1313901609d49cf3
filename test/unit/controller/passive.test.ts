/** Passive hints as time passes: told once, kept out of the way for a while, tried again. */
import { expect, test } from 'vitest';
import { Passive } from '../../../src/controller/passive.ts';
import type { ServerCounts } from '../../../src/core/ipvs/entries.ts';
import { configOf } from '../config/read.ts';

interface Also {
  readonly addresses?: string;
  /** Servers, and their counters at a time. */
  readonly more?: string;
  readonly beside?: (nowUs: number) => ReadonlyMap<string, ServerCounts>;
}

function run(action: string, also: Also = {}) {
  const { addresses = '"192.0.2.1:80"', more = '', beside = () => new Map() } = also;
  const text = `services: {s: {address: [${addresses}], forwarding: dr, passive: ${action}, servers: [10.0.0.1, 10.0.0.2${more}]}}`;
  const [service] = configOf(text).services;
  if (service === undefined) throw new Error('no service');
  const told: string[] = [];
  let nowUs = 0;
  let dead = true;
  const counts = new Map<string, ServerCounts>();
  const passive = new Passive({
    nowUs: () => nowUs,
    onBegan: (_, server) => told.push(`${nowUs / 1e6} began ${server}`),
    onEnded: (_, server) => told.push(`${nowUs / 1e6} ended ${server}`),
  });
  const changes: number[] = [];
  const step = () => {
    for (const server of ['10.0.0.1:80', '10.0.0.2:80']) {
      const works = server === '10.0.0.2:80' || !dead;
      const before = counts.get(server);
      counts.set(server, {
        weight: 1,
        // Half-open connections are active ones for the kernel, and never become inactive.
        activeConnections: works ? 1 : (before?.activeConnections ?? 0) + 10,
        inactiveConnections: (before?.inactiveConnections ?? 0) + (works ? 10 : 0),
        persistentConnections: 0,
        connections: (before?.connections ?? 0) + 10,
        packetsIn: (before?.packetsIn ?? 0) + (works ? 70 : 30),
        packetsOut: 0,
        bytesIn: (before?.bytesIn ?? 0) + (works ? 7_700 : 1_800),
        bytesOut: 0,
      });
    }
    for (const [server, its] of beside(nowUs)) counts.set(server, its);
    if (passive.look(service, counts)) changes.push(nowUs / 1e6);
    nowUs += 5_000_000;
  };
  return {
    passive,
    told,
    changes,
    until: (seconds: number) => {
      while (nowUs <= seconds * 1e6) step();
    },
    heal: () => {
      dead = false;
    },
  };
}

test('warn tells when it begins and when connections are accepted again, and changes nothing', () => {
  const { passive, told, changes, until, heal } = run('warn');
  until(60);
  expect(told).toEqual(['30 began 10.0.0.1:80']);
  expect(passive.hint('s', '10.0.0.1:80')).toEqual({
    connections: 60,
    sinceUs: 30_000_000,
    quiescedUntilUs: null,
  });
  heal();
  until(70);
  expect(told).toEqual(['30 began 10.0.0.1:80', '65 ended 10.0.0.1:80']);
  expect(changes).toEqual([]);
});

test('quiesce tries it again after a while, and needs another window then', () => {
  const { passive, told, changes, until } = run('{action: quiesce, retry: 1m}');
  until(85);
  expect(passive.hint('s', '10.0.0.1:80')?.quiescedUntilUs).toBe(90_000_000);
  until(115);
  expect(passive.hint('s', '10.0.0.1:80')).toBeNull();
  until(120);
  expect(told.map((one) => one.split(' ').slice(0, 2).join(' '))).toEqual([
    '30 began',
    '90 ended',
    '120 began',
  ]);
  expect(changes).toEqual([30, 90, 120]);
});

const FAMILIES = ['"192.0.2.1:80"', '"[2001:db8::1]:80"'];

test.each([FAMILIES, FAMILIES.toReversed()])(
  'each server is judged by the packets of its own clients: %s before %s',
  (...addresses) => {
    const [v6, counts] = ['[2001:db8::11]:80', new Map<string, ServerCounts>()];
    const { told, until } = run('warn', {
      addresses: addresses.join(', '),
      more: ', "2001:db8::11"',
      // A SYN of IPv6 has 80 bytes, more than one of IPv4 can have.
      beside: (nowUs) => {
        const connections = nowUs / 500_000;
        counts.set(v6, {
          weight: 1,
          activeConnections: connections,
          inactiveConnections: 0,
          persistentConnections: 0,
          connections,
          packetsIn: connections * 3,
          packetsOut: 0,
          bytesIn: connections * 3 * 80,
          bytesOut: 0,
        });
        return counts;
      },
    });
    until(60);
    expect(told).toEqual(['30 began 10.0.0.1:80', `30 began ${v6}`]);
  },
);

test('off looks at nothing', () => {
  const { told, until } = run('off');
  until(120);
  expect(told).toEqual([]);
});
