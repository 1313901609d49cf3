/**
 * Virtual routers heard on our interfaces that no instance here has. They are normal on a shared
 * segment, but a director that hears no peer should say whom it hears instead: a mistyped VRID
 * looks just so. Bounded: the longest silent one makes room. Nothing is allocated for a known one.
 */
import type { AddressFamily, IpText } from '../core/config/config.ts';
import { formatIp } from '../core/ip.ts';
import { equalBytes } from '../core/wire/bytes.ts';
import type { StrangerRecord } from './messages.ts';

/** Enough to see a mistake; others on the segment are counted by the metric alone. */
const STRANGERS_MAX = 16;

interface Stranger {
  readonly interfaceName: string;
  readonly family: AddressFamily;
  readonly vrid: number;
  readonly source: Uint8Array;
  priority: number;
  addresses: readonly IpText[];
  lastHeardUs: number;
}

export class Strangers {
  readonly #strangers: Stranger[] = [];

  note(
    { interfaceName, family }: Pick<Stranger, 'interfaceName' | 'family'>,
    { vrid, priority, addresses }: Pick<Stranger, 'vrid' | 'priority' | 'addresses'>,
    source: Uint8Array,
    atUs: number,
  ): void {
    for (const known of this.#strangers) {
      if (known.vrid !== vrid || known.interfaceName !== interfaceName) continue;
      if (known.family !== family || !equalBytes(known.source, source)) continue;
      known.priority = priority;
      known.addresses = addresses;
      known.lastHeardUs = atUs;
      return;
    }
    if (this.#strangers.length >= STRANGERS_MAX) this.#evict();
    const stranger = { interfaceName, family, vrid, source: source.slice(), priority, addresses };
    this.#strangers.push({ ...stranger, lastHeardUs: atUs });
  }

  /** Instances have these virtual routers now, so they are strangers no more. */
  forget(
    { interfaceName, family }: Pick<Stranger, 'interfaceName' | 'family'>,
    vrids: Pick<ReadonlySet<number>, 'has'>,
  ): void {
    for (let index = this.#strangers.length - 1; index >= 0; index--) {
      const one = this.#strangers[index] as Stranger;
      if (one.interfaceName !== interfaceName || one.family !== family) continue;
      if (vrids.has(one.vrid)) this.#strangers.splice(index, 1);
    }
  }

  /** Those on this interface, the last heard first. */
  report(interfaceName: string, family: AddressFamily): readonly StrangerRecord[] {
    return this.#strangers
      .filter((one) => one.interfaceName === interfaceName && one.family === family)
      .sort((left, right) => right.lastHeardUs - left.lastHeardUs)
      .map(({ vrid, source, priority, addresses, lastHeardUs }) => ({
        vrid,
        address: formatIp(source, family),
        priority,
        addresses,
        lastHeardUs,
      }));
  }

  #evict(): void {
    let oldest = 0;
    for (const [index, { lastHeardUs }] of this.#strangers.entries()) {
      if (lastHeardUs < (this.#strangers[oldest] as Stranger).lastHeardUs) oldest = index;
    }
    this.#strangers.splice(oldest, 1);
  }
}
