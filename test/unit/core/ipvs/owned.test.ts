import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  claim,
  NOTHING_OWNED,
  ownedFromJson,
  ownedToJson,
  pruneOwned,
  updateOwned,
} from '../../../../src/core/ipvs/owned.ts';
import { ok } from '../../../../src/core/result.ts';
import { desiredTable, observedTable, ownedSet } from '../../../property/ipvs-arbitraries.ts';
import { server, service, WEB } from './samples.ts';

const KEY = 'tcp 192.0.2.10:80';
const DESIRED = [{ service: service(WEB), servers: [server(11), server(12)] }];

describe('ownedFromJson', () => {
  it('reads back what ownedToJson wrote, through text', () => {
    fc.assert(
      fc.property(ownedSet, (owned) => {
        const text = JSON.stringify(ownedToJson(owned));
        expect(ownedFromJson(JSON.parse(text))).toEqual(ok(owned));
      }),
    );
  });

  it('refuses what is no such object, without throwing', () => {
    for (const json of [null, 1, 'x', [], { [KEY]: 'x' }, { [KEY]: [1] }, { [KEY]: null }]) {
      expect(ownedFromJson(json).ok).toBe(false);
    }
    fc.assert(fc.property(fc.jsonValue(), (json) => void ownedFromJson(json)));
  });
});

describe('claim', () => {
  it('adds all that is desired and keeps what was owned', () => {
    const owned = claim(new Map([['fwmark 1 ipv4', new Set(['10.0.0.1:0'])]]), DESIRED);
    expect(ownedToJson(owned)).toEqual({
      'fwmark 1 ipv4': ['10.0.0.1:0'],
      [KEY]: ['10.0.0.11:8080', '10.0.0.12:8080'],
    });
  });
});

describe('updateOwned', () => {
  it('owns what is added or set, and disowns what is deleted', () => {
    const owned = updateOwned(NOTHING_OWNED, [
      { kind: 'add-service', service: service(WEB) },
      { kind: 'add-server', identity: WEB, server: server(11) },
      { kind: 'set-server', identity: WEB, server: server(12) },
      { kind: 'delete-server', identity: WEB, address: '10.0.0.11', port: 8080 },
    ]);
    expect(ownedToJson(owned)).toEqual({ [KEY]: ['10.0.0.12:8080'] });
  });

  it('disowns the servers of a deleted service, and not those of one made anew', () => {
    const owned = updateOwned(claim(NOTHING_OWNED, DESIRED), [
      { kind: 'delete-service', identity: WEB },
      { kind: 'delete-server', identity: WEB, address: '10.0.0.11', port: 8080 },
    ]);
    expect(owned.size).toBe(0);
    const again = updateOwned(claim(NOTHING_OWNED, DESIRED), [
      { kind: 'add-server', identity: WEB, server: server(13) },
      { kind: 'delete-service', identity: WEB },
      { kind: 'add-service', service: service(WEB) },
    ]);
    expect(ownedToJson(again)).toEqual({ [KEY]: [] });
  });

  it('leaves the set that it was given as it was', () => {
    const before = claim(NOTHING_OWNED, DESIRED);
    const text = JSON.stringify(ownedToJson(before));
    updateOwned(before, [
      { kind: 'delete-server', identity: WEB, address: '10.0.0.11', port: 8080 },
      { kind: 'delete-service', identity: WEB },
    ]);
    expect(JSON.stringify(ownedToJson(before))).toBe(text);
  });
});

describe('pruneOwned', () => {
  it('keeps exactly the owned entries that are desired or observed', () => {
    fc.assert(
      fc.property(ownedSet, desiredTable, observedTable, (owned, desired, observed) => {
        const present = claim(claim(NOTHING_OWNED, desired), observed);
        const pruned = pruneOwned(owned, desired, observed);
        for (const [key, servers] of owned) {
          expect(pruned.has(key)).toBe(present.has(key));
          const expected = [...servers].filter((name) => present.get(key)?.has(name));
          expect([...(pruned.get(key) ?? [])]).toEqual(expected);
        }
        for (const key of pruned.keys()) expect(owned.has(key)).toBe(true);
      }),
    );
  });
});
