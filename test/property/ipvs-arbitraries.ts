/**
 * Generators of IPVS tables. Keys come from small pools, so that wanted, observed and owned
 * entries overlap in every way; everything else varies freely within what the kernel accepts.
 */
import fc from 'fast-check';
import type { ServiceIdentity } from '../../src/core/config/config.ts';
import type {
  DesiredService,
  ObservedService,
  RealServer,
  VirtualService,
} from '../../src/core/ipvs/model.ts';
import { serverKey, serviceFamily, serviceKey } from '../../src/core/ipvs/model.ts';
import type { OwnedSet } from '../../src/core/ipvs/owned.ts';

const IDENTITIES: readonly ServiceIdentity[] = [
  { kind: 'address', protocol: 'tcp', address: '192.0.2.10', port: 80 },
  { kind: 'address', protocol: 'udp', address: '192.0.2.10', port: 53 },
  { kind: 'address', protocol: 'tcp', address: '2001:db8::10', port: 80 },
  { kind: 'fwmark', family: 'ipv4', mark: 7 },
  { kind: 'fwmark', family: 'ipv6', mark: 7 },
];

const stats = fc.record({
  connections: fc.maxSafeNat(),
  packetsIn: fc.maxSafeNat(),
  packetsOut: fc.maxSafeNat(),
  bytesIn: fc.maxSafeNat(),
  bytesOut: fc.maxSafeNat(),
});

const tunnel: fc.Arbitrary<RealServer['tunnel']> = fc.oneof(
  fc.constant({ kind: 'ipip' as const }),
  fc.record({
    kind: fc.constant('gue' as const),
    port: fc.integer({ min: 1, max: 65_535 }),
    checksum: fc.constantFrom('none' as const, 'on' as const, 'remote' as const),
  }),
  fc.record({
    kind: fc.constant('gre' as const),
    checksum: fc.constantFrom('none' as const, 'on' as const),
  }),
);

const counters = fc.record({
  activeConnections: fc.nat(),
  inactiveConnections: fc.nat(),
  persistentConnections: fc.nat(),
  stats,
});

/** A server of a service of this family: of the other family only through a tunnel. */
export function realServer(family: 'ipv4' | 'ipv6'): fc.Arbitrary<RealServer> {
  const pool = ['10.0.0.11', '10.0.0.12', '10.0.0.13', '2001:db8::11', '2001:db8::12'];
  return fc
    .record({
      address: fc.constantFrom(...pool),
      port: fc.constantFrom(80, 8080),
      forwarding: fc.constantFrom('nat' as const, 'dr' as const, 'tun' as const),
      weight: fc.integer({ min: 0, max: 3 }),
      thresholds: fc.tuple(fc.nat(3), fc.nat(3)),
      tunnel,
    })
    .map(({ thresholds, ...server }) => {
      const mixed = server.address.includes(':') !== (family === 'ipv6');
      const [first, second] = thresholds;
      return {
        ...server,
        forwarding: mixed ? 'tun' : server.forwarding,
        upperThreshold: Math.max(first, second),
        lowerThreshold: Math.min(first, second),
      };
    });
}

export function virtualService(identity: ServiceIdentity): fc.Arbitrary<VirtualService> {
  const maxPrefixLength = serviceFamily(identity) === 'ipv4' ? 32 : 128;
  return fc.record({
    identity: fc.constant(identity),
    scheduler: fc.constantFrom('rr', 'wlc', 'mh', 'none'),
    persistenceSeconds: fc.constantFrom(0, 60, 300),
    persistencePrefixLength: fc.integer({ min: 1, max: maxPrefixLength }),
    persistenceEngine: fc.constantFrom(null, 'sip'),
    onePacket: fc.boolean(),
    flag1: fc.boolean(),
    flag2: fc.boolean(),
    flag3: fc.boolean(),
  });
}

export const identity: fc.Arbitrary<ServiceIdentity> = fc.constantFrom(...IDENTITIES);

function entry(wanted: ServiceIdentity): fc.Arbitrary<DesiredService> {
  return fc.record({
    service: virtualService(wanted),
    servers: fc.uniqueArray(realServer(serviceFamily(wanted)), {
      selector: serverKey,
      maxLength: 5,
    }),
  });
}

/** A wanted table: services and servers in any order, each once. */
export const desiredTable: fc.Arbitrary<DesiredService[]> = fc
  .shuffledSubarray([...IDENTITIES])
  .chain((identities) => fc.tuple(...identities.map(entry)));

/** A table as dumped. */
export const observedTable: fc.Arbitrary<ObservedService[]> = desiredTable.chain((table) =>
  fc.tuple(
    ...table.map(({ service, servers }) =>
      fc.record({
        service: fc.constant(service),
        stats,
        servers: fc.tuple(
          ...servers.map((server) => counters.map((counts) => ({ ...counts, ...server }))),
        ),
      }),
    ),
  ),
);

/** Any subset of the keys that can occur. */
export const ownedSet: fc.Arbitrary<OwnedSet> = desiredTable.map(
  (table) =>
    new Map(
      table.map(({ service, servers }) => [
        serviceKey(service.identity),
        new Set(servers.map(serverKey)),
      ]),
    ),
);
