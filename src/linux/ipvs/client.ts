/**
 * IpvsClient: the kernel's IPVS table of the network namespace in which it was opened. Reads the
 * table, applies operations many to a send, and runs the connection sync daemons.
 *
 * Two sockets: dumps of a large table take many turns of the event loop, and a command, such as
 * quiescing a failed server, must not wait for them. Invariants: operations reach the kernel in the
 * order of the calls; one that fails does not stop the next; nothing here throws or retries.
 */
import { constants } from 'node:os';
import type { ServiceIdentity } from '../../core/config/config.ts';
import { inTurns, sortedInTurns } from '../../core/in-turns.ts';
import {
  type IpvsOperation,
  type ObservedRealServer,
  type ObservedService,
  serverKey,
  serviceFamily,
  serviceKey,
} from '../../core/ipvs/model.ts';
import { LargeMap } from '../../core/large-map.ts';
import type { Problem } from '../../core/problem.ts';
import { err, ok, type Result } from '../../core/result.ts';
import { Turn } from '../../core/turn.ts';
import { AttributeWriter } from '../netlink/attributes.ts';
import type { NetlinkError } from '../netlink/error.ts';
import { NETLINK_GENERIC, resolveFamily } from '../netlink/genl.ts';
import type { NetlinkOutcome } from '../netlink/message.ts';
import { type NetlinkRequest, NetlinkSocket, type RecordDecoder } from '../netlink/socket.ts';
import { TURNS } from '../turns.ts';
import {
  type DecodedService,
  decodeDaemon,
  decodeInfo,
  decodeServer,
  decodeService,
  decodeTimeouts,
  encodeRequest,
  type IpvsDecodeError,
  type IpvsInfo,
  type IpvsRequest,
  type IpvsTimeouts,
  type Payload,
  type SyncDaemon,
} from './codec.ts';
import { IPVS_GENL_NAME } from './constants.ts';
import { ipvsProblem, NO_IPVS } from './problems.ts';

/**
 * Operations between two looks at the clock: a real kernel needs half a millisecond for them. A server's
 * record takes about 150 bytes, so that they fit into one send of 64 KiB.
 */
const OPERATIONS_AT_ONCE = 64;

const { EBADMSG, EBUSY, EEXIST, ENOBUFS, ENOENT, ESRCH, ETIMEDOUT } = constants.errno;

export interface OperationResult {
  /** 0 when it succeeded, else positive as in errno.h. */
  readonly errno: number;
  readonly problem: Problem | null;
  /** It failed because the table was another than the one it was planned for, or is not known. */
  readonly outdated: boolean;
}

/** Of nearly all operations, of which there are tens of thousands. */
const DONE: OperationResult = { errno: 0, problem: null, outdated: false };

type Decoded<T> = Result<T, IpvsDecodeError>;

/** Entries that another program may make but no configuration can express. */
const INEXPRESSIBLE: readonly IpvsDecodeError[] = ['protocol-unknown', 'forwarding-unknown'];

export class IpvsClient {
  /** Since open; for metrics. */
  readonly statistics = { inexpressibleEntries: 0 };
  readonly #commands: NetlinkSocket;
  readonly #dumps: NetlinkSocket;
  readonly #familyId: number;
  readonly #writer = new AttributeWriter();
  #lastApply: Promise<unknown> = Promise.resolve();

  private constructor(sockets: {
    readonly commands: NetlinkSocket;
    readonly dumps: NetlinkSocket;
    readonly familyId: number;
  }) {
    this.#commands = sockets.commands;
    this.#dumps = sockets.dumps;
    this.#familyId = sockets.familyId;
  }

  /**
   * Opens the sockets in the present network namespace, where they stay.
   * @returns VK-NO-IPVS without the kernel's IPVS, VK-NOT-ROOT without CAP_NET_ADMIN
   */
  static open(): Result<IpvsClient, Problem> {
    const commands = NetlinkSocket.open(NETLINK_GENERIC);
    if (!commands.ok) return err(socketProblem(commands.error));
    const dumps = NetlinkSocket.open(NETLINK_GENERIC);
    if (!dumps.ok) {
      commands.value.close();
      return err(socketProblem(dumps.error));
    }
    const family = resolveFamily(commands.value, IPVS_GENL_NAME);
    const client = new IpvsClient({
      commands: commands.value,
      dumps: dumps.value,
      familyId: family.ok ? family.value.id : 0,
    });
    const problem = family.ok ? client.#probe() : familyProblem(family.error);
    if (problem === null) return ok(client);
    client.close();
    return err(problem);
  }

  /** Idempotent; what is under way fails. */
  close(): void {
    this.#commands.close();
    this.#dumps.close();
  }

  info(): Result<IpvsInfo, Problem> {
    return this.#query({ kind: 'get-info' }, decodeInfo);
  }

  /**
   * The whole table, sorted by service and server keys. The kernel has no snapshot: what another
   * program changes meanwhile may be seen or not, but no entry comes twice.
   */
  async dump(): Promise<Result<ObservedService[], Problem>> {
    const services = await this.dumpServices();
    if (!services.ok) return services;
    const keys = await sortedInTurns(services.value.keys(), TURNS);
    const turn = new Turn(TURNS);
    const table: ObservedService[] = [];
    for (const key of keys) {
      const entry = services.value.get(key) as DecodedService;
      const servers = await this.dumpServers(entry.service.identity);
      if (!servers.ok) return servers;
      table.push({ ...entry, servers: servers.value });
      if (turn.hasLasted()) await turn.rest();
    }
    return ok(table);
  }

  /** The services without their servers, by their keys. */
  async dumpServices(): Promise<Result<ReadonlyMap<string, DecodedService>, Problem>> {
    const services = await this.#dump({ kind: 'get-services' }, decodeService);
    if (!services.ok) return services;
    // Of two of one key, which another program's change can cause, the first.
    const byKey = new LargeMap<DecodedService>();
    await inTurns(
      services.value,
      (entry) => {
        const key = serviceKey(entry.service.identity);
        if (!byKey.has(key)) byKey.set(key, entry);
      },
      TURNS,
    );
    return ok(byKey);
  }

  /** The servers of a service, sorted by their keys; none when the kernel does not have it. */
  async dumpServers(identity: ServiceIdentity): Promise<Result<ObservedRealServer[], Problem>> {
    const family = serviceFamily(identity);
    const servers = await this.#dump({ kind: 'get-servers', identity }, (payload) =>
      decodeServer(payload, family),
    );
    return servers.ok ? ok(sortedServers(servers.value)) : servers;
  }

  /** The same in this turn of the event loop, for a service that has few; null when it cannot. */
  dumpServersNow(identity: ServiceIdentity): Result<ObservedRealServer[], Problem> | null {
    const family = serviceFamily(identity);
    const request: IpvsRequest = { kind: 'get-servers', identity };
    const payload = encodeRequest(this.#writer.reset(), request).view();
    const dumped = this.#commands.dumpSync(
      { type: this.#familyId, flags: 0, payload, call: request.kind },
      this.#recordDecoder((message) => decodeServer(message, family)),
    );
    if (dumped.ok) return ok(sortedServers(dumped.value));
    return dumped.error.errno === EBUSY ? null : err(ipvsProblem(request, outcomeOf(dumped.error)));
  }

  /** One service with its servers, or null when the kernel does not have it. */
  async dumpService(identity: ServiceIdentity): Promise<Result<ObservedService | null, Problem>> {
    const found: DecodedService[] = [];
    const request: IpvsRequest = { kind: 'get-service', identity };
    const outcome = this.#ask(request, decodeService, found);
    if (outcome.errno === ESRCH) return ok(null);
    const [entry] = found;
    if (outcome.errno !== 0) return err(ipvsProblem(request, outcome));
    if (entry === undefined) return err(ipvsProblem(request, failure(EBADMSG)));
    const servers = await this.dumpServers(identity);
    return servers.ok ? ok({ ...entry, servers: servers.value }) : servers;
  }

  /**
   * Applies operations in order, after those of earlier calls.
   * @returns one result for each operation, in order. Each stands for itself: one that failed
   *   does not stop the next.
   */
  apply(operations: readonly IpvsOperation[]): Promise<OperationResult[]> {
    const running = this.#lastApply.then(() => this.#applyInTurns(operations));
    // A defect that ends one call must not swallow the calls after it.
    this.#lastApply = running.catch(() => undefined);
    return running;
  }

  /** The sync daemons that run: none, one, or one of each role. */
  daemons(): Result<SyncDaemon[], Problem> {
    const request: IpvsRequest = { kind: 'get-daemons' };
    const dumped = this.#commands.dumpSync(
      { ...this.#request(request), call: request.kind },
      this.#recordDecoder(decodeDaemon),
    );
    return dumped.ok ? dumped : err(ipvsProblem(request, outcomeOf(dumped.error)));
  }

  /** Starts a sync daemon; fails with VK-SYNC when one of that role runs already. */
  startDaemon(daemon: SyncDaemon): Result<null, Problem> {
    return this.#command({ kind: 'start-daemon', daemon });
  }

  stopDaemon(role: SyncDaemon['role']): Result<null, Problem> {
    return this.#command({ kind: 'stop-daemon', role });
  }

  timeouts(): Result<IpvsTimeouts, Problem> {
    return this.#query({ kind: 'get-timeouts' }, decodeTimeouts);
  }

  setTimeouts(timeouts: IpvsTimeouts): Result<null, Problem> {
    return this.#command({ kind: 'set-timeouts', timeouts });
  }

  /** Counters to zero, of one service and its servers or with null of all. */
  zero(identity: ServiceIdentity | null): Result<null, Problem> {
    return this.#command({ kind: 'zero', identity });
  }

  /** Deletes every service of the namespace, whoever made it. */
  flush(): Result<null, Problem> {
    return this.#command({ kind: 'flush' });
  }

  /** The family can be looked up by anybody; whether we may use it shows only in a command. */
  #probe(): Problem | null {
    const info = this.info();
    return info.ok ? null : info.error;
  }

  async #applyInTurns(operations: readonly IpvsOperation[]): Promise<OperationResult[]> {
    const results: OperationResult[] = [];
    const turn = new Turn(TURNS);
    // Whoever has many has done as much already to find them out.
    if (operations.length > OPERATIONS_AT_ONCE) await turn.rest();
    while (results.length < operations.length) {
      if (turn.hasLasted()) await turn.rest();
      const first = results.length;
      const outcomes = this.#commands.transactWrittenSync({
        type: this.#familyId,
        count: Math.min(operations.length - first, OPERATIONS_AT_ONCE),
        write: (writer, index) => encodeRequest(writer, operations[first + index] as IpvsOperation),
      });
      for (const outcome of outcomes) {
        const operation = operations[results.length] as IpvsOperation;
        results.push(outcome.errno === 0 ? DONE : failed(operation, outcome));
      }
    }
    return results;
  }

  async #dump<T>(
    request: IpvsRequest,
    decode: (payload: Payload) => Decoded<T>,
  ): Promise<Result<T[], Problem>> {
    const dumped = await this.#dumps.dump(
      { ...this.#request(request), call: request.kind },
      this.#recordDecoder(decode),
    );
    return dumped.ok ? dumped : err(ipvsProblem(request, outcomeOf(dumped.error)));
  }

  /** A damaged record spoils the dump; one that we have no words for is left out and counted. */
  #recordDecoder<T>(decode: (payload: Payload) => Decoded<T>): RecordDecoder<T> {
    return (message, records) => {
      if (message.type !== this.#familyId) return true;
      const record = decode(message);
      if (record.ok) records.push(record.value);
      else if (!INEXPRESSIBLE.includes(record.error)) return false;
      else this.statistics.inexpressibleEntries++;
      return true;
    };
  }

  #command(request: IpvsRequest): Result<null, Problem> {
    const outcome = this.#commands.transactSync([this.#request(request)])[0] ?? failure(EBADMSG);
    return outcome.errno === 0 ? ok(null) : err(ipvsProblem(request, outcome));
  }

  #query<T>(request: IpvsRequest, decode: (payload: Payload) => Decoded<T>): Result<T, Problem> {
    const answers: T[] = [];
    const outcome = this.#ask(request, decode, answers);
    if (outcome.errno !== 0) return err(ipvsProblem(request, outcome));
    const [answer] = answers;
    return answer === undefined ? err(ipvsProblem(request, failure(EBADMSG))) : ok(answer);
  }

  #ask<T>(
    request: IpvsRequest,
    decode: (payload: Payload) => Decoded<T>,
    answers: T[],
  ): NetlinkOutcome {
    return this.#commands.querySync(this.#request(request), (message) => {
      const answer = decode(message);
      if (answer.ok) answers.push(answer.value);
      return answer.ok;
    });
  }

  #request(request: IpvsRequest): NetlinkRequest {
    const payload = encodeRequest(this.#writer.reset(), request).copy();
    return { type: this.#familyId, flags: 0, payload };
  }
}

function failed(operation: IpvsOperation, outcome: NetlinkOutcome): OperationResult {
  const { errno } = outcome;
  return {
    errno,
    problem: ipvsProblem(operation, outcome),
    outdated: isOutdated(operation, errno),
  };
}

/** ip_vs_genl_set_cmd in net/netfilter/ipvs/ip_vs_ctl.c; ENOENT of a service is its scheduler. */
function isOutdated({ kind }: IpvsOperation, errno: number): boolean {
  switch (errno) {
    case EEXIST:
      return kind === 'add-service' || kind === 'add-server';
    case ESRCH:
      return kind !== 'add-service';
    case ENOENT:
      return kind === 'set-server' || kind === 'delete-server';
    default:
      // The answer was lost: the kernel may have done it.
      return errno === ENOBUFS || errno === ETIMEDOUT;
  }
}

function failure(errno: number): NetlinkOutcome {
  return { errno, message: null, offset: null };
}

function outcomeOf(error: NetlinkError): NetlinkOutcome {
  return { errno: error.errno, message: error.message, offset: null };
}

function familyProblem(error: NetlinkError): Problem {
  return error.errno === ENOENT ? NO_IPVS : socketProblem(error);
}

function socketProblem(error: NetlinkError): Problem {
  return {
    code: 'VK-SYSTEM',
    message: `Cannot open generic netlink: ${error.call}: ${error.message} (${error.code})`,
    cure: 'Allow the process to open netlink sockets (RestrictAddressFamilies=AF_NETLINK)',
  };
}

/** A server that is added meanwhile shifts the kernel's position in its list: none comes twice. */
function sortedServers(servers: ObservedRealServer[]): ObservedRealServer[] {
  const keys = servers.map(serverKey);
  const isSorted = (sign: 1 | -1) =>
    keys.every((key, index) => {
      const before = keys[index - sign];
      return before === undefined || before < key;
    });
  if (isSorted(1)) return servers;
  // What was added in the order of the keys: the kernel puts each in front.
  if (isSorted(-1)) return servers.reverse();
  return sortedValues(new Map(servers.map((server, index) => [keys[index] as string, server])));
}

function sortedValues<T>(entries: ReadonlyMap<string, T>): T[] {
  return [...entries.keys()].sort().map((key) => entries.get(key) as T);
}
