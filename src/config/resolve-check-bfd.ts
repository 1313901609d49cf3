/**
 * Checks by BFD from their parsed form: which session such a check goes by. Without a name, it is
 * the one whose neighbor is the server.
 */
import type { BfdCheckConfig, CheckBase } from '../core/config/check.ts';
import type { BfdConfig, IpText, RealServerConfig } from '../core/config/config.ts';
import { DEFAULTS } from '../core/config/defaults.ts';
import type { Path } from './document.ts';
import type { Report } from './report.ts';
import type { CheckInput } from './schema.ts';
import { joinWords } from './suggest.ts';

type LongCheck = Exclude<CheckInput, 'none'>;

/** The section `bfd`. */
export interface KnownSessions {
  /** Also of those whose own form is wrong. */
  readonly names: readonly string[];
  /** Of the others. */
  readonly neighbors: ReadonlyMap<string, IpText>;
  readonly byNeighbor: ReadonlyMap<IpText, readonly string[]>;
}

export function knownSessions(
  names: readonly string[],
  sessions: readonly BfdConfig[],
): KnownSessions {
  const byNeighbor = new Map<IpText, string[]>();
  for (const { name, neighbor } of sessions) {
    byNeighbor.set(neighbor, [...(byNeighbor.get(neighbor) ?? []), name]);
  }
  const neighbors = new Map(sessions.map(({ name, neighbor }) => [name, neighbor]));
  return { names, neighbors, byNeighbor };
}

/** The check with its defaults; of a session that is not clear, the name is empty. */
export function resolveBfdCheck(
  input: LongCheck,
  base: CheckBase,
  { address, bfd }: { readonly address: IpText; readonly bfd: KnownSessions },
): BfdCheckConfig {
  const [found, ...others] = bfd.byNeighbor.get(address) ?? [];
  return {
    kind: 'bfd',
    ...base,
    // What is inherited of these is for the service's own kind.
    ...{ address: null, port: null, jitterUs: 0, startSpreadUs: 0 },
    timeoutUs: DEFAULTS.check.timeoutUs,
    fall: input.fall ?? DEFAULTS.bfdCheck.fall,
    rise: input.rise ?? DEFAULTS.bfdCheck.rise,
    session: input.bfd?.session ?? (others.length === 0 ? found : undefined) ?? '',
  };
}

/** Reports a name that no session has, in a check as it is written at `path`. */
export function reportBfdName(
  written: LongCheck,
  { names }: KnownSessions,
  path: Path,
  report: Report,
): void {
  const session = written.bfd?.session;
  if (session === undefined || session === null || names.includes(session)) return;
  const expected = names.length === 0 ? 'there is none' : joinWords(names, 'or');
  report.error([...path, 'bfd', 'session'], `expected a BFD session: ${expected}`);
}

/**
 * Reports servers whose session is not clear, and those that go by another one's. `path` is that of
 * a server by its place among `servers`, which are those of one service.
 */
export function reportBfdSessions(
  servers: readonly RealServerConfig[],
  bfd: KnownSessions,
  path: (index: number) => Path,
  report: Report,
): void {
  const addresses = new Set(servers.map(({ address }) => address));
  for (const [index, { address, check }] of servers.entries()) {
    if (check?.kind !== 'bfd') continue;
    const { session } = check;
    const neighbor = bfd.neighbors.get(session);
    if (session === '') {
      reportUnclear(address, bfd, path(index), report);
    } else if (neighbor !== undefined && neighbor !== address && addresses.has(neighbor)) {
      const message = `bfd.${session} is with another server, ${neighbor}: ${address} goes down with it`;
      report.warning(path(index), message);
    }
  }
}

function reportUnclear(address: IpText, bfd: KnownSessions, path: Path, report: Report): void {
  const found = bfd.byNeighbor.get(address) ?? [];
  // One that could not be read may be the one.
  if (found.length === 0 && bfd.names.length > bfd.neighbors.size) return;
  const message =
    found.length === 0
      ? `no BFD session has the neighbor ${address}: add one to the section bfd, or name one with check.bfd.session`
      : `${joinWords(found, 'and')} have the neighbor ${address}: name one with check.bfd.session`;
  report.error(path, message, 'bare');
}
