/**
 * What the kernel's counters of connections say of a server that passes its checks: that it
 * accepts nothing. Of a server that does not answer clients (a packet filter, a VIP that is missing
 * behind direct routing, a full backlog) all that its clients send is SYNs, again and again, and
 * their connections stay half-open. Pure; samples of counters in, evidence out.
 *
 * Since Linux 4.5 IPVS counts half-open connections as active ones (tcp_state_active_table in
 * net/netfilter/ipvs/ip_vs_proto_tcp.c): a dead server has as many of them as a busy one. So all of
 * these must hold over the window:
 *  - enough new connections were scheduled to it;
 *  - all of them are active still, as half-open ones are for a minute after their last SYN: the
 *    window is no longer than that;
 *  - the number of inactive ones never grew, which connections that end make it do: their packets
 *    would look like SYNs that are repeated, and those of a reset are gone within the window;
 *  - what came in was SYNs: no more packets than a client repeats them, no larger than they are;
 *  - behind NAT, where its answers are counted, there were fewer than one for each connection;
 *    elsewhere SYNs were repeated: an idle connection is two packets, a SYN and an ACK;
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
/** One that was cut off by a moment's stall must not decide alone. */
const SAMPLES_MIN = 3;
/** A SYN and its repetitions: net.ipv4.tcp_syn_linear_timeouts (since Linux 6.5) and tcp_syn_retries. */
const SYNS_MAX = 1 + 4 + 6;
/** Of an idle connection that is established: a SYN and an ACK. */
const IDLE_PACKETS = 2;
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
  if (last.activeConnections < connections) return false;
  if (accepts({ family, samples })) return false;
  if (packetsIn > connections * SYNS_MAX) return false;
  if (forwarding === 'nat') return last.packetsOut - first.packetsOut < connections;
  return packetsIn > connections * IDLE_PACKETS;
}

/** Whether clients were seen to get through to it: connections that end, or more than SYNs. */
export function accepts({ family, samples }: Pick<PassiveServer, 'family' | 'samples'>): boolean {
  const [first, last] = [samples[0], samples.at(-1)];
  if (first === undefined || last === undefined) return false;
  const ended = (sample: PassiveSample, index: number): boolean =>
    sample.inactiveConnections > (samples[index - 1] ?? sample).inactiveConnections;
  if (samples.some(ended)) return true;
  const packetsIn = last.packetsIn - first.packetsIn;
  return last.bytesIn - first.bytesIn > packetsIn * SYN_BYTES_MAX[family];
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
