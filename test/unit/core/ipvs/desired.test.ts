import { describe, expect, it } from 'vitest';
import type { RealServerConfig, ServiceConfig } from '../../../../src/core/config/config.ts';
import { plainService } from '../../../../src/core/config/plain-service.ts';
import { desiredTable } from '../../../../src/core/ipvs/desired.ts';
import { serviceKey } from '../../../../src/core/ipvs/model.ts';
import { server, service, WEB } from './samples.ts';

function config(changes: Partial<ServiceConfig> = {}): ServiceConfig {
  const servers = [serverConfig(12), serverConfig(11)];
  return plainService(
    { name: 'web', entries: [{ identity: WEB, follow: null }], servers },
    changes,
  );
}

function serverConfig(host: number): RealServerConfig {
  return { ...server(host, { weight: 10 }), forwarding: 'nat', check: null, maintenance: [] };
}

function weights(changes: Partial<ServiceConfig>, wanted: Readonly<Record<string, number | null>>) {
  const table = desiredTable([config(changes)], (name, key) => {
    expect(name).toBe('web');
    return wanted[key] ?? null;
  });
  return table[0]?.servers.map(({ address, weight }) => [address, weight]);
}

describe('desiredTable', () => {
  it('takes healthy servers with their configured weights, sorted by key', () => {
    const table = desiredTable([config()], () => 10);
    expect(table).toEqual([
      {
        service: service(WEB),
        servers: [server(11, { weight: 10 }), server(12, { weight: 10 })],
      },
    ]);
  });

  it('gives servers the weights that were decided, zero included, and leaves out those of none', () => {
    expect(weights({}, { '10.0.0.11:8080': 0, '10.0.0.12:8080': 3 })).toEqual([
      ['10.0.0.11', 0],
      ['10.0.0.12', 3],
    ]);
    expect(weights({}, { '10.0.0.11:8080': null, '10.0.0.12:8080': 10 })).toEqual([
      ['10.0.0.12', 10],
    ]);
  });

  it('has sorry servers in their places among the others', () => {
    const sorry = { sorryServers: [serverConfig(10)] };
    const all = { '10.0.0.10:8080': 0, '10.0.0.11:8080': 1, '10.0.0.12:8080': 1 };
    expect(weights(sorry, all)).toEqual([
      ['10.0.0.10', 0],
      ['10.0.0.11', 1],
      ['10.0.0.12', 1],
    ]);
  });

  it('translates persistence, engine, one-packet and the three scheduler flags', () => {
    const [entry] = desiredTable(
      [
        config({
          persistence: { timeoutSeconds: 300, prefixLength: 24 },
          persistenceEngine: 'sip',
          onePacket: true,
          schedulerFlags: ['mh-fallback', 'sh-port', 'flag-3'],
        }),
      ],
      () => 1,
    );
    expect(entry?.service).toEqual(
      service(WEB, {
        persistenceSeconds: 300,
        persistencePrefixLength: 24,
        persistenceEngine: 'sip',
        onePacket: true,
        flag1: true,
        flag2: true,
        flag3: true,
      }),
    );
  });

  it('gives IPv6 services without persistence the full prefix, and sorts services by key', () => {
    const mark = { kind: 'fwmark', family: 'ipv6', mark: 5 } as const;
    const table = desiredTable(
      [
        config(),
        config({ name: 'mark', entries: [{ identity: mark, follow: null }], servers: [] }),
      ],
      () => 1,
    );
    expect(table.map((entry) => serviceKey(entry.service.identity))).toEqual([
      'fwmark 5 ipv6',
      'tcp 192.0.2.10:80',
    ]);
    expect(table[0]?.service.persistencePrefixLength).toBe(128);
  });
});
