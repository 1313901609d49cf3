/**
 * AddressRefusal: what follows when the kernel takes none of the VIPs of an active instance. Such a
 * director would be active for nobody and keep a healthy peer from the VIPs, so it goes into fault,
 * until the kernel takes one in a trial: added, and removed at once.
 *
 * Invariant: nothing is tried while the instance may be active, and after a trial that succeeded,
 * which ends the fault, there is none.
 */
import { hastenedPauseUs, relapsesAfter, trialPauseUs } from '../core/address/refusal.ts';
import type { Problem } from '../core/problem.ts';
import { monotonicUs } from '../linux/clock.ts';
import type { Network } from './network.ts';
import type { VipHolder } from './vip-holder.ts';
import { foreseeRefusal, tryVip, type WantedVip } from './vips.ts';

/** So many VIPs in one trial: adverts of other instances wait meanwhile. */
const TRIED_MAX = 16;

export interface RefusalPorts {
  readonly network: Network;
  readonly vips: () => readonly WantedVip[];
  /** Puts the VIPs of the active instance there. */
  readonly holder: Pick<VipHolder, 'retry' | 'isRefused' | 'errorOf'>;
  readonly isActive: () => boolean;
  /** Has something done that is no part of a turn. */
  readonly betweenTurns: (act: () => void) => void;
  /** `stands` has changed. */
  readonly changed: () => void;
  readonly problem: (problem: Problem) => void;
}

export class AddressRefusal {
  readonly #ports: RefusalPorts;
  /** Of the VIPs that were tried, in the kernel's words; null while there is no refusal. */
  #words: Map<string, string> | null = null;
  #confirmation: NodeJS.Immediate | null = null;
  #timer: NodeJS.Timeout | null = null;
  #triedAtUs = 0;
  #takenAtUs = Number.NEGATIVE_INFINITY;
  #relapses = 0;
  /** The VIP that the next trial begins with. */
  #next = 0;

  constructor(ports: RefusalPorts) {
    this.#ports = ports;
  }

  /** The kernel took no VIP, and has not taken one since. */
  get stands(): boolean {
    return this.#words !== null;
  }

  /**
   * At a start: what is known to be refused must not be found out by a takeover from a healthy
   * peer. `made` is an interface of ours, which gets what it needs.
   */
  foresee(made: string | null): void {
    const all = this.#ports.vips();
    const known = all.map((vip) =>
      vip.interface === made ? null : foreseeRefusal(this.#ports.network, vip),
    );
    if (known.length === 0 || known.includes(null)) return;
    const words = new Map<string, string>();
    for (const [index, refusal] of known.entries()) {
      if (refusal === null) continue;
      words.set(keyOf(all[index] as WantedVip), refusal.words);
      this.#ports.problem(refusal.problem);
    }
    this.#begin(words);
  }

  /** The kernel took none of the VIPs that were put there: asked once more before it is believed. */
  suspected(): void {
    if (this.stands) return;
    this.#confirmation ??= setImmediate(() => {
      this.#confirmation = null;
      this.#ports.betweenTurns(() => this.#confirm());
    });
  }

  /** Links, addresses or the VIPs changed: it may be otherwise now. */
  hasten(): void {
    if (!this.stands) return;
    const sinceUs = monotonicUs() - this.#triedAtUs;
    this.#schedule(hastenedPauseUs(this.#relapses, sinceUs));
  }

  /** The VIPs are others now: tried in this call. */
  reconfigured(): void {
    if (this.stands) this.#try();
  }

  /** Why a VIP is not there; null when that is not known. */
  errorOf(vip: WantedVip): string | null {
    return this.#words?.get(keyOf(vip)) ?? null;
  }

  close(): void {
    if (this.#confirmation !== null) clearImmediate(this.#confirmation);
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#confirmation = null;
    this.#timer = null;
    this.#words = null;
  }

  #confirm(): void {
    const { isActive, holder, vips, changed } = this.#ports;
    if (!isActive()) return;
    holder.retry();
    if (!holder.isRefused) return;
    const words = new Map<string, string>();
    for (const vip of vips()) {
      const why = holder.errorOf(vip);
      if (why !== null) words.set(keyOf(vip), why);
    }
    this.#begin(words);
    changed();
  }

  #begin(words: Map<string, string>): void {
    const nowUs = monotonicUs();
    this.#words = words;
    this.#relapses = relapsesAfter(this.#relapses, nowUs - this.#takenAtUs);
    this.#triedAtUs = nowUs;
    this.#schedule(trialPauseUs(this.#relapses));
  }

  #schedule(pauseUs: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        this.#ports.betweenTurns(() => {
          this.#try();
          if (!this.stands) this.#ports.changed();
        });
      },
      Math.ceil(pauseUs / 1000),
    );
  }

  #try(): void {
    const { network, vips } = this.#ports;
    const all = vips();
    this.#triedAtUs = monotonicUs();
    const count = Math.min(all.length, TRIED_MAX);
    for (let step = 0; step < count; step++) {
      const vip = all[(this.#next + step) % all.length] as WantedVip;
      const answer = tryVip(network, vip);
      if (answer === 'taken') {
        this.#takenAtUs = this.#triedAtUs;
        this.close();
        return;
      }
      if (answer !== null) this.#words?.set(keyOf(vip), answer.message);
    }
    this.#next = (this.#next + count) % Math.max(1, all.length);
    if (all.length === 0) this.close();
    else this.#schedule(trialPauseUs(this.#relapses));
  }
}

function keyOf({ interface: interfaceName, address }: WantedVip): string {
  return `${interfaceName} ${address}`;
}
