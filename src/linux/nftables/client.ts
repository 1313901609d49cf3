/**
 * The one table of packets that are not accepted (messages.ts), in the kernel: what it holds is
 * changed in whole batches, and whether it is still there is asked by the number of the rule set's
 * generation, so that looking costs one short question as long as nobody changes anything.
 */
import { ok, type Result } from '../../core/result.ts';
import { type NetlinkError, netlinkError } from '../netlink/error.ts';
import { type NetlinkRequest, NetlinkSocket } from '../netlink/socket.ts';
import {
  addElements,
  askGeneration,
  askRules,
  BATCH_BEGIN,
  BATCH_END,
  buildTable,
  clearSets,
  decodeGeneration,
  deleteElements,
  deleteTable,
  RULES,
} from './messages.ts';

/** include/uapi/linux/netlink.h */
const NETLINK_NETFILTER = 12;
/** Addresses of one batch: half of what one send takes, of the longer kind. */
const ADDRESSES_PER_BATCH = 1_000;

export class NftClient {
  readonly #socket: NetlinkSocket;
  readonly #table: string;
  /** Of the rule set after our last change. */
  #generation: number | null = null;

  private constructor(socket: NetlinkSocket, table: string) {
    this.#socket = socket;
    this.#table = table;
  }

  /** `table`: its name, letters, digits, dashes and underscores. */
  static open(table: string): Result<NftClient, NetlinkError> {
    const opened = NetlinkSocket.open(NETLINK_NETFILTER);
    return opened.ok ? ok(new NftClient(opened.value, table)) : opened;
  }

  close(): void {
    this.#socket.close();
  }

  /** Makes the table, if need be, and puts its rules in order; what is in the sets stays. */
  build(): Result<void, NetlinkError> {
    return this.#batch('NFT_MSG_NEWTABLE', buildTable(this.#table));
  }

  /** Makes these the addresses of the table; it must be there. At once, up to a thousand. */
  replace(addresses: readonly string[]): Result<void, NetlinkError> {
    const first = addresses.slice(0, ADDRESSES_PER_BATCH);
    const requests = [...clearSets(this.#table), ...addElements(this.#table, first)];
    const replaced = this.#batch('NFT_MSG_NEWSETELEM', requests);
    if (!replaced.ok || first.length === addresses.length) return replaced;
    return this.add(addresses.slice(ADDRESSES_PER_BATCH));
  }

  add(addresses: readonly string[]): Result<void, NetlinkError> {
    return this.#inBatches(addresses, (some) => addElements(this.#table, some));
  }

  /** Fails if one is not there, and then takes none of its batch out. */
  remove(addresses: readonly string[]): Result<void, NetlinkError> {
    return this.#inBatches(addresses, (some) => deleteElements(this.#table, some));
  }

  /** Fails with ENOENT if there is none. */
  deleteTable(): Result<void, NetlinkError> {
    return this.#batch('NFT_MSG_DELTABLE', [deleteTable(this.#table)]);
  }

  /** True when nobody else has changed the rule set, or the rules of the table are all there. */
  isIntact(): boolean {
    const generation = this.#readGeneration();
    if (generation !== null && generation === this.#generation) return true;
    const request = { ...askRules(this.#table), call: 'NFT_MSG_GETRULE' };
    const rules = this.#socket.dumpSync<null>(request, (_, found) => found.push(null) > 0);
    if (!rules.ok || rules.value.length !== RULES) return false;
    this.#generation = generation;
    return true;
  }

  #inBatches(
    addresses: readonly string[],
    requestsFor: (some: readonly string[]) => readonly NetlinkRequest[],
  ): Result<void, NetlinkError> {
    for (let from = 0; from < addresses.length; from += ADDRESSES_PER_BATCH) {
      const some = addresses.slice(from, from + ADDRESSES_PER_BATCH);
      const done = this.#batch('NFT_MSG_NEWSETELEM', requestsFor(some));
      if (!done.ok) return done;
    }
    return ok(undefined);
  }

  #batch(call: string, requests: readonly NetlinkRequest[]): Result<void, NetlinkError> {
    const { errno, message } = this.#socket.batchSync({
      begin: BATCH_BEGIN,
      requests,
      end: BATCH_END,
    });
    if (errno !== 0) return { ok: false, error: netlinkError(errno, message, call) };
    this.#generation = this.#readGeneration();
    return ok(undefined);
  }

  #readGeneration(): number | null {
    let generation: number | null = null;
    this.#socket.querySync(askGeneration(), (answer) => {
      generation = decodeGeneration(answer);
      return answer.reader.error === null;
    });
    return generation;
  }
}
