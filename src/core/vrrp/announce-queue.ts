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
  readonly lane: Lane<T>;
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
  /** In the order of precedes(): what is next comes first. */
  readonly pending: Pending<T>[];
}

export class AnnounceQueue<T> {
  readonly #lanes = new Map<string, Lane<T>>();
  /** The same ones: to go through these allocates nothing. */
  readonly #allLanes: Lane<T>[] = [];
  /** What is pending of each owner, one of each lane. */
  readonly #owners = new Map<string, Pending<T>[]>();
  #bursts = 0;

  /**
   * Makes `packets`, each `repeat` times (1 or more), the pending burst of `owner`. If an earlier
   * one had not sent all first packets, the new one starts with those: however fast bursts follow
   * each other, no VIP is left out. With `begun` each packet has been sent once: see pass().
   */
  put(owner: string, packets: readonly QueuedPacket<T>[], repeat: number, begun = false): void {
    const earlier = this.#remove(owner);
    const order = this.#bursts++;
    if (packets.length === 0 || (begun && repeat === 1)) return;
    const ofOwner: Pending<T>[] = [];
    const groups = groupByLane(packets);
    for (let index = 0; index < groups.length; index++) {
      const queued = groups[index] as readonly QueuedPacket<T>[];
      const lane = this.#lane((queued[0] as QueuedPacket<T>).lane);
      const before = earlier.find((pending) => pending.lane === lane);
      const first = before?.packets.length === queued.length ? nextIndex(before) : 0;
      const sent = begun ? queued.length : 0;
      const pending = { owner, lane, order, packets: queued, first, repeat, sent };
      ofOwner.push(pending);
      insert(pending);
    }
    this.#owners.set(owner, ofOwner);
  }

  /** Whether a packet may go past what waits on its lane: no packet there keeps a distance. */
  mayPass({ lane, intervalUs }: QueuedPacket<T>): boolean {
    return intervalUs === 0 && (this.#lanes.get(lane)?.lastIntervalUs ?? 0) === 0;
  }

  /** Notes a packet that was sent past the others; mayPass() has to say so. */
  pass({ lane }: QueuedPacket<T>, nowUs: number): void {
    this.#lane(lane).lastAtUs = nowUs;
  }

  #lane(name: string): Lane<T> {
    let lane = this.#lanes.get(name);
    if (lane === undefined) {
      lane = { lastAtUs: Number.NEGATIVE_INFINITY, lastIntervalUs: 0, pending: [] };
      this.#lanes.set(name, lane);
      this.#allLanes.push(lane);
    }
    return lane;
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
    for (let index = 0; index < this.#allLanes.length; index++) {
      const lane = this.#allLanes[index] as Lane<T>;
      const head = lane.pending[0];
      if (head === undefined || dueUs(lane, head) > nowUs) continue;
      if (onlyFirst && roundOf(head) > 0) continue;
      if (best === null || precedes(head, best)) best = head;
    }
    if (best === null) return null;
    const { lane } = best;
    const packet = nextPacket(best);
    lane.lastAtUs = nowUs;
    lane.lastIntervalUs = packet.intervalUs;
    best.sent++;
    if (best.sent === best.packets.length * best.repeat) {
      lane.pending.shift();
      this.#forget(best);
    } else if (best.sent % best.packets.length === 0) {
      // Its next round comes after everybody's present one.
      lane.pending.shift();
      insert(best);
    }
    return packet.item;
  }

  #forget(pending: Pending<T>): void {
    const ofOwner = this.#owners.get(pending.owner);
    ofOwner?.splice(ofOwner.indexOf(pending), 1);
    if (ofOwner?.length === 0) this.#owners.delete(pending.owner);
  }

  /** When take() has something; a moment in the past for at once, null while nothing waits. */
  get nextAtUs(): number | null {
    let nextUs: number | null = null;
    for (let index = 0; index < this.#allLanes.length; index++) {
      const lane = this.#allLanes[index] as Lane<T>;
      const head = lane.pending[0];
      if (head === undefined) continue;
      const atUs = dueUs(lane, head);
      if (nextUs === null || atUs < nextUs) nextUs = atUs;
    }
    return nextUs;
  }

  /** Packets that wait. */
  get size(): number {
    let size = 0;
    for (const { pending } of this.#allLanes) {
      for (const { packets, repeat, sent } of pending) size += packets.length * repeat - sent;
    }
    return size;
  }

  #remove(owner: string): readonly Pending<T>[] {
    const removed = this.#owners.get(owner);
    if (removed === undefined) return NOTHING;
    this.#owners.delete(owner);
    for (const pending of removed) pending.lane.pending.splice(placeOf(pending), 1);
    return removed;
  }
}

const NOTHING: readonly never[] = [];

/** In the order of their first packets; an instance has few lanes. */
function groupByLane<T>(
  packets: readonly QueuedPacket<T>[],
): readonly (readonly QueuedPacket<T>[])[] {
  if (packets.length === 1) return [packets];
  const groups: QueuedPacket<T>[][] = [];
  for (const packet of packets) {
    const group = groups.find(([first]) => first?.lane === packet.lane);
    if (group === undefined) groups.push([packet]);
    else group.push(packet);
  }
  return groups;
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

/** Where it is among what is pending on its lane, or would be. */
function placeOf<T>(one: Pending<T>): number {
  const { pending } = one.lane;
  let from = 0;
  let to = pending.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    if (precedes(pending[middle] as Pending<T>, one)) from = middle + 1;
    else to = middle;
  }
  return from;
}

function insert<T>(one: Pending<T>): void {
  one.lane.pending.splice(placeOf(one), 0, one);
}

function dueUs<T>(lane: Lane<T>, head: Pending<T>): number {
  return lane.lastAtUs + Math.max(lane.lastIntervalUs, nextPacket(head).intervalUs);
}
