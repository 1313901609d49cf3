/**
 * Effects that wait until the advertisements of all instances that are due are sent: when a
 * director with a thousand instances dies, each takeover is told to the peers on time, and the
 * addresses follow, those of several instances in one batch.
 *
 * Invariants: what an instance put off is done before it takes its next step, in its order; of
 * those that wait, the first come first; settle() always gets on, however often it is called away.
 */
import type { Network } from './network.ts';
import { type AddResult, addVipsTogether, type WantedVip } from './vips.ts';

/** Some half a millisecond's work: an advertisement that becomes due must not wait for more. */
const BATCH_MAX = 16;

/** One who has put something off. */
export interface Debtor {
  /** Addresses that are to be there first, of which the result is for settle(); null for none. */
  wantedAddresses(): readonly WantedVip[] | null;
  /** Does what was put off, once; the rest of the times nothing. */
  settle(added: AddResult | null): void;
}

export class PutOff {
  readonly #network: Network;
  readonly #waiting = new Set<Debtor>();
  /** While true, those who step put off what is not an advertisement. */
  isOpen = false;

  constructor(network: Network) {
    this.#network = network;
  }

  /** True while somebody waits. */
  get isWaiting(): boolean {
    return this.#waiting.size > 0;
  }

  add(debtor: Debtor): void {
    this.#waiting.add(debtor);
  }

  /** It has settled by itself. */
  remove(debtor: Debtor): void {
    this.#waiting.delete(debtor);
  }

  /** Lets the first BATCH_MAX do what they have put off. */
  settleSome(): void {
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
}
