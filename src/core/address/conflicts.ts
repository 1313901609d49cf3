/**
 * Which of our addresses other machines have too: when each is asked for, what an answer means,
 * when it counts and when it is over. Pure: time is an argument, the sockets are elsewhere.
 *
 * Nobody but us may answer for an address of ours. One answer says little, because a planned
 * handover has both directors hold a virtual IP for a moment: it counts when a second question, a
 * second later, is answered by the same machine too. It is over when two questions in a row were
 * not. A machine that does not answer and yet speaks as the address (a real server that announces
 * or uses a virtual IP as its sender) counts when it did so twice, some time apart.
 * Standard: RFC 5227 section 2.4.
 *
 * Invariants: never more than PROBES_MAX questions in a turn, and no two turns within TURN_US; of
 * one address no more than MACHINES_MAX machines are remembered; a machine holds an address only
 * after two sightings while that address was watched without interruption.
 */
import type { IpText } from '../config/config.ts';
import { isLinkLocal } from '../ip.ts';
import type { VrrpStateName } from '../vrrp/types.ts';

/** Between two turns, and how long an answer may take: on a LAN it takes a millisecond. */
const TURN_US = 1_000_000;
/** Questions in one turn, which is so many in a second. */
export const PROBES_MAX = 50;
/** After an address became ours: whoever had it before lets it go meanwhile. */
const SETTLE_US = 2_000_000;
/** How often is asked while another machine has the address, so that its end is soon known. */
const HELD_INTERVAL_US = 10_000_000;
/** Machines of one address; behind direct routing each real server may be one. */
const MACHINES_MAX = 16;
/** Two announcements of one machine closer than this are one. */
const ANNOUNCED_APART_US = 5_000_000;
/** An announcement is forgotten after this. */
const ANNOUNCED_FOR_US = 600_000_000;
/** Answered, or left unanswered, so often in a row: it counts. */
const IN_A_ROW = 2;

export interface WatchedAddress {
  /** Where it is asked for: an Ethernet interface. */
  readonly interface: string;
  readonly address: IpText;
}

/** How another machine showed that it has an address of ours. */
export type HeldHow =
  /** It answers when it is asked. */
  | 'answers'
  /** It does not, but announces it or sends as it. */
  | 'announces';

export interface Holder {
  /** '52:54:00:00:00:01' */
  readonly mac: string;
  readonly how: HeldHow;
}

/** What was received from a machine that is not this one. */
export interface Sighting extends WatchedAddress {
  readonly mac: string;
  /** It answers a question of ours. */
  readonly answer: boolean;
}

interface Machine {
  /** Questions that it answered, or did not answer, in a row. */
  answered: number;
  unanswered: number;
  answers: boolean;
  firstAnnouncedUs: number | null;
  lastAnnouncedUs: number;
  announces: boolean;
}

interface Watch extends WatchedAddress {
  /** Waiting: when it is asked for. Asked: until when answers are taken. */
  asked: boolean;
  atUs: number;
  readonly answeredBy: Set<string>;
  readonly machines: Map<string, Machine>;
  heldSinceUs: number | null;
}

export interface ConflictTurn {
  /** What is to be asked now. */
  readonly ask: readonly WatchedAddress[];
  /** Another machine has an address now, or has it no more. */
  readonly changed: boolean;
}

export class Conflicts {
  readonly #watches = new Map<string, Watch>();
  #intervalUs: number;
  #lastTurnUs = Number.NEGATIVE_INFINITY;

  /** @param intervalUs how often each address is asked for. */
  constructor(intervalUs: number) {
    this.#intervalUs = intervalUs;
  }

  /** Takes effect when an address is asked for the next time. */
  set intervalUs(intervalUs: number) {
    this.#intervalUs = intervalUs;
  }

  /**
   * Watches these addresses and no others: what is new is asked for after a while, and of what is
   * gone nothing is remembered.
   */
  keep(addresses: readonly WatchedAddress[], nowUs: number): void {
    const wanted = new Map(addresses.map((one) => [keyOf(one), one]));
    for (const key of this.#watches.keys()) if (!wanted.has(key)) this.#watches.delete(key);
    for (const [key, one] of wanted) {
      if (this.#watches.has(key)) continue;
      this.#watches.set(key, {
        ...{ interface: one.interface, address: one.address },
        ...{ asked: false, atUs: nowUs + SETTLE_US, heldSinceUs: null },
        ...{ answeredBy: new Set<string>(), machines: new Map<string, Machine>() },
      });
    }
  }

  /** Watches these no more, until keep() has them again. */
  drop(addresses: readonly WatchedAddress[]): void {
    for (const one of addresses) this.#watches.delete(keyOf(one));
  }

  /** All that are watched. */
  get watched(): Iterable<WatchedAddress> {
    return this.#watches.values();
  }

  /** Takes note of a packet; what is not watched has no meaning. */
  sighted(sighting: Sighting, nowUs: number): void {
    const watch = this.#watches.get(keyOf(sighting));
    if (watch === undefined) return;
    const { mac, answer } = sighting;
    // Late, or to somebody else's question: the next question will show it.
    if (answer && !watch.asked) return;
    const known = watch.machines.get(mac);
    if (known === undefined && watch.machines.size >= MACHINES_MAX) return;
    const machine = known ?? newMachine();
    watch.machines.set(mac, machine);
    if (answer) {
      watch.answeredBy.add(mac);
      return;
    }
    if (machine.firstAnnouncedUs === null) {
      machine.firstAnnouncedUs = nowUs;
      // Whether it answers as well is asked at once.
      if (!watch.asked) watch.atUs = Math.min(watch.atUs, nowUs);
    }
    machine.lastAnnouncedUs = nowUs;
    if (nowUs - machine.firstAnnouncedUs >= ANNOUNCED_APART_US) machine.announces = true;
  }

  /**
   * To be called at `nextAtUs`, when all that was received has been told: decides about what was
   * asked, and says what is to be asked now. What it says is taken as asked.
   */
  turn(nowUs: number): ConflictTurn {
    this.#lastTurnUs = nowUs;
    let changed = false;
    for (const watch of this.#watches.values()) {
      if (watch.asked && watch.atUs <= nowUs) this.#decide(watch, nowUs);
      if (note(watch, nowUs)) changed = true;
    }
    const due = [...this.#watches.values()].filter(({ asked, atUs }) => !asked && atUs <= nowUs);
    // Who waits longest comes first, so that none is left out when there are too many.
    due.sort((one, two) => one.atUs - two.atUs);
    const ask = due.slice(0, PROBES_MAX);
    for (const watch of ask) {
      watch.asked = true;
      watch.atUs = nowUs + TURN_US;
      watch.answeredBy.clear();
    }
    return { ask, changed };
  }

  /** When turn() has something to do, monotonic; null while nothing is watched. */
  get nextAtUs(): number | null {
    let nextUs: number | null = null;
    for (const { atUs } of this.#watches.values()) {
      if (nextUs === null || atUs < nextUs) nextUs = atUs;
    }
    return nextUs === null ? null : Math.max(nextUs, this.#lastTurnUs + TURN_US);
  }

  /** The other machines that have this address, as far as it counts, by their MAC addresses. */
  holders(address: WatchedAddress): readonly Holder[] {
    const machines = this.#watches.get(keyOf(address))?.machines ?? [];
    const found: Holder[] = [];
    for (const [mac, { answers, announces }] of machines) {
      if (answers) found.push({ mac, how: 'answers' });
      else if (announces) found.push({ mac, how: 'announces' });
    }
    return found.sort((one, two) => (one.mac < two.mac ? -1 : 1));
  }

  /** Since when any other machine has it, monotonic; null while none has. */
  heldSinceUs(address: WatchedAddress): number | null {
    return this.#watches.get(keyOf(address))?.heldSinceUs ?? null;
  }

  /** What the question that is over says of every machine, and when the next one comes. */
  #decide(watch: Watch, nowUs: number): void {
    let sure = true;
    let held = false;
    for (const [mac, machine] of watch.machines) {
      const answered = watch.answeredBy.has(mac);
      machine.answered = answered ? machine.answered + 1 : 0;
      machine.unanswered = answered ? 0 : machine.unanswered + 1;
      if (machine.answered >= IN_A_ROW) machine.answers = true;
      if (machine.unanswered >= IN_A_ROW) machine.answers = false;
      if (machine.answers !== answered) sure = false;
      if (machine.answers) held = true;
    }
    watch.asked = false;
    const intervalUs = held ? Math.min(this.#intervalUs, HELD_INTERVAL_US) : this.#intervalUs;
    watch.atUs = sure ? nowUs + intervalUs - TURN_US : nowUs;
  }
}

/** Forgets machines that say nothing any more; true when it begins or ends that one holds it. */
function note(watch: Watch, nowUs: number): boolean {
  let held = false;
  for (const [mac, machine] of watch.machines) {
    const { answered, answers, firstAnnouncedUs, lastAnnouncedUs } = machine;
    const announced = firstAnnouncedUs !== null && nowUs - lastAnnouncedUs < ANNOUNCED_FOR_US;
    if (!announced) {
      machine.firstAnnouncedUs = null;
      machine.announces = false;
    }
    const pending = watch.asked && watch.answeredBy.has(mac);
    if (answers || machine.announces) held = true;
    else if (!announced && answered === 0 && !pending) watch.machines.delete(mac);
  }
  if (held === (watch.heldSinceUs !== null)) return false;
  watch.heldSinceUs = held ? nowUs : null;
  return true;
}

function newMachine(): Machine {
  return {
    ...{ answered: 0, unanswered: 0, answers: false },
    ...{ firstAnnouncedUs: null, lastAnnouncedUs: 0, announces: false },
  };
}

/** What is known of an instance, as far as it matters here. */
export interface InstanceAddresses {
  readonly state: VrrpStateName;
  readonly resigning: boolean;
  readonly interface: string;
  readonly sourceAddress: IpText | null;
  /** The link on top of the interface that bears the virtual IPs; null without one. */
  readonly link: { readonly name: string } | null;
  readonly addresses: readonly {
    readonly address: IpText;
    readonly interface: string;
    readonly present: boolean;
  }[];
}

/**
 * What no other machine may have while the instance is as it is: its source address, and the
 * virtual IPs that it holds and does not mean to hand over. (Of link-local addresses, which IPv6
 * questions come from, the kernel finds duplicates itself.) A virtual link's are asked for from the interface below it, which its
 * own packets do not reach, so that no answer is our own.
 */
export function addressesToWatch(instance: InstanceAddresses): {
  readonly source: WatchedAddress | null;
  readonly vips: readonly WatchedAddress[];
} {
  const { state, resigning, link, sourceAddress, addresses } = instance;
  const base = instance.interface;
  const takesPart = state === 'active' || state === 'backup';
  const asked = sourceAddress !== null && !isLinkLocal(sourceAddress);
  const holds = state === 'active' && !resigning;
  return {
    source: takesPart && asked ? { interface: base, address: sourceAddress } : null,
    vips: holds
      ? addresses
          .filter(({ present }) => present)
          .map(({ address, interface: at }) => ({
            interface: at === link?.name ? base : at,
            address,
          }))
      : [],
  };
}

function keyOf(address: WatchedAddress): string {
  return `${address.interface} ${address.address}`;
}
