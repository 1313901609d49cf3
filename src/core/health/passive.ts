/**
 * What the kernel's counters of connections say of a server that passes its checks: that it
 * accepts nothing. IPVS counts a TCP connection as active once its handshake is complete, so of a
 * server that does not answer clients (a packet filter, a VIP that is missing behind direct
 * routing, a full backlog) new connections never become active, and all that its clients send is
 * SYNs. Pure; samples of counters in, evidence out.
 *
 * A healthy server whose connections are too short to be seen as active looks alike at first
 * sight, so all of these must hold over the window:
 *  - enough new connections were scheduled to it;
 *  - the number of active connections never rose;
 *  - the number of inactive ones grew, which half-open ones make it do for a minute (SYN_RECV,
 *    net/netfilter/ipvs/ip_vs_proto_tcp.c): the window is no longer than that;
 *  - what came in was SYNs: no more packets than a client repeats them, no larger than they are;
 *  - behind NAT, where its answers are counted, there were fewer than one for each connection;
 *  - another server of the service had as many new connections, and does not look like that.
 */
import type { AddressFamily, Forwarding } from '../config/config.ts';

export interface PassiveSample {
  /** Monotonic microseconds. */
  readonly atUs: number;
  readonly activeConnections: number;
  readonly inactiveConnections: number;
  /** Since the entry was made, as the next. */
  readonly connections: number;
  readonly packetsIn: number;
  readonly packetsOut: number;
  readonly bytesIn: number;
}

export interface PassiveServer {
  readonly key: string;
  /** Of the packets of clients. */
  readonly family: AddressFamily;
  readonly forwarding: Forwarding;
  /** Oldest first. */
  readonly samples: readonly PassiveSample[];
}

export interface PassiveEvidence {
  /** New connections of which none became active. */
  readonly connections: number;
  readonly windowUs: number;
}

/** Fewer prove nothing. */
export const PASSIVE_CONNECTIONS_MIN = 20;
/** Between the first and the last, active connections must be seen not to rise. */
const SAMPLES_MIN = 3;
/** A SYN and six repetitions of it (net.ipv4.tcp_syn_retries). */
const SYNS_MAX = 7;
/** An IP header and a TCP header with the usual options of a SYN. */
const SYN_BYTES_MAX: Readonly<Record<AddressFamily, number>> = { ipv4: 60, ipv6: 80 };

/** The servers of one service that accept nothing, by key; none while all of them look alike. */
export function acceptNothing(
  servers: readonly PassiveServer[],
  windowUs: number,
): ReadonlyMap<string, PassiveEvidence> {
  const suspects = new Map<string, PassiveEvidence>();
  let othersWork = false;
  for (const server of servers) {
    const { samples } = server;
    const [first, last] = [samples[0], samples.at(-1)];
    if (first === undefined || last === undefined || samples.length < SAMPLES_MIN) continue;
    const connections = last.connections - first.connections;
    if (last.atUs - first.atUs < windowUs || connections < PASSIVE_CONNECTIONS_MIN) continue;
    if (looksDead(server, first, last)) {
      suspects.set(server.key, { connections, windowUs: last.atUs - first.atUs });
    } else othersWork = true;
  }
  return othersWork ? suspects : new Map();
}

function looksDead(
  { family, forwarding, samples }: PassiveServer,
  first: PassiveSample,
  last: PassiveSample,
): boolean {
  const connections = last.connections - first.connections;
  const packetsIn = last.packetsIn - first.packetsIn;
  const rose = samples.some(
    ({ activeConnections }, index) =>
      index > 0 && activeConnections > (samples[index - 1] as PassiveSample).activeConnections,
  );
  if (rose || last.inactiveConnections <= first.inactiveConnections) return false;
  if (packetsIn > connections * SYNS_MAX) return false;
  if (last.bytesIn - first.bytesIn > packetsIn * SYN_BYTES_MAX[family]) return false;
  return forwarding !== 'nat' || last.packetsOut - first.packetsOut < connections;
}

/** The samples with another one; those that no window needs any more are left out. */
export function withSample(
  samples: readonly PassiveSample[],
  sample: PassiveSample,
  windowUs: number,
): readonly PassiveSample[] {
  const last = samples.at(-1);
  // The entry was made anew, and its counters with it.
  const same = last === undefined || sample.connections >= last.connections;
  const all = same ? [...samples, sample] : [sample];
  const start = all.findLastIndex(({ atUs }) => sample.atUs - atUs >= windowUs);
  return start > 0 ? all.slice(start) : all;
}
