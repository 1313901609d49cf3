import { describe, expect, it } from 'vitest';
import { apply } from '../../../../src/core/ipvs/apply.ts';
import type {
  DesiredService,
  IpvsOperation,
  RealServer,
  VirtualService,
} from '../../../../src/core/ipvs/model.ts';
import { serverKey } from '../../../../src/core/ipvs/model.ts';
import { plan } from '../../../../src/core/ipvs/plan.ts';
import { claim } from '../../../property/owned.ts';
import { server, service, WEB } from './samples.ts';

const KEY = 'tcp 192.0.2.10:80';

function observedOf(desired: readonly DesiredService[]) {
  const input = { desired, observed: [], owned: new Map(), ownership: 'shared' as const };
  return apply(plan(input).operations, []).table;
}

function brief(operation: IpvsOperation): string {
  switch (operation.kind) {
    case 'add-service':
    case 'set-service':
      return operation.kind;
    case 'delete-service':
      return operation.kind;
    case 'delete-server':
      return `${operation.kind} ${serverKey(operation)}`;
    default:
      return `${operation.kind} ${serverKey(operation.server)} ${operation.server.weight}`;
  }
}

function change(from: readonly RealServer[], to: readonly RealServer[]) {
  const before = [{ service: service(WEB), servers: from }];
  return plan({
    desired: [{ service: service(WEB), servers: to }],
    observed: observedOf(before),
    owned: claim(new Map(), before),
    ownership: 'shared',
  });
}

describe('plan', () => {
  it('adds a service before its servers, and servers by key', () => {
    const desired = [{ service: service(WEB), servers: [server(12), server(11)] }];
    const { operations, drift } = plan({
      desired,
      observed: [],
      owned: new Map(),
      ownership: 'shared',
    });
    expect(operations.map(brief)).toEqual([
      'add-service',
      'add-server 10.0.0.11:8080 1',
      'add-server 10.0.0.12:8080 1',
    ]);
    expect(drift.map((item) => `${item.class} ${item.key}`)).toEqual([
      `missing ${KEY}`,
      `missing ${KEY} -> 10.0.0.11:8080`,
      `missing ${KEY} -> 10.0.0.12:8080`,
    ]);
  });

  it('grows capacity before it shrinks: add, raise, lower, delete', () => {
    const { operations } = change(
      [server(11, { weight: 5 }), server(12), server(13)],
      [server(11, { weight: 0 }), server(12, { weight: 9 }), server(14)],
    );
    expect(operations.map(brief)).toEqual([
      'add-server 10.0.0.14:8080 1',
      'set-server 10.0.0.12:8080 9',
      'set-server 10.0.0.11:8080 0',
      'delete-server 10.0.0.13:8080',
    ]);
  });

  it('says what differs about an altered server, and sends its full record', () => {
    const wanted = server(11, { weight: 3, upperThreshold: 100, lowerThreshold: 10 });
    const { operations, drift } = change([server(11)], [wanted]);
    expect(operations).toEqual([{ kind: 'set-server', identity: WEB, server: wanted }]);
    expect(drift).toEqual([
      {
        key: `${KEY} -> 10.0.0.11:8080`,
        class: 'altered',
        detail: 'weight 1, wanted 3; upper threshold 0, wanted 100; lower threshold 0, wanted 10',
      },
    ]);
  });

  it.each<[string, Partial<RealServer>, Partial<RealServer>]>([
    [
      'the tunnel of a NAT server',
      { tunnel: { kind: 'gre', checksum: 'on' } },
      { tunnel: { kind: 'ipip' } },
    ],
  ])('sees no difference in %s', (_name, is, wanted) => {
    expect(change([server(11, is)], [server(11, wanted)]).operations).toEqual([]);
  });

  it.each<[string, Partial<RealServer>, Partial<RealServer>]>([
    ['forwarding', { forwarding: 'nat' }, { forwarding: 'dr' }],
    ['an upper threshold', { upperThreshold: 8 }, { upperThreshold: 9 }],
    ['a lower threshold', { upperThreshold: 9 }, { upperThreshold: 9, lowerThreshold: 8 }],
    ['the kind of a tunnel', TUN('ipip'), TUN('gre')],
    ['a GUE port', GUE(6080, 'none'), GUE(6081, 'none')],
    ['a GUE checksum', GUE(6080, 'none'), GUE(6080, 'remote')],
  ])('repairs %s in place', (_name, is, wanted) => {
    expect(change([server(11, is)], [server(11, wanted)]).operations.map(brief)).toEqual([
      'set-server 10.0.0.11:8080 1',
    ]);
  });

  it.each<[keyof VirtualService, Partial<VirtualService>]>([
    ['scheduler', { scheduler: 'rr' }],
    ['persistenceSeconds', { persistenceSeconds: 60 }],
    ['persistenceEngine', { persistenceEngine: 'sip' }],
    ['onePacket', { onePacket: true }],
    ['flag1', { flag1: true }],
    ['flag2', { flag2: true }],
    ['flag3', { flag3: true }],
  ])('sets a service that differs in %s, and says so', (_name, changes) => {
    const wanted = { service: service(WEB, changes), servers: [] };
    const { operations, drift } = plan({
      desired: [wanted],
      observed: observedOf([{ service: service(WEB), servers: [] }]),
      owned: new Map(),
      ownership: 'shared',
    });
    expect(operations).toEqual([{ kind: 'set-service', service: wanted.service }]);
    expect(drift).toMatchObject([{ key: KEY, class: 'altered' }]);
    expect(drift[0]?.detail).toMatch(/^[a-z0-9 -]+ .*, wanted /);
  });

  it('ignores the netmask of a service without persistence, and heeds it with persistence', () => {
    const at = (persistenceSeconds: number, persistencePrefixLength: number) => ({
      service: service(WEB, { persistenceSeconds, persistencePrefixLength }),
      servers: [],
    });
    const differ = (is: DesiredService, wanted: DesiredService) =>
      plan({
        desired: [wanted],
        observed: observedOf([is]),
        owned: new Map(),
        ownership: 'shared',
      }).operations.length;
    expect(differ(at(0, 24), at(0, 32))).toBe(0);
    expect(differ(at(60, 24), at(60, 32))).toBe(1);
  });

  it('adopts an equal service that somebody else made, and leaves its other servers', () => {
    const theirs = [{ service: service(WEB), servers: [server(11), server(19)] }];
    const result = plan({
      desired: [{ service: service(WEB), servers: [server(11)] }],
      observed: observedOf(theirs),
      owned: new Map(),
      ownership: 'shared',
    });
    expect(result.operations).toEqual([]);
    expect(result.foreign).toEqual({ services: 0, servers: 1 });
  });

  it('keeps a service of ours that is not wanted while a foreign server is in it', () => {
    const mine = [{ service: service(WEB), servers: [server(11)] }];
    const observed = observedOf([{ service: service(WEB), servers: [server(11), server(19)] }]);
    const owned = claim(new Map(), mine);
    const result = plan({ desired: [], observed, owned, ownership: 'shared' });
    expect(result.operations.map(brief)).toEqual(['delete-server 10.0.0.11:8080']);
    expect(result.foreign).toEqual({ services: 1, servers: 1 });
  });

  it('deletes a service of ours in one operation when only our servers are in it', () => {
    const mine = [{ service: service(WEB), servers: [server(11), server(12)] }];
    const owned = claim(new Map(), mine);
    const result = plan({
      desired: [],
      observed: observedOf(mine),
      owned,
      ownership: 'shared',
    });
    expect(result.operations.map(brief)).toEqual(['delete-service']);
  });
});

function TUN(kind: 'ipip' | 'gre'): Partial<RealServer> {
  return {
    forwarding: 'tun',
    tunnel: kind === 'ipip' ? { kind } : { kind, checksum: 'none' },
  };
}

function GUE(port: number, checksum: 'none' | 'remote'): Partial<RealServer> {
  return { forwarding: 'tun', tunnel: { kind: 'gue', port, checksum } };
}
