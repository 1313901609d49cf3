/**
 * One simulated LAN: carries the bytes of each advertisement to every other director, over one
 * link per pair and direction, each with its own luck. It loses, delays, repeats, reorders and
 * corrupts, as its conditions say, and it knows since when each link has been good again.
 */
import type { Agenda } from './agenda.ts';
import { Random } from './random.ts';
import type { LinkConditions, SimFault } from './scenario.ts';

/** Streams of chance below this number belong to directors and the generator. */
const LINK_STREAMS = 1_000;
/** More links than one LAN has. */
const STREAMS_PER_LAN = 10_000;

export interface SimPacket {
  readonly from: number;
  /** As they arrive; nobody may change them. */
  readonly bytes: Uint8Array;
  readonly source: Uint8Array;
  /** The multicast group, or the peer that it is for alone. */
  readonly destination: Uint8Array;
  readonly toGroup: boolean;
  readonly ttl: number;
  readonly corrupted: boolean;
  /** Name of the instance that sent it, and what it sent: for the checks. */
  readonly router: string;
  readonly priority: number;
  readonly intervalUs: number;
}

interface Link {
  readonly random: Random;
  lossRun: number;
  lastArrivalUs: number;
  /** Faults that block it now. */
  blocks: number;
  /** When it last was blocked or in a storm, with whatever the storm left in flight. */
  disturbedUntilUs: number;
}

export interface LanCounters {
  sent: number;
  delivered: number;
  lost: number;
  duplicated: number;
  corrupted: number;
}

export class Lan {
  readonly counters: LanCounters = { sent: 0, delivered: 0, lost: 0, duplicated: 0, corrupted: 0 };
  readonly #agenda: Agenda;
  readonly #mild: LinkConditions;
  readonly #storms: LinkConditions[] = [];
  #partitions = 0;
  #anyDisturbedUntilUs = 0;
  readonly #links: readonly (readonly Link[])[];
  readonly #deliver: (to: number, packet: SimPacket) => void;

  constructor(
    agenda: Agenda,
    world: {
      readonly seed: number;
      /** Its place among the LANs. */
      readonly lan: number;
      readonly size: number;
      readonly conditions: LinkConditions;
    },
    deliver: (to: number, packet: SimPacket) => void,
  ) {
    const { seed, size } = world;
    const streams = LINK_STREAMS + world.lan * STREAMS_PER_LAN;
    this.#agenda = agenda;
    this.#mild = world.conditions;
    this.#deliver = deliver;
    this.#links = Array.from({ length: size }, (_, from) =>
      Array.from({ length: size }, (_, to) => ({
        random: new Random(seed, streams + from * size + to),
        lossRun: 0,
        lastArrivalUs: 0,
        blocks: 0,
        disturbedUntilUs: 0,
      })),
    );
  }

  /**
   * Sends to everybody else, or to one director alone; null for nobody who is there.
   * `packet.bytes` must not change afterwards.
   */
  send(packet: SimPacket, to: number | null | 'everybody' = 'everybody'): void {
    this.counters.sent++;
    if (to === null) return;
    if (to !== 'everybody') return this.#carry(this.#link(packet.from, to), to, packet);
    for (const [other, link] of (this.#links[packet.from] as readonly Link[]).entries()) {
      if (other !== packet.from) this.#carry(link, other, packet);
    }
  }

  /** When the link was last anything but mild; now, while it is. */
  disturbedUntilUs(from: number, to: number): number {
    const link = this.#link(from, to);
    if (this.#storms.length > 0 || link.blocks > 0) return this.#agenda.nowUs;
    return link.disturbedUntilUs;
  }

  /** When any of its links was last anything but mild; now, while one is. */
  get anyDisturbedUntilUs(): number {
    return this.#storms.length > 0 || this.#partitions > 0
      ? this.#agenda.nowUs
      : this.#anyDisturbedUntilUs;
  }

  /** Blocks links until `untilUs`. */
  partition(fault: Extract<SimFault, { kind: 'partition' }>, untilUs: number): void {
    const cut: Link[] = [];
    for (const [from, links] of this.#links.entries()) {
      for (const [to, link] of links.entries()) {
        const fromInside = ((fault.side >> from) & 1) === 1;
        const toInside = ((fault.side >> to) & 1) === 1;
        if (fromInside === toInside) continue;
        if (fault.direction === 'out' && !fromInside) continue;
        if (fault.direction === 'in' && fromInside) continue;
        cut.push(link);
      }
    }
    for (const link of cut) link.blocks++;
    this.#partitions++;
    this.#agenda.at(untilUs, () => {
      this.#partitions--;
      this.#anyDisturbedUntilUs = Math.max(this.#anyDisturbedUntilUs, this.#agenda.nowUs);
      for (const link of cut) {
        link.blocks--;
        link.disturbedUntilUs = Math.max(link.disturbedUntilUs, this.#agenda.nowUs);
      }
    });
  }

  /** Puts every link under these conditions until `untilUs`; the latest storm counts. */
  storm(conditions: LinkConditions, untilUs: number): void {
    this.#storms.push(conditions);
    this.#agenda.at(untilUs, () => {
      this.#storms.splice(this.#storms.indexOf(conditions), 1);
      const inFlightUs = this.#agenda.nowUs + conditions.latencyUs + conditions.jitterUs;
      this.#anyDisturbedUntilUs = Math.max(this.#anyDisturbedUntilUs, inFlightUs);
      for (const link of this.#links.flat()) {
        link.disturbedUntilUs = Math.max(link.disturbedUntilUs, inFlightUs);
        // What a storm left in flight must not hold up what comes after it.
        link.lastArrivalUs = 0;
      }
    });
  }

  #link(from: number, to: number): Link {
    return (this.#links[from] as readonly Link[])[to] as Link;
  }

  #carry(link: Link, to: number, packet: SimPacket): void {
    const conditions = this.#storms.at(-1) ?? this.#mild;
    const { random } = link;
    if (link.blocks > 0) {
      this.counters.lost++;
      return;
    }
    const merciful = conditions.lossRunMax !== null && link.lossRun >= conditions.lossRunMax;
    const lost = random.chance(conditions.lossPpm) && !merciful;
    // A packet that arrives broken is as good as lost to the receiver.
    const corrupted = !lost && random.chance(conditions.corruptPpm) && !merciful;
    link.lossRun = lost || corrupted ? link.lossRun + 1 : 0;
    if (lost) {
      this.counters.lost++;
      return;
    }
    const copies = random.chance(conditions.duplicatePpm) ? 2 : 1;
    this.counters.duplicated += copies - 1;
    const carried = corrupted ? this.#corrupt(random, packet) : packet;
    for (let copy = 0; copy < copies; copy++) {
      const travelUs = conditions.latencyUs + random.below(conditions.jitterUs + 1);
      let arrivalUs = this.#agenda.nowUs + travelUs;
      if (!conditions.reorder) arrivalUs = Math.max(arrivalUs, link.lastArrivalUs);
      link.lastArrivalUs = arrivalUs;
      this.#agenda.at(arrivalUs, () => {
        this.counters.delivered++;
        this.#deliver(to, carried);
      });
    }
  }

  /**
   * Flips one to three bits of one 16-bit word, which the internet checksum always detects. What
   * it cannot detect, the LAN's own frame check does.
   */
  #corrupt(random: Random, packet: SimPacket): SimPacket {
    this.counters.corrupted++;
    const bytes = packet.bytes.slice();
    const word = random.below(bytes.length >> 1) * 2;
    for (let flips = random.between(1, 3); flips > 0; flips--) {
      const offset = word + random.below(2);
      bytes[offset] = (bytes[offset] as number) ^ (1 << random.below(8));
    }
    // Two flips of one bit cancel each other.
    const same = bytes.every((byte, index) => byte === packet.bytes[index]);
    if (same) bytes[word] = (bytes[word] as number) ^ 1;
    return { ...packet, bytes, corrupted: true };
  }
}
