/**
 * VipHolder: keeps some addresses on their interfaces while they are wanted. One that another
 * program removes is put back at once, but not for ever at that rate (core/address/budget.ts);
 * one that could not be put there is tried again when links or addresses change, and every five
 * seconds. A problem is told when it begins, not with every attempt.
 */
import { type Budget, spend } from '../core/address/budget.ts';
import type { Problem } from '../core/problem.ts';
import { monotonicUs } from '../linux/clock.ts';
import type { Network } from './network.ts';
import { type AddResult, addVips, removeVips, type WantedVip } from './vips.ts';

/** What the kernel refuses is tried again so often, beside the changes of links. */
const RETRY_MS = 5_000;

export interface VipHolderPorts {
  readonly network: Network;
  /** An address is back that another program had removed. */
  readonly restored: (vip: WantedVip, byPid: number | null) => void;
  /** An address is there that could not be put there before. */
  readonly appeared: () => void;
  /** None of the addresses is there, because the kernel refuses them: see isRefused. */
  readonly refused: () => void;
  readonly problem: (problem: Problem) => void;
}

export class VipHolder {
  readonly #ports: VipHolderPorts;
  readonly #budgets = new Map<string, Budget>();
  /** Who removed an address that waits to be put back. */
  readonly #waiting = new Map<string, number | null>();
  /** Those that could not be put there, or went with their interface; with the kernel's reason. */
  readonly #missing = new Map<string, string | null>();
  /** Those of them that the kernel refused. */
  readonly #refused = new Set<string>();
  /** Problems that were told since the addresses were put there. */
  readonly #told = new Set<string>();
  #held: readonly WantedVip[] = [];
  #timer: NodeJS.Timeout | null = null;
  #retryTimer: NodeJS.Timeout | null = null;

  constructor(ports: VipHolderPorts) {
    this.#ports = ports;
  }

  /** Puts these there and keeps them there, and removes what was held before and is not of them. */
  hold<V extends WantedVip>(vips: readonly V[]): readonly V[] {
    const kept = new Set(vips.map(keyOf));
    const dropped = this.#held.filter((vip) => !kept.has(keyOf(vip)));
    this.#held = vips;
    this.#tell(removeVips(this.#ports.network, dropped));
    return this.#add(vips) as readonly V[];
  }

  /** Keeps these there, which were put there with this result; none was held before. */
  holdAdded(vips: readonly WantedVip[], result: AddResult): void {
    this.#held = vips;
    this.#noteAdded(vips, result);
    const { added } = result;
    for (let index = 0; index < added.length; index++) {
      const vip = added[index] as WantedVip;
      // Removed since.
      if (!this.#ports.network.hasAddress(vip.interface, vip.address)) this.#restore(vip, null);
    }
  }

  /** Whether it keeps any. */
  get isHolding(): boolean {
    return this.#held.length > 0;
  }

  /** Removes these, and keeps none any more. */
  release(vips: readonly WantedVip[] = this.#held): void {
    this.close();
    this.#tell(removeVips(this.#ports.network, vips));
  }

  /** Keeps none any more, and leaves them where they are. */
  close(): void {
    this.#held = [];
    this.#budgets.clear();
    this.#waiting.clear();
    this.#missing.clear();
    this.#refused.clear();
    this.#told.clear();
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    this.#timer = null;
    this.#retryTimer = null;
  }

  /** An address vanished and we did not remove it. */
  lost(interfaceName: string, address: string, byPid: number | null): void {
    const vip = this.#held.find(
      (candidate) => candidate.interface === interfaceName && candidate.address === address,
    );
    if (vip !== undefined) this.#restore(vip, byPid);
  }

  /** Links or addresses changed: what is missing may be possible now. */
  retry(): void {
    const possible: WantedVip[] = [];
    for (const vip of this.#held) {
      const there = this.#ports.network.link(vip.interface) !== null;
      if (!there) this.#missing.set(keyOf(vip), noInterface(vip));
      else if (this.#missing.has(keyOf(vip))) possible.push(vip);
    }
    if (possible.length > 0 && this.#add(possible).length > 0) this.#ports.appeared();
  }

  /** Why a held address is not there; null when it is, or no reason is known. */
  errorOf(vip: VipPlace): string | null {
    const key = keyOf(vip);
    if (this.#waiting.has(key)) return 'another program keeps removing it';
    return this.#missing.get(key) ?? null;
  }

  /** The kernel refuses what is wanted, and none of it is there. */
  get isRefused(): boolean {
    const { network } = this.#ports;
    return (
      this.#refused.size > 0 &&
      !this.#held.some((vip) => network.hasAddress(vip.interface, vip.address))
    );
  }

  #restore(vip: WantedVip, byPid: number | null): void {
    const key = keyOf(vip);
    const { budget, waitUs } = spend(this.#budgets.get(key), monotonicUs());
    this.#budgets.set(key, budget);
    if (waitUs > 0) {
      this.#tell([contestedProblem(vip, byPid)], `contested ${key}`);
      this.#waiting.set(key, byPid);
      this.#timer ??= setTimeout(() => this.#waitIsOver(), Math.ceil(waitUs / 1000));
      return;
    }
    if (this.#add([vip]).length > 0) this.#ports.restored(vip, byPid);
  }

  #add(vips: readonly WantedVip[]): readonly WantedVip[] {
    return this.#noteAdded(vips, addVips(this.#ports.network, vips));
  }

  #noteAdded(
    vips: readonly WantedVip[],
    { added, problems, refused }: AddResult,
  ): readonly WantedVip[] {
    if (problems.length > 0) this.#tell(problems);
    // The usual way of a takeover.
    if (added.length === vips.length && this.#missing.size === 0) return added;
    const { network } = this.#ports;
    for (const vip of vips) {
      const key = keyOf(vip);
      this.#refused.delete(key);
      if (network.hasAddress(vip.interface, vip.address)) this.#missing.delete(key);
      else if (network.link(vip.interface) === null) this.#missing.set(key, noInterface(vip));
      else {
        const words = refused.get(vip) ?? null;
        this.#missing.set(key, words);
        if (words !== null) this.#refused.add(key);
      }
    }
    if (this.#refused.size > 0) this.#followRefusal();
    return added;
  }

  #followRefusal(): void {
    this.#retryTimer ??= setTimeout(() => {
      this.#retryTimer = null;
      this.retry();
    }, RETRY_MS);
    if (this.isRefused) this.#ports.refused();
  }

  #waitIsOver(): void {
    this.#timer = null;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const [key, byPid] of waiting) {
      const vip = this.#held.find((candidate) => keyOf(candidate) === key);
      const { network } = this.#ports;
      if (vip === undefined || network.hasAddress(vip.interface, vip.address)) continue;
      if (network.link(vip.interface) !== null) this.#restore(vip, byPid);
    }
  }

  /** `about`: what of several messages only one is told of. */
  #tell(problems: readonly Problem[], about?: string): void {
    for (const problem of problems) {
      const key = about ?? problem.message;
      if (this.#told.has(key)) continue;
      this.#told.add(key);
      this.#ports.problem(problem);
    }
  }
}

type VipPlace = Pick<WantedVip, 'interface' | 'address'>;

function noInterface(vip: VipPlace): string {
  return `interface ${vip.interface} does not exist`;
}

function keyOf(vip: VipPlace): string {
  return `${vip.interface} ${vip.address}`;
}

function contestedProblem(vip: WantedVip, byPid: number | null): Problem {
  const who = byPid === null ? 'Another program' : `Another program (process ${byPid})`;
  return {
    code: 'VK-CONTESTED',
    message: `${who} keeps removing ${vip.address} from ${vip.interface}`,
    cure: 'Find the program that manages this interface too, and let it leave the address alone',
  };
}
