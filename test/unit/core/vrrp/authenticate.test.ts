/** Each mode of authentication, each refusal and their order, and the rotation of keys. */
import { describe, expect, test } from 'vitest';
import type { HmacMode } from '../../../../src/core/config/config.ts';
import {
  type Authentication,
  authenticate,
  signsAdverts,
} from '../../../../src/core/vrrp/authenticate.ts';
import { NO_SENDERS, nextSequence, sequenceAt } from '../../../../src/core/vrrp/replay.ts';
import { REFUSAL_REASONS } from '../../../../src/core/vrrp/types.ts';
import { type DecodedAdvertisement, decodeAdvertisement } from '../../../../src/core/wire/vrrp.ts';
import { HMAC_TRAILER_BYTES, MAC_INPUT_BYTES_MAX } from '../../../../src/core/wire/vrrp-hmac.ts';
import { dirtyBuffer, patched, reasonOf, unwrap, withBytes } from '../wire/frames.ts';
import { ADVERT, datagramOfAdvert, ip, KEY, OTHER_KEY, sha256 } from '../wire/signed.ts';

const NOW = 1_800_000_000_000_000;
const MODES: readonly HmacMode[] = ['enforce', 'permissive', 'receive-only'];
const ENFORCE: Authentication = {
  mode: 'enforce',
  keys: new Map([[1, KEY]]),
  replay: 'time',
  windowSeconds: 5,
  mac: sha256,
  scratch: dirtyBuffer(MAC_INPUT_BYTES_MAX),
};
const BOTH_KEYS = new Map([
  [1, KEY],
  [2, OTHER_KEY],
]);

/** A received advertisement, signed unless its key is null; `changes` patch it in transit. */
function received(
  keyId: number,
  key: Uint8Array | null,
  options: { wallUs?: number; changes?: Record<number, number> } = {},
): DecodedAdvertisement {
  const sequence = sequenceAt(options.wallUs ?? NOW);
  const datagram = datagramOfAdvert(ADVERT, key === null ? null : { keyId, key, sequence });
  const bytes = patched(datagram.bytes, options.changes ?? {});
  return unwrap(decodeAdvertisement(withBytes(datagram, bytes), HMAC_TRAILER_BYTES));
}

function check(decoded: DecodedAdvertisement, change: Partial<Authentication> = {}) {
  const where = { source: ADVERT.source, wallUs: NOW };
  return authenticate(decoded, { ...ENFORCE, ...change }, NO_SENDERS, where);
}

describe('authenticate takes', () => {
  test.each(MODES)('what is signed rightly, in mode %s', (mode) => {
    const { result } = check(received(1, KEY), { mode });
    expect(result).toEqual({ ok: true, value: 'signed' });
  });

  test.each(['permissive', 'receive-only'] as const)('what is not signed, in mode %s', (mode) => {
    const { result } = check(received(0, null), { mode });
    expect(result).toEqual({ ok: true, value: 'unsigned' });
  });

  test('every configured key', () => {
    for (const [keyId, key] of BOTH_KEYS) {
      expect(check(received(keyId, key), { keys: BOTH_KEYS }).result.ok).toBe(true);
    }
  });
});

describe('authenticate refuses', () => {
  test('what is not signed, in mode enforce', () => {
    const { result } = check(received(0, null));
    expect(reasonOf(result)).toBe('hmac-missing');
  });

  test.each(MODES)('a wrong trailer, never taking it for none, in mode %s', (mode) => {
    const wrong = [
      ['hmac-unknown-key', received(3, KEY), 'Signed with key 3; expected one of 1'],
      ['hmac-invalid', received(1, OTHER_KEY), 'The HMAC does not match key 1'],
      ['hmac-invalid', received(1, KEY, { changes: { 12: 2 } }), 'of another type'],
      ['hmac-invalid', received(1, KEY, { changes: { 14: 1 } }), 'of another type'],
      ['hmac-replayed', received(1, KEY, { wallUs: NOW - 9_000_000 }), '9 s behind this director'],
      ['hmac-replayed', received(1, KEY, { wallUs: NOW + 9_000_000 }), '9 s ahead of this'],
    ] as const;
    for (const [reason, decoded, detail] of wrong) {
      const { result, state } = check(decoded, { mode });
      expect(reasonOf(result)).toBe(reason);
      expect(result.ok ? '' : result.error.detail).toContain(detail);
      expect(state).toEqual(NO_SENDERS);
    }
  });

  test('the same advertisement twice, and an older one', () => {
    const where = { source: ADVERT.source, wallUs: NOW };
    const first = authenticate(received(1, KEY), ENFORCE, NO_SENDERS, where);
    for (const wallUs of [NOW, NOW - 1_000_000]) {
      const again = authenticate(received(1, KEY, { wallUs }), ENFORCE, first.state, where);
      expect(reasonOf(again.result)).toBe('hmac-replayed');
      expect(again.result.ok ? '' : again.result.error.detail).toContain('Not newer');
    }
  });

  test('what another host sends again as its own', () => {
    const where = { source: ip('198.51.100.11'), wallUs: NOW };
    const { result } = authenticate(received(1, KEY), ENFORCE, NO_SENDERS, where);
    expect(reasonOf(result)).toBe('hmac-invalid');
  });

  test('for the first reason of REFUSAL_REASONS where several apply', () => {
    const stale = { wallUs: NOW - 9_000_000 };
    const steps = [
      received(0, null),
      received(3, OTHER_KEY, { ...stale, changes: { 12: 2 } }),
      received(1, OTHER_KEY, stale),
      received(1, KEY, stale),
    ];
    expect(steps.map((decoded) => reasonOf(check(decoded).result))).toEqual(
      REFUSAL_REASONS.slice(
        REFUSAL_REASONS.indexOf('hmac-missing'),
        REFUSAL_REASONS.indexOf('hmac-replayed') + 1,
      ),
    );
  });

  test('without telling a key', () => {
    const text = 'the secret that is never shown...';
    const keys = new Map([[1, new TextEncoder().encode(text)]]);
    const told = [received(0, null), received(3, KEY), received(1, KEY)].map((decoded) =>
      JSON.stringify(check(decoded, { keys }).result),
    );
    expect(told.join()).not.toContain('secret that');
    expect(told.join()).not.toContain(Buffer.from(text).toString('hex').slice(0, 16));
  });
});

describe('a rotation', () => {
  /** One director: what it accepts, and how it signs. */
  interface Node {
    keys: Map<number, Uint8Array>;
    active: number;
    mode: HmacMode;
  }

  /** All advertisements between two directors are taken, in both directions, at every step. */
  function runs(steps: readonly ((nodes: [Node, Node]) => void)[], mode: HmacMode) {
    const node = (): Node => ({ keys: new Map([[1, KEY]]), active: 1, mode });
    const nodes: [Node, Node] = [node(), node()];
    let sequence = sequenceAt(NOW);
    let states = [NO_SENDERS, NO_SENDERS];
    return steps.map((change) => {
      change(nodes);
      const results = [0, 1].map((index) => {
        const from = nodes[1 - index] as Node;
        const to = nodes[index] as Node;
        const key = from.keys.get(from.active) as Uint8Array;
        sequence = nextSequence(sequence, ENFORCE, NOW);
        const signature = { keyId: from.active, key, sequence };
        const datagram = datagramOfAdvert(ADVERT, signsAdverts(from.mode) ? signature : null);
        const decoded = unwrap(decodeAdvertisement(datagram, HMAC_TRAILER_BYTES));
        const { keys, mode: own } = to;
        const step = authenticate(decoded, { ...ENFORCE, keys, mode: own }, states[index] ?? [], {
          source: ADVERT.source,
          wallUs: NOW,
        });
        states = states.map((state, at) => (at === index ? step.state : state));
        return step.result.ok ? step.result.value : step.result.error.reason;
      });
      return results;
    });
  }

  test('of keys, one director after the other, never refuses an advertisement', () => {
    const results = runs(
      [
        () => {},
        ([a]) => a.keys.set(2, OTHER_KEY),
        ([, b]) => b.keys.set(2, OTHER_KEY),
        ([a]) => (a.active = 2),
        ([, b]) => (b.active = 2),
        ([a]) => a.keys.delete(1),
        ([, b]) => b.keys.delete(1),
      ],
      'enforce',
    );
    expect(new Set(results.flat())).toEqual(new Set(['signed']));
  });

  test('of keys that begins with the active one is refused by the peer', () => {
    const begin = ([a]: [Node, Node]) => {
      a.keys.set(2, OTHER_KEY);
      a.active = 2;
    };
    const results = runs([begin], 'enforce');
    expect(results).toEqual([['signed', 'hmac-unknown-key']]);
  });

  test('of modes from receive-only to enforce never refuses an advertisement', () => {
    const results = runs(
      [
        () => {},
        ([a]) => (a.mode = 'permissive'),
        ([, b]) => (b.mode = 'permissive'),
        ([a]) => (a.mode = 'enforce'),
        ([, b]) => (b.mode = 'enforce'),
      ],
      'receive-only',
    );
    expect(results).toEqual([
      ['unsigned', 'unsigned'],
      ['unsigned', 'signed'],
      ['signed', 'signed'],
      ['signed', 'signed'],
      ['signed', 'signed'],
    ]);
  });
});
