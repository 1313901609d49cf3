import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { enqueue, QUEUE_MAX, type WaitingKind } from '../../../../src/core/notify/queue.ts';

interface Item {
  readonly kind: WaitingKind;
  readonly id: number;
}

describe('enqueue', () => {
  test('appends states in their order', () => {
    const [a, b] = [1, 2].map((id): Item => ({ kind: 'state', id }));
    expect(enqueue([a as Item], b as Item)).toEqual({ queue: [a, b], dropped: [] });
  });

  test('replaces what only informs by a newer one of its kind', () => {
    const old: Item = { kind: 'priority', id: 1 };
    const other: Item = { kind: 'lower-priority', id: 2 };
    const fresh: Item = { kind: 'priority', id: 3 };
    expect(enqueue([old, other], fresh)).toEqual({ queue: [other, fresh], dropped: [old] });
  });

  test('is bounded, keeps the order and never loses the last state', () => {
    const kind = fc.constantFrom<WaitingKind>('state', 'state', 'lower-priority', 'priority');
    fc.assert(
      fc.property(fc.array(kind, { maxLength: 100 }), (kinds) => {
        let queue: readonly Item[] = [];
        let lastState: Item | null = null;
        let dropped = 0;
        for (const [id, each] of kinds.entries()) {
          const item: Item = { kind: each, id };
          if (each === 'state') lastState = item;
          const next = enqueue(queue, item);
          queue = next.queue;
          dropped += next.dropped.length;
          expect(queue.length).toBeLessThanOrEqual(QUEUE_MAX);
          expect(queue.at(-1)).toBe(item);
          if (lastState !== null) expect(queue).toContain(lastState);
        }
        const ids = queue.map(({ id }) => id);
        expect(ids).toEqual([...ids].sort((left, right) => left - right));
        expect(queue.length + dropped).toBe(kinds.length);
      }),
    );
  });
});
