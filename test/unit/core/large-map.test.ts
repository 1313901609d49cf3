/** A LargeMap holds what a Map would, with few keys and with many. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CheckConfig } from '../../../src/core/config/check.ts';
import { DEFAULTS } from '../../../src/core/config/defaults.ts';
import { checkDefinition } from '../../../src/core/health/check-key.ts';
import { serverKey, serviceKey } from '../../../src/core/ipvs/model.ts';
import { FIRST_SIZE, LargeMap, LargeSet, PARTS, partOf } from '../../../src/core/large-map.ts';

const MANY = 5 * FIRST_SIZE;
const keyOf = (index: number) => `tcp:198.18.${index % 3}.1:${index}`;

function filled(count: number): [LargeMap<number>, Map<string, number>] {
  const [large, plain] = [new LargeMap<number>(), new Map<string, number>()];
  for (let index = 0; index < count; index++) {
    large.set(keyOf(index), index);
    plain.set(keyOf(index), index);
  }
  return [large, plain];
}

function sameAs(large: LargeMap<number>, plain: ReadonlyMap<string, number>): void {
  expect(large.size).toBe(plain.size);
  expect(new Map(large)).toEqual(plain);
  expect(new Set(large.keys())).toEqual(new Set(plain.keys()));
  expect([...large.values()].sort()).toEqual([...plain.values()].sort());
  const seen = new Map<string, number>();
  large.forEach((value, key) => void seen.set(key, value));
  expect(seen).toEqual(plain);
}

type Step = readonly ['set' | 'delete' | 'look', number];

test('it does what a Map does, around the size at which it is divided', () => {
  const steps = fc.array(
    fc.tuple(
      fc.constantFrom<Step[0]>('set', 'set', 'delete', 'look'),
      fc.integer({ min: FIRST_SIZE - 20, max: FIRST_SIZE + 60 }),
    ),
    { maxLength: 200 },
  );
  fc.assert(
    fc.property(steps, fc.integer({ min: FIRST_SIZE - 10, max: FIRST_SIZE + 40 }), (all, count) => {
      const [large, plain] = filled(count);
      for (const [what, index] of all) {
        const key = keyOf(index);
        if (what === 'delete') expect(large.delete(key)).toBe(plain.delete(key));
        else if (what === 'set') {
          large.set(key, -index);
          plain.set(key, -index);
        }
        expect(large.get(key)).toBe(plain.get(key));
        expect(large.has(key)).toBe(plain.has(key));
        expect(large.size).toBe(plain.size);
      }
      sameAs(large, plain);
    }),
    { numRuns: 50 },
  );
});

describe('with many keys', () => {
  test('all are found, and no other', () => {
    const [large, plain] = filled(MANY);
    sameAs(large, plain);
    for (const [key, value] of plain) expect(large.get(key)).toBe(value);
    expect(large.get(keyOf(MANY))).toBeUndefined();
    expect(large.has(keyOf(MANY))).toBe(false);
  });

  test('it is one map again when all are gone', () => {
    const [large] = filled(MANY);
    for (let index = 0; index < MANY; index++) expect(large.delete(keyOf(index))).toBe(true);
    expect([large.size, ...large]).toEqual([0]);
    const keys = ['c', 'a', 'b'];
    for (const [index, key] of keys.entries()) large.set(key, index);
    expect([...large.keys()]).toEqual(keys);
    large.clear();
    expect([large.size, ...large]).toEqual([0]);
  });

  test('what was there is seen once, whatever is added or deleted meanwhile', () => {
    const [large] = filled(FIRST_SIZE - 1);
    const seen: string[] = [];
    for (const key of large.keys()) {
      seen.push(key);
      // Is divided on the way.
      if (seen.length <= 10) large.set(`more ${seen.length}`, 0);
      if (seen.length <= 5) large.delete(key);
    }
    const before = seen.filter((key) => !key.startsWith('more'));
    expect(before).toEqual(Array.from({ length: FIRST_SIZE - 1 }, (_, index) => keyOf(index)));
    expect(new Set(seen).size).toBe(seen.length);
  });
});

test('few keys are in the order in which they came', () => {
  const [large, plain] = filled(FIRST_SIZE);
  expect([...large]).toEqual([...plain]);
});

test('a LargeSet has each key once', () => {
  const set = new LargeSet();
  for (let round = 0; round < 2; round++) {
    for (let index = 0; index < MANY; index++) set.add(keyOf(index));
  }
  expect(set.size).toBe(MANY);
  expect(new Set(set).size).toBe(MANY);
  expect([set.has(keyOf(7)), set.delete(keyOf(7)), set.has(keyOf(7))]).toEqual([true, true, false]);
  set.clear();
  expect([set.size, ...set]).toEqual([0]);
});

describe('the parts', () => {
  const SERVERS = 20_000;
  const tcp = {
    ...DEFAULTS.check,
    kind: 'tcp',
    port: null,
    address: null,
  } as unknown as CheckConfig;
  const ipv4 = (index: number) => `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`;
  const ipv6 = (index: number) => `2001:db8:0:12:${(index + 4_096).toString(16)}:aaaa:bbbb:cccc`;
  const port = 8080;
  const via = (address: string) => ({ ...tcp, address: '192.0.2.10', via: address }) as CheckConfig;

  test.each<[string, (index: number) => string]>([
    ['checks of IPv4 servers', (index) => checkDefinition(tcp, { address: ipv4(index), port }).key],
    ['checks of IPv6 servers', (index) => checkDefinition(tcp, { address: ipv6(index), port }).key],
    [
      'checks through a virtual IP',
      (index) => checkDefinition(via(ipv4(index)), { address: ipv4(index), port }).key,
    ],
    ['servers', (index) => serverKey({ address: ipv6(index), port })],
    [
      'services',
      (index) => {
        const address = ipv4(index >> 8);
        return serviceKey({ kind: 'address', protocol: 'tcp', address, port: 1 + (index & 255) });
      },
    ],
    ['names', (index) => `customer-${index}-web`],
  ])('have as many %s each, or nearly', (_name, key) => {
    const counts = new Array<number>(PARTS).fill(0);
    for (let index = 0; index < SERVERS; index++) {
      const part = partOf(key(index));
      counts[part] = (counts[part] ?? 0) + 1;
    }
    expect(Math.max(...counts)).toBeLessThan((1.5 * SERVERS) / PARTS);
  });
});
