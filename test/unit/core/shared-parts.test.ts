/** Equal parts of data become one, and nothing else changes. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SharedParts } from '../../../src/core/shared-parts.ts';

function server(
  address: string,
  check: object = { kind: 'tcp', tls: { verify: true }, ports: [] },
) {
  return { address, forwarding: 'nat', check: structuredClone(check) };
}

test('equal parts are one, own ones stay, and what is in own ones is shared', () => {
  const shared = new SharedParts(16, ['address', 'servers']);
  const service = shared.share({ servers: [server('10.0.0.1'), server('10.0.0.2')] });
  const later = shared.share({
    servers: [server('10.0.0.1'), server('10.0.0.1', { kind: 'udp' })],
  });
  const [one, other] = service.servers;
  expect(one?.check).toBe(other?.check);
  expect(later.servers[0]?.check).toBe(one?.check);
  expect(later.servers[0]).not.toBe(one);
  expect(later.servers[1]?.check).toEqual({ kind: 'udp' });
});

test('values for which JSON has one word stay different', () => {
  const shared = new SharedParts(16, []);
  const one = shared.share({ part: { most: Number.POSITIVE_INFINITY } });
  const other = shared.share({ part: { most: null } });
  expect(one.part).toEqual({ most: Number.POSITIVE_INFINITY });
  expect(other.part).toEqual({ most: null });
});

test('any data, of which only some is shared, stays as it is', () => {
  fc.assert(
    fc.property(fc.array(fc.dictionary(fc.string(), fc.jsonValue())), fc.nat(4), (all, most) => {
      const shared = new SharedParts(most, ['a', 'b']);
      for (const data of all) {
        const before = structuredClone(data);
        expect(shared.share(data)).toEqual(before);
      }
    }),
  );
});
