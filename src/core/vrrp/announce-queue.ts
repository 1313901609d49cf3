/**
 * Which announcement packet is sent next, and when. Packets that reach the same switch share a
 * lane, and on a lane there is a least time between two. An instance has one pending burst: a
 * newer one takes its place, and when the instance lets its VIPs go the burst is cancelled.
 *
 * Invariants: two packets of a lane are never closer than either of them asks for; of all that
 * waits on a lane, every VIP's first packet goes before any second one; what is pending is never
 * more than VIPs times repeat of each instance's latest burst. Pure: time is an argument.
 */

export interface QueuedPacket<T> {
  /** What it shares its pace with: an interface, or a switch with several. */
  readonly lane: string;
  /** Least time since the packet before it on the lane; 0 for none. */
  readonly intervalUs: number;
  readonly item: T;
}

/** Packets of one instance on one lane; `sent` counts over all rounds. */
interface Pending<T> {
  readonly owner: string;
  readonly order: number;
  readonly packets: readonly QueuedPacket<T>[];
  /** Index of the packet that each round starts with. */
  readonly first: number;
  readonly repeat: number;
  sent: number;
}

interface Lane<T> {
  lastAtUs: number;
  lastIntervalUs: number;
  pending: Pending<T>[];
}

export class AnnounceQueue<T> {
  readonly #lanes = new Map<string, Lane<T>>();
  #bursts = 0;

  /**
   * Makes `packets`, each `repeat` times (1 or more), the pending burst of `owner`. If an earlier
   * one had not sent all first packets, the new one starts with those: however fast bursts follow
   * each other, no VIP is left out.
   */
  put(owner: string, packets: readonly QueuedPacket<T>[], repeat: number): void {
    const earlier = this.#remove(owner);
    const order = this.#bursts++;
    for (const [name, queued] of groupByLane(packets)) {
      let lane = this.#lanes.get(name);
      if (lane === undefined) {
        lane = { lastAtUs: Number.NEGATIVE_INFINITY, lastIntervalUs: 0, pending: [] };
        this.#lanes.set(name, lane);
      }
      const before = earlier.get(name);
      const first = before?.packets.length === queued.length ? nextIndex(before) : 0;
      lane.pending.push({ owner, order, packets: queued, first, repeat, sent: 0 });
    }
  }

  /** Drops what is pending of `owner`: none of it is ever sent. */
  cancel(owner: string): void {
    this.#remove(owner);
  }

  /**
   * The next packet that may be sent at `nowUs`, taken out and noted as sent; null when none may.
   * With `onlyFirst`, only packets that are the first of their VIP in their burst.
   */
  take(nowUs: number, onlyFirst = false): T | null {
    let best: Pending<T> | null = null;
    let bestLane: Lane<T> | null = null;
    for (const lane of this.#lanes.values()) {
      const head = headOf(lane);
      if (head === null || dueUs(lane, head) > nowUs) continue;
      if (onlyFirst && roundOf(head) > 0) continue;
      if (best === null || precedes(head, best)) {
        best = head;
        bestLane = lane;
      }
    }
    if (best === null || bestLane === null) return null;
    const packet = nextPacket(best);
    bestLane.lastAtUs = nowUs;
    bestLane.lastIntervalUs = packet.intervalUs;
    best.sent++;
    if (best.sent === best.packets.length * best.repeat) {
      bestLane.pending.splice(bestLane.pending.indexOf(best), 1);
    }
    return packet.item;
  }

  /** When take() has something; a moment in the past for at once, null while nothing waits. */
  get nextAtUs(): number | null {
    let nextUs: number | null = null;
    for (const lane of this.#lanes.values()) {
      const head = headOf(lane);
      if (head === null) continue;
      const atUs = dueUs(lane, head);
      if (nextUs === null || atUs < nextUs) nextUs = atUs;
    }
    return nextUs;
  }

  /** Packets that wait. */
  get size(): number {
    let size = 0;
    for (const { pending } of this.#lanes.values()) {
      for (const { packets, repeat, sent } of pending) size += packets.length * repeat - sent;
    }
    return size;
  }

  #remove(owner: string): ReadonlyMap<string, Pending<T>> {
    const removed = new Map<string, Pending<T>>();
    for (const [name, lane] of this.#lanes) {
      const index = lane.pending.findIndex((pending) => pending.owner === owner);
      if (index === -1) continue;
      removed.set(name, lane.pending[index] as Pending<T>);
      lane.pending.splice(index, 1);
    }
    return removed;
  }
}

function groupByLane<T>(packets: readonly QueuedPacket<T>[]): Map<string, QueuedPacket<T>[]> {
  const lanes = new Map<string, QueuedPacket<T>[]>();
  for (const packet of packets) {
    const queued = lanes.get(packet.lane);
    if (queued === undefined) lanes.set(packet.lane, [packet]);
    else queued.push(packet);
  }
  return lanes;
}

function roundOf<T>({ sent, packets }: Pending<T>): number {
  return Math.floor(sent / packets.length);
}

function nextIndex<T>({ first, sent, packets }: Pending<T>): number {
  return (first + sent) % packets.length;
}

function nextPacket<T>(pending: Pending<T>): QueuedPacket<T> {
  return pending.packets[nextIndex(pending)] as QueuedPacket<T>;
}

/** Rounds in turn over all instances, and in a round the older burst. */
function precedes<T>(left: Pending<T>, right: Pending<T>): boolean {
  const rounds = roundOf(left) - roundOf(right);
  return rounds < 0 || (rounds === 0 && left.order < right.order);
}

function headOf<T>(lane: Lane<T>): Pending<T> | null {
  let head: Pending<T> | null = null;
  for (const pending of lane.pending) {
    if (head === null || precedes(pending, head)) head = pending;
  }
  return head;
}

function dueUs<T>(lane: Lane<T>, head: Pending<T>): number {
  return lane.lastAtUs + Math.max(lane.lastIntervalUs, nextPacket(head).intervalUs);
}
