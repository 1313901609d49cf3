/**
 * BFD sessions from their parsed form: defaults applied, the rules that concern several values
 * checked (RFC 5881 sections 4 and 5, RFC 5883 section 4), sessions that no packet could tell
 * apart found. A value is returned even when errors were reported.
 */
import type { BfdConfig } from '../core/config/config.ts';
import { DEFAULTS } from '../core/config/defaults.ts';
import { ipFamily } from '../core/ip.ts';
import type { Report } from './report.ts';
import type { BfdInput } from './schema.ts';

export interface NamedBfd {
  readonly name: string;
  readonly input: BfdInput;
}

/** The sessions with all defaults; `path` of each is bfd.NAME. */
export function resolveBfd(sessions: readonly NamedBfd[], report: Report): BfdConfig[] {
  const resolved = sessions.map(({ name, input }) => resolveSession(name, input));
  for (const session of resolved) {
    reportAddresses(session, report);
    warnOfHops(session, report);
  }
  reportDuplicates(resolved, report);
  return resolved;
}

function resolveSession(name: string, input: BfdInput): BfdConfig {
  const { bfd } = DEFAULTS;
  const multihop = input.multihop ?? bfd.multihop;
  return {
    name,
    neighbor: input.neighbor,
    source: input.source ?? null,
    interface: input.interface ?? null,
    minRxUs: input.min_rx ?? bfd.minRxUs,
    minTxUs: input.min_tx ?? bfd.minTxUs,
    idleTxUs: input.idle_tx ?? bfd.idleTxUs,
    multiplier: input.multiplier ?? bfd.multiplier,
    passive: input.passive ?? bfd.passive,
    multihop,
    ttl: input.ttl ?? bfd.ttl,
    maxHops: input.max_hops ?? (multihop ? bfd.maxHopsMultihop : bfd.maxHops),
  };
}

function reportAddresses(session: BfdConfig, report: Report): void {
  const { name, neighbor, source } = session;
  const family = ipFamily(neighbor);
  if (source !== null && ipFamily(source) !== family) {
    report.error(['bfd', name, 'source'], `expected an ${family} address, as the neighbor's is`);
  }
  if (source === neighbor) {
    report.error(['bfd', name, 'source'], 'expected another address than the neighbor’s');
  }
  if (isLinkLocal(neighbor) && session.interface === null) {
    const message = 'a link-local neighbor needs an interface';
    report.error(['bfd', name, 'neighbor'], message, 'bare');
  }
}

/** In fe80::/10 (RFC 4291 section 2.5.6); IPv4's are reached as any other address. */
function isLinkLocal(address: string): boolean {
  return /^fe[89ab]/.test(address) && ipFamily(address) === 'ipv6';
}

/** Allowed, since neighbors may be configured so too, but it gives up what RFC 5881 protects. */
function warnOfHops(session: BfdConfig, report: Report): void {
  const { name, multihop, ttl, maxHops } = session;
  if (multihop || (ttl === 255 && maxHops === 0)) return;
  const key = ttl === 255 ? 'max_hops' : 'ttl';
  const message = 'a single hop is protected from senders elsewhere only by ttl 255 and max_hops 0';
  report.warning(['bfd', name, key], message);
}

/**
 * RFC 5881 section 3 and RFC 5883 section 2: one session for a pair of systems on an interface.
 * The first packets have nothing but addresses and interface to tell sessions by.
 */
function reportDuplicates(sessions: readonly BfdConfig[], report: Report): void {
  for (const [index, session] of sessions.entries()) {
    const other = sessions
      .slice(0, index)
      .find(
        (earlier) =>
          earlier.neighbor === session.neighbor &&
          earlier.multihop === session.multihop &&
          overlap(earlier.source, session.source) &&
          overlap(earlier.interface, session.interface),
      );
    if (other === undefined) continue;
    const message = `bfd.${other.name} has the same neighbor, source and interface`;
    report.error(['bfd', session.name, 'neighbor'], message, 'bare');
  }
}

/** Null stands for any. */
function overlap(left: string | null, right: string | null): boolean {
  return left === null || right === null || left === right;
}
