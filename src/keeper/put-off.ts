/**
 * Effects that wait until the advertisements of all instances that are due are sent: when a
 * director with a thousand instances dies, each takeover is told to the peers on time, and the
 * addresses follow, those of several instances in one batch.
 *
 * Invariants: what an instance put off is done before it takes its next step, in its order; of
 * those that wait, the first come first; settle() always gets on, however often it is called away;
 * an address that another director has now waits for nothing.
 */
import { monotonicUs } from '../linux/clock.ts';
import type { Network } from './network.ts';
import { type AddResult, addVipsTogether, removeVips, type WantedVip } from './vips.ts';

/** Some half a millisecond's work: an advertisement that becomes due must not wait for more. */
const BATCH_MAX = 16;

/**
 * A takeover within this time is waited for before addresses are: the instances of a director that
 * died are due one shortly after the other, and addresses of all of them at once cost least.
 */
const LULL_US = 1_000;
/** But no address waits for longer than this for the advertisements of others. */
const WAIT_MAX_US = 25_000;

/** One who has put something off. */
export interface Debtor {
  /** Addresses that have to go before anything else that was put off; empty for none. */
  unwantedAddresses(): readonly WantedVip[];
  /** Addresses that are to be there first, of which the result is for settle(); null for none. */
  wantedAddresses(): readonly WantedVip[] | null;
  /** Does what was put off, once; the rest of the times nothing. */
  settle(added: AddResult | null): void;
}

export class PutOff {
  readonly #network: Network;
  readonly #waiting = new Set<Debtor>();
  /** Somebody has to let addresses go. */
  #urgent = false;
  /** When the first of those that wait came. */
  #sinceUs = 0;
  /** While true, those who step put off what is not an advertisement. */
  isOpen = false;

  constructor(network: Network) {
    this.#network = network;
  }

  /** True while somebody waits. */
  get isWaiting(): boolean {
    return this.#waiting.size > 0;
  }

  add(debtor: Debtor, urgent = false): void {
    if (urgent) this.#urgent = true;
    if (this.#waiting.size === 0) this.#sinceUs = monotonicUs();
    this.#waiting.add(debtor);
  }

  /** Whether those that wait go on waiting at `nowUs`, for what is due at `nextUs`. */
  yieldsTo(nextUs: number | null, nowUs: number): boolean {
    if (!this.isWaiting || this.#urgent || nextUs === null) return false;
    return nextUs <= nowUs + LULL_US && nowUs < this.#sinceUs + WAIT_MAX_US;
  }

  /** It has settled by itself. */
  remove(debtor: Debtor): void {
    this.#waiting.delete(debtor);
  }

  /** Lets the first BATCH_MAX do what they have put off, and all let go what another one has. */
  settleSome(): void {
    this.#removeUnwanted();
    const debtors: Debtor[] = [];
    const wanted: (readonly WantedVip[] | null)[] = [];
    for (const debtor of this.#waiting) {
      debtors.push(debtor);
      wanted.push(debtor.wantedAddresses());
      if (debtors.length === BATCH_MAX) break;
    }
    const lists = wanted.map((vips) => vips ?? []);
    const results = addVipsTogether(this.#network, lists);
    for (const [index, debtor] of debtors.entries()) {
      this.#waiting.delete(debtor);
      debtor.settle(wanted[index] === null ? null : (results[index] ?? null));
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
