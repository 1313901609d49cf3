/**
 * Effects that wait until the advertisements of all instances that are due are sent: when a
 * director with a thousand instances dies, each takeover is told to the peers on time. What
 * clients need follows, the addresses of several instances in one batch and their first
 * announcements, and when all of them are there, what is left to be done of each.
 *
 * Invariants: what an instance put off is done before it takes its next step, in its order; of
 * those that wait, the first come first; settle() always gets on, however often it is called away;
 * an address that another director has now waits for nothing.
 */
import { monotonicUs } from '../linux/clock.ts';
import type { Network } from './network.ts';
import { type AddResult, addVipsTogether, removeVips, type WantedVip } from './vips.ts';

/**
 * Addresses in the first batch, some half a millisecond's work. The more there are in one, the less
 * each costs: half of it is the way into the kernel and back, and what is not at hand then.
 */
const BATCH_FIRST = 16;
const BATCH_MAX = 64;
/** An advertisement that becomes due meanwhile must not wait for more. */
const BATCH_US = 2_000;
/** An address that is added and announced takes some 25 us, or more on a slow machine or alone. */
const ADDRESS_US = 40;

/** While advertisements follow each other closely, addresses wait no longer than this. */
const WAIT_MAX_US = 50_000;

const NOT_ASKED: readonly never[] = [];

/** One who has put something off. */
export interface Debtor {
  /** How many addresses it has. */
  readonly addressCount: number;
  /** Addresses that have to go before anything else that was put off; empty for none. */
  unwantedAddresses(): readonly WantedVip[];
  /** Addresses that are to be there first, of which the result is for settle(); null for none. */
  wantedAddresses(): readonly WantedVip[] | null;
  /** Its addresses are there as far as the kernel took them: tells of them. */
  announceFirst(): void;
  /** Does what was put off, once; the rest of the times nothing. */
  settle(added: AddResult | null): void;
}

export class PutOff {
  readonly #network: Network;
  readonly #nowUs: () => number;
  readonly #waiting = new Set<Debtor>();
  /** Whose addresses are there and announced, and what became of them. */
  readonly #placed = new Map<Debtor, AddResult>();
  /** Somebody has to let addresses go. */
  #urgent = false;
  /** When the first of those that wait came. */
  #sinceUs = 0;
  /** How many addresses are going to be in a batch: as many as BATCH_US allows. */
  #batch = BATCH_FIRST;
  /** While true, those who step put off what is not an advertisement. */
  isOpen = false;

  /** `nowUs` is the monotonic clock. */
  constructor(network: Network, nowUs: () => number = monotonicUs) {
    this.#network = network;
    this.#nowUs = nowUs;
  }

  /** True while somebody waits. */
  get isWaiting(): boolean {
    return this.#waiting.size > 0 || this.#placed.size > 0;
  }

  add(debtor: Debtor, urgent = false): void {
    if (urgent) this.#urgent = true;
    if (!this.isWaiting) this.#sinceUs = this.#nowUs();
    this.#waiting.add(debtor);
  }

  /** Whether a batch would be too much at `nowUs` because of what is due at `nextUs`. */
  yieldsTo(nextUs: number | null, nowUs: number): boolean {
    if (!this.isWaiting || this.#urgent || nextUs === null) return false;
    return nextUs <= nowUs + BATCH_US && nowUs < this.#sinceUs + WAIT_MAX_US;
  }

  /** It has settled by itself. */
  remove(debtor: Debtor): void {
    this.#waiting.delete(debtor);
    this.#placed.delete(debtor);
  }

  /**
   * Goes on with the first ones, as far as a batch of addresses or one instance; all let go what
   * another one has.
   */
  settleSome(): void {
    this.#removeUnwanted();
    const startUs = this.#nowUs();
    const done = this.#goOn(this.#batch, true);
    const tookUs = this.#nowUs() - startUs;
    if (tookUs > BATCH_US) this.#batch = Math.max(1, this.#batch >> 1);
    else if (done >= this.#batch && tookUs < BATCH_US / 2) {
      this.#batch = Math.min(BATCH_MAX, this.#batch << 1);
    }
  }

  /** The same, but no more than there is time for; false when that is nothing. */
  settleWithin(us: number): boolean {
    return !this.#urgent && this.#goOn(Math.min(this.#batch, us / ADDRESS_US), false) > 0;
  }

  /**
   * With as many as have `addresses` together; with `atLeastOne` not with none. Returns how many
   * they have.
   */
  #goOn(addresses: number, atLeastOne: boolean): number {
    const from = this.#waiting.size > 0 ? this.#waiting : this.#placed.keys();
    const debtors: Debtor[] = [];
    let taken = 0;
    for (const debtor of from) {
      const count = Math.max(1, debtor.addressCount);
      if (taken + count > addresses && !(atLeastOne && debtors.length === 0)) break;
      debtors.push(debtor);
      taken += count;
      if (taken >= addresses) break;
    }
    if (debtors.length === 0) return 0;
    if (this.#waiting.size > 0) this.#place(debtors);
    else this.#finish(debtors);
    return taken;
  }

  #place(debtors: readonly Debtor[]): void {
    const wanted: (readonly WantedVip[])[] = [];
    for (let index = 0; index < debtors.length; index++) {
      wanted.push(debtors[index]?.wantedAddresses() ?? NOT_ASKED);
    }
    const results = addVipsTogether(this.#network, wanted);
    for (let index = 0; index < debtors.length; index++) {
      const debtor = debtors[index] as Debtor;
      this.#waiting.delete(debtor);
      if (wanted[index] === NOT_ASKED) debtor.settle(null);
      else {
        this.#placed.set(debtor, results[index] as AddResult);
        debtor.announceFirst();
      }
    }
  }

  #finish(debtors: readonly Debtor[]): void {
    for (let index = 0; index < debtors.length; index++) {
      const debtor = debtors[index] as Debtor;
      const added = this.#placed.get(debtor) as AddResult;
      this.#placed.delete(debtor);
      debtor.settle(added);
    }
  }

  /**
   * Two directors with one address are worse than none: after a stall the addresses of all who
   * give way go together and first. What the kernel refuses is found again by settle().
   */
  #removeUnwanted(): void {
    if (!this.#urgent) return;
    this.#urgent = false;
    const unwanted: WantedVip[] = [];
    for (const debtor of this.#waiting) unwanted.push(...debtor.unwantedAddresses());
    if (unwanted.length > 0) removeVips(this.#network, unwanted);
  }
}
