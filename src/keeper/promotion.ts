/**
 * Promotion: sees to it that interfaces with IPv4 VIPs of instances with `promote_secondaries` keep
 * the other addresses of a network when its first one goes. Without it the kernel takes all of them
 * away together, and VIPs of the same network would be gone until they are put back.
 * Standard: Documentation/networking/ip-sysctl.rst, promote_secondaries.
 */
import type { VrrpConfig } from '../core/config/config.ts';
import { ipFamily } from '../core/ip.ts';
import type { Problem } from '../core/problem.ts';
import type { BaseSettings } from './base-settings.ts';
import type { Network } from './network.ts';

export class Promotion {
  readonly #settings: BaseSettings;
  readonly #network: Pick<Network, 'link' | 'nameOf'>;
  /** Names of the interfaces that are to have it. */
  #wanted: ReadonlySet<string> = new Set();

  constructor(settings: BaseSettings, network: Pick<Network, 'link' | 'nameOf'>) {
    this.#settings = settings;
    this.#network = network;
  }

  /** Sets what these instances need, and puts back what no instance needs any more. */
  configure(instances: readonly VrrpConfig[]): readonly Problem[] {
    const before = this.#wanted;
    const promoting = instances.filter(({ promoteSecondaries }) => promoteSecondaries);
    const vips = promoting.flatMap(({ addresses }) => addresses);
    const ipv4 = vips.filter(({ address }) => ipFamily(address) === 'ipv4');
    this.#wanted = new Set(ipv4.map((vip) => vip.interface));
    for (const name of before) if (!this.#wanted.has(name)) this.#release(name);
    return this.networkChanged();
  }

  /** Interfaces may be others now. */
  networkChanged(): readonly Problem[] {
    const problems: Problem[] = [];
    for (const name of this.#wanted) {
      const link = this.#network.link(name);
      if (link === null) continue;
      const held = this.#settings.hold(link, holderOf(name), ['promote_secondaries']);
      if (!held.ok) problems.push(held.error);
    }
    return problems;
  }

  /** Puts everything back. */
  close(): void {
    for (const name of this.#wanted) this.#release(name);
    this.#wanted = new Set();
  }

  #release(name: string): void {
    this.#settings.release(holderOf(name), (index) => this.#network.nameOf(index));
  }
}

/** No instance has a name with a space in it. */
function holderOf(interfaceName: string): string {
  return `promote ${interfaceName}`;
}
