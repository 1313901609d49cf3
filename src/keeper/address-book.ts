/**
 * The addresses on the machine's interfaces, and which of them are vipkeeper's. An interface may
 * have an IPv4 address several times, with different prefix lengths: another program's /32 beside
 * our /24 must not be taken for ours, or ours would stay behind when it has to go.
 *
 * Invariant: of one interface, address and prefix length there is one entry at most.
 * Standard: net/ipv4/devinet.c, inet_insert_ifa().
 */
import type { IpText } from '../core/config/config.ts';
import type { InterfaceAddress } from '../linux/netlink/route-messages.ts';

/** What tells an address on an interface from all others. */
export type AddressKey = Pick<InterfaceAddress, 'interfaceIndex' | 'address' | 'prefixLength'>;

export class AddressBook {
  /** By interface and address; most have one entry. That of ours is found first. */
  readonly #entries = new Map<number, Map<IpText, InterfaceAddress[]>>();
  readonly #claimed = new Set<string>();
  readonly #mark: number;
  /** Made when asked for: with many instances that is often, and changes are rare. */
  #all: readonly InterfaceAddress[] | null = null;
  #others: readonly InterfaceAddress[] | null = null;

  /** `mark`: the IFA_PROTO of addresses that are vipkeeper's. */
  constructor(mark: number) {
    this.#mark = mark;
  }

  /** Ours if it is there, else any with this address; undefined for none. */
  find(interfaceIndex: number, address: IpText): InterfaceAddress | undefined {
    const found = this.#entries.get(interfaceIndex)?.get(address);
    if (found === undefined || found.length === 1) return found?.[0];
    return found.find((entry) => this.isOurs(entry)) ?? found[0];
  }

  has(key: AddressKey): boolean {
    return indexIn(this.#at(key), key.prefixLength) >= 0;
  }

  /** True when vipkeeper put it there: this process or an earlier one. */
  isOurs(entry: InterfaceAddress): boolean {
    return entry.protocol === this.#mark || this.#claimed.has(keyOf(entry));
  }

  /** Takes the address of this keyOf() for ours, whatever its mark. */
  claim(key: string): void {
    this.#claimed.add(key);
    this.#forget();
  }

  /** Ends a claim. */
  disclaim(key: string): void {
    this.#claimed.delete(key);
    this.#forget();
  }

  /** Notes an address that is there. */
  set(entry: InterfaceAddress): void {
    const { interfaceIndex, address, prefixLength } = entry;
    let ofInterface = this.#entries.get(interfaceIndex);
    if (ofInterface === undefined) {
      ofInterface = new Map();
      this.#entries.set(interfaceIndex, ofInterface);
    }
    const found = ofInterface.get(address);
    const place = indexIn(found, prefixLength);
    if (found === undefined) ofInterface.set(address, [entry]);
    else if (place < 0) found.push(entry);
    else found[place] = entry;
    this.#forget();
  }

  /** Forgets one that is gone, but not a claim to it; false when it was not known. */
  delete(key: AddressKey): boolean {
    const found = this.#at(key);
    const place = indexIn(found, key.prefixLength);
    if (found === undefined || place < 0) return false;
    this.#forget();
    found.splice(place, 1);
    if (found.length === 0) this.#entries.get(key.interfaceIndex)?.delete(key.address);
    return true;
  }

  /** Forgets all of an interface. */
  deleteInterface(interfaceIndex: number): void {
    if (this.#entries.delete(interfaceIndex)) this.#forget();
  }

  /** Takes these for all that are there; returns those that are not any more. */
  replace(entries: readonly InterfaceAddress[]): readonly InterfaceAddress[] {
    const before = this.all();
    this.#entries.clear();
    this.#forget();
    for (const entry of entries) this.set(entry);
    return before.filter((entry) => !this.has(entry));
  }

  all(): readonly InterfaceAddress[] {
    this.#all ??= [...this.#entries.values()].flatMap((found) => [...found.values()].flat());
    return this.#all;
  }

  /** Those that other programs put there. */
  others(): readonly InterfaceAddress[] {
    this.#others ??= this.all().filter((entry) => !this.isOurs(entry));
    return this.#others;
  }

  #forget(): void {
    this.#all = null;
    this.#others = null;
  }

  #at({ interfaceIndex, address }: AddressKey): InterfaceAddress[] | undefined {
    return this.#entries.get(interfaceIndex)?.get(address);
  }
}

/** Where among entries of one address that with this prefix length is; -1 for nowhere. */
function indexIn(found: readonly InterfaceAddress[] | undefined, prefixLength: number): number {
  const count = found?.length ?? 0;
  for (let index = 0; index < count; index++) {
    if (found?.[index]?.prefixLength === prefixLength) return index;
  }
  return -1;
}

/** As text, for maps. */
export function keyOf({ interfaceIndex, address, prefixLength }: AddressKey): string {
  return `${interfaceIndex} ${address}/${prefixLength}`;
}
