/**
 * An IPVS table that answers netlink messages inside the process that asks, for benchmarks of what
 * a controller does with tens of thousands of entries on a machine whose kernel has no IPVS. Requests
 * are read and answers made as bytes, so all of the controller's own work is done as ever; what is
 * missing is the kernel's part of it. Entries are kept outside of the heap, as a kernel's are, and in
 * shared memory, for which V8 does not collect garbage sooner, as it would for other memory outside.
 */
import { constants } from 'node:os';
import { ok, type Result } from '../../src/core/result.ts';
import * as k from '../../src/linux/ipvs/constants.ts';
import { AttributeReader, AttributeWriter, align4 } from '../../src/linux/netlink/attributes.ts';
import type { NetlinkError } from '../../src/linux/netlink/error.ts';
import { beginGenl, GENL_HDRLEN } from '../../src/linux/netlink/genl.ts';
import {
  beginMessage,
  endMessage,
  MessageCursor,
  type NetlinkOutcome,
  NLM_F_MULTI,
  NLMSG_HDRLEN,
  NLMSG_MIN_TYPE,
  SUCCESS,
} from '../../src/linux/netlink/message.ts';
import type {
  DumpRequest,
  NetlinkRequest,
  RecordDecoder,
  WrittenRequests,
} from '../../src/linux/netlink/socket.ts';
import { TURNS } from '../../src/linux/turns.ts';

const FAMILY = NLMSG_MIN_TYPE + 16;
const CTRL_ATTR_FAMILY_ID = 1;
/** 1.2.1, by 4,096 connections. */
const [VERSION, CONNECTION_TABLE_SIZE] = [0x010201, 4_096];
const { EEXIST, EINVAL, ENOENT, ESRCH } = constants.errno;

/** One entry as the message that a dump answers it with. */
const SLOT_BYTES = 384;
const RECORD_START = NLMSG_HDRLEN + GENL_HDRLEN + 4;
/** What a service, or a server, is found by: the first attributes of its record. */
const IDENTITY_BYTES = { address: 44, mark: 16, server: 36 } as const;
/** The kernel fills at most 32 KiB of a dump at a time. */
const DATAGRAM_BYTES = 32_768;
const NONE = -1;

function memory(lengthBytes: number): SharedArrayBuffer {
  return new SharedArrayBuffer(lengthBytes);
}

/** Entries of fixed size; a free one is taken again. */
class Slots {
  readonly bytes: Uint8Array;
  readonly lengths: Uint16Array;
  /** Of servers: the next one of the same service. Of services: the first server. */
  readonly next: Int32Array;
  count = 0;
  /** No entry is behind this. */
  end = 0;
  readonly #free: number[] = [];

  constructor(capacity: number) {
    this.bytes = new Uint8Array(memory(capacity * SLOT_BYTES));
    this.lengths = new Uint16Array(memory(capacity * Uint16Array.BYTES_PER_ELEMENT));
    this.next = new Int32Array(memory(capacity * Int32Array.BYTES_PER_ELEMENT)).fill(NONE);
  }

  take(): number {
    this.count++;
    return this.#free.pop() ?? this.end++;
  }

  release(slot: number): void {
    this.count--;
    this.lengths[slot] = 0;
    this.next[slot] = NONE;
    this.#free.push(slot);
  }

  put(slot: number, message: Uint8Array): void {
    this.bytes.set(message, slot * SLOT_BYTES);
    this.lengths[slot] = message.length;
  }

  /** Whether the record of this entry begins with these bytes. */
  matches(slot: number, identity: Uint8Array): boolean {
    const from = slot * SLOT_BYTES + RECORD_START;
    return identity.every((byte, index) => this.bytes[from + index] === byte);
  }
}

/** The table; all sockets of the process share one. */
export class MemoryIpvs {
  readonly services: Slots;
  readonly servers: Slots;
  readonly #writer = new AttributeWriter();
  /** Service slots by the hash of their identity; -1 where none is, -2 where one was. */
  readonly #index: Int32Array;

  constructor(servicesMax: number, serversMax: number) {
    this.services = new Slots(servicesMax);
    this.servers = new Slots(serversMax);
    this.#index = new Int32Array(2 ** Math.ceil(Math.log2(servicesMax * 4))).fill(NONE);
  }

  /** Does one request without an answer; 0 or the errno. */
  change(payload: Uint8Array): number {
    const request = new Request(payload);
    const { identity } = request;
    if (identity === null) return EINVAL;
    const service = this.find(identity);
    switch (request.command) {
      case k.IPVS_CMD_NEW_SERVICE:
        if (service !== NONE) return EEXIST;
        return this.#addService(request);
      case k.IPVS_CMD_SET_SERVICE:
        if (service === NONE) return ESRCH;
        this.services.put(service, this.#serviceMessage(request));
        return 0;
      case k.IPVS_CMD_DEL_SERVICE:
        return service === NONE ? ESRCH : this.#deleteService(service, identity);
      default:
        return service === NONE ? ESRCH : this.#changeServer(service, request);
    }
  }

  /** Slot of a service, or -1. */
  find(identity: Uint8Array): number {
    const at = this.#place(identity);
    return at === NONE ? NONE : (this.#index[at] as number);
  }

  #place(identity: Uint8Array): number {
    const mask = this.#index.length - 1;
    for (let at = hashOf(identity) & mask; ; at = (at + 1) & mask) {
      const slot = this.#index[at] as number;
      if (slot === NONE) return NONE;
      if (slot >= 0 && this.services.matches(slot, identity)) return at;
    }
  }

  #addService(request: Request): number {
    const slot = this.services.take();
    this.services.put(slot, this.#serviceMessage(request));
    const mask = this.#index.length - 1;
    let at = hashOf(request.identity as Uint8Array) & mask;
    while ((this.#index[at] as number) >= 0) at = (at + 1) & mask;
    this.#index[at] = slot;
    return 0;
  }

  #deleteService(service: number, identity: Uint8Array): number {
    this.#index[this.#place(identity)] = -2;
    for (let server = this.services.next[service] as number; server !== NONE; ) {
      const next = this.servers.next[server] as number;
      this.servers.release(server);
      server = next;
    }
    this.services.release(service);
    return 0;
  }

  #changeServer(service: number, request: Request): number {
    const { command, server: identity } = request;
    if (identity === null) return EINVAL;
    let before = NONE;
    let found = this.services.next[service] as number;
    while (found !== NONE && !this.servers.matches(found, identity)) {
      before = found;
      found = this.servers.next[found] as number;
    }
    if (command === k.IPVS_CMD_NEW_DEST) {
      if (found !== NONE) return EEXIST;
      const slot = this.servers.take();
      this.servers.put(slot, this.#serverMessage(request));
      this.servers.next[slot] = this.services.next[service] as number;
      this.services.next[service] = slot;
      return 0;
    }
    if (found === NONE) return ENOENT;
    if (command === k.IPVS_CMD_SET_DEST) {
      this.servers.put(found, this.#serverMessage(request));
      return 0;
    }
    if (command !== k.IPVS_CMD_DEL_DEST) return EINVAL;
    const after = this.servers.next[found] as number;
    if (before === NONE) this.services.next[service] = after;
    else this.servers.next[before] = after;
    this.servers.release(found);
    return 0;
  }

  #serviceMessage(request: Request): Uint8Array {
    const { reader, serviceStart, serviceEnd } = request;
    return this.#message(k.IPVS_CMD_NEW_SERVICE, k.IPVS_CMD_ATTR_SERVICE, (writer) => {
      copyAttributes(reader, [serviceStart, serviceEnd], writer);
      putStats(writer, k.IPVS_SVC_ATTR_STATS64);
    });
  }

  #serverMessage(request: Request): Uint8Array {
    const { reader, serverStart, serverEnd } = request;
    return this.#message(k.IPVS_CMD_NEW_DEST, k.IPVS_CMD_ATTR_DEST, (writer) => {
      copyAttributes(reader, [serverStart, serverEnd], writer);
      writer.u32(k.IPVS_DEST_ATTR_ACTIVE_CONNS, 0).u32(k.IPVS_DEST_ATTR_INACT_CONNS, 0);
      writer.u32(k.IPVS_DEST_ATTR_PERSIST_CONNS, 0);
      putStats(writer, k.IPVS_DEST_ATTR_STATS64);
    });
  }

  #message(command: number, record: number, put: (writer: AttributeWriter) => void): Uint8Array {
    const writer = this.#writer.reset();
    const header = { type: FAMILY, flags: NLM_F_MULTI, sequence: 0, portId: 0 };
    const start = beginMessage(writer, header);
    beginGenl(writer, { command, version: k.IPVS_GENL_VERSION });
    const nested = writer.begin(record);
    put(writer);
    writer.end(nested);
    endMessage(writer, start);
    return writer.view();
  }
}

function hashOf(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash ^ (hash >>> 15);
}

function copyAttributes(
  reader: AttributeReader,
  [start, end]: readonly [number, number],
  writer: AttributeWriter,
): void {
  reader.forEach(start, end, (type, from, to) => {
    writer.bytes(type, reader.bytes.subarray(from, to));
  });
}

/** struct ip_vs_stats_user's ten counters, all zero. */
function putStats(writer: AttributeWriter, type: number): void {
  writer.nested(type, (nested) => {
    for (let one = k.IPVS_STATS_ATTR_CONNS; one <= k.IPVS_STATS_ATTR_OUTBPS; one++) {
      nested.zeros(one, 8);
    }
  });
}

/** A request's command and where its records are. */
class Request {
  readonly reader: AttributeReader;
  readonly command: number;
  serviceStart = 0;
  serviceEnd = 0;
  serverStart = 0;
  serverEnd = 0;

  constructor(payload: Uint8Array) {
    this.reader = new AttributeReader(payload);
    this.command = payload[0] as number;
    this.reader.forEach(GENL_HDRLEN, payload.length, (type, start, end) => {
      if (type === k.IPVS_CMD_ATTR_SERVICE) [this.serviceStart, this.serviceEnd] = [start, end];
      if (type === k.IPVS_CMD_ATTR_DEST) [this.serverStart, this.serverEnd] = [start, end];
    });
  }

  get identity(): Uint8Array | null {
    if (this.serviceEnd === 0) return null;
    // Behind the family, which takes eight bytes.
    const second = this.reader.u16(this.serviceStart + 10, this.serviceEnd);
    const length = IDENTITY_BYTES[second === k.IPVS_SVC_ATTR_FWMARK ? 'mark' : 'address'];
    return this.reader.bytes.subarray(this.serviceStart, this.serviceStart + length);
  }

  get server(): Uint8Array | null {
    if (this.serverEnd === 0) return null;
    return this.reader.bytes.subarray(this.serverStart, this.serverStart + IDENTITY_BYTES.server);
  }
}

/** What IpvsClient needs of a NetlinkSocket. */
export class MemoryNetlink {
  readonly portId = 1;
  readonly statistics = { overruns: 0, staleMessages: 0, truncated: 0, dumpRetries: 0 };
  readonly #table: MemoryIpvs;
  readonly #writer = new AttributeWriter();
  readonly #cursor = new MessageCursor(new Uint8Array(65_536));

  constructor(table: MemoryIpvs) {
    this.#table = table;
  }

  close(): void {}

  transactSync(requests: readonly NetlinkRequest[]): NetlinkOutcome[] {
    return requests.map(({ payload }) => outcomeOf(this.#table.change(payload)));
  }

  transactWrittenSync({ count, write }: WrittenRequests): NetlinkOutcome[] {
    return Array.from({ length: count }, (_, index) => {
      const writer = this.#writer.reset();
      write(writer, index);
      return outcomeOf(this.#table.change(writer.view()));
    });
  }

  querySync(
    { type, payload }: NetlinkRequest,
    onReply: (reply: MessageCursor) => boolean,
  ): NetlinkOutcome {
    const writer = this.#writer.reset();
    const command = payload[0] as number;
    if (type === FAMILY && command === k.IPVS_CMD_GET_SERVICE) {
      const { identity } = new Request(payload);
      const slot = identity === null ? NONE : this.#table.find(identity);
      if (slot === NONE) return outcomeOf(ESRCH);
      this.#copy(this.#table.services, slot, 0);
    } else {
      const start = beginMessage(writer, { type, flags: 0, sequence: 0, portId: 0 });
      beginGenl(writer, { command: answerOf(type, command), version: k.IPVS_GENL_VERSION });
      if (type === FAMILY) {
        writer.u32(k.IPVS_INFO_ATTR_VERSION, VERSION);
        writer.u32(k.IPVS_INFO_ATTR_CONN_TAB_SIZE, CONNECTION_TABLE_SIZE);
      } else writer.u16(CTRL_ATTR_FAMILY_ID, FAMILY);
      endMessage(writer, start);
      this.#cursor.bytes.set(writer.view());
      this.#cursor.start(writer.lengthBytes);
    }
    this.#cursor.next();
    return onReply(this.#cursor) ? SUCCESS : outcomeOf(EINVAL);
  }

  dumpSync<T>(request: DumpRequest, decode: RecordDecoder<T>): Result<T[], NetlinkError> {
    const records: T[] = [];
    const steps = this.#dump(request, decode, records);
    while (steps.next().done !== true);
    return ok(records);
  }

  async dump<T>(
    request: DumpRequest,
    decode: RecordDecoder<T>,
  ): Promise<Result<T[], NetlinkError>> {
    const records: T[] = [];
    const steps = this.#dump({ ...request, payload: request.payload.slice() }, decode, records);
    // The real socket's calls follow each other by promises.
    await null;
    while (steps.next().done !== true) await TURNS.nextTurn();
    return ok(records);
  }

  *#dump<T>({ payload }: DumpRequest, decode: RecordDecoder<T>, records: T[]): Generator<void> {
    const { identity, command } = new Request(payload);
    if (command === k.IPVS_CMD_GET_DEST) {
      const service = identity === null ? NONE : this.#table.find(identity);
      const first = service === NONE ? NONE : (this.#table.services.next[service] as number);
      let slot = first;
      const { servers } = this.#table;
      while (slot !== NONE) {
        let length = 0;
        while (slot !== NONE && length < DATAGRAM_BYTES - SLOT_BYTES) {
          length += this.#copy(servers, slot, length);
          slot = servers.next[slot] as number;
        }
        this.#read(decode, records);
        yield;
      }
    } else if (command === k.IPVS_CMD_GET_SERVICE) {
      const { services } = this.#table;
      for (let slot = 0; slot < services.end; ) {
        let length = 0;
        while (slot < services.end && length < DATAGRAM_BYTES - SLOT_BYTES) {
          if (services.lengths[slot] !== 0) length += this.#copy(services, slot, length);
          slot++;
        }
        this.#read(decode, records);
        yield;
      }
    }
  }

  #read<T>(decode: RecordDecoder<T>, records: T[]): void {
    while (this.#cursor.next()) {
      if (!decode(this.#cursor, records)) throw new Error('An answer of the table is damaged');
    }
  }

  /** Puts a message at this place of the datagram; returns its length. */
  #copy(slots: Slots, slot: number, at: number): number {
    const from = slot * SLOT_BYTES;
    const length = slots.lengths[slot] as number;
    this.#cursor.bytes.set(slots.bytes.subarray(from, from + length), at);
    this.#cursor.start(at + length);
    return align4(length);
  }
}

function answerOf(type: number, command: number): number {
  return type === FAMILY && command === k.IPVS_CMD_GET_INFO ? k.IPVS_CMD_SET_INFO : command;
}

function outcomeOf(errno: number): NetlinkOutcome {
  return errno === 0 ? SUCCESS : { errno, message: null, offset: null };
}
