/**
 * Intake: virtual IPs to which this director takes no packets for itself, while it has them
 * (`accept: false`, RFC 9568 section 6.4.3). They are in the kernel's packet filter before they are
 * on their interface, and leave it after that. What IPVS takes is not concerned
 * (linux/nftables/messages.ts).
 *
 * Invariants: without such an instance the packet filter is not touched, nor its modules loaded;
 * the table outlives a keeper that died, and the next one goes on with what is in it until its
 * instances have begun; a table that another program removed is made again within a second.
 */
import type { Problem } from '../core/problem.ts';
import { ok, type Result } from '../core/result.ts';
import type { NetlinkError } from '../linux/netlink/error.ts';
import { NftClient } from '../linux/nftables/client.ts';

/** How often the table is looked for. */
const LOOK_MS = 1_000;
const DEFAULT_DIRECTORY = '/run/vipkeeper';

/** Name of the table of the director with this runtime directory: several may share a machine. */
export function intakeTable(runtimeDirectory: string): string {
  if (runtimeDirectory === DEFAULT_DIRECTORY) return 'vipkeeper';
  // FNV-1a, 32 bits.
  let hash = 0x811c9dc5;
  for (const character of runtimeDirectory) {
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  }
  return `vipkeeper_${hash.toString(16).padStart(8, '0')}`;
}

/** Removes the table that a dead keeper left behind; null when that is done, or there was none. */
export function removeIntakeTable(runtimeDirectory: string): Problem | null {
  const opened = NftClient.open(intakeTable(runtimeDirectory));
  if (!opened.ok) return cannotFilter(opened.error);
  const deleted = opened.value.deleteTable();
  opened.value.close();
  return deleted.ok || deleted.error.code === 'ENOENT' ? null : cannotFilter(deleted.error);
}

export class Intake {
  readonly #report: (problem: Problem) => void;
  /** By instance: its addresses, while they are held. */
  readonly #held = new Map<string, readonly string[]>();
  #table: string | null = null;
  #client: NftClient | null = null;
  /** What is in the table; null while that is not known. */
  #known: Set<string> | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** Message of the problem that lasts. */
  #told: string | null = null;

  constructor(report: (problem: Problem) => void) {
    this.#report = report;
  }

  /** There is a table, or may be. */
  get isUsed(): boolean {
    return this.#client !== null;
  }

  /**
   * `wanted`: there are instances that do not accept. `left`: an earlier keeper may have left a
   * table, which goes if it is not wanted. To be called before instances hold anything.
   */
  configure(options: {
    readonly runtimeDirectory: string;
    readonly wanted: boolean;
    readonly left: boolean;
  }): void {
    this.#table = intakeTable(options.runtimeDirectory);
    if (options.wanted) return this.#open();
    if (this.#client !== null) return this.close();
    if (!options.left) return;
    const problem = removeIntakeTable(options.runtimeDirectory);
    if (problem !== null) this.#report(problem);
  }

  /** Takes no packets to these from now on, and to no others of the instance. */
  hold(instance: string, addresses: readonly string[]): void {
    const before = this.#held.get(instance);
    if (addresses.length === 0 && before === undefined) return;
    if (addresses.length === 0) this.#held.delete(instance);
    else this.#held.set(instance, addresses);
    this.#apply();
  }

  /** The instance has its addresses no more. */
  release(instance: string): void {
    if (this.#held.delete(instance)) this.#apply();
  }

  /** All instances have begun: what an earlier keeper left in the table beyond theirs goes. */
  settle(): void {
    if (this.#client !== null && this.#known === null) this.#rebuild();
  }

  /** Removes the table. */
  close(): void {
    this.#held.clear();
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#client?.deleteTable();
    this.#client?.close();
    this.#client = null;
    this.#known = null;
  }

  #open(): void {
    if (this.#client !== null || this.#table === null) return;
    const opened = NftClient.open(this.#table);
    if (!opened.ok) return this.#tell(opened.error);
    this.#client = opened.value;
    this.#note(this.#client.build());
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  #apply(): void {
    const client = this.#client;
    if (client === null) return;
    const wanted = new Set([...this.#held.values()].flat());
    const known = this.#known;
    // Until the instances have begun, what is there stays.
    const missing = [...wanted].filter((address) => known?.has(address) !== true);
    const leftover = [...(known ?? [])].filter((address) => !wanted.has(address));
    if (missing.length === 0 && leftover.length === 0) return;
    const added = missing.length === 0 ? ok(undefined) : client.add(missing);
    const done = added.ok && leftover.length > 0 ? client.remove(leftover) : added;
    if (!done.ok) return this.#rebuild();
    if (known !== null) this.#known = wanted;
  }

  /** Makes everything as it is to be, whatever is there. */
  #rebuild(): void {
    const client = this.#client;
    if (client === null) return;
    const wanted = new Set([...this.#held.values()].flat());
    const built = client.build();
    const done = built.ok ? client.replace([...wanted]) : built;
    this.#known = done.ok ? wanted : null;
    this.#note(done);
  }

  #look(): void {
    if (this.#client === null || (this.#known !== null && this.#client.isIntact())) return;
    this.#rebuild();
  }

  #note(result: Result<void, NetlinkError>): void {
    if (result.ok) this.#told = null;
    else this.#tell(result.error);
  }

  #tell(error: NetlinkError): void {
    const problem = cannotFilter(error);
    if (problem.message === this.#told) return;
    this.#told = problem.message;
    this.#report(problem);
  }
}

function cannotFilter(error: NetlinkError): Problem {
  return {
    code: 'VK-FILTER',
    message: `Packets to virtual IPs with accept: false are taken, because the packet filter refuses ${error.call}: ${error.message}`,
    cure: 'Load the module nf_tables, and let vipkeeper have CAP_NET_ADMIN; or set accept: true',
  };
}
