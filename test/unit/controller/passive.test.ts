/** Passive hints as time passes: told once, kept out of the way for a while, tried again. */
import { expect, test } from 'vitest';
import { Passive } from '../../../src/controller/passive.ts';
import type { ServerCounts } from '../../../src/core/ipvs/entries.ts';
import { configOf } from '../config/read.ts';

function run(action: string) {
  const text = `services: {s: {address: "192.0.2.1:80", forwarding: dr, passive: ${action}, servers: [10.0.0.1, 10.0.0.2]}}`;
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

test('off looks at nothing', () => {
  const { told, until } = run('off');
  until(120);
  expect(told).toEqual([]);
});
