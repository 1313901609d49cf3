/**
 * Passive hints as time passes: takes a sample of the counters at each comparison of the table,
 * and remembers which servers accept nothing (core/health/passive.ts), since when, and until when
 * they are kept out of the way.
 */
import type { AddressFamily, RealServerConfig, ServiceConfig } from '../core/config/config.ts';
import { overrideKey } from '../core/health/override.ts';
import {
  acceptNothing,
  accepts,
  type PassiveEvidence,
  type PassiveSample,
  withSample,
} from '../core/health/passive.ts';
import { inTurns } from '../core/in-turns.ts';
import { configuredKey, familyServed, type ServerCounts } from '../core/ipvs/entries.ts';
import { serviceFamily } from '../core/ipvs/model.ts';
import { TURNS } from '../linux/turns.ts';

/** What is known of a server that accepts nothing. */
export interface PassiveHint {
  readonly connections: number;
  readonly sinceUs: number;
  /** It gets no new connections until then; null where it is only told. */
  readonly quiescedUntilUs: number | null;
}

export interface PassivePorts {
  /** Monotonic microseconds. */
  readonly nowUs: () => number;
  readonly onBegan: (service: ServiceConfig, server: string, evidence: PassiveEvidence) => void;
  /** It is tried again, or accepts connections. */
  readonly onEnded: (service: ServiceConfig, server: string) => void;
}

export class Passive {
  readonly #ports: PassivePorts;
  #samples = new Map<string, readonly PassiveSample[]>();
  readonly #hints = new Map<string, PassiveHint>();

  constructor(ports: PassivePorts) {
    this.#ports = ports;
  }

  /** Forgets what is not watched any more, in turns. */
  async keep(services: readonly ServiceConfig[]): Promise<void> {
    const watched = new Set<string>();
    const watch = (service: ServiceConfig): void => {
      if (!isWatched(service)) return;
      for (const server of service.servers) {
        watched.add(overrideKey(service.name, configuredKey(server)));
      }
    };
    await inTurns(services, watch, TURNS);
    for (const known of [this.#samples, this.#hints]) {
      await inTurns(known.keys(), (key) => watched.has(key) || known.delete(key), TURNS);
    }
  }

  /** Looks at the counters of a service; true when its weights must be decided anew. */
  look(service: ServiceConfig, counts: ReadonlyMap<string, ServerCounts>): boolean {
    if (!isWatched(service)) return false;
    const nowUs = this.#ports.nowUs();
    const { windowUs, action, retryUs } = service.passive;
    const familyOf = clientsFamily(service);
    const servers = service.servers.map((server) => {
      const name = configuredKey(server);
      const key = overrideKey(service.name, name);
      const found = counts.get(name);
      const samples =
        found === undefined
          ? []
          : withSample(this.#samples.get(key) ?? [], { ...found, atUs: nowUs }, windowUs);
      this.#samples.set(key, samples);
      return { key: name, family: familyOf(server), forwarding: server.forwarding, samples };
    });
    const suspects = acceptNothing(servers, windowUs);
    let changed = false;
    for (const { key: server, family, samples } of servers) {
      const key = overrideKey(service.name, server);
      const hint = this.#hints.get(key);
      const evidence = suspects.get(server);
      if (hint === undefined && evidence !== undefined) {
        const quiescedUntilUs = action === 'quiesce' ? nowUs + retryUs : null;
        const { connections } = evidence;
        this.#hints.set(key, { connections, sinceUs: nowUs, quiescedUntilUs });
        this.#ports.onBegan(service, server, evidence);
        changed ||= quiescedUntilUs !== null;
      } else if (hint !== undefined && isOver(hint, evidence, { family, samples }, nowUs)) {
        this.#hints.delete(key);
        // What was seen before says nothing of now.
        this.#samples.set(key, samples.slice(-1));
        this.#ports.onEnded(service, server);
        changed ||= hint.quiescedUntilUs !== null;
      }
    }
    return changed;
  }

  /** Those that get no new connections now, by overrideKey(). */
  quiesced(): readonly string[] {
    return [...this.#hints].flatMap(([key, { quiescedUntilUs }]) =>
      quiescedUntilUs === null ? [] : key,
    );
  }

  /** null for a server that nothing is known against. */
  hint(service: string, server: string): PassiveHint | null {
    if (this.#hints.size === 0) return null;
    return this.#hints.get(overrideKey(service, server)) ?? null;
  }
}

/** The family of a server's clients, which decides how long their packets are. */
function clientsFamily({ entries }: ServiceConfig): (server: RealServerConfig) => AddressFamily {
  const [entry] = entries;
  const all = entry === undefined ? 'ipv4' : serviceFamily(entry.identity);
  const familyOf = familyServed(entries);
  return (server) => familyOf(server) ?? all;
}

/** One that is kept out of the way until it is tried again; another until it accepts connections. */
function isOver(
  { quiescedUntilUs }: PassiveHint,
  evidence: PassiveEvidence | undefined,
  seen: { readonly family: AddressFamily; readonly samples: readonly PassiveSample[] },
  nowUs: number,
): boolean {
  if (quiescedUntilUs !== null) return nowUs >= quiescedUntilUs;
  // Without clients nothing is known of it either.
  return evidence === undefined && (seen.samples.length === 0 || accepts(seen));
}

/** Only of TCP do active connections say something, and a mark may be anything. */
function isWatched({ passive, entries }: ServiceConfig): boolean {
  return (
    passive.action !== 'off' &&
    entries.every(({ identity }) => identity.kind === 'address' && identity.protocol === 'tcp')
  );
}
