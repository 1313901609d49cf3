/**
 * The planner's promises, for any wanted table, any observed table, any ownership. The kernel is
 * the pure model of its table (core/ipvs/apply.ts).
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { afterwards, apply } from '../../src/core/ipvs/apply.ts';
import type {
  DesiredService,
  ObservedService,
  RealServer,
  VirtualService,
} from '../../src/core/ipvs/model.ts';
import { serverKey, serviceKey } from '../../src/core/ipvs/model.ts';
import { disowned, type OwnedSet } from '../../src/core/ipvs/owned.ts';
import { type PlanInput, plan, planService, serverPath } from '../../src/core/ipvs/plan.ts';
import { desiredTable, observedTable, ownedSet } from './ipvs-arbitraries.ts';
import { claim, withChanges } from './owned.ts';

const input: fc.Arbitrary<PlanInput> = fc.record({
  desired: desiredTable,
  observed: observedTable,
  owned: ownedSet,
  ownership: fc.constantFrom('shared' as const, 'exclusive' as const),
});
const sharedInput = input.map((value) => ({ ...value, ownership: 'shared' as const }));

function keys(table: readonly DesiredService[]): string[] {
  return table.flatMap(({ service, servers }) => {
    const key = serviceKey(service.identity);
    return [key, ...servers.map((server) => serverPath(key, serverKey(server)))];
  });
}

function observedFrom(desired: readonly DesiredService[]): ObservedService[] {
  return [...apply(plan({ ...EMPTY, desired }).operations, []).table];
}

function servicesByKey<T extends DesiredService>(table: readonly T[]): Map<string, T> {
  return new Map(table.map((entry) => [serviceKey(entry.service.identity), entry]));
}

function isOurs(owned: OwnedSet, service: string, server: string): boolean {
  return owned.get(service)?.has(server) === true;
}

/** The settings that have a meaning in their place. */
function meaningOfService({ persistencePrefixLength, ...service }: VirtualService) {
  return service.persistenceSeconds === 0 ? service : { ...service, persistencePrefixLength };
}

function meaningOfServer(server: RealServer) {
  const { address, port, forwarding, weight, upperThreshold, lowerThreshold, tunnel } = server;
  const record = { address, port, forwarding, weight, upperThreshold, lowerThreshold };
  return forwarding === 'tun' ? { ...record, tunnel } : record;
}

const EMPTY: PlanInput = { desired: [], observed: [], owned: new Map(), ownership: 'shared' };

describe('plan', () => {
  it('is empty when the kernel holds what is wanted, and sees no drift', () => {
    fc.assert(
      fc.property(desiredTable, ownedSet, fc.boolean(), (desired, owned, exclusive) => {
        const ownership = exclusive ? 'exclusive' : 'shared';
        const result = plan({ desired, observed: observedFrom(desired), owned, ownership });
        expect(result).toEqual({ operations: [], drift: [], foreign: { services: 0, servers: 0 } });
      }),
    );
  });

  it('orders operations so that none fails', () => {
    fc.assert(
      fc.property(input, (value) => {
        const { results } = apply(plan(value).operations, value.observed);
        expect(results.filter(({ error }) => error !== null)).toEqual([]);
      }),
    );
  });

  it('applied, yields every wanted entry as wanted', () => {
    fc.assert(
      fc.property(input, (value) => {
        const table = servicesByKey(apply(plan(value).operations, value.observed).table);
        for (const { service, servers } of value.desired) {
          const entry = table.get(serviceKey(service.identity)) as ObservedService;
          expect(meaningOfService(entry.service)).toEqual(meaningOfService(service));
          const present = new Map(entry.servers.map((server) => [serverKey(server), server]));
          for (const server of servers) {
            const is = present.get(serverKey(server));
            expect(is && meaningOfServer(is)).toEqual(meaningOfServer(server));
          }
        }
      }),
    );
  });

  it('applied in exclusive mode, leaves nothing else', () => {
    fc.assert(
      fc.property(input, (value) => {
        const exclusive = { ...value, ownership: 'exclusive' as const };
        const { operations, foreign } = plan(exclusive);
        const { table } = apply(operations, value.observed);
        expect(keys(table).sort()).toEqual(keys(value.desired).sort());
        expect(foreign).toEqual({ services: 0, servers: 0 });
      }),
    );
  });

  it('applied in shared mode, leaves every foreign entry untouched and deletes every leftover', () => {
    fc.assert(
      fc.property(sharedInput, (value) => {
        const after = servicesByKey(apply(plan(value).operations, value.observed).table);
        const wanted = new Set(keys(value.desired));
        for (const entry of value.observed) {
          const key = serviceKey(entry.service.identity);
          const left = after.get(key);
          if (!value.owned.has(key) && !wanted.has(key)) expect(left).toBeDefined();
          if (!wanted.has(key) && left !== undefined) expect(left.service).toEqual(entry.service);
          for (const server of entry.servers) {
            const name = serverKey(server);
            if (wanted.has(serverPath(key, name))) continue;
            const stays = left?.servers.find((other) => serverKey(other) === name);
            expect(stays).toEqual(isOurs(value.owned, key, name) ? undefined : server);
          }
        }
      }),
    );
  });

  it('counts exactly the entries that stay although they are not wanted', () => {
    fc.assert(
      fc.property(sharedInput, (value) => {
        const { operations, foreign, drift } = plan(value);
        const wanted = new Set(keys(value.desired));
        const staying = keys(apply(operations, value.observed).table).filter(
          (key) => !wanted.has(key),
        );
        const services = staying.filter((key) => !key.includes(' -> ')).length;
        expect(foreign).toEqual({ services, servers: staying.length - services });
        const shown = drift.filter((item) => item.class === 'foreign').map((item) => item.key);
        expect(shown.sort()).toEqual(staying.sort());
      }),
    );
  });

  it('is idempotent: a second plan on the result is empty', () => {
    fc.assert(
      fc.property(input, (value) => {
        const { operations } = plan(value);
        const { table } = apply(operations, value.observed);
        const owned = withChanges(claim(value.owned, value.desired), disowned(operations));
        expect(plan({ ...value, observed: table, owned }).operations).toEqual([]);
      }),
    );
  });

  it('deletes all that is ours, and nothing else, when nothing is wanted any more', () => {
    fc.assert(
      fc.property(desiredTable, observedTable, (desired, foreign) => {
        const mine = claim(new Map(), desired);
        const both = apply(plan({ ...EMPTY, desired, observed: foreign, owned: mine }).operations, [
          ...foreign,
        ]).table;
        const { operations } = plan({ ...EMPTY, observed: both, owned: mine });
        const { table } = apply(operations, both);
        const ours = new Set(keys(desired));
        const strangers = keys(foreign).filter((key) => !ours.has(key));
        const kept = keys(table).filter((key) => key.includes(' -> '));
        expect(kept.sort()).toEqual(strangers.filter((key) => key.includes(' -> ')).sort());
      }),
    );
  });

  it('explains every operation with one drift item', () => {
    fc.assert(
      fc.property(input, (value) => {
        const { operations, drift } = plan(value);
        const repaired = drift.filter((item) => item.class !== 'foreign');
        expect(repaired.length).toBe(operations.length);
        expect(new Set(drift.map((item) => item.key)).size).toBe(drift.length);
        for (const item of drift) expect(item.detail).not.toBe('');
      }),
    );
  });

  it('deletes last, and changes services in the order of their keys', () => {
    fc.assert(
      fc.property(input, (value) => {
        const { operations } = plan(value);
        const deletions = operations.map((operation) => operation.kind.startsWith('delete-'));
        expect(deletions).toEqual([...deletions].sort());
        const changed = operations
          .filter((operation) => !operation.kind.startsWith('delete-'))
          .map((operation) =>
            serviceKey('service' in operation ? operation.service.identity : operation.identity),
          );
        expect(changed).toEqual([...changed].sort());
      }),
    );
  });

  it('does not depend on the order of its input', () => {
    fc.assert(
      fc.property(input, (value) => {
        const turned = {
          ...value,
          desired: reversed(value.desired),
          observed: reversed(value.observed),
        };
        expect(plan(turned)).toEqual(plan(value));
      }),
    );
  });
});

describe('planService', () => {
  it('leaves its items out where nobody asks for them, and makes what apply makes', () => {
    fc.assert(
      fc.property(input, (value) => {
        const desired = servicesByKey(value.desired);
        const observed = servicesByKey(value.observed);
        for (const key of new Set([...desired.keys(), ...observed.keys()])) {
          const is = observed.get(key) ?? null;
          const asked = {
            key,
            desired: desired.get(key) ?? null,
            observed: is,
            owned: value.owned.get(key) ?? null,
            ownership: value.ownership,
          };
          const { operations, foreign } = planService(asked);
          expect(planService({ ...asked, items: false })).toEqual({
            operations,
            foreign,
            drift: [],
          });
          const [after = null] = apply(operations, is === null ? [] : [is]).table;
          // Untouched, an entry keeps the order of its servers.
          if (operations.length > 0) expect(afterwards(operations, is)).toEqual(after);
        }
      }),
    );
  });

  it('summed over all services, says what plan says', () => {
    fc.assert(
      fc.property(input, (value) => {
        const desired = servicesByKey(value.desired);
        const observed = servicesByKey(value.observed);
        const parts = [...new Set([...desired.keys(), ...observed.keys()])].sort().map((key) =>
          planService({
            key,
            desired: desired.get(key) ?? null,
            observed: observed.get(key) ?? null,
            owned: value.owned.get(key) ?? null,
            ownership: value.ownership,
          }),
        );
        const whole = plan(value);
        expect(parts.flatMap((part) => part.drift)).toEqual(whole.drift);
        const isDeletion = ({ kind }: { readonly kind: string }) => kind.startsWith('delete-');
        const operations = parts.flatMap((part) => part.operations);
        expect([
          ...operations.filter((operation) => !isDeletion(operation)),
          ...operations.filter(isDeletion),
        ]).toEqual(whole.operations);
      }),
    );
  });
});

function reversed<T extends { readonly servers: readonly unknown[] }>(table: readonly T[]): T[] {
  return [...table].reverse().map((entry) => ({ ...entry, servers: [...entry.servers].reverse() }));
}
