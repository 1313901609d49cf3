import { describe, expect, it } from 'vitest';
import { apply, type IpvsErrorName } from '../../../../src/core/ipvs/apply.ts';
import type { IpvsOperation } from '../../../../src/core/ipvs/model.ts';
import { server, service, WEB } from './samples.ts';

const OTHER = { ...WEB, port: 81 } as const;
const TABLE = apply(
  [
    { kind: 'add-service', service: service(WEB) },
    { kind: 'add-server', identity: WEB, server: server(11) },
  ],
  [],
).table;
const add = (changes: Parameters<typeof server>[1]): IpvsOperation => ({
  kind: 'add-server',
  identity: WEB,
  server: server(12, changes),
});

describe('apply', () => {
  it.each<[IpvsErrorName, string, IpvsOperation]>([
    ['EEXIST', 'a second service', { kind: 'add-service', service: service(WEB) }],
    ['ESRCH', 'setting no service', { kind: 'set-service', service: service(OTHER) }],
    ['ESRCH', 'deleting no service', { kind: 'delete-service', identity: OTHER }],
    ['ESRCH', 'a server of none', { kind: 'add-server', identity: OTHER, server: server(11) }],
    ['EEXIST', 'a second server', { kind: 'add-server', identity: WEB, server: server(11) }],
    ['ENOENT', 'setting no server', { kind: 'set-server', identity: WEB, server: server(12) }],
    [
      'ENOENT',
      'deleting no server',
      { kind: 'delete-server', identity: WEB, address: '10.0.0.12', port: 8080 },
    ],
    ['ERANGE', 'a lower above an upper threshold', add({ upperThreshold: 1, lowerThreshold: 2 })],
    ['EINVAL', 'NAT to the other family', add({ address: '2001:db8::1' })],
    [
      'EINVAL',
      'GUE without a port',
      add({ forwarding: 'tun', tunnel: { kind: 'gue', port: 0, checksum: 'none' } }),
    ],
  ])('answers %s to %s and changes nothing', (error, _name, operation) => {
    expect(apply([operation], TABLE)).toEqual({ table: TABLE, results: [{ operation, error }] });
  });

  it('keeps servers and counters when a service is set, and counters when a server is set', () => {
    const counted = TABLE.map((entry) => ({
      ...entry,
      stats: { ...entry.stats, connections: 7 },
      servers: entry.servers.map((one) => ({ ...one, activeConnections: 3 })),
    }));
    const { table } = apply(
      [
        { kind: 'set-service', service: service(WEB, { scheduler: 'rr' }) },
        { kind: 'set-server', identity: WEB, server: server(11, { weight: 4 }) },
      ],
      counted,
    );
    expect(table[0]?.service.scheduler).toBe('rr');
    expect(table[0]?.stats.connections).toBe(7);
    expect(table[0]?.servers[0]).toMatchObject({ weight: 4, activeConnections: 3 });
  });

  it('stores no tunnel for a server that is not tunnelled, because none is sent', () => {
    const operation = add({ tunnel: { kind: 'gue', port: 0, checksum: 'on' } });
    const { table, results } = apply([operation], TABLE);
    expect(results[0]?.error).toBeNull();
    expect(table[0]?.servers[1]?.tunnel).toEqual({ kind: 'ipip' });
  });

  it('drops the servers of a deleted service, and goes on after a failed operation', () => {
    const { table, results } = apply(
      [
        { kind: 'delete-service', identity: OTHER },
        { kind: 'delete-service', identity: WEB },
        { kind: 'add-service', service: service(WEB) },
      ],
      TABLE,
    );
    expect(results.map(({ error }) => error)).toEqual(['ESRCH', null, null]);
    expect(table.map((entry) => entry.servers)).toEqual([[]]);
  });
});
