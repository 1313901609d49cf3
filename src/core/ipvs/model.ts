/**
 * The IPVS table as values: virtual services and real servers as the kernel knows them, without
 * the kernel's constants (those stay in src/linux/ipvs). Addresses are canonical text, so that
 * keys compare as strings.
 */
import type {
  AddressFamily,
  Forwarding,
  IpText,
  Scheduler,
  ServiceIdentity,
  Tunnel,
} from '../config/config.ts';

/** A service's settings, without its servers. */
export interface VirtualService {
  readonly identity: ServiceIdentity;
  /** A scheduler's name, 'none', or any name that a foreign service may carry. */
  readonly scheduler: Scheduler | (string & {});
  /** Persistence timeout in whole seconds; 0 for none. */
  readonly persistenceSeconds: number;
  /**
   * Prefix length of the persistence netmask: 32 or 128 when it does not matter. In a dump -1 for
   * an IPv4 mask that is no prefix, which differs from every wanted one.
   */
  readonly persistencePrefixLength: number;
  readonly persistenceEngine: string | null;
  readonly onePacket: boolean;
  /** The three scheduler flags of the kernel (sh-fallback = mh-fallback = flag-1, …port = flag-2). */
  readonly flag1: boolean;
  readonly flag2: boolean;
  readonly flag3: boolean;
}

/** A real server's full record: SET_DEST always carries all of it. */
export interface RealServer {
  readonly address: IpText;
  readonly port: number;
  /** 'local' and 'bypass' appear in dumps only. */
  readonly forwarding: Forwarding | 'local' | 'bypass';
  readonly weight: number;
  readonly upperThreshold: number;
  readonly lowerThreshold: number;
  readonly tunnel: Tunnel;
}

/** IPVS counters; 64-bit values are numbers, exact to 2^53. */
export interface IpvsStats {
  readonly connections: number;
  readonly packetsIn: number;
  readonly packetsOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

export interface ObservedRealServer extends RealServer {
  readonly activeConnections: number;
  readonly inactiveConnections: number;
  readonly persistentConnections: number;
  readonly stats: IpvsStats;
}

/** A service as dumped from the kernel. */
export interface ObservedService {
  readonly service: VirtualService;
  readonly stats: IpvsStats;
  readonly servers: readonly ObservedRealServer[];
}

/** A service as wanted. */
export interface DesiredService {
  readonly service: VirtualService;
  readonly servers: readonly RealServer[];
}

/** One change of the kernel's table. Each carries all that the kernel command needs. */
export type IpvsOperation =
  | { readonly kind: 'add-service'; readonly service: VirtualService }
  | { readonly kind: 'set-service'; readonly service: VirtualService }
  | { readonly kind: 'delete-service'; readonly identity: ServiceIdentity }
  | {
      readonly kind: 'add-server';
      readonly identity: ServiceIdentity;
      readonly server: RealServer;
    }
  | {
      readonly kind: 'set-server';
      readonly identity: ServiceIdentity;
      readonly server: RealServer;
    }
  | {
      readonly kind: 'delete-server';
      readonly identity: ServiceIdentity;
      readonly address: IpText;
      readonly port: number;
    };

/** Key of a service: 'tcp 192.0.2.10:80', 'tcp [2001:db8::1]:80', 'fwmark 5 ipv4'. */
export function serviceKey(identity: ServiceIdentity): string {
  if (identity.kind === 'fwmark') return `fwmark ${identity.mark} ${identity.family}`;
  return `${identity.protocol} ${endpointText(identity.address, identity.port)}`;
}

/** Key of a real server within its service: '10.0.0.11:8080', '[2001:db8::11]:8080'. */
export function serverKey(server: { readonly address: IpText; readonly port: number }): string {
  return endpointText(server.address, server.port);
}

/** Address and port as people write them, IPv6 in brackets. */
export function endpointText(address: IpText, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Family of a service, from its address or, for a mark, as configured. */
export function serviceFamily(identity: ServiceIdentity): AddressFamily {
  if (identity.kind === 'fwmark') return identity.family;
  return identity.address.includes(':') ? 'ipv6' : 'ipv4';
}

/** Servers in the order of their keys: the same list where that is theirs, as of nearly all. */
export function serversInKeyOrder(servers: readonly RealServer[]): readonly RealServer[] {
  let before = '';
  for (const server of servers) {
    const key = serverKey(server);
    if (key <= before) return sortedByKey(servers);
    before = key;
  }
  return servers;
}

function sortedByKey(servers: readonly RealServer[]): RealServer[] {
  return servers
    .map((server) => ({ key: serverKey(server), server }))
    .sort(compareKeys)
    .map(({ server }) => server);
}

/** For sort(): in the order of their UTF-16 code units. */
export function compareKeys(
  left: { readonly key: string },
  right: { readonly key: string },
): number {
  return left.key < right.key ? -1 : left.key > right.key ? 1 : 0;
}
