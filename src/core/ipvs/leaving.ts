/**
 * Servers that were taken out of the configuration leave the kernel's table when their clients
 * have: they are ours and in the table, and no service has them any more. Weight 0 first; deleted
 * when the last connection is gone, or at a deadline. The same for all servers of a service that
 * was taken out. A server that is in the configuration again is no longer leaving.
 *
 * look(input) -> who leaves since when, what to keep for them, and who is gone. Pure; the clock is
 * the wall's, because the record of who leaves outlives the process.
 */
import { connectionsOf } from '../health/override.ts';
import { err, ok, type Result } from '../result.ts';
import type { DesiredService, ObservedRealServer, ObservedService, RealServer } from './model.ts';
import { serverKey, serviceKey } from './model.ts';
import type { OwnedSet } from './owned.ts';
import { serverPath } from './plan.ts';

export interface LeavingPolicy {
  readonly onRemove: 'drain' | 'delete';
  readonly drainTimeoutUs: number;
}

export interface Leaving {
  /** Key of the entry: 'tcp 192.0.2.10:80'. */
  readonly entry: string;
  /** Its key in the entry: '10.0.0.11:8080'. */
  readonly server: string;
  /** Name of the service, as far as it is known. */
  readonly name: string | null;
  /** Clients of the entry are persistent: their templates must expire. */
  readonly persistent: boolean;
  /** Wall clock, milliseconds. */
  readonly sinceMs: number;
  readonly untilMs: number;
}

/** What the configuration has of one entry. */
export interface ConfiguredEntry {
  readonly name: string;
  readonly servers: ReadonlySet<string>;
  readonly policy: LeavingPolicy;
}

export interface LeavingInput {
  /** By the keys of entries. */
  readonly configured: ReadonlyMap<string, ConfiguredEntry>;
  /** For entries that are not configured. */
  readonly policy: LeavingPolicy;
  /** Names of entries that were configured before. */
  readonly nameOf: (entry: string) => string | null;
  /** What is looked at. */
  readonly observed: readonly ObservedService[];
  readonly owned: OwnedSet;
  /** Who was leaving at the last look, by leavingPath(). */
  readonly before: ReadonlyMap<string, Leaving>;
  readonly nowMs: number;
}

export interface LeavingLook {
  /** Of the entries looked at. */
  readonly leaving: ReadonlyMap<string, Leaving>;
  /** Servers with weight 0 that must stay, by the keys of entries. */
  readonly keep: ReadonlyMap<string, readonly RealServer[]>;
  /** Those that go now; with the connections that are cut off. */
  readonly ended: readonly { readonly leaving: Leaving; readonly connectionsLeft: number }[];
}

/** A table of the largest kind; more is a damaged file. */
const LEAVING_MAX = 100_000;

export function leavingPath({ entry, server }: Pick<Leaving, 'entry' | 'server'>): string {
  return serverPath(entry, server);
}

export function look(input: LeavingInput): LeavingLook {
  const leaving = new Map<string, Leaving>();
  const keep = new Map<string, RealServer[]>();
  const ended: LeavingLook['ended'][number][] = [];
  for (const { service, servers } of input.observed) {
    const entry = serviceKey(service.identity);
    const owned = input.owned.get(entry);
    if (owned === undefined) continue;
    const configured = input.configured.get(entry);
    const policy = configured?.policy ?? input.policy;
    if (policy.onRemove === 'delete') continue;
    for (const observed of servers) {
      const server = serverKey(observed);
      if (!owned.has(server) || configured?.servers.has(server) === true) continue;
      const known = input.before.get(leavingPath({ entry, server }));
      const one: Leaving = known ?? {
        entry,
        server,
        name: configured?.name ?? input.nameOf(entry),
        persistent: service.persistenceSeconds > 0,
        sinceMs: input.nowMs,
        untilMs: input.nowMs + policy.drainTimeoutUs / 1000,
      };
      const connectionsLeft = connectionsOf(observed);
      // Weight 0 first: new connections may still be on their way to it.
      const quiet = observed.weight === 0 && connectionsLeft === 0;
      if (quiet || input.nowMs >= one.untilMs) {
        ended.push({ leaving: one, connectionsLeft });
        continue;
      }
      leaving.set(leavingPath(one), one);
      const kept = keep.get(entry) ?? [];
      keep.set(entry, kept);
      kept.push(quiesced(observed));
    }
  }
  return { leaving, keep, ended };
}

/** The desired table with what must stay for a while. */
export function withLeaving(
  desired: readonly DesiredService[],
  observed: readonly ObservedService[],
  { keep }: Pick<LeavingLook, 'keep'>,
  configured: LeavingInput['configured'],
): readonly DesiredService[] {
  if (keep.size === 0) return desired;
  const extended = desired.map((entry) => {
    const kept = keep.get(serviceKey(entry.service.identity));
    return kept === undefined ? entry : { ...entry, servers: [...entry.servers, ...kept] };
  });
  for (const { service } of observed) {
    const key = serviceKey(service.identity);
    const servers = keep.get(key);
    // A configured entry that is not desired now goes at once: its address is not here.
    if (servers !== undefined && !configured.has(key)) extended.push({ service, servers });
  }
  return extended;
}

/** Reads what was written as JSON; the error says which entry is wrong. */
export function leavingFromJson(value: unknown): Result<readonly Leaving[], string> {
  if (!Array.isArray(value)) return err('expected a list');
  if (value.length > LEAVING_MAX) return err(`more than ${LEAVING_MAX} entries`);
  const bad = value.findIndex((one) => !isLeaving(one));
  return bad < 0 ? ok(value as Leaving[]) : err(`entry ${bad} is no leaving server`);
}

function isLeaving(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { entry, server, name, persistent, sinceMs, untilMs } = value as Record<string, unknown>;
  return (
    typeof entry === 'string' &&
    typeof server === 'string' &&
    (name === null || typeof name === 'string') &&
    typeof persistent === 'boolean' &&
    Number.isFinite(sinceMs) &&
    Number.isFinite(untilMs)
  );
}

function quiesced(observed: ObservedRealServer): RealServer {
  const { address, port, forwarding, upperThreshold, lowerThreshold, tunnel } = observed;
  return { address, port, forwarding, weight: 0, upperThreshold, lowerThreshold, tunnel };
}
