/**
 * IPVS messages: values to the payload of generic netlink messages and back. Requests carry what
 * the kernel needs and no more: an identity where it only looks up, the full record where it
 * replaces one, because it resets what a request leaves out. Decoders return a Result, never
 * throw and never read past the range they are given.
 * Source: include/uapi/linux/ip_vs.h; net/netfilter/ipvs/ip_vs_ctl.c (ip_vs_genl_*).
 */
import { assert, InternalError } from '../../core/assert.ts';
import type { AddressFamily, IpText, ServiceIdentity } from '../../core/config/config.ts';
import { formatIp, ipFamily, parseIp, putIp } from '../../core/ip.ts';
import type {
  IpvsOperation,
  IpvsStats,
  ObservedRealServer,
  RealServer,
  VirtualService,
} from '../../core/ipvs/model.ts';
import { serviceFamily } from '../../core/ipvs/model.ts';
import { err, ok, type Result } from '../../core/result.ts';
import type { AttributeError, AttributeReader, AttributeWriter } from '../netlink/attributes.ts';
import { beginGenl, GENL_HDRLEN } from '../netlink/genl.ts';
import * as k from './constants.ts';

/** A connection sync daemon; what is absent is the kernel's choice (group 224.0.0.81:8848…). */
export interface SyncDaemon {
  readonly role: 'master' | 'backup';
  /** Interface that carries the multicast, at most 15 characters. */
  readonly interface: string;
  /** 0 to 255; a backup with 0 accepts every id. */
  readonly id: number;
  readonly maxLengthBytes?: number;
  readonly group?: IpText;
  readonly port?: number;
  readonly ttl?: number;
}

/** Timeouts of connections in whole seconds; 0 in a request keeps the present one. */
export interface IpvsTimeouts {
  readonly tcpSeconds: number;
  readonly tcpFinSeconds: number;
  readonly udpSeconds: number;
}

export interface IpvsInfo {
  /** '1.2.1'. */
  readonly version: string;
  readonly connectionTableSize: number;
}

/** Everything that the kernel's IPVS can be asked for. */
export type IpvsRequest =
  | IpvsOperation
  | { readonly kind: 'get-service'; readonly identity: ServiceIdentity }
  /** A dump of all services. */
  | { readonly kind: 'get-services' }
  /** A dump of one service's servers: empty, not an error, when there is no such service. */
  | { readonly kind: 'get-servers'; readonly identity: ServiceIdentity }
  | { readonly kind: 'start-daemon'; readonly daemon: SyncDaemon }
  | { readonly kind: 'stop-daemon'; readonly role: SyncDaemon['role'] }
  /** A dump of the daemons that run: none, one or both roles. */
  | { readonly kind: 'get-daemons' }
  | { readonly kind: 'set-timeouts'; readonly timeouts: IpvsTimeouts }
  | { readonly kind: 'get-timeouts' }
  | { readonly kind: 'get-info' }
  /** Counters to zero: one service's and its servers', or with null all. */
  | { readonly kind: 'zero'; readonly identity: ServiceIdentity | null }
  /** Deletes every service of the network namespace. */
  | { readonly kind: 'flush' };

export type IpvsDecodeError =
  | AttributeError
  /** No generic netlink header, or not the command that was asked for. */
  | 'command-unexpected'
  | 'attribute-missing'
  | 'family-unknown'
  | 'protocol-unknown'
  | 'address-short'
  | 'forwarding-unknown'
  | 'role-unknown';

const COMMANDS = {
  'add-service': k.IPVS_CMD_NEW_SERVICE,
  'set-service': k.IPVS_CMD_SET_SERVICE,
  'delete-service': k.IPVS_CMD_DEL_SERVICE,
  'get-service': k.IPVS_CMD_GET_SERVICE,
  'get-services': k.IPVS_CMD_GET_SERVICE,
  'add-server': k.IPVS_CMD_NEW_DEST,
  'set-server': k.IPVS_CMD_SET_DEST,
  'delete-server': k.IPVS_CMD_DEL_DEST,
  'get-servers': k.IPVS_CMD_GET_DEST,
  'start-daemon': k.IPVS_CMD_NEW_DAEMON,
  'stop-daemon': k.IPVS_CMD_DEL_DAEMON,
  'get-daemons': k.IPVS_CMD_GET_DAEMON,
  'set-timeouts': k.IPVS_CMD_SET_CONFIG,
  'get-timeouts': k.IPVS_CMD_GET_CONFIG,
  'get-info': k.IPVS_CMD_GET_INFO,
  zero: k.IPVS_CMD_ZERO,
  flush: k.IPVS_CMD_FLUSH,
} as const satisfies Record<IpvsRequest['kind'], number>;

const PROTOCOLS = { tcp: k.IPPROTO_TCP, udp: k.IPPROTO_UDP, sctp: k.IPPROTO_SCTP } as const;
const FAMILIES = { ipv4: k.AF_INET, ipv6: k.AF_INET6 } as const;
const ROLES = { master: k.IP_VS_STATE_MASTER, backup: k.IP_VS_STATE_BACKUP } as const;
const FORWARDING = {
  nat: k.IP_VS_CONN_F_MASQ,
  local: k.IP_VS_CONN_F_LOCALNODE,
  tun: k.IP_VS_CONN_F_TUNNEL,
  dr: k.IP_VS_CONN_F_DROUTE,
  bypass: k.IP_VS_CONN_F_BYPASS,
} as const;
const CHECKSUM_FLAGS = {
  none: k.IP_VS_TUNNEL_ENCAP_FLAG_NOCSUM,
  on: k.IP_VS_TUNNEL_ENCAP_FLAG_CSUM,
  remote: k.IP_VS_TUNNEL_ENCAP_FLAG_REMCSUM,
} as const;
/** union nf_inet_addr. */
const ADDRESS_BYTES = 16;
const FLAGS_BYTES = 8;

/** Writes the payload of one request, generic netlink header included, behind what is there. */
export function encodeRequest(writer: AttributeWriter, request: IpvsRequest): AttributeWriter {
  beginGenl(writer, { command: COMMANDS[request.kind], version: k.IPVS_GENL_VERSION });
  switch (request.kind) {
    case 'add-service':
    case 'set-service':
      return putService(writer, request.service);
    case 'delete-service':
    case 'get-service':
    case 'get-servers':
      return putIdentity(writer, request.identity);
    case 'zero':
      return request.identity === null ? writer : putIdentity(writer, request.identity);
    case 'add-server':
    case 'set-server':
      return putServer(putIdentity(writer, request.identity), request.server);
    case 'delete-server':
      return putDeletedServer(putIdentity(writer, request.identity), request);
    case 'start-daemon':
      return putDaemon(writer, request.daemon);
    case 'stop-daemon':
      return writer.nested(k.IPVS_CMD_ATTR_DAEMON, (nested) => {
        nested.u32(k.IPVS_DAEMON_ATTR_STATE, ROLES[request.role]);
      });
    case 'set-timeouts':
      return writer
        .u32(k.IPVS_CMD_ATTR_TIMEOUT_TCP, request.timeouts.tcpSeconds)
        .u32(k.IPVS_CMD_ATTR_TIMEOUT_TCP_FIN, request.timeouts.tcpFinSeconds)
        .u32(k.IPVS_CMD_ATTR_TIMEOUT_UDP, request.timeouts.udpSeconds);
    case 'get-services':
    case 'get-daemons':
    case 'get-timeouts':
    case 'get-info':
    case 'flush':
      return writer;
  }
}

function putIdentity(writer: AttributeWriter, identity: ServiceIdentity): AttributeWriter {
  const start = writer.begin(k.IPVS_CMD_ATTR_SERVICE);
  putIdentityFields(writer, identity);
  return writer.end(start);
}

function putIdentityFields(writer: AttributeWriter, identity: ServiceIdentity): void {
  writer.u16(k.IPVS_SVC_ATTR_AF, FAMILIES[serviceFamily(identity)]);
  if (identity.kind === 'fwmark') {
    writer.u32(k.IPVS_SVC_ATTR_FWMARK, identity.mark);
    return;
  }
  writer.u16(k.IPVS_SVC_ATTR_PROTOCOL, PROTOCOLS[identity.protocol]);
  putAddress(writer, k.IPVS_SVC_ATTR_ADDR, identity.address);
  writer.be16(k.IPVS_SVC_ATTR_PORT, identity.port);
}

function putService(writer: AttributeWriter, service: VirtualService): AttributeWriter {
  const start = writer.begin(k.IPVS_CMD_ATTR_SERVICE);
  putIdentityFields(writer, service.identity);
  writer.string0(k.IPVS_SVC_ATTR_SCHED_NAME, service.scheduler);
  // Leaving the engine out removes it.
  if (service.persistenceEngine !== null) {
    writer.string0(k.IPVS_SVC_ATTR_PE_NAME, service.persistenceEngine);
  }
  // struct ip_vs_flags; the full mask replaces every flag that is not the kernel's.
  writer
    .u32Pair(k.IPVS_SVC_ATTR_FLAGS, flagsOf(service), 0xffff_ffff)
    .u32(k.IPVS_SVC_ATTR_TIMEOUT, service.persistenceSeconds);
  putNetmask(writer, service);
  return writer.end(start);
}

/** IPv4: a mask in network order. IPv6: the prefix length as a number in host order. */
function putNetmask(writer: AttributeWriter, service: VirtualService): void {
  const length = service.persistencePrefixLength;
  const max = serviceFamily(service.identity) === 'ipv4' ? 32 : 128;
  assert(Number.isInteger(length) && length >= 0 && length <= max, 'A prefix length is in range');
  if (max === 32) writer.be32(k.IPVS_SVC_ATTR_NETMASK, maskOf(length));
  else writer.u32(k.IPVS_SVC_ATTR_NETMASK, length);
}

function flagsOf(service: VirtualService): number {
  let flags = 0;
  if (service.persistenceSeconds > 0) flags |= k.IP_VS_SVC_F_PERSISTENT;
  if (service.onePacket) flags |= k.IP_VS_SVC_F_ONEPACKET;
  if (service.flag1) flags |= k.IP_VS_SVC_F_SCHED1;
  if (service.flag2) flags |= k.IP_VS_SVC_F_SCHED2;
  if (service.flag3) flags |= k.IP_VS_SVC_F_SCHED3;
  return flags;
}

function putServer(writer: AttributeWriter, server: RealServer): AttributeWriter {
  const start = writer.begin(k.IPVS_CMD_ATTR_DEST);
  putServerIdentity(writer, server);
  writer
    .u32(k.IPVS_DEST_ATTR_FWD_METHOD, FORWARDING[server.forwarding])
    .u32(k.IPVS_DEST_ATTR_WEIGHT, server.weight);
  if (server.forwarding === 'tun') putTunnel(writer, server.tunnel);
  return writer
    .u32(k.IPVS_DEST_ATTR_U_THRESH, server.upperThreshold)
    .u32(k.IPVS_DEST_ATTR_L_THRESH, server.lowerThreshold)
    .end(start);
}

function putDeletedServer(
  writer: AttributeWriter,
  server: { readonly address: IpText; readonly port: number },
): AttributeWriter {
  const start = writer.begin(k.IPVS_CMD_ATTR_DEST);
  putServerIdentity(writer, server);
  return writer.end(start);
}

function putServerIdentity(
  writer: AttributeWriter,
  server: { readonly address: IpText; readonly port: number },
): void {
  writer.u16(k.IPVS_DEST_ATTR_ADDR_FAMILY, FAMILIES[ipFamily(server.address)]);
  putAddress(writer, k.IPVS_DEST_ATTR_ADDR, server.address);
  writer.be16(k.IPVS_DEST_ATTR_PORT, server.port);
}

/** union nf_inet_addr: IPv4 in the first four bytes. */
function putAddress(writer: AttributeWriter, type: number, address: IpText): void {
  const offset = writer.zeros(type, ADDRESS_BYTES);
  if (!putIp(address, writer.buffer, offset)) throw new InternalError(`No IP address: ${address}`);
}

function putTunnel(writer: AttributeWriter, tunnel: RealServer['tunnel']): void {
  const type = {
    ipip: k.IP_VS_CONN_F_TUNNEL_TYPE_IPIP,
    gue: k.IP_VS_CONN_F_TUNNEL_TYPE_GUE,
    gre: k.IP_VS_CONN_F_TUNNEL_TYPE_GRE,
  }[tunnel.kind];
  writer
    .u8(k.IPVS_DEST_ATTR_TUN_TYPE, type)
    .be16(k.IPVS_DEST_ATTR_TUN_PORT, tunnel.kind === 'gue' ? tunnel.port : 0)
    .u16(
      k.IPVS_DEST_ATTR_TUN_FLAGS,
      CHECKSUM_FLAGS[tunnel.kind === 'ipip' ? 'none' : tunnel.checksum],
    );
}

function putDaemon(writer: AttributeWriter, daemon: SyncDaemon): AttributeWriter {
  return writer.nested(k.IPVS_CMD_ATTR_DAEMON, (nested) => {
    nested
      .u32(k.IPVS_DAEMON_ATTR_STATE, ROLES[daemon.role])
      .string0(k.IPVS_DAEMON_ATTR_MCAST_IFN, daemon.interface)
      .u32(k.IPVS_DAEMON_ATTR_SYNC_ID, daemon.id);
    const { maxLengthBytes, group, port, ttl } = daemon;
    if (maxLengthBytes !== undefined) nested.u16(k.IPVS_DAEMON_ATTR_SYNC_MAXLEN, maxLengthBytes);
    if (port !== undefined) nested.u16(k.IPVS_DAEMON_ATTR_MCAST_PORT, port);
    if (ttl !== undefined) nested.u8(k.IPVS_DAEMON_ATTR_MCAST_TTL, ttl);
    if (group === undefined) return;
    const type =
      ipFamily(group) === 'ipv4' ? k.IPVS_DAEMON_ATTR_MCAST_GROUP : k.IPVS_DAEMON_ATTR_MCAST_GROUP6;
    nested.bytes(type, ipBytes(group));
  });
}

function ipBytes(address: IpText): Uint8Array {
  const bytes = parseIp(address);
  if (bytes === null) throw new InternalError(`No IP address: ${address}`);
  return bytes;
}

/** Where a received message's payload lies, generic netlink header included. */
export interface Payload {
  readonly reader: AttributeReader;
  readonly payloadStart: number;
  readonly payloadEnd: number;
}

export interface DecodedService {
  readonly service: VirtualService;
  readonly stats: IpvsStats;
}

/** IPVS_DEST_ATTR_TUN_FLAGS is the highest type of ip_vs.h. */
const TYPES_MAX = k.IPVS_DEST_ATTR_TUN_FLAGS;
const ABSENT = -1;

/**
 * Where the attributes of one level are, by type; of one that comes twice the last, as the
 * kernel's nla_parse has it. Used again for every record: there are tens of thousands of them.
 */
class Fields {
  readonly #starts = new Int32Array(TYPES_MAX + 1);
  readonly #ends = new Int32Array(TYPES_MAX + 1);
  readonly #visit = (type: number, start: number, end: number): void => {
    // A type beyond those of ip_vs.h is a newer kernel's.
    if (type > TYPES_MAX) return;
    this.#starts[type] = start;
    this.#ends[type] = end;
  };

  read(reader: AttributeReader, start: number, end: number): this {
    for (let type = 0; type <= TYPES_MAX; type++) this.#starts[type] = ABSENT;
    reader.forEach(start, end, this.#visit);
    return this;
  }

  has(type: number): boolean {
    return this.#starts[type] !== ABSENT;
  }

  start(type: number): number {
    return this.#starts[type] as number;
  }

  end(type: number): number {
    return this.#ends[type] as number;
  }
}

/** Of the message, of the record in it, and of the record's counters. */
const [topFields, recordFields, statsFields] = [new Fields(), new Fields(), new Fields()];

/** Reads IPVS_CMD_NEW_SERVICE, the reply to get-service and get-services. */
export function decodeService(payload: Payload): Result<DecodedService, IpvsDecodeError> {
  const { reader } = payload;
  const error = findRecord(payload, k.IPVS_CMD_NEW_SERVICE, k.IPVS_CMD_ATTR_SERVICE);
  if (error !== null) return err(error);
  const fields = recordFields;
  const identity = decodeIdentity(reader, fields);
  if (!identity.ok) return identity;
  if (!fields.has(k.IPVS_SVC_ATTR_SCHED_NAME) || !fields.has(k.IPVS_SVC_ATTR_FLAGS)) {
    return err('attribute-missing');
  }
  const flagsStart = fields.start(k.IPVS_SVC_ATTR_FLAGS);
  const flagsEnd = fields.end(k.IPVS_SVC_ATTR_FLAGS);
  if (flagsEnd - flagsStart < FLAGS_BYTES) return err('attribute-value-short');
  const flags = reader.u32(flagsStart, flagsEnd);
  const service: VirtualService = {
    identity: identity.value,
    scheduler: text(reader, fields, k.IPVS_SVC_ATTR_SCHED_NAME),
    // The kernel keeps a timeout that it does not use.
    persistenceSeconds:
      (flags & k.IP_VS_SVC_F_PERSISTENT) === 0 ? 0 : u32(reader, fields, k.IPVS_SVC_ATTR_TIMEOUT),
    persistencePrefixLength: decodeNetmask(reader, fields, identity.value),
    persistenceEngine: fields.has(k.IPVS_SVC_ATTR_PE_NAME)
      ? text(reader, fields, k.IPVS_SVC_ATTR_PE_NAME)
      : null,
    onePacket: (flags & k.IP_VS_SVC_F_ONEPACKET) !== 0,
    flag1: (flags & k.IP_VS_SVC_F_SCHED1) !== 0,
    flag2: (flags & k.IP_VS_SVC_F_SCHED2) !== 0,
    flag3: (flags & k.IP_VS_SVC_F_SCHED3) !== 0,
  };
  const stats = decodeStats(reader, fields, [k.IPVS_SVC_ATTR_STATS64, k.IPVS_SVC_ATTR_STATS]);
  return reader.error === null ? ok({ service, stats }) : err(reader.error);
}

/**
 * Reads IPVS_CMD_NEW_DEST, the reply to get-servers.
 * @param family of the service, for kernels older than 3.18, which do not send the server's
 */
export function decodeServer(
  payload: Payload,
  family: AddressFamily,
): Result<ObservedRealServer, IpvsDecodeError> {
  const { reader } = payload;
  const error = findRecord(payload, k.IPVS_CMD_NEW_DEST, k.IPVS_CMD_ATTR_DEST);
  if (error !== null) return err(error);
  const fields = recordFields;
  const port = k.IPVS_DEST_ATTR_PORT;
  const method = k.IPVS_DEST_ATTR_FWD_METHOD;
  if (!fields.has(port) || !fields.has(method) || !fields.has(k.IPVS_DEST_ATTR_WEIGHT)) {
    return err(reader.error ?? 'attribute-missing');
  }
  const ownFamily = fields.has(k.IPVS_DEST_ATTR_ADDR_FAMILY)
    ? decodeFamily(u16(reader, fields, k.IPVS_DEST_ATTR_ADDR_FAMILY))
    : family;
  const address = decodeAddress(reader, fields, { family: ownFamily, type: k.IPVS_DEST_ATTR_ADDR });
  if (!address.ok) return address;
  const forwarding = decodeForwarding(u32(reader, fields, method) & k.IP_VS_CONN_F_FWD_MASK);
  if (forwarding === null) return err('forwarding-unknown');
  const server: ObservedRealServer = {
    address: address.value,
    port: reader.be16(fields.start(port), fields.end(port)),
    forwarding,
    weight: u32(reader, fields, k.IPVS_DEST_ATTR_WEIGHT),
    upperThreshold: u32(reader, fields, k.IPVS_DEST_ATTR_U_THRESH),
    lowerThreshold: u32(reader, fields, k.IPVS_DEST_ATTR_L_THRESH),
    tunnel: forwarding === 'tun' ? decodeTunnel(reader, fields) : IPIP,
    activeConnections: u32(reader, fields, k.IPVS_DEST_ATTR_ACTIVE_CONNS),
    inactiveConnections: u32(reader, fields, k.IPVS_DEST_ATTR_INACT_CONNS),
    persistentConnections: u32(reader, fields, k.IPVS_DEST_ATTR_PERSIST_CONNS),
    stats: decodeStats(reader, fields, [k.IPVS_DEST_ATTR_STATS64, k.IPVS_DEST_ATTR_STATS]),
  };
  return reader.error === null ? ok(server) : err(reader.error);
}

const IPIP: RealServer['tunnel'] = { kind: 'ipip' };

/** Reads IPVS_CMD_NEW_DAEMON, the reply to get-daemons. */
export function decodeDaemon(payload: Payload): Result<SyncDaemon, IpvsDecodeError> {
  const { reader } = payload;
  const error = findRecord(payload, k.IPVS_CMD_NEW_DAEMON, k.IPVS_CMD_ATTR_DAEMON);
  if (error !== null) return err(error);
  const fields = recordFields;
  if (!fields.has(k.IPVS_DAEMON_ATTR_MCAST_IFN) || !fields.has(k.IPVS_DAEMON_ATTR_STATE)) {
    return err(reader.error ?? 'attribute-missing');
  }
  const state = u32(reader, fields, k.IPVS_DAEMON_ATTR_STATE);
  if (state !== ROLES.master && state !== ROLES.backup) return err('role-unknown');
  const isIpv4 = fields.has(k.IPVS_DAEMON_ATTR_MCAST_GROUP);
  const group = decodeAddress(reader, fields, {
    family: isIpv4 ? 'ipv4' : 'ipv6',
    type: isIpv4 ? k.IPVS_DAEMON_ATTR_MCAST_GROUP : k.IPVS_DAEMON_ATTR_MCAST_GROUP6,
  });
  if (!group.ok && group.error !== 'attribute-missing') return group;
  const maxLength = k.IPVS_DAEMON_ATTR_SYNC_MAXLEN;
  const port = k.IPVS_DAEMON_ATTR_MCAST_PORT;
  const ttl = k.IPVS_DAEMON_ATTR_MCAST_TTL;
  const daemon: SyncDaemon = {
    role: state === ROLES.master ? 'master' : 'backup',
    interface: text(reader, fields, k.IPVS_DAEMON_ATTR_MCAST_IFN),
    id: u32(reader, fields, k.IPVS_DAEMON_ATTR_SYNC_ID),
    ...(fields.has(maxLength) && { maxLengthBytes: u16(reader, fields, maxLength) }),
    ...(group.ok && { group: group.value }),
    ...(fields.has(port) && { port: u16(reader, fields, port) }),
    ...(fields.has(ttl) && { ttl: reader.u8(fields.start(ttl), fields.end(ttl)) }),
  };
  return reader.error === null ? ok(daemon) : err(reader.error);
}

/** Reads IPVS_CMD_SET_CONFIG, the reply to get-timeouts; 0 for a protocol the kernel lacks. */
export function decodeTimeouts(payload: Payload): Result<IpvsTimeouts, IpvsDecodeError> {
  const { reader } = payload;
  const error = readTop(payload, k.IPVS_CMD_SET_CONFIG);
  if (error !== null) return err(error);
  const timeouts = {
    tcpSeconds: u32(reader, topFields, k.IPVS_CMD_ATTR_TIMEOUT_TCP),
    tcpFinSeconds: u32(reader, topFields, k.IPVS_CMD_ATTR_TIMEOUT_TCP_FIN),
    udpSeconds: u32(reader, topFields, k.IPVS_CMD_ATTR_TIMEOUT_UDP),
  };
  return reader.error === null ? ok(timeouts) : err(reader.error);
}

/** Reads IPVS_CMD_SET_INFO, the reply to get-info. */
export function decodeInfo(payload: Payload): Result<IpvsInfo, IpvsDecodeError> {
  const { reader } = payload;
  const error = readTop(payload, k.IPVS_CMD_SET_INFO);
  if (error !== null) return err(error);
  if (!topFields.has(k.IPVS_INFO_ATTR_VERSION)) return err('attribute-missing');
  // NVERSION of include/net/ip_vs.h: three bytes, the highest first.
  const code = u32(reader, topFields, k.IPVS_INFO_ATTR_VERSION);
  const info = {
    version: `${(code >> 16) & 0xff}.${(code >> 8) & 0xff}.${code & 0xff}`,
    connectionTableSize: u32(reader, topFields, k.IPVS_INFO_ATTR_CONN_TAB_SIZE),
  };
  return reader.error === null ? ok(info) : err(reader.error);
}

/** The attributes of a message into `topFields`; null, or what is wrong with them. */
function readTop(payload: Payload, command: number): IpvsDecodeError | null {
  const { reader, payloadStart, payloadEnd } = payload;
  if (payloadEnd - payloadStart < GENL_HDRLEN) return 'command-unexpected';
  if (reader.u8(payloadStart, payloadEnd) !== command) return reader.error ?? 'command-unexpected';
  topFields.read(reader, payloadStart + GENL_HDRLEN, payloadEnd);
  return reader.error;
}

/** The attributes inside of one of a message's into `recordFields`. */
function findRecord(payload: Payload, command: number, attribute: number): IpvsDecodeError | null {
  const error = readTop(payload, command);
  if (error !== null) return error;
  if (!topFields.has(attribute)) return 'attribute-missing';
  recordFields.read(payload.reader, topFields.start(attribute), topFields.end(attribute));
  return null;
}

/** 0 where there is none. */
function u32(reader: AttributeReader, fields: Fields, type: number): number {
  return fields.has(type) ? reader.u32(fields.start(type), fields.end(type)) : 0;
}

function u16(reader: AttributeReader, fields: Fields, type: number): number {
  return reader.u16(fields.start(type), fields.end(type));
}

function text(reader: AttributeReader, fields: Fields, type: number): string {
  return reader.string0(fields.start(type), fields.end(type));
}

function decodeFamily(family: number): AddressFamily | null {
  return family === k.AF_INET ? 'ipv4' : family === k.AF_INET6 ? 'ipv6' : null;
}

function decodeAddress(
  reader: AttributeReader,
  fields: Fields,
  { family, type }: { readonly family: AddressFamily | null; readonly type: number },
): Result<IpText, IpvsDecodeError> {
  if (family === null) return err('family-unknown');
  if (!fields.has(type)) return err('attribute-missing');
  const start = fields.start(type);
  if (fields.end(type) - start < (family === 'ipv4' ? 4 : ADDRESS_BYTES)) {
    return err('address-short');
  }
  return ok(formatIp(reader.bytes, family, start));
}

function decodeIdentity(
  reader: AttributeReader,
  fields: Fields,
): Result<ServiceIdentity, IpvsDecodeError> {
  if (reader.error !== null) return err(reader.error);
  if (!fields.has(k.IPVS_SVC_ATTR_AF)) return err('attribute-missing');
  const family = decodeFamily(u16(reader, fields, k.IPVS_SVC_ATTR_AF));
  if (family === null) return err('family-unknown');
  const mark = u32(reader, fields, k.IPVS_SVC_ATTR_FWMARK);
  if (mark !== 0) return ok({ kind: 'fwmark', family, mark });
  const port = k.IPVS_SVC_ATTR_PORT;
  if (!fields.has(k.IPVS_SVC_ATTR_PROTOCOL) || !fields.has(port)) return err('attribute-missing');
  const number = u16(reader, fields, k.IPVS_SVC_ATTR_PROTOCOL);
  const protocol =
    number === k.IPPROTO_TCP
      ? 'tcp'
      : number === k.IPPROTO_UDP
        ? 'udp'
        : number === k.IPPROTO_SCTP
          ? 'sctp'
          : null;
  if (protocol === null) return err('protocol-unknown');
  const address = decodeAddress(reader, fields, { family, type: k.IPVS_SVC_ATTR_ADDR });
  if (!address.ok) return address;
  const value = {
    protocol,
    address: address.value,
    port: reader.be16(fields.start(port), fields.end(port)),
  } as const;
  return ok({ kind: 'address', ...value });
}

/** Prefix length; -1 for an IPv4 mask that is no prefix, which differs from every wanted one. */
function decodeNetmask(reader: AttributeReader, fields: Fields, identity: ServiceIdentity): number {
  const family = serviceFamily(identity);
  const type = k.IPVS_SVC_ATTR_NETMASK;
  if (!fields.has(type)) return family === 'ipv4' ? 32 : 128;
  if (family === 'ipv6') return u32(reader, fields, type);
  const mask = reader.be32(fields.start(type), fields.end(type));
  const length = Math.clz32(~mask);
  return maskOf(length) === mask ? length : -1;
}

/** The IPv4 mask of a prefix length, as an unsigned number in network order. */
function maskOf(length: number): number {
  return length === 0 ? 0 : (0xffff_ffff << (32 - length)) >>> 0;
}

function decodeForwarding(method: number): RealServer['forwarding'] | null {
  switch (method) {
    case k.IP_VS_CONN_F_MASQ:
      return 'nat';
    case k.IP_VS_CONN_F_LOCALNODE:
      return 'local';
    case k.IP_VS_CONN_F_TUNNEL:
      return 'tun';
    case k.IP_VS_CONN_F_DROUTE:
      return 'dr';
    case k.IP_VS_CONN_F_BYPASS:
      return 'bypass';
    default:
      return null;
  }
}

/** An unknown tunnel type is IPIP, because that is how the kernel sends it. */
function decodeTunnel(reader: AttributeReader, fields: Fields): RealServer['tunnel'] {
  const type = k.IPVS_DEST_ATTR_TUN_TYPE;
  const kind = fields.has(type) ? reader.u8(fields.start(type), fields.end(type)) : 0;
  const hasFlags = fields.has(k.IPVS_DEST_ATTR_TUN_FLAGS);
  const flags = hasFlags ? u16(reader, fields, k.IPVS_DEST_ATTR_TUN_FLAGS) : 0;
  const on = (flags & k.IP_VS_TUNNEL_ENCAP_FLAG_CSUM) !== 0;
  if (kind === k.IP_VS_CONN_F_TUNNEL_TYPE_GRE) return { kind: 'gre', checksum: on ? 'on' : 'none' };
  if (kind !== k.IP_VS_CONN_F_TUNNEL_TYPE_GUE) return { kind: 'ipip' };
  const remote = (flags & k.IP_VS_TUNNEL_ENCAP_FLAG_REMCSUM) !== 0;
  const port = k.IPVS_DEST_ATTR_TUN_PORT;
  return {
    kind: 'gue',
    port: fields.has(port) ? reader.be16(fields.start(port), fields.end(port)) : 0,
    checksum: remote ? 'remote' : on ? 'on' : 'none',
  };
}

/** STATS64, or the truncated STATS of kernels older than 4.1; zeros when there is neither. */
function decodeStats(
  reader: AttributeReader,
  fields: Fields,
  [stats64, stats32]: readonly [number, number],
): IpvsStats {
  const type = fields.has(stats64) ? stats64 : stats32;
  const found = statsFields;
  // An empty range where there is neither.
  const [start, end] = fields.has(type) ? [fields.start(type), fields.end(type)] : [0, 0];
  found.read(reader, start, end);
  const value = type === stats64 ? u64 : u32;
  return {
    connections: value(reader, found, k.IPVS_STATS_ATTR_CONNS),
    packetsIn: value(reader, found, k.IPVS_STATS_ATTR_INPKTS),
    packetsOut: value(reader, found, k.IPVS_STATS_ATTR_OUTPKTS),
    // Bytes have 64 bits in both.
    bytesIn: u64(reader, found, k.IPVS_STATS_ATTR_INBYTES),
    bytesOut: u64(reader, found, k.IPVS_STATS_ATTR_OUTBYTES),
  };
}

/** 0 where there is none. */
function u64(reader: AttributeReader, fields: Fields, type: number): number {
  return fields.has(type) ? reader.u64(fields.start(type), fields.end(type)) : 0;
}
