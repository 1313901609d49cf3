/** Who leaves the table, for how long, and what stays for them meanwhile. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { connectionsOf } from '../../../../src/core/health/override.ts';
import {
  type Leaving,
  leavingFromJson,
  leavingPath,
  look,
  withLeaving,
} from '../../../../src/core/ipvs/leaving.ts';
import { type ObservedService, serverKey, serviceKey } from '../../../../src/core/ipvs/model.ts';
import { plan } from '../../../../src/core/ipvs/plan.ts';
import { desiredTable, observedTable, ownedSet } from '../../../property/ipvs-arbitraries.ts';
import { server, service, WEB } from './samples.ts';

const KEY = serviceKey(WEB);
const POLICY = { onRemove: 'drain', drainTimeoutUs: 60_000_000 } as const;

function observed(weight: number, connections: number): ObservedService {
  const stats = {
    ...{ connections: 0, packetsIn: 0, packetsOut: 0, bytesIn: 0, bytesOut: 0 },
  };
  const counters = { activeConnections: 0, inactiveConnections: 0, stats };
  const one = { ...server(1, { weight }), ...counters, persistentConnections: connections };
  return { service: service(WEB), stats, servers: [one] };
}

function looked(weight: number, connections: number, before: readonly Leaving[], nowMs: number) {
  return look({
    configured: new Map([[KEY, { name: 'web', servers: new Set(), policy: POLICY }]]),
    policy: POLICY,
    nameOf: () => null,
    observed: [observed(weight, connections)],
    owned: new Map([[KEY, new Set(['10.0.0.1:8080'])]]),
    before: new Map(before.map((one) => [leavingPath(one), one])),
    nowMs,
  });
}

describe('look', () => {
  test('quiesces first, also what has no connections', () => {
    const { leaving, keep, ended } = looked(3, 0, [], 1_000);
    expect([...leaving.values()]).toEqual([
      {
        ...{ entry: KEY, server: '10.0.0.1:8080', name: 'web', persistent: false },
        ...{ sinceMs: 1_000, untilMs: 61_000 },
      },
    ]);
    expect(keep.get(KEY)).toEqual([server(1, { weight: 0 })]);
    expect(ended).toEqual([]);
  });

  test('waits for templates of persistent clients too, and until the deadline of the first look', () => {
    const first = [...looked(3, 1, [], 1_000).leaving.values()];
    expect([...looked(0, 1, first, 60_999).leaving.values()]).toEqual(first);
    expect(looked(0, 1, first, 61_000).ended).toMatchObject([{ connectionsLeft: 1 }]);
    expect(looked(0, 0, first, 2_000).ended).toMatchObject([{ connectionsLeft: 0 }]);
  });

  test('what was written is read, and nothing else', () => {
    const all = [...looked(3, 1, [], 1_000).leaving.values()];
    expect(leavingFromJson(JSON.parse(JSON.stringify(all)))).toEqual({ ok: true, value: all });
    for (const bad of [null, {}, [null], [{}], [{ ...all[0], untilMs: null }]]) {
      expect(leavingFromJson(bad).ok).toBe(false);
    }
  });
});

describe('withLeaving', () => {
  test('for any tables: no server with connections is deleted before its deadline, all are then', () => {
    fc.assert(
      fc.property(desiredTable, observedTable, ownedSet, (desired, table, owned) => {
        const configured = new Map(
          desired.map((entry) => {
            const servers = new Set(entry.servers.map(serverKey));
            return [serviceKey(entry.service.identity), { name: 'x', servers, policy: POLICY }];
          }),
        );
        const at = (nowMs: number, before: ReadonlyMap<string, Leaving>) => {
          const common = { configured, policy: POLICY, nameOf: () => null, observed: table, owned };
          return look({ ...common, before, nowMs });
        };
        const first = at(0, new Map());
        const wanted = withLeaving(desired, table, first, configured);
        const { operations } = plan({
          desired: wanted,
          observed: table,
          owned,
          ownership: 'shared',
        });
        const gone = new Set(
          operations.flatMap((one) => {
            if (one.kind === 'delete-server')
              return [`${serviceKey(one.identity)} ${serverKey(one)}`];
            if (one.kind !== 'delete-service') return [];
            const key = serviceKey(one.identity);
            const entry = table.find(({ service: found }) => serviceKey(found.identity) === key);
            return (entry?.servers ?? []).map((each) => `${key} ${serverKey(each)}`);
          }),
        );
        for (const entry of table) {
          for (const one of entry.servers) {
            const key = `${serviceKey(entry.service.identity)} ${serverKey(one)}`;
            if (gone.has(key)) expect([one.weight, connectionsOf(one)]).toEqual([0, 0]);
          }
        }
        expect(at(60_000, first.leaving).keep.size).toBe(0);
      }),
      { numRuns: 300 },
    );
  });
});
