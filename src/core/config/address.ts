/**
 * The part of Config that describes addresses, routes and rules, as an instance carries them
 * while active and as the section `static` keeps them all the time. Everything is resolved:
 * families known, words turned into the kernel's numbers. Addresses are canonical texts, as
 * everywhere in Config.
 */

/** What an address has beside itself, its prefix length and its interface: ip-address(8). */
export interface AddressAttributes {
  /** IPv4; null for none. */
  readonly broadcast: string | null;
  /** IPv4: RT_SCOPE_*, 0 (global) to 255. */
  readonly scope: number;
  /** IPv4: name of the address as an alias, at most 15 bytes; null for the interface's. */
  readonly label: string | null;
  /** The other end of a point-to-point link; the prefix length is then the peer's. */
  readonly peer: string | null;
  /** IPv6: home address of a mobile node (RFC 6275). */
  readonly home: boolean;
  /** IPv6: detect duplicates before the address is used. */
  readonly dad: boolean;
  /** Whether the kernel makes a route to the prefix. */
  readonly prefixRoute: boolean;
  /** IPv6: template of temporary addresses (RFC 8981). */
  readonly manageTemporary: boolean;
  /** Whole seconds; null for ever. 0: never a source address of its own accord. */
  readonly preferredSeconds: number | null;
  /** Metric of the prefix route; 0 for the kernel's. */
  readonly metric: number;
}
