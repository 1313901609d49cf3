/**
 * The queue of announcements against a plain account of what was put into it: its pace, its
 * order, its bound, and that what is cancelled is never sent, whatever happens in whatever order.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AnnounceQueue, type QueuedPacket } from '../../src/core/vrrp/announce-queue.ts';

interface Item {
  readonly owner: string;
  readonly lane: string;
  readonly intervalUs: number;
  readonly vip: number;
}

type Operation =
  | {
      readonly kind: 'put';
      readonly owner: string;
      readonly lanes: number[];
      readonly repeat: number;
      /** Its first packets go past the others, where they may. */
      readonly begins: boolean;
    }
  | { readonly kind: 'cancel'; readonly owner: string }
  | { readonly kind: 'pass'; readonly us: number; readonly onlyFirst: boolean };

const owners = fc.constantFrom('web', 'mail', 'dns');
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({
    kind: fc.constant('put' as const),
    owner: owners,
    lanes: fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 0, maxLength: 6 }),
    repeat: fc.integer({ min: 1, max: 4 }),
    begins: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('cancel' as const), owner: owners }),
  fc.record({
    kind: fc.constant('pass' as const),
    us: fc.integer({ min: 0, max: 30_000 }),
    onlyFirst: fc.boolean(),
  }),
);

/** Pace of each lane: back to back, one for all its packets, and one that differs by owner. */
function intervalOf(lane: number, owner: string): number {
  if (lane === 0) return 0;
  return lane === 1 ? 5_000 : 1_000 * owner.length;
}

function packetsOf(owner: string, lanes: readonly number[]): QueuedPacket<Item>[] {
  return lanes.map((lane, vip) => {
    const intervalUs = intervalOf(lane, owner);
    return { lane: `${lane}`, intervalUs, item: { owner, lane: `${lane}`, intervalUs, vip } };
  });
}

/** Feeds the queue and keeps the account; fails where the two disagree. */
class Account {
  readonly queue = new AnnounceQueue<Item>();
  /** Times that each VIP of an owner's burst was sent, and how often it shall be. */
  readonly bursts = new Map<string, { items: Item[]; sent: number[]; repeat: number }>();
  readonly last = new Map<string, { atUs: number; intervalUs: number }>();
  nowUs = 0;

  put(
    owner: string,
    packets: readonly QueuedPacket<Item>[],
    { repeat, begins }: { readonly repeat: number; readonly begins: boolean },
  ): void {
    const begun = begins && packets.every((packet) => this.queue.mayPass(packet));
    for (const packet of begun ? packets : []) {
      this.queue.pass(packet, this.nowUs);
      this.pace(packet.item);
    }
    this.queue.put(owner, packets, repeat, begun);
    const items = packets.map(({ item }) => item);
    this.bursts.set(owner, { items, sent: items.map(() => (begun ? 1 : 0)), repeat });
  }

  cancel(owner: string): void {
    this.queue.cancel(owner);
    this.bursts.delete(owner);
  }

  get waiting(): number {
    let waiting = 0;
    for (const { sent, repeat } of this.bursts.values()) {
      for (const count of sent) waiting += repeat - count;
    }
    return waiting;
  }

  takeAll(onlyFirst: boolean): void {
    for (;;) {
      const item = this.queue.take(this.nowUs, onlyFirst);
      if (item === null) return;
      this.taken(item, onlyFirst);
    }
  }

  taken(item: Item, onlyFirst: boolean): void {
    const burst = this.bursts.get(item.owner);
    if (burst === undefined) throw new Error(`${item.owner} has let its VIPs go`);
    const before = burst.sent[item.vip] as number;
    expect(before).toBeLessThan(burst.repeat);
    if (onlyFirst) expect(before).toBe(0);
    if (before > 0) expect(this.unsentOn(item.lane)).toEqual([]);
    burst.sent[item.vip] = before + 1;
    this.pace(item);
  }

  /** A packet is sent now, which must be far enough from the one before it on its lane. */
  pace(item: Item): void {
    const last = this.last.get(item.lane);
    if (last !== undefined) {
      const leastUs = Math.max(last.intervalUs, item.intervalUs);
      expect(this.nowUs - last.atUs).toBeGreaterThanOrEqual(leastUs);
    }
    this.last.set(item.lane, { atUs: this.nowUs, intervalUs: item.intervalUs });
  }

  /** VIPs on this lane of which no packet was sent in their owner's burst. */
  unsentOn(lane: string): Item[] {
    return [...this.bursts.values()].flatMap(({ items, sent }) =>
      items.filter((item, index) => item.lane === lane && sent[index] === 0),
    );
  }
}

describe('AnnounceQueue', () => {
  test('keeps the pace of every lane, sends first packets first, and nothing after cancel', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
        const account = new Account();
        for (const step of operations) {
          if (step.kind === 'put') {
            account.put(step.owner, packetsOf(step.owner, step.lanes), step);
          } else if (step.kind === 'cancel') {
            account.cancel(step.owner);
          } else {
            account.nowUs += step.us;
            account.takeAll(step.onlyFirst);
          }
          expect(account.queue.size).toBe(account.waiting);
        }
        // What is left leaves at its deadlines, all of it, and not a microsecond earlier.
        for (let turn = account.waiting; turn > 0; turn--) {
          const atUs = account.queue.nextAtUs as number;
          if (atUs > account.nowUs) {
            expect(account.queue.take(atUs - 1)).toBeNull();
            account.nowUs = atUs;
          }
          account.taken(account.queue.take(account.nowUs) as Item, false);
        }
        expect([account.queue.nextAtUs, account.queue.take(Number.MAX_VALUE)]).toEqual([
          null,
          null,
        ]);
        expect(account.waiting).toBe(0);
      }),
      { numRuns: 500 },
    );
  });

  test('leaves no VIP out, however fast one burst follows the other', () => {
    const vips = fc.integer({ min: 1, max: 30 });
    const every = fc.integer({ min: 1, max: 7 });
    fc.assert(
      fc.property(vips, every, (count, takenBetween) => {
        const queue = new AnnounceQueue<Item>();
        const packets = packetsOf(
          'web',
          Array.from({ length: count }, () => 1),
        );
        const seen = new Set<number>();
        let nowUs = 0;
        for (let packet = 0; packet < count; packet++) {
          if (packet % takenBetween === 0) queue.put('web', packets, 3);
          seen.add((queue.take(nowUs) as Item).vip);
          nowUs += 5_000;
        }
        expect(seen.size).toBe(count);
      }),
    );
  });

  test('a burst of another owner neither takes the place of one nor overtakes its round', () => {
    const queue = new AnnounceQueue<string>();
    const packet = (item: string) => ({ lane: 'eth0', intervalUs: 10, item });
    queue.put('a', [packet('a1'), packet('a2')], 2);
    queue.put('b', [packet('b1')], 2);
    const order = [0, 10, 20, 30, 40, 50].map((nowUs) => queue.take(nowUs));
    expect(order).toEqual(['a1', 'a2', 'b1', 'a1', 'a2', 'b1']);
  });
});
