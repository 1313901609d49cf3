/**
 * planRouting's promises for any wanted and any observed routes and rules, on the model of a
 * kernel that keeps several IPv4 routes of one destination and one of IPv6.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type KernelRoute,
  type ObservedRouting,
  planRouting,
  type RoutingOperation,
  type RoutingTable,
  routeKey,
  sameRoute,
  sameRule,
} from '../../src/core/address/routing.ts';
import type { RuleConfig } from '../../src/core/config/address.ts';

const hop = fc.record({
  via: fc.constantFrom(null, '192.0.2.1', '192.0.2.2'),
  interface: fc.constantFrom(2, 3),
  weight: fc.constantFrom(1, 2),
  onlink: fc.boolean(),
});
const route: fc.Arbitrary<KernelRoute> = fc.record({
  family: fc.constantFrom('ipv4' as const, 'ipv6' as const),
  type: fc.constantFrom('unicast' as const, 'blackhole' as const),
  to: fc.constantFrom(
    { address: '10.0.0.0', prefixLength: 8 },
    { address: '0.0.0.0', prefixLength: 0 },
  ),
  table: fc.constantFrom(254, 100),
  metric: fc.constantFrom(0, 5),
  tos: fc.constant(0),
  scope: fc.constantFrom(0, 253),
  source: fc.constantFrom(null, '192.0.2.9'),
  nexthops: fc.array(hop, { minLength: 1, maxLength: 2 }),
  metrics: fc.constantFrom({}, { mtu: 1400 }, { mtu: 0 }),
  congestion: fc.constant(null),
  locked: fc.constantFrom([], ['mtu' as const]),
  realms: fc.constant({ from: 0, to: 0 }),
  preference: fc.constantFrom('medium' as const, 'high' as const),
});
const rule: fc.Arbitrary<RuleConfig> = fc.record({
  family: fc.constantFrom('ipv4' as const, 'ipv6' as const),
  priority: fc.constantFrom(1, 2),
  action: fc.constantFrom(
    { kind: 'table' as const, table: 100 },
    { kind: 'goto' as const, priority: 9 },
    { kind: 'nop' as const },
  ),
  not: fc.boolean(),
  from: fc.constantFrom(null, { address: '10.0.0.0', prefixLength: 8 }),
  to: fc.constant(null),
  iif: fc.constantFrom(null, 'eth0'),
  oif: fc.constant(null),
  tos: fc.constant(0),
  fwmark: fc.constantFrom(null, { mark: 5, mask: 255 }),
  realms: fc.constant({ from: 0, to: 0 }),
  uidRange: fc.constant(null),
  ipProtocol: fc.constant(0),
  sport: fc.constant(null),
  dport: fc.constant(null),
  suppressPrefixLength: fc.constant(null),
  suppressInterfaceGroup: fc.constant(null),
});
const desired: fc.Arbitrary<RoutingTable> = fc.record({
  routes: fc.uniqueArray(route, { selector: routeKey }),
  rules: fc.uniqueArray(rule, { selector: (one) => JSON.stringify(one) }),
});
const observed: fc.Arbitrary<ObservedRouting> = fc
  .record({
    routes: fc.uniqueArray(route, { selector: (one) => `${routeKey(one)} ${one.source}` }),
    rules: fc.uniqueArray(rule, { selector: (one) => JSON.stringify(one) }),
    foreign: fc.nat(7),
  })
  .map(({ routes, rules, foreign }) => ({
    // One IPv6 route for each key; some of all are another program's.
    routes: routes
      .filter((one, index) => {
        const first = routes.findIndex((other) => routeKey(other) === routeKey(one));
        return one.family === 'ipv4' || first === index;
      })
      .map((one, index) => ({ ...one, ours: index % 8 !== foreign })),
    rules: rules.map((one, index) => ({ ...one, ours: index % 8 !== foreign })),
  }));
const own: fc.Arbitrary<ObservedRouting> = observed.map(({ routes, rules }) => ({
  routes: routes.map((one) => ({ ...one, ours: true })),
  rules: rules.map((one) => ({ ...one, ours: true })),
}));

/** Applies operations; the names of those that a kernel would refuse. */
function apply(start: ObservedRouting, operations: readonly RoutingOperation[]) {
  let routes = [...start.routes];
  let rules = [...start.rules];
  const refused: string[] = [];
  for (const operation of operations) {
    if (operation.kind === 'add-route') {
      const { route: one } = operation as { route: KernelRoute };
      const taken = routes.some(
        (there) =>
          routeKey(there) === routeKey(one) && (one.family === 'ipv6' || sameRoute(one, there)),
      );
      if (taken) refused.push(operation.kind);
      else routes.unshift({ ...one, ours: true });
    } else if (operation.kind === 'delete-route') {
      const { route: one } = operation as { route: KernelRoute };
      if (!routes.includes(one as never)) refused.push(operation.kind);
      routes = routes.filter((there) => there !== one);
    } else if ('rule' in operation) {
      const { rule: one } = operation;
      const there = rules.some((other) => sameRule(other, one));
      if (there !== (operation.kind === 'delete-rule')) refused.push(operation.kind);
      else if (!there) rules.push({ ...one, ours: true });
      else rules = rules.filter((other) => other !== one);
    }
  }
  return { routes, rules, refused };
}

describe('planRouting', () => {
  it('is empty when the kernel holds what is wanted', () => {
    fc.assert(
      fc.property(desired, (wanted) => {
        const there = {
          routes: wanted.routes.map((one) => ({ ...one, ours: true })).reverse(),
          rules: wanted.rules.map((one) => ({ ...one, ours: true })).reverse(),
        };
        expect(planRouting(wanted, there)).toEqual([]);
      }),
    );
  });

  it('applied to what is ours, has nothing refused and yields what was wanted', () => {
    fc.assert(
      fc.property(desired, own, (wanted, there) => {
        const after = apply(there, planRouting(wanted, there));
        expect(after.refused).toEqual([]);
        expect(planRouting(wanted, after)).toEqual([]);
        expect(after.routes).toHaveLength(wanted.routes.length);
        expect(after.rules).toHaveLength(wanted.rules.length);
      }),
    );
  });

  it('removes nothing that is not ours', () => {
    fc.assert(
      fc.property(desired, observed, (wanted, there) => {
        for (const operation of planRouting(wanted, there)) {
          if (!operation.kind.startsWith('delete')) continue;
          const object = 'route' in operation ? operation.route : operation.rule;
          expect((object as { ours?: boolean }).ours).toBe(true);
        }
      }),
    );
  });

  it('has an IPv4 route and a rule there in the new form before the old one goes', () => {
    fc.assert(
      fc.property(desired, own, (wanted, there) => {
        const kinds = planRouting(wanted, there)
          .filter((operation) => !('route' in operation) || operation.route.family === 'ipv4')
          .map(({ kind }) => kind.split('-')[0]);
        const lastAdd = kinds.lastIndexOf('add');
        expect(kinds.slice(0, lastAdd + 1)).not.toContain('delete');
      }),
    );
  });
});
