import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { serviceKey } from '../../../../src/core/ipvs/model.ts';
import {
  disowned,
  NOTHING_OWNED,
  ownedFromJson,
  ownedToJson,
  vanished,
} from '../../../../src/core/ipvs/owned.ts';
import { changeLine, readOwnedText } from '../../../../src/core/ipvs/owned-journal.ts';
import { ok } from '../../../../src/core/result.ts';
import { desiredTable, observedTable, ownedSet } from '../../../property/ipvs-arbitraries.ts';
import { claim, withChanges } from '../../../property/owned.ts';
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

describe('disowned', () => {
  it('is what was deleted, and with a service its servers', () => {
    const changes = disowned([
      { kind: 'set-server', identity: WEB, server: server(12) },
      { kind: 'delete-server', identity: WEB, address: '10.0.0.11', port: 8080 },
    ]);
    const before = claim(NOTHING_OWNED, DESIRED);
    expect(ownedToJson(withChanges(before, changes))).toEqual({ [KEY]: ['10.0.0.12:8080'] });
    expect(withChanges(before, disowned([{ kind: 'delete-service', identity: WEB }])).size).toBe(0);
  });
});

describe('vanished', () => {
  it('is exactly what is neither desired nor observed any more', () => {
    fc.assert(
      fc.property(ownedSet, desiredTable, observedTable, (owned, desired, observed) => {
        const present = claim(claim(NOTHING_OWNED, desired), observed);
        const of = (table: typeof desired, key: string) =>
          table.find((one) => serviceKey(one.service.identity) === key) ?? null;
        const changes = [...owned].flatMap(([key, ours]) =>
          vanished(ours, key, [of(desired, key), of(observed, key)]),
        );
        const pruned = withChanges(owned, changes);
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

describe('the text that grows', () => {
  const LINES = [
    changeLine({ kind: 'own', service: KEY, servers: ['10.0.0.11:8080', '10.0.0.12:8080'] }),
    changeLine({ kind: 'own', service: 'fwmark 1 ipv4', servers: [] }),
    changeLine({ kind: 'disown-servers', service: KEY, servers: ['10.0.0.11:8080'] }),
    changeLine({ kind: 'disown-service', service: 'fwmark 1 ipv4' }),
  ];

  it('begins with the whole list, and each line changes it', () => {
    const text = `{"tcp 192.0.2.9:80":["10.0.0.9:80"]}\n${LINES.join('')}`;
    const { owned, changes, whole } = readOwnedText(text);
    expect(ownedToJson(owned)).toEqual({
      'tcp 192.0.2.9:80': ['10.0.0.9:80'],
      [KEY]: ['10.0.0.12:8080'],
    });
    expect([changes, whole]).toEqual([4, true]);
  });

  it('is, torn anywhere, what its whole lines say', () => {
    const text = `{}\n${LINES.slice(0, 2).join('')}`;
    for (let length = 0; length <= text.length; length++) {
      const torn = readOwnedText(text.slice(0, length));
      const lines = Math.max(0, text.slice(0, length).split('\n').length - 2);
      expect([length, torn.owned.size]).toEqual([length, lines]);
      expect(torn.whole).toBe(length > 0 && text[length - 1] === '\n');
    }
  });

  it('reads the list of an earlier version, and leaves out lines that are none', () => {
    const text = JSON.stringify({ [KEY]: ['10.0.0.11:8080'] });
    expect(ownedToJson(readOwnedText(text).owned)).toEqual({ [KEY]: ['10.0.0.11:8080'] });
    const odd = ['[1]', '["+","x"]', '["*","x",[]]', '["+","x",[1]]', 'null', '{}', '["-"]'];
    const read = readOwnedText(`{}\n${odd.join('\n')}\n${LINES[0]}`);
    expect([read.owned.size, read.whole]).toEqual([1, false]);
    for (const first of ['', 'x', '[]', 'null', '{"a":1}']) {
      const { owned, whole, damaged } = readOwnedText(`${first}\n${LINES[0]}`);
      expect([owned.size, whole, damaged]).toEqual([1, false, 1]);
    }
  });

  it('never throws', () => {
    fc.assert(fc.property(fc.string(), (text) => void readOwnedText(`{}\n${text}\n`)));
  });
});
